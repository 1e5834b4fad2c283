package block

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// Lacking says which samples of a series another directory lacks.
type Lacking string

// The ways to lack samples.
const (
	// Gaps is all before the first one that the other directory has of the series, all of a series that it has nothing of, and what lies in
	// its gaps, but for what is near their borders. So two servers that scrape at times of their own never leave two samples of one scrape.
	Gaps Lacking = "gaps"
	// Absent is all at times at which the other directory has none.
	Absent Lacking = "absent"
)

// Without limits a piece to what another directory lacks.
type Without struct {
	Dir string
	// Blocks are names of its blocks; those beyond the piece's range are not opened.
	Blocks  []string
	Lacking Lacking
	// From is since when the other directory's samples count for Gaps, in Unix milliseconds; 0: since the piece begins.
	From int64
	// Until is where the last gap ends when the other directory has nothing behind it, for Gaps; 0: where the piece ends. A gap over several
	// pieces would else be closed, sample by sample, at the end of each.
	Until int64
}

// holding is what the other directory has of one series within the piece's range.
type holding struct {
	times []int64 // sorted, of all samples
	// The rest is for Gaps alone: own are the times of samples that are no stale markers; left and right are the nearest samples
	// outside of what was decoded, none and never where there are none; twin is what is under the series' other name.
	own         []int64
	left, right int64
	until       int64 // where a gap ends that nothing bounds; 0: where the piece does
	twin        *outline
}

// No sample on this side.
const (
	none  = int64(math.MinInt64)
	never = int64(math.MaxInt64)
)

func (h *holding) within(from, to int64) bool {
	i, _ := slices.BinarySearch(h.times, from)
	return i < len(h.times) && h.times[i] <= to
}

func (h *holding) has(t int64) bool {
	_, found := slices.BinarySearch(h.times, t)
	return found
}

// nothing says that the other directory does not know the series.
func (h *holding) nothing() bool {
	return len(h.times) == 0 && h.left == none && h.right == never && h.twin == nil
}

// lookup asks the blocks of another directory about one series after the other. Both sides are sorted by labels, so each
// index is walked once, and one series at a time is in memory.
type lookup struct {
	lacking  Lacking
	since    int64 // what is older does not count
	from, to int64 // both included
	until    int64 // as in Without
	others   []*other
	// twins are the outlines of series that may have another name in the piece, by the hash of their labels; for Gaps.
	twins map[uint64]*outline
}

// borderAway is how far behind a piece the right border of its last gap is looked for: longer than the longest scrape interval.
const borderAway = int64(60 * 60 * 1000)

// openLookup opens the blocks that overlap the range. Nil where nothing is to be asked.
func openLookup(ctx context.Context, o *Without, meta *Meta) (*lookup, error) {
	if o == nil {
		return nil, nil
	}
	if o.Lacking != Gaps && o.Lacking != Absent {
		return nil, fmt.Errorf("leaving out what %s has: %q: use %s or %s", o.Dir, o.Lacking, Gaps, Absent)
	}
	d, err := Open(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // each block is held open by itself
	l := &lookup{lacking: o.Lacking, since: meta.MinTime, from: meta.MinTime, to: meta.MaxTime - 1, until: o.Until}
	until := l.to
	if o.Lacking == Gaps {
		until += borderAway
		if o.From > 0 {
			l.since = min(l.since, o.From)
		}
	}
	for _, name := range o.Blocks {
		one, err := openOther(ctx, d, name, l.since, until)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("reading block %s of %s: %w", name, o.Dir, err)
		}
		if one != nil {
			l.others = append(l.others, one)
		}
	}
	if l.lacking == Gaps {
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
	h := &holding{left: none, right: never}
	if l == nil {
		return h, nil
	}
	h.until = l.until
	for _, o := range l.others {
		found, err := o.seek(lset)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if err := l.take(h, o); err != nil {
			return nil, err
		}
	}
	if now, other := Respelled(lset); other && l.lacking == Gaps {
		h.twin = l.twins[now.Hash()]
	}
	h.sort()
	return h, nil
}

// sort brings the samples of several blocks in order; those that overlap hold some twice.
func (h *holding) sort() {
	slices.Sort(h.times)
	slices.Sort(h.own)
	h.own = slices.Compact(h.own)
}

// take looks at the chunks of the series that o stands at. Those that lie outside of the piece are not decoded: they are borders.
func (l *lookup) take(h *holding, o *other) error {
	for _, m := range o.metas {
		switch {
		case m.MaxTime < l.since:
			continue
		case m.MaxTime < l.from:
			h.left = max(h.left, m.MaxTime)
			continue
		case m.MinTime > l.to:
			h.right = min(h.right, m.MinTime)
			continue
		}
		ticks, err := o.segments.ticks(m.Ref)
		if err != nil {
			return fmt.Errorf("reading block %s of the other directory: %w", o.folder.name, err)
		}
		for _, s := range ticks {
			if s.t < l.since || l.lacking == Absent && s.t > l.to {
				continue
			}
			h.times = append(h.times, s.t)
			if l.lacking == Gaps && !s.stale {
				h.own = append(h.own, s.t)
			}
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
	name, key := index.AllPostingsKey()
	o.begun, o.ended = false, false
	o.all, err = o.ir.Postings(ctx, name, key)
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
		if err := o.next(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// next goes to the next series.
func (o *other) next() error {
	if !o.all.Next() {
		o.ended = true
		return o.all.Err()
	}
	if err := o.ir.Series(storage.SeriesRef(o.all.At()), &o.builder, &o.metas); err != nil {
		return err
	}
	o.begun, o.lset = true, o.builder.Labels()
	return nil
}

// tick is the time of a sample.
type tick struct {
	t     int64
	stale bool
}

// ticks are those of all samples of a chunk.
func (s *segments) ticks(ref chunks.ChunkRef) ([]tick, error) {
	c, err := s.chunk(ref)
	if err != nil {
		return nil, err
	}
	if err := CheckClaims(c.Encoding(), c.Bytes()); err != nil {
		return nil, err
	}
	var list []tick
	it := c.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		list = append(list, tick{it.AtT(), stale(kind, it)})
	}
	return list, it.Err()
}

// stale says that a sample marks the end of its series.
func stale(kind chunkenc.ValueType, it chunkenc.Iterator) bool {
	if kind == chunkenc.ValFloat {
		_, v := it.At()
		return value.IsStaleNaN(v)
	}
	_, h := it.AtFloatHistogram(nil)
	return value.IsStaleNaN(h.Sum)
}
