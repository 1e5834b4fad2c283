package block

import (
	"cmp"
	"math"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/tombstones"
)

// Gap is a range of time in which a piece has samples that the other directory lacked, between samples that it has. Times are Unix
// milliseconds.
type Gap struct {
	From    int64  `json:"from"`
	To      int64  `json:"to"`
	Samples uint64 `json:"samples"`
}

// GapList is a list of gaps in their order; none of them overlap.
type GapList []Gap

// maxGaps bounds a list: beyond it, those that are nearest to each other are told as one.
const maxGaps = 64

// Add adds a gap. Gaps of many series that overlap are one outage.
func (l *GapList) Add(g Gap) {
	at, _ := slices.BinarySearchFunc(*l, g.From, func(x Gap, t int64) int { return cmp.Compare(x.To, t) })
	end := at
	for ; end < len(*l) && (*l)[end].From <= g.To; end++ {
		x := (*l)[end]
		g = Gap{min(g.From, x.From), max(g.To, x.To), g.Samples + x.Samples}
	}
	*l = slices.Replace(*l, at, end, g)
	if len(*l) <= maxGaps {
		return
	}
	near, least := 0, int64(math.MaxInt64)
	for i := range len(*l) - 1 {
		if d := (*l)[i+1].From - (*l)[i].To; d < least {
			near, least = i, d
		}
	}
	a, b := (*l)[near], (*l)[near+1]
	*l = slices.Replace(*l, near, near+2, Gap{a.From, b.To, a.Samples + b.Samples})
}

// between is the range between two samples of a series that follow each other; none and never where there is no sample.
type between struct{ a, b int64 }

// outline is what is known of a series without the times of all its samples: where it has gaps.
type outline struct {
	left, right int64 // as in a holding
	first, last int64 // of its own; never and none without any
	gaps        []between
	interval    int64
}

func newOutline(h *holding) *outline {
	o := &outline{left: h.left, right: h.right, first: never, last: none, interval: median(h.own)}
	if len(h.own) > 0 {
		o.first, o.last = h.own[0], h.own[len(h.own)-1]
	}
	for i := 1; i < len(h.own); i++ {
		if (h.own[i]-h.own[i-1])*2 > o.interval*3 {
			o.gaps = append(o.gaps, between{h.own[i-1], h.own[i]})
		}
	}
	return o
}

// median is the median distance of times, 0 for fewer than three.
func median(times []int64) int64 {
	if len(times) < 3 {
		return 0
	}
	distances := make([]int64, 0, len(times)-1)
	for i := 1; i < len(times); i++ {
		distances = append(distances, times[i]-times[i-1])
	}
	slices.Sort(distances)
	return distances[len(distances)/2]
}

// gaps are all ranges between samples that the other directory has of a series, under both its names. What it has at the beginning
// and the source has at the same time counts for nothing: that was brought earlier, or is of a rule.
func (h *holding) gaps(source []tick) (list []between) {
	left, right := h.left, h.right
	frame := []between{}
	first := never
	if t := h.twin; t != nil {
		left, right, first = max(left, t.left), min(right, t.right), t.first
	}
	own := h.own
	for left == none && len(own) > 0 && own[0] < first && holds(source, own[0]) {
		own = own[1:]
	}
	if t := h.twin; t != nil && t.first != never {
		frame = append(append(append(frame, between{left, t.first}), t.gaps...), between{t.last, right})
	} else {
		frame = append(frame, between{left, right})
	}
	for _, f := range frame {
		a := f.a
		i, _ := slices.BinarySearch(own, a)
		for ; i < len(own) && own[i] < f.b; i++ {
			if own[i] > a {
				list = append(list, between{a, own[i]})
				a = own[i]
			}
		}
		list = append(list, between{a, f.b})
	}
	return list
}

func holds(source []tick, t int64) bool {
	_, found := slices.BinarySearchFunc(source, t, func(s tick, t int64) int { return cmp.Compare(s.t, t) })
	return found
}

// interval is that of the source's samples, else that of the other directory's.
func (h *holding) interval(source []tick) int64 {
	var times []int64
	for _, s := range source {
		if !s.stale {
			times = append(times, s.t)
		}
	}
	twin := int64(0)
	if h.twin != nil {
		twin = h.twin.interval
	}
	return cmp.Or(median(times), median(h.own), twin)
}

// lacked are the times from one to another, both included, of the source's samples that the other directory lacks, and the gaps that they
// lie in. A gap is longer than 1.9 intervals: that is a scrape that was missed. What is nearer to its borders than 0.65 is the
// scrape of the border (the proof, whose interval may differ a little, calls 0.6 a scrape stored twice). Stale markers of the source
// are taken wherever they lie in a gap. The last gap may go on behind the piece: it ends where the caller says, or with the piece.
func (h *holding) lacked(source []tick, from, to int64) (times []int64, filled []Gap) {
	interval := h.interval(source)
	i, _ := slices.BinarySearchFunc(source, from, func(s tick, t int64) int { return cmp.Compare(s.t, t) })
	for _, g := range h.gaps(source) {
		if g.b == never && g.a != none {
			g.b = max(h.until, to+1)
		}
		if !g.missed(interval) {
			continue
		}
		n := uint64(0)
		for ; i < len(source) && source[i].t < g.b && source[i].t <= to; i++ {
			if s := source[i]; g.wants(s, interval) && !h.has(s.t) {
				times = append(times, s.t)
				if !s.stale {
					n++
				}
			}
		}
		if n > 0 && g.a != none {
			filled = append(filled, Gap{g.a, g.b, n})
		}
	}
	return times, filled
}

// missed says that a scrape was missed between two samples. Before the first one all were.
func (g between) missed(interval int64) bool {
	return g.a == none || interval > 0 && (g.b-g.a)*10 > interval*19
}

// wants says that a sample lies between, and is not the scrape of a border. What is before the first one is wanted whatever the distance.
func (g between) wants(s tick, interval int64) bool {
	if s.t <= g.a || s.t >= g.b {
		return false
	}
	return g.a == none || s.stale || (s.t-g.a)*20 > interval*13 && (g.b-s.t)*20 > interval*13
}

// lacked takes what lies in gaps of the other directory.
func (c *cutter) lacked(metas []chunks.Meta, deleted tombstones.Intervals, there *holding) ([]chunks.Meta, error) {
	var source []tick
	for _, m := range metas {
		ticks, err := c.segments.ticks(m.Ref)
		if err != nil {
			return nil, err
		}
		source = append(source, slices.DeleteFunc(ticks, func(s tick) bool { return overlaps(chunks.Meta{MinTime: s.t, MaxTime: s.t}, deleted) })...)
	}
	times, filled := there.lacked(source, c.meta.MinTime, c.meta.MaxTime-1)
	for _, g := range filled {
		c.filled.Add(g)
	}
	var kept []chunks.Meta
	for _, m := range metas {
		i, _ := slices.BinarySearch(times, m.MinTime)
		if i == len(times) || times[i] > m.MaxTime {
			continue
		}
		parts, err := c.chunk(m, false, func(t int64) bool {
			_, found := slices.BinarySearch(times, t)
			return found
		})
		if err != nil {
			return nil, err
		}
		kept = append(kept, parts...)
	}
	return kept, nil
}
