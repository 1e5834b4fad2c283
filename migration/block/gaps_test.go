package block

import (
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestGapListMergesWhatOverlaps(t *testing.T) {
	tests := map[string]struct {
		add  []Gap
		want GapList
	}{
		"apart":                {[]Gap{{50, 60, 1}, {10, 20, 2}}, GapList{{10, 20, 2}, {50, 60, 1}}},
		"overlapping":          {[]Gap{{10, 20, 1}, {15, 30, 1}, {40, 50, 1}, {29, 41, 4}}, GapList{{10, 50, 7}}},
		"one within the other": {[]Gap{{10, 20, 1}, {12, 15, 1}}, GapList{{10, 20, 2}}},
		"touching":             {[]Gap{{10, 20, 1}, {20, 25, 1}}, GapList{{10, 25, 2}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var l GapList
			for _, g := range test.add {
				l.Add(g)
			}
			if diff := gocmp.Diff(test.want, l); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGapListStaysShort(t *testing.T) {
	var l GapList
	for i := range int64(1000) {
		l.Add(Gap{i * 100, i*100 + 10 + i%7, 1})
	}
	n := uint64(0)
	for _, g := range l {
		n += g.Samples
	}
	if len(l) != maxGaps || n != 1000 || l[0].From != 0 || l[len(l)-1].To < 99_910 {
		t.Errorf("%d gaps, %d samples: %v", len(l), n, l)
	}
}

// line is a series of one server: a scrape in each interval with some jitter, outages, stale markers behind some of its ends.
func line(r *rand.Rand, offset, interval, n int64, odd bool) (list []tick) {
	for i := range n {
		t := (i+1)*interval + offset
		if interval > 20 {
			t += r.Int64N(interval/10) - interval/20
		}
		if odd {
			t |= 1 // never at the times of the other server
		} else {
			t &^= 1
		}
		list = append(list, tick{t, false})
	}
	for range r.IntN(4) {
		from := r.IntN(len(list))
		to := min(len(list), from+1+r.IntN(12))
		if r.IntN(2) == 0 && from > 0 && to < len(list) {
			list[from].stale = true
			from++
		}
		list = slices.Delete(list, from, max(from, to))
		if len(list) == 0 {
			return nil
		}
	}
	return list
}

// whole is what a directory holds of a series.
func whole(list []tick) *holding {
	h := &holding{left: none, right: never}
	for _, s := range list {
		h.times = append(h.times, s.t)
		if !s.stale {
			h.own = append(h.own, s.t)
		}
	}
	h.sort()
	return h
}

// FuzzLacked holds what is taken against an oracle that looks at one sample after the other, under one name and under two. What is taken
// leaves nothing to take.
func FuzzLacked(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, int64(100), int64(seed*13%100), int64(60), seed%3 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, interval, offset, n int64, rules bool) {
		if interval < 4 || interval > 1<<40 || offset < 0 || offset > interval || n < 1 || n > 300 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		source := line(r, 0, interval, n, false)
		there := line(r, offset, interval, n, !rules)
		until := r.Int64N(interval*(n+1)) + 2
		h := whole(there)
		got, filled := h.lacked(source, 0, until-1)
		if diff := gocmp.Diff(wantedTimes(source, there, 0, until), got); diff != "" {
			t.Fatalf("(-want +got):\n%s\nsource %v\nthere %v until %d", diff, source, there, until)
		}
		for _, g := range filled {
			if g.From >= g.To || g.Samples == 0 {
				t.Fatalf("filled %+v", g)
			}
		}
		if !rules && len(there) > 0 {
			both := &holding{left: none, right: never, twin: newOutline(h)}
			renamed, _ := both.lacked(source, 0, until-1)
			wanted := slices.DeleteFunc(slices.Clone(got), func(at int64) bool {
				return slices.ContainsFunc(there, func(s tick) bool { return s.stale && s.t == at })
			})
			if diff := gocmp.Diff(wanted, renamed); diff != "" {
				t.Fatalf("under another name (-want +got):\n%s\nsource %v\nthere %v", diff, source, there)
			}
			both.brought(source, renamed)
			if again, _ := both.lacked(source, 0, until-1); len(again) > 0 {
				t.Fatalf("taken again under another name: %v", again)
			}
		}
		h.brought(source, got)
		if again, _ := h.lacked(source, 0, until-1); len(again) > 0 {
			t.Fatalf("taken again: %v of %v", again, got)
		}
	})
}

// brought puts samples of the source into what the directory holds.
func (h *holding) brought(source []tick, times []int64) {
	for _, s := range source {
		if _, found := slices.BinarySearch(times, s.t); !found {
			continue
		}
		h.times = append(h.times, s.t)
		if !s.stale {
			h.own = append(h.own, s.t)
		}
	}
	h.sort()
}
