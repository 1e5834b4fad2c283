package block

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// decoder decodes chunks with the library, whose iterators it uses again.
type decoder struct {
	pool  chunkenc.Pool
	iters map[chunkenc.Encoding]chunkenc.Iterator
}

func newDecoder() *decoder {
	return &decoder{pool: chunkenc.NewPool(), iters: map[chunkenc.Encoding]chunkenc.Iterator{}}
}

// contents is what a chunk holds. from and to are the times of its first and last sample.
type contents struct {
	floats, histograms uint64
	from, to           int64
}

var errEncoding = errors.New("encoding is not known")

// headed counts the samples by the chunk's own head, without decoding them.
func (d *decoder) headed(enc byte, data []byte) (contents, error) {
	if !chunkenc.IsValidEncoding(chunkenc.Encoding(enc)) {
		return contents{}, fmt.Errorf("%w: %d", errEncoding, enc)
	}
	if len(data) < headLen(chunkenc.Encoding(enc)) {
		return contents{}, errShort
	}
	c, err := d.pool.Get(chunkenc.Encoding(enc), data)
	if err != nil {
		return contents{}, err
	}
	n := uint64(c.NumSamples())
	_ = d.pool.Put(c) // it refuses foreign types only
	if isFloat(chunkenc.Encoding(enc)) {
		return contents{floats: n}, nil
	}
	return contents{histograms: n}, nil
}

func headLen(e chunkenc.Encoding) int {
	if e == chunkenc.EncXOR {
		return 2
	}
	return 3
}

func isFloat(e chunkenc.Encoding) bool { return e == chunkenc.EncXOR || e == chunkenc.EncXOR2 }

// decode decodes every sample. The sum of the chunk was right, so an error means that it was written wrong, or to harm:
// decoders that panic are caught, and a histogram that claims more buckets than its bits can hold is refused before
// memory is taken for them.
func (d *decoder) decode(enc byte, data []byte) (got contents, err error) {
	head, err := d.headed(enc, data)
	if err != nil {
		return got, err
	}
	e := chunkenc.Encoding(enc)
	if !isFloat(e) && tooManyBuckets(data[3:]) {
		return got, errors.New("claims more histogram buckets than it has bits")
	}
	defer func() {
		if r := recover(); r != nil {
			delete(d.iters, e)
			err = fmt.Errorf("decoding stops: %v", r)
		}
	}()
	c, err := d.pool.Get(e, data)
	if err != nil {
		return got, err
	}
	it := c.Iterator(d.iters[e])
	d.iters[e] = it
	got, err = walk(it)
	_ = d.pool.Put(c) // it refuses foreign types only
	if err == nil && got.floats+got.histograms != head.floats+head.histograms {
		err = fmt.Errorf("holds %d samples, its head says %d", got.floats+got.histograms, head.floats+head.histograms)
	}
	return got, err
}

func walk(it chunkenc.Iterator) (contents, error) {
	var c contents
	first := true
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		t := it.AtT()
		if first {
			c.from, first = t, false
		} else if t <= c.to {
			return c, fmt.Errorf("time %d after %d", t, c.to)
		}
		c.to = t
		if kind == chunkenc.ValFloat {
			c.floats++
		} else {
			c.histograms++
		}
	}
	if err := it.Err(); err != nil {
		return c, err
	}
	if first {
		return c, errors.New("holds no sample")
	}
	return c, nil
}

// maxBuckets is far above what a scrape may bring (the format's own limit is some hundreds per histogram).
const maxBuckets = 1 << 17

// tooManyBuckets reads the layout in front of a histogram chunk's samples (tsdb/chunkenc/histogram_meta.go). A bucket
// takes at least one bit of every sample.
func tooManyBuckets(layout []byte) bool {
	r := &bitReader{data: layout}
	if r.bits(8) == 255 { // zero threshold
		r.bits(64)
	}
	schema := int32(r.signed())
	limit := uint64(min(len(layout)*8, maxBuckets))
	var buckets uint64
	for range 2 {
		spans, _ := r.varbit()
		if spans > limit {
			return !r.bad
		}
		for ; spans > 0 && !r.bad; spans-- {
			length, _ := r.varbit()
			r.varbit() // offset
			if buckets += length & 0xffffffff; buckets > limit {
				return true
			}
		}
	}
	if histogram.IsCustomBucketsSchema(schema) {
		bounds, _ := r.varbit()
		return bounds > limit
	}
	return false
}
