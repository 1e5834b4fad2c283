package block

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// maxPiece is the largest thing that is held in memory at once: a chunk, a series, a symbol. Real ones are kilobytes.
	maxPiece = 8 << 20
	stepWide = 1 << 20
	stepSlim = 256 << 10
)

var (
	errShort = errors.New("cut off")
	errLarge = fmt.Errorf("larger than %d bytes", maxPiece)
)

// castagnoli is the polynomial of every sum in a block; the table is never changed.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pace is asked before every read: it counts, waits, and ends the work when the context is done.
type pace func(bytes int) error

// window reads a file forward in large pieces and leaves the page cache as it was: what was not cached before is not
// cached afterwards, and what the server has cached stays.
type window struct {
	file   *os.File
	size   int64
	step   int
	pace   pace
	buf    []byte // holds the bytes from off
	off    int64
	nowait bool                      // RWF_NOWAIT works here
	past   past                      // only where nowait works: with neither, the cache is left to the kernel
	seen   func(off int64, b []byte) // is shown what was read; may be nil
}

func newWindow(f *os.File, step int, p pace) (*window, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// No read-ahead: it would make bytes look cached that are there because of us. The steps are large enough without.
	nowait := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM) == nil
	return &window{file: f, size: info.Size(), step: step, pace: p, nowait: nowait, past: past{never: !nowait}}, nil
}

// close lets go of what the window itself has opened; the file is the caller's.
func (w *window) close() { w.past.close() }

// at returns n bytes from off; they are valid until the next call. Beyond the end it is errShort.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || off > w.size || int64(n) > w.size-off {
		return nil, errShort
	}
	if n > maxPiece {
		return nil, errLarge
	}
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		if err := w.fill(off, n); err != nil {
			return nil, err
		}
	}
	start := off - w.off
	return w.buf[start : start+int64(n)], nil
}

// upTo returns at most n bytes from off: fewer where the file ends.
func (w *window) upTo(off int64, n int) ([]byte, error) {
	return w.at(off, int(min(int64(n), max(w.size-off, 0))))
}

// fill reads at least n bytes from off, in whole sectors: what stays in the buffer and what is read begin at one.
func (w *window) fill(off int64, n int) error {
	start := off / sector * sector
	keep := 0
	if end := w.off + int64(len(w.buf)); start >= w.off && off < end {
		keep = copy(w.buf, w.buf[start-w.off:])
	}
	room := sectorsUp(off - start + int64(max(n, w.step)))
	want := int(min(room, w.size-start))
	if int64(cap(w.buf)) < room {
		grown := aligned(int(room))
		copy(grown, w.buf[:keep])
		w.buf = grown
	}
	w.buf = w.buf[:want]
	w.off = start
	if err := w.pace(want - keep); err != nil {
		w.buf = w.buf[:0]
		return &stopError{err}
	}
	got, err := w.read(w.buf[keep:], start+int64(keep))
	if err == nil || errors.Is(err, io.EOF) {
		err = nil
		if got < want-keep {
			err = fmt.Errorf("the file became shorter while it was read: %w", io.ErrUnexpectedEOF)
		}
	}
	if err != nil {
		w.buf = w.buf[:0]
		return &diskError{off: start + int64(keep+got), err: err}
	}
	if w.seen != nil {
		w.seen(start+int64(keep), w.buf[keep:])
	}
	return nil
}

// read takes what is not cached past the cache. Where that cannot be it takes what is cached, then the rest, and drops only
// the rest from the cache.
func (w *window) read(buf []byte, off int64) (int, error) {
	done := w.past.read(w.file, buf, off)
	if done == len(buf) {
		return done, nil
	}
	n, err := w.readThrough(buf[done:], off+int64(done))
	return done + n, err
}

func (w *window) readThrough(buf []byte, off int64) (int, error) {
	warm := 0
	if w.nowait {
		n, err := unix.Preadv2(int(w.file.Fd()), [][]byte{buf}, off, unix.RWF_NOWAIT)
		switch {
		case err == nil && n > 0:
			warm = n
		case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
			w.nowait = false
		}
	}
	if warm == len(buf) {
		return warm, nil
	}
	n, err := w.file.ReadAt(buf[warm:], off+int64(warm))
	page := int64(os.Getpagesize())
	from := (off + int64(warm)) / page * page
	if w.nowait { // else nobody knows what was cached, and dropping it could hurt the server
		_ = unix.Fadvise(int(w.file.Fd()), from, off+int64(warm+n)-from, unix.FADV_DONTNEED) // advice: nothing depends on it
	}
	return warm + n, err
}

// stopError ends the work: the context is done or the caller's pace refused.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// diskError is a read that did not work.
type diskError struct {
	off int64
	err error
}

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func pacer(ctx context.Context, outer func(context.Context, int) error, count func(int)) pace {
	return func(n int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		count(n)
		if outer == nil {
			return nil
		}
		return outer(ctx, n)
	}
}

// section decodes a part of a file forward and sums what it takes. The first error stays.
type section struct {
	w        *window
	pos, end int64
	sum      uint32
	err      error
}

func (s *section) take(n int) []byte {
	if s.err != nil {
		return nil
	}
	if n < 0 || int64(n) > s.end-s.pos {
		s.err = errShort
		return nil
	}
	b, err := s.w.at(s.pos, n)
	if err != nil {
		s.err = err
		return nil
	}
	s.pos += int64(n)
	s.sum = crc32.Update(s.sum, castagnoli, b)
	return b
}

func (s *section) be32() uint32 {
	b := s.take(4)
	if b == nil {
		return 0
	}
	return be32(b)
}

func (s *section) uvarint() uint64 {
	if s.err != nil {
		return 0
	}
	b, err := s.w.upTo(s.pos, int(min(s.end-s.pos, 10)))
	if err != nil {
		s.err = err
		return 0
	}
	v, n := uvarint(b)
	if n <= 0 {
		s.err = errShort
		return 0
	}
	s.take(n)
	return v
}

func (s *section) text() []byte {
	n := s.uvarint()
	if s.err == nil && n > maxPiece {
		s.err = errLarge
	}
	return s.take(int(min(n, maxPiece)))
}

// rest takes what is left, in pieces.
func (s *section) rest() {
	for s.err == nil && s.pos < s.end {
		s.take(int(min(s.end-s.pos, int64(s.w.step))))
	}
}

// check compares the sum with the four bytes behind the section.
func (s *section) check() error {
	if s.err != nil {
		return s.err
	}
	b, err := s.w.at(s.end, 4)
	if err != nil {
		return err
	}
	if want := be32(b); want != s.sum {
		return fmt.Errorf("the sum is %08x, not %08x", s.sum, want)
	}
	return nil
}

// blob opens the section at off that begins with its length in four bytes and ends with its sum, all of it before limit.
func (w *window) blob(off, limit int64) (*section, error) {
	b, err := w.at(off, 4)
	if err != nil {
		return nil, err
	}
	end := off + 4 + int64(be32(b))
	if end+4 > limit {
		return nil, fmt.Errorf("%d bytes long, but only %d are left: %w", be32(b), limit-off-4, errShort)
	}
	return &section{w: w, pos: off + 4, end: end}, nil
}

// zeros says where the first byte is that is not zero, or -1.
func (w *window) zeros(from, to int64) (int64, error) {
	for off := from; off < to; {
		b, err := w.at(off, int(min(to-off, int64(w.step))))
		if err != nil {
			return 0, err
		}
		for i, c := range b {
			if c != 0 {
				return off + int64(i), nil
			}
		}
		off += int64(len(b))
	}
	return -1, nil
}
