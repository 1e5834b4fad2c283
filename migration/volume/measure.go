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
	"time"

	"golang.org/x/sys/unix"
)

const (
	// probePrefix begins the name of the directory in which everything is measured. It is no name of a block, and none that a
	// server deletes when it starts.
	probePrefix = "slipway-probe-"
	// phaseTime bounds each measurement: a volume that is too slow is known to be so long before the end.
	phaseTime = 15 * time.Second
	readSize  = 4 << 10
	chunkSize = 1 << 20
	// syncSize is what is written before each sync: a page of Prometheus' write-ahead log (tsdb/wlog, pageSize).
	syncSize = 32 << 10
	minFile  = 16 << 20
)

// Options of a measurement.
type Options struct {
	// Dir is a directory of the volume, where the server's data will lie.
	Dir string
	// FileBytes is the size of the file that is written and read; zero: 256 MiB. At most a quarter of what is free.
	FileBytes int64
	// Syncs and Reads are how many are measured; zero: 300 and 2000.
	Syncs, Reads int
	// Progress is told what comes next; may be nil.
	Progress func(what string)
}

// Latency is how long single operations took.
type Latency struct {
	Count int `json:"count"`
	// P50, P99 and Max are in microseconds.
	P50 int64 `json:"p50Microseconds"`
	P99 int64 `json:"p99Microseconds"`
	Max int64 `json:"maxMicroseconds"`
}

// Ability is something that a server does with files, and why it cannot do it here.
type Ability struct {
	Name string `json:"name"`
	// Error is empty when it can.
	Error string `json:"error,omitempty"`
}

// Report is what was seen of a volume.
type Report struct {
	Dir        string     `json:"dir"`
	FileSystem FileSystem `json:"fileSystem"`
	UID        int        `json:"uid"`
	GID        int        `json:"gid"`
	Groups     []int      `json:"groups"`
	Abilities  []Ability  `json:"abilities"`
	// Measured is false when files cannot be written: what follows is zero then.
	Measured bool    `json:"measured"`
	Sync     Latency `json:"sync"`
	// SequentialWriteBytesPerSecond includes the sync at the end.
	SequentialWriteBytesPerSecond int64   `json:"sequentialWriteBytesPerSecond"`
	SequentialReadBytesPerSecond  int64   `json:"sequentialReadBytesPerSecond"`
	RandomRead                    Latency `json:"randomRead"`
	RandomReadsPerSecond          int64   `json:"randomReadsPerSecond"`
	// ThroughCache says that the reads could not go around the page cache: they say nothing about the disk.
	ThroughCache bool `json:"throughCache"`
}

// Measure looks at a volume as the user of this process. An error means that it could not look; what a server could not do
// there is in the report.
func Measure(ctx context.Context, o Options) (*Report, error) {
	o = o.defaulted()
	r := &Report{Dir: o.Dir, UID: os.Geteuid(), GID: os.Getegid()}
	var err error
	if r.Groups, err = os.Getgroups(); err != nil {
		return nil, fmt.Errorf("listing groups: %w", err)
	}
	if r.FileSystem, err = look(o.Dir); err != nil {
		return nil, err
	}
	removeLeftOvers(o.Dir)
	probe, err := os.MkdirTemp(o.Dir, probePrefix)
	if err != nil {
		r.Abilities = []Ability{{MakeDirectory, reason(err)}}
		return r, nil
	}
	defer func() { _ = os.RemoveAll(probe) }()
	o.Progress("what files can do here")
	r.Abilities = tryAll(probe)
	if !r.Able(WriteFile) {
		return r, nil
	}
	if err := r.measure(ctx, o, probe); err != nil {
		return nil, err
	}
	r.Measured = true
	return r, nil
}

func (o Options) defaulted() Options {
	if o.FileBytes == 0 {
		o.FileBytes = 256 << 20
	}
	if o.Syncs == 0 {
		o.Syncs = 300
	}
	if o.Reads == 0 {
		o.Reads = 2000
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// Able tells whether something was tried and worked.
func (r *Report) Able(name string) bool {
	return slices.Contains(r.Abilities, Ability{Name: name})
}

// removeLeftOvers removes what a measurement that was killed left, as far as we may.
func removeLeftOvers(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, probePrefix+"*"))
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && info.IsDir() && time.Since(info.ModTime()) > 10*time.Minute {
			_ = os.RemoveAll(path)
		}
	}
}

func (r *Report) measure(ctx context.Context, o Options, probe string) error {
	size := min(o.FileBytes, r.FileSystem.FreeBytes/4) / chunkSize * chunkSize
	if size < minFile {
		return fmt.Errorf("measuring %s: %d MiB are free, and at least %d are needed to measure", o.Dir, r.FileSystem.FreeBytes>>20, 4*minFile>>20)
	}
	file := filepath.Join(probe, "data")
	steps := []struct {
		what string
		do   func() error
	}{
		{"syncs of small writes", func() (err error) { r.Sync, err = syncs(ctx, filepath.Join(probe, "log"), o.Syncs); return }},
		{"sequential writes", func() (err error) { size, r.SequentialWriteBytesPerSecond, err = writes(ctx, file, size); return }},
		{"sequential reads", func() (err error) { return r.reads(ctx, file, size) }},
		{"random reads", func() (err error) { return r.randomReads(ctx, file, size, o.Reads) }},
	}
	for _, s := range steps {
		o.Progress(s.what)
		if err := s.do(); err != nil {
			return fmt.Errorf("measuring %s: %s: %w", o.Dir, s.what, err)
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

// openUncached opens a file so that reads ask the disk, or says that they cannot.
func openUncached(path string) (f *os.File, cached bool, err error) {
	if f, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0); err == nil {
		return f, false, nil
	}
	if !errors.Is(err, unix.EINVAL) {
		return nil, false, err
	}
	if f, err = os.Open(path); err != nil {
		return nil, false, err
	}
	return f, true, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

func (r *Report) reads(ctx context.Context, path string, size int64) error {
	f, cached, err := openUncached(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r.ThroughCache = cached
	chunk, free, err := aligned(chunkSize)
	if err != nil {
		return err
	}
	defer free()
	start, done := time.Now(), int64(0)
	for done < size && time.Since(start) < phaseTime {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(chunk, done)
		if err != nil {
			return err
		}
		done += int64(n)
	}
	r.SequentialReadBytesPerSecond = rate(done, time.Since(start))
	return nil
}

func (r *Report) randomReads(ctx context.Context, path string, size int64, count int) error {
	f, _, err := openUncached(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	page, free, err := aligned(readSize)
	if err != nil {
		return err
	}
	defer free()
	start := time.Now()
	r.RandomRead, err = sample(ctx, count, func(int) error {
		_, err := f.ReadAt(page, rand.Int64N(size/readSize)*readSize) //nolint:gosec // places to read, no secrets
		return err
	})
	if err == nil {
		r.RandomReadsPerSecond = rate(int64(r.RandomRead.Count), time.Since(start))
	}
	return err
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
