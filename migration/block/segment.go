package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// segments reads chunks in the order of their places, one segment open at a time.
type segments struct {
	folder *folder
	pace   pace
	number int // of the open segment, from 1; 0 for none
	w      *window
	bad    map[int]bool // segments that were found missing or not to be segments, told once
	sums   *sums        // nil where nobody wants them
}

// chunk is one chunk in its segment. data is valid until the next read.
type chunk struct {
	enc  byte
	data []byte
	next int64 // where the next chunk starts
}

func (s *segments) close() {
	if s.w != nil {
		s.w.close()
		_ = s.w.file.Close()
		s.w, s.number = nil, 0
	}
}

// open opens a segment and checks its head. The error is a *Damage, or not of the block.
func (s *segments) open(number int) error {
	if s.number == number {
		return nil
	}
	s.close()
	name := segmentName(number)
	f, err := openRegular(s.folder.root, name)
	if err != nil {
		if d := (*Damage)(nil); errors.As(err, &d) {
			d.Segment = number
		}
		return err
	}
	w, err := newWindow(f, stepWide, s.pace)
	if err != nil {
		_ = f.Close()
		return err
	}
	w.seen = s.sums.of(name)
	s.w, s.number = w, number
	head, err := w.at(0, chunks.SegmentHeaderSize)
	if err != nil {
		return s.damaged(0, err)
	}
	switch {
	case be32(head) != chunks.MagicChunks:
		err = fmt.Errorf("begins with %08x, which is no segment", be32(head))
	case head[4] != 1:
		d := damaged(UnknownVersion, name, 4, "chunk format version %d", head[4])
		d.Segment = number
		return d
	case head[5]|head[6]|head[7] != 0:
		err = fmt.Errorf("padding that is not zero: % x", head[5:8])
	}
	if err != nil {
		return s.damaged(0, err)
	}
	return nil
}

// damaged makes damage of what went wrong at a place of the open segment; what ends the work stays as it is.
func (s *segments) damaged(off int64, err error) error {
	if stop := (*stopError)(nil); errors.As(err, &stop) {
		return err
	}
	kind := DamagedChunk
	if disk := (*diskError)(nil); errors.As(err, &disk) {
		kind, off = Unreadable, disk.off
	}
	if errors.Is(err, errEncoding) {
		kind = UnknownVersion
	}
	d := damaged(kind, segmentName(s.number), off, "%v", err)
	d.Segment = s.number
	return d
}

// read reads the chunk at off of the open segment and checks its sum.
func (s *segments) read(off int64) (chunk, error) {
	head, err := s.w.upTo(off, chunks.MaxChunkLengthFieldSize)
	if err != nil {
		return chunk{}, s.damaged(off, err)
	}
	n, used := uvarint(head)
	if used <= 0 {
		return chunk{}, s.damaged(off, errShort)
	}
	start := off + int64(used)
	left := s.w.size - start - chunks.ChunkEncodingSize - crc32.Size
	if left < 0 || n > uint64(left) {
		return chunk{}, s.damaged(off, errShort)
	}
	if n > maxPiece-64 {
		return chunk{}, s.damaged(off, errLarge)
	}
	size := chunks.ChunkEncodingSize + int(n)
	b, err := s.w.at(start, size+crc32.Size)
	if err != nil {
		return chunk{}, s.damaged(off, err)
	}
	if crc32.Checksum(b[:size], castagnoli) != be32(b[size:]) {
		return chunk{}, s.damaged(off, errors.New("the sum is wrong"))
	}
	return chunk{enc: b[0], data: b[1:size], next: start + int64(size) + crc32.Size}, nil
}

// chunkScrub checks the chunks of a block as the index names them, or, without an index, as they lie.
type chunkScrub struct {
	segments
	decoder *decoder
	samples bool // decode every sample, do not just believe the chunk's head
	report  func(*Damage)
	merge   func(*Damage) // for damage right behind other damage
	streak  bool
	note    func(format string, args ...any)

	chunks, floats, histograms uint64
	number                     int   // where the next chunk should be
	off                        int64 // unknown after damage: -1
	idle                       int64 // bytes that no series points to
	min, max                   int64 // of the samples
}

func newChunkScrub(f *folder, p pace, samples bool) *chunkScrub {
	return &chunkScrub{
		segments: segments{folder: f, pace: p, bad: map[int]bool{}}, decoder: newDecoder(), samples: samples,
		number: 1, off: chunks.SegmentHeaderSize, min: math.MaxInt64, max: math.MinInt64,
	}
}

// visit checks the chunks of one series. Only what ends the work is an error.
func (c *chunkScrub) visit(metas []chunks.Meta) error {
	for i := range metas {
		err := c.one(&metas[i])
		if err == nil {
			c.streak = false
			continue
		}
		d := (*Damage)(nil)
		if !errors.As(err, &d) {
			return err
		}
		from, to := metas[i].MinTime, metas[i].MaxTime
		d.From, d.To = &from, &to
		if c.streak {
			c.merge(d)
		} else {
			c.report(d)
		}
		c.streak = true
	}
	return nil
}

func (c *chunkScrub) one(m *chunks.Meta) error {
	c.chunks++
	number, at := chunks.BlockChunkRef(m.Ref).Unpack()
	number, off := number+1, int64(at)
	if number > len(c.folder.segments)+1 {
		number = len(c.folder.segments) + 1 // so far beyond the last that its name says nothing
	}
	if err := c.open(number); err != nil {
		c.bad[number] = true
		c.number, c.off = number, -1
		return err
	}
	c.move(number, off)
	got, err := c.read(off)
	if err != nil {
		return err
	}
	c.number, c.off = number, got.next
	return c.contents(m, off, got)
}

// move notes what lies between the last chunk and this one. After an error the place is unknown until the next chunk.
func (c *chunkScrub) move(number int, off int64) {
	if c.off >= 0 && number == c.number && off > c.off {
		c.idle += off - c.off
	}
	if c.off >= 0 && number > c.number {
		c.idle += max(c.folder.files[segmentName(c.number)]-c.off, 0) + off - chunks.SegmentHeaderSize
		for n := c.number + 1; n < number; n++ {
			c.idle += c.folder.files[segmentName(n)]
		}
	}
	c.number, c.off = number, -1
}

func (c *chunkScrub) contents(m *chunks.Meta, off int64, got chunk) error {
	look := c.decoder.headed
	if c.samples {
		look = c.decoder.decode
	}
	held, err := look(got.enc, got.data)
	if err != nil {
		return c.damaged(off, err)
	}
	c.floats += held.floats
	c.histograms += held.histograms
	if c.samples && (held.from < m.MinTime || held.to > m.MaxTime) {
		return c.damaged(off, fmt.Errorf("holds samples from %d to %d, the index says from %d to %d", held.from, held.to, m.MinTime, m.MaxTime))
	}
	c.min, c.max = min(c.min, m.MinTime), max(c.max, m.MaxTime)
	return nil
}

// end notes what lies behind the last chunk.
func (c *chunkScrub) end() {
	if c.off >= 0 {
		c.idle += max(c.folder.files[segmentName(c.number)]-c.off, 0)
	}
	for n := c.number + 1; n <= len(c.folder.segments); n++ {
		c.idle += c.folder.files[segmentName(n)]
	}
	if c.idle > 0 {
		c.note("%d bytes of the segments belong to no series", c.idle)
	}
	c.close()
}

// sweep checks the segments from front to back when the index cannot be trusted.
func (c *chunkScrub) sweep() error {
	for _, name := range c.folder.segments {
		number := segmentNumber(name)
		if c.bad[number] {
			continue
		}
		if err := c.sweepOne(number); err != nil {
			d := (*Damage)(nil)
			if !errors.As(err, &d) {
				return err
			}
			c.report(d)
		}
	}
	c.close()
	return nil
}

func (c *chunkScrub) sweepOne(number int) error {
	if err := c.open(number); err != nil {
		return err
	}
	for off := int64(chunks.SegmentHeaderSize); off < c.w.size; {
		got, err := c.read(off)
		if err != nil {
			return err
		}
		if !chunkenc.IsValidEncoding(chunkenc.Encoding(got.enc)) {
			return c.damaged(off, fmt.Errorf("%w: %d", errEncoding, got.enc))
		}
		off = got.next
	}
	return nil
}
