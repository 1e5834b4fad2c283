package block

import "encoding/binary"

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func uvarint(b []byte) (uint64, int) { return binary.Uvarint(b) }

// bitmap remembers places in a file that are multiples of unit.
type bitmap struct {
	base, unit int64
	words      []uint64
}

// newBitmap covers [from, to): a bit for every unit bytes.
func newBitmap(from, to, unit int64) *bitmap {
	n := (to - from + unit - 1) / unit
	return &bitmap{base: from, unit: unit, words: make([]uint64, (n+63)/64)}
}

func (m *bitmap) place(off int64) (int64, bool) {
	i := off - m.base
	return i / m.unit, i >= 0 && i%m.unit == 0 && i/m.unit < int64(len(m.words))*64
}

func (m *bitmap) set(off int64) {
	if i, ok := m.place(off); ok {
		m.words[i/64] |= 1 << (i % 64)
	}
}

func (m *bitmap) has(off int64) bool {
	i, ok := m.place(off)
	return ok && m.words[i/64]&(1<<(i%64)) != 0
}

// bitReader reads a chunk's layout.
type bitReader struct {
	data []byte
	pos  int // in bits
	bad  bool
}

func (r *bitReader) bits(n int) uint64 {
	var v uint64
	for range n {
		if r.pos >= len(r.data)*8 {
			r.bad = true
			return 0
		}
		v = v<<1 | uint64(r.data[r.pos/8]>>(7-r.pos%8)&1)
		r.pos++
	}
	return v
}

// varbit reads the library's variable number (tsdb/chunkenc/varbit.go), unsigned, and how many bits it has.
func (r *bitReader) varbit() (uint64, int) {
	ones := 0
	for ones < 8 && r.bits(1) == 1 {
		ones++
	}
	size := [...]int{0, 3, 6, 9, 12, 18, 25, 56, 64}[ones]
	return r.bits(size), size
}

// signed reads the same as a signed number.
func (r *bitReader) signed() int64 {
	v, size := r.varbit()
	if size > 0 && size < 64 && v > 1<<(size-1) {
		v -= 1 << size
	}
	return int64(v)
}
