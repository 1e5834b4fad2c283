package block

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeebo/xxh3"
)

// Sum is the XXH3-128 of a piece. It finds what disks, memories and programs do to bytes; it is no signature: who sent them
// is the business of TLS or SSH.
type Sum [16]byte

// Summer takes the sum of what is written to it.
type Summer struct{ hash xxh3.Hasher128 }

// NewSummer makes a Summer of nothing.
func NewSummer() *Summer { return &Summer{} }

// Write never fails.
func (s *Summer) Write(p []byte) (int, error) { return s.hash.Write(p) }

// Sum is the sum of all that was written.
func (s *Summer) Sum() Sum { return s.hash.Sum128().Bytes() }

// Reset forgets what was written.
func (s *Summer) Reset() { s.hash.Reset() }

// MarshalText gives hexadecimal digits.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads hexadecimal digits.
func (s *Sum) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(s) {
		return fmt.Errorf("reading a sum: %d digits, not %d", len(text), hex.EncodedLen(len(s)))
	}
	if _, err := hex.Decode(s[:], text); err != nil {
		return fmt.Errorf("reading a sum: %w", err)
	}
	return nil
}

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// FileSums are the sums of the pieces of a file, in order; the last piece may be short, an empty file has none.
type FileSums struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Pieces []Sum  `json:"pieces"`
}

// sums are taken beside a scrub, from the bytes that it reads anyway. Most of an index and all of the segments are read
// forward; what is not is read at the end.
type sums struct {
	piece int64
	files map[string]*forward
}

func newSums(piece int64) *sums {
	if piece <= 0 {
		return nil
	}
	return &sums{piece: piece, files: map[string]*forward{}}
}

// of is what a window over a file shows its bytes to.
func (s *sums) of(name string) func(off int64, b []byte) {
	if s == nil {
		return nil
	}
	return s.file(name).see
}

func (s *sums) file(name string) *forward {
	if s.files[name] == nil {
		s.files[name] = &forward{piece: s.piece, sum: NewSummer()}
	}
	return s.files[name]
}

// finish reads what was not seen.
func (s *sums) finish(b *folder, p pace) ([]FileSums, error) {
	var all []FileSums
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		one := s.file(name)
		err := one.rest(b, name, p)
		if stop := (*stopError)(nil); errors.As(err, &stop) {
			return nil, err
		}
		if err == nil && one.pos == b.files[name] {
			all = append(all, FileSums{Name: name, Bytes: one.pos, Pieces: one.end()})
		}
	}
	return all, nil
}

// forward sums a file that is shown from front to back, with repetitions.
type forward struct {
	piece, pos int64
	sum        *Summer
	pieces     []Sum
}

func (f *forward) see(off int64, b []byte) {
	if off > f.pos || off+int64(len(b)) <= f.pos {
		return
	}
	for b = b[f.pos-off:]; len(b) > 0; {
		n := min(int64(len(b)), f.piece-f.pos%f.piece)
		_, _ = f.sum.Write(b[:n]) // never fails
		f.pos += n
		b = b[n:]
		if f.pos%f.piece == 0 {
			f.close()
		}
	}
}

func (f *forward) close() {
	f.pieces = append(f.pieces, f.sum.Sum())
	f.sum.Reset()
}

func (f *forward) end() []Sum {
	if f.pos%f.piece != 0 {
		f.close()
	}
	return f.pieces
}

func (f *forward) rest(b *folder, name string, p pace) error {
	if f.pos >= b.files[name] {
		return nil
	}
	file, err := openRegular(b.root, name)
	if err != nil {
		return err
	}
	defer file.Close()
	w, err := newWindow(file, stepWide, p)
	if err != nil {
		return err
	}
	defer w.close()
	for f.pos < w.size {
		got, err := w.upTo(f.pos, w.step)
		if err != nil {
			return err
		}
		f.see(f.pos, got)
	}
	return nil
}
