package volume

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

func (r *Report) measure(ctx context.Context, o Options, probe string) error {
	size := min(o.FileBytes, r.FileSystem.FreeBytes/4) / chunkSize * chunkSize
	if size < minFile {
		return fmt.Errorf("%d MiB are free, and at least %d are needed to measure", r.FileSystem.FreeBytes>>20, 4*minFile>>20)
	}
	file := filepath.Join(probe, "data")
	steps := []struct {
		what string
		do   func() error
	}{
		{"syncs of small writes", func() (err error) { r.Sync, err = syncs(ctx, filepath.Join(probe, "log"), o.Syncs); return }},
		{"sequential writes", func() (err error) { size, r.SequentialWriteBytesPerSecond, err = writes(ctx, file, size); return }},
		{"sequential reads", func() (err error) { return r.reads(ctx, file, size) }},
		{"random reads", func() error { return r.randomReads(ctx, file, size, o.Reads) }},
		{"random reads, 16 at once", func() error { return r.parallelReads(ctx, file, size, o.Reads) }},
		{"random writes", func() error { return r.randomWrites(ctx, file, size, o.Reads) }},
		{"writes around the page cache", func() error { return r.directWrites(ctx, filepath.Join(probe, "direct"), size) }},
	}
	for _, s := range steps {
		o.Progress(s.what)
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// syncs measures what a write-ahead log waits for: a page written, and brought to the disk.
func syncs(ctx context.Context, path string, count int) (Latency, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return Latency{}, err
	}
	defer func() { _ = f.Close() }()
	page := noise(syncSize)
	return sample(ctx, count, func(int) error {
		if _, err := f.Write(page); err != nil {
			return err
		}
		return unix.Fdatasync(int(f.Fd()))
	})
}

// writes fills a file, in time; it returns how much that was and how fast, the sync at the end included.
func writes(ctx context.Context, path string, size int64) (written, perSecond int64, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	chunk := noise(chunkSize)
	start := time.Now()
	for written < size && (written < minFile || time.Since(start) < phaseTime) {
		if err := ctx.Err(); err != nil {
			return written, 0, err
		}
		n, err := f.Write(chunk)
		written += int64(n)
		if err != nil {
			return written, 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return written, 0, err
	}
	return written, rate(written, time.Since(start)), nil
}

// openUncached opens a file so that reads and writes ask the disk, or says that they cannot.
func openUncached(path string, flag int) (f *os.File, cached bool, err error) {
	if f, err = os.OpenFile(path, flag|unix.O_DIRECT, 0o600); err == nil {
		return f, false, nil
	}
	if !errors.Is(err, unix.EINVAL) {
		return nil, false, err
	}
	if f, err = os.OpenFile(path, flag, 0o600); err != nil {
		return nil, false, err
	}
	return f, true, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// uncached does something with a file that asks the disk, with memory for n bytes at once.
func uncached(path string, flag, n int, do func(f *os.File, buffer []byte) error) (cached bool, err error) {
	f, cached, err := openUncached(path, flag)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // who writes syncs
	buffer, free, err := aligned(n)
	if err != nil {
		return false, err
	}
	defer free()
	return cached, do(f, buffer)
}

// inARow reads or writes chunk after chunk, in time, and ends with end; it returns bytes per second, the end included.
func inARow(ctx context.Context, size int64, do func(at int64) (int, error), end func() error) (int64, error) {
	start, done := time.Now(), int64(0)
	for done < size && time.Since(start) < phaseTime {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := do(done)
		if err != nil {
			return 0, err
		}
		done += int64(n)
	}
	if err := end(); err != nil {
		return 0, err
	}
	return rate(done, time.Since(start)), nil
}

// atRandom reads or writes pages anywhere; it returns how long one took, and how many a second.
func atRandom(ctx context.Context, size int64, count int, do func(at int64) (int, error)) (Latency, int64, error) {
	start := time.Now()
	l, err := sample(ctx, count, func(int) error {
		_, err := do(anywhere(size))
		return err
	})
	return l, rate(int64(l.Count), time.Since(start)), err
}

func (r *Report) reads(ctx context.Context, path string, size int64) (err error) {
	r.ThroughCache, err = uncached(path, os.O_RDONLY, chunkSize, func(f *os.File, chunk []byte) (err error) {
		r.SequentialReadBytesPerSecond, err = inARow(ctx, size, func(at int64) (int, error) { return f.ReadAt(chunk, at) }, func() error { return nil })
		return err
	})
	return err
}

func (r *Report) randomReads(ctx context.Context, path string, size int64, count int) error {
	_, err := uncached(path, os.O_RDONLY, readSize, func(f *os.File, page []byte) (err error) {
		r.RandomRead, r.RandomReadsPerSecond, err = atRandom(ctx, size, count, func(at int64) (int, error) { return f.ReadAt(page, at) })
		return err
	})
	return err
}

// parallelReads keeps several reads on their way.
func (r *Report) parallelReads(ctx context.Context, path string, size int64, count int) error {
	const atOnce = 16
	f, _, err := openUncached(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	begin := time.Now()
	var done atomic.Int64
	g, inner := errgroup.WithContext(ctx)
	for range atOnce {
		g.Go(func() error {
			page, free, err := aligned(readSize)
			if err != nil {
				return err
			}
			defer free()
			for done.Add(1) <= int64(count) && time.Since(begin) < phaseTime && inner.Err() == nil {
				if _, err := f.ReadAt(page, anywhere(size)); err != nil {
					return err
				}
			}
			done.Add(-1)
			return inner.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.ParallelReadsPerSecond = rate(done.Load(), time.Since(begin))
	return nil
}

func (r *Report) randomWrites(ctx context.Context, path string, size int64, count int) error {
	_, err := uncached(path, os.O_WRONLY, readSize, func(f *os.File, page []byte) (err error) {
		copy(page, noise(readSize))
		r.RandomWrite, r.RandomWritesPerSecond, err = atRandom(ctx, size, count, func(at int64) (int, error) { return f.WriteAt(page, at) })
		return err
	})
	return err
}

// directWrites writes another file, around the page cache where that is possible: its blocks have to be found first, as those of a new one.
func (r *Report) directWrites(ctx context.Context, path string, size int64) error {
	_, err := uncached(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, chunkSize, func(f *os.File, chunk []byte) (err error) {
		copy(chunk, noise(chunkSize))
		r.DirectWriteBytesPerSecond, err = inARow(ctx, size, func(at int64) (int, error) { return f.WriteAt(chunk, at) }, f.Sync)
		return err
	})
	return err
}

// anywhere is the place of a page of the file.
func anywhere(size int64) int64 {
	return rand.Int64N(size/readSize) * readSize //nolint:gosec // places to read and write, no secrets
}

// sample times an operation again and again, in time.
func sample(ctx context.Context, count int, do func(i int) error) (Latency, error) {
	took := make([]time.Duration, 0, count)
	for begin := time.Now(); len(took) < count && (len(took) < 10 || time.Since(begin) < phaseTime); {
		if err := ctx.Err(); err != nil {
			return Latency{}, err
		}
		start := time.Now()
		if err := do(len(took)); err != nil {
			return Latency{}, err
		}
		took = append(took, time.Since(start))
	}
	return latency(took), nil
}

// latency sorts and sums up.
func latency(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(part int) int64 { return took[min(len(took)*part/100, len(took)-1)].Microseconds() }
	return Latency{Count: len(took), P50: at(50), P99: at(99), Max: at(100)}
}

func rate(n int64, d time.Duration) int64 {
	return int64(float64(n) / max(d.Seconds(), 1e-9))
}

// noise is data that no file system can make smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte([]byte(strings.Repeat("slipway ", 4))))
	_, _ = source.Read(b) // never fails
	return b
}

// aligned is memory that direct reads take: it begins at a page.
func aligned(n int) (b []byte, free func(), err error) {
	b, err = unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("taking memory: %w", err)
	}
	return b, func() { _ = unix.Munmap(b) }, nil
}
