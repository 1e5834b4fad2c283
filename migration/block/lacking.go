package block

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// Lacking says which samples of a series another directory lacks.
type Lacking string

// The ways to lack samples.
const (
	// BeforeFirst is all before the first one that the other directory has within the piece's range, and all of a series
	// that it has nothing of there. So two servers that scrape at times of their own never leave two samples of one scrape.
	BeforeFirst Lacking = "before-first"
	// Absent is all at times at which the other directory has none.
	Absent Lacking = "absent"
)

// Without limits a piece to what another directory lacks.
type Without struct {
	Dir string
	// Blocks are names of its blocks; those beyond the piece's range are not opened.
	Blocks  []string
	Lacking Lacking
	// From is since when the other directory's samples count, in Unix milliseconds; 0: since the piece begins.
	From int64
}

// holding is what the other directory has of one series within the piece's range.
type holding struct {
	first int64   // MaxInt64: nothing
	times []int64 // sorted; for Absent alone
}

func (h *holding) within(from, to int64) bool {
	i, _ := slices.BinarySearch(h.times, from)
	return i < len(h.times) && h.times[i] <= to
}

func (h *holding) has(t int64) bool {
	_, found := slices.BinarySearch(h.times, t)
	return found
}

// lookup asks the blocks of another directory about one series after the other. Both sides are sorted by labels, so each
// index is walked once, and one series at a time is in memory.
type lookup struct {
	lacking  Lacking
	from, to int64 // both included
	others   []*other
	// twins are the first samples of series that may have another name in the piece, by the hash of their labels; for BeforeFirst.
	twins map[uint64]int64
}

// openLookup opens the blocks that overlap the range. Nil where nothing is to be asked.
func openLookup(ctx context.Context, o *Without, meta *Meta) (*lookup, error) {
	if o == nil {
		return nil, nil
	}
	if o.Lacking != BeforeFirst && o.Lacking != Absent {
		return nil, fmt.Errorf("leaving out what %s has: %q: use %s or %s", o.Dir, o.Lacking, BeforeFirst, Absent)
	}
	d, err := Open(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // each block is held open by itself
	l := &lookup{lacking: o.Lacking, from: meta.MinTime, to: meta.MaxTime - 1}
	if o.From > 0 {
		l.from = min(l.from, o.From)
	}
	for _, name := range o.Blocks {
		one, err := openOther(ctx, d, name, l.from, l.to)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("reading block %s of %s: %w", name, o.Dir, err)
		}
		if one != nil {
			l.others = append(l.others, one)
		}
	}
	if l.lacking == BeforeFirst {
		if err := l.respelled(ctx); err != nil {
			l.close()
			return nil, fmt.Errorf("reading the series of %s: %w", o.Dir, err)
		}
	}
	return l, nil
}

func (l *lookup) close() {
	if l == nil {
		return
	}
	for _, o := range l.others {
		o.close()
	}
}

// of says what the other directory has of a series. Series are asked for in the order of an index.
func (l *lookup) of(lset labels.Labels) (*holding, error) {
	h := &holding{first: math.MaxInt64}
	if l == nil {
		return h, nil
	}
	for _, o := range l.others {
		found, err := o.seek(lset)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if err := l.take(h, o); err != nil {
			return nil, fmt.Errorf("reading block %s of the other directory: %w", o.folder.name, err)
		}
	}
	if now, other := Respelled(lset); other && l.lacking == BeforeFirst {
		if first, known := l.twins[now.Hash()]; known {
			h.first = min(h.first, first)
		}
	}
	if l.lacking == Absent { // then the first one is no bound
		h.first = math.MaxInt64
	}
	slices.Sort(h.times)
	return h, nil
}

// take looks at the chunks of the series that o stands at.
func (l *lookup) take(h *holding, o *other) error {
	for _, m := range o.metas {
		if !m.OverlapsClosedInterval(l.from, l.to) {
			continue
		}
		if l.lacking == BeforeFirst && (m.MinTime >= l.from || m.MinTime >= h.first) {
			h.first = min(h.first, m.MinTime)
			continue
		}
		times, err := o.times(m.Ref)
		if err != nil {
			return err
		}
		for _, t := range times {
			if t < l.from || t > l.to {
				continue
			}
			h.first = min(h.first, t)
			if l.lacking == BeforeFirst {
				break
			}
			h.times = append(h.times, t)
		}
	}
	return nil
}

// other is a block of the other directory, and the series in it that was looked at last.
type other struct {
	folder   *folder
	unmap    func()
	ir       *index.Reader
	all      index.Postings
	segments segments
	builder  labels.ScratchBuilder
	lset     labels.Labels
	metas    []chunks.Meta
	begun    bool
	ended    bool
}

// openOther is nil for a block outside the range.
func openOther(ctx context.Context, d *Dir, name string, from, to int64) (*other, error) {
	b, err := d.openBlock(name)
	if err != nil {
		return nil, err
	}
	meta, err := readMeta(b.root)
	if err == nil {
		err = b.complete(meta)
	}
	if err != nil || meta.MinTime > to || meta.MaxTime <= from {
		b.close()
		return nil, err
	}
	o := &other{folder: b, unmap: func() {}, segments: segments{folder: b, pace: pacer(ctx, nil, func(int) {}), bad: map[int]bool{}}}
	if err := o.mapIndex(ctx); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *other) mapIndex(ctx context.Context) error {
	mapped, unmap, err := mapFile(o.folder.root, indexFile)
	if err != nil {
		return err
	}
	o.unmap = unmap
	if o.ir, err = index.NewReader(bytesOf(mapped), index.DecodePostingsRaw); err != nil {
		return err
	}
	return o.rewind(ctx)
}

// rewind begins the walk over the series anew.
func (o *other) rewind(ctx context.Context) (err error) {
	name, value := index.AllPostingsKey()
	o.all, err = o.ir.Postings(ctx, name, value)
	return err
}

func (o *other) close() {
	o.segments.close()
	o.unmap()
	o.folder.close()
}

// seek goes forward to a series; false: the block does not have it.
func (o *other) seek(want labels.Labels) (bool, error) {
	for !o.ended {
		order := -1
		if o.begun {
			order = labels.Compare(o.lset, want)
		}
		if order >= 0 {
			return order == 0, nil
		}
		if !o.all.Next() {
			o.ended = true
			return false, o.all.Err()
		}
		if err := o.ir.Series(storage.SeriesRef(o.all.At()), &o.builder, &o.metas); err != nil {
			return false, err
		}
		o.begun, o.lset = true, o.builder.Labels()
	}
	return false, nil
}

// times are those of all samples of a chunk.
func (o *other) times(ref chunks.ChunkRef) ([]int64, error) {
	c, err := o.segments.chunk(ref)
	if err != nil {
		return nil, err
	}
	if err := CheckClaims(c.Encoding(), c.Bytes()); err != nil {
		return nil, err
	}
	var times []int64
	it := c.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		times = append(times, it.AtT())
	}
	return times, it.Err()
}
