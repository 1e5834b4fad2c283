package proof

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/slipway-dev/slipway/migration/block"
)

// id is the n-th ULID of a test.
func id(n byte) ulid.ULID { return ulid.ULID{15: n} }

// meta is a block with the ULID n over [from, to), made of sources.
func meta(n byte, from, to int64, sources ...byte) *block.Meta {
	m := &block.Meta{ULID: id(n), MinTime: from, MaxTime: to, Version: 1}
	for _, s := range sources {
		m.Compaction.Sources = append(m.Compaction.Sources, id(s))
	}
	return m
}

func TestCompareBlocks(t *testing.T) {
	source := []*block.Meta{meta(1, 0, 10, 1), meta(2, 10, 20, 2), meta(3, 20, 30, 3)}
	child := meta(9, 0, 20, 1, 2)
	child.Compaction.Parents = []block.Desc{{ULID: id(2)}}
	cut := meta(8, 20, 25, 8)
	cut.Cut = &block.CutFrom{From: id(3), At: 25, Sources: []ulid.ULID{id(3)}}
	tests := map[string]struct {
		source, target []*block.Meta
		to             int64
		want           []Kind
	}{
		"the same blocks":                         {source, source, 30, nil},
		"compacted meanwhile":                     {source, []*block.Meta{meta(9, 0, 30, 1, 2, 3)}, 30, nil},
		"more on the target":                      {source, append([]*block.Meta{meta(7, 30, 40, 7)}, source...), 30, nil},
		"cut at the seam":                         {source, []*block.Meta{source[0], source[1], cut}, 25, nil},
		"a block is missing in the middle":        {source, []*block.Meta{source[0], source[2]}, 30, []Kind{NotCovered, Hole}},
		"a block is missing at the end":           {source, source[:2], 30, []Kind{NotCovered, Hole}},
		"the range is there, the sources are not": {source, []*block.Meta{meta(9, 0, 30, 1, 3)}, 30, []Kind{NotCovered}},
		"the sources are there, the range is not": {source, []*block.Meta{meta(9, 0, 28, 1, 2, 3)}, 30, []Kind{Hole}},
		"an overlap":                              {source, append([]*block.Meta{meta(7, 5, 8, 7)}, source...), 30, []Kind{Overlap}},
		"an overlap that the source has":          {append([]*block.Meta{meta(7, 5, 8, 7)}, source...), append([]*block.Meta{meta(7, 5, 8, 7)}, source...), 30, nil},
		"a parent beside its child":               {source, []*block.Meta{child, source[1], source[2]}, 30, []Kind{Overlap, ParentAndChild}},
		"nothing at all":                          {source[:1], nil, 30, []Kind{NotCovered, Hole}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []Kind
			for _, f := range CompareBlocks(test.source, test.target, test.to) {
				got = append(got, f.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRunComparesInventories(t *testing.T) {
	list := func(blocks ...*block.Meta) *block.Listing {
		l := &block.Listing{}
		for _, m := range blocks {
			l.Blocks = append(l.Blocks, block.Entry{Name: m.ULID.String(), Meta: m, Verdict: block.OK})
		}
		return l
	}
	source, target := newFront(t, history()), newFront(t, handedOver())
	r := prove(t, source, target, func(o *Options) {
		o.SourceBlocks, o.TargetBlocks = list(meta(1, 0, 10, 1)), list()
	})
	if got := verdicts(r)["blocks"]; got != "different not-covered hole" {
		t.Errorf("%q", got)
	}
	r = prove(t, source, target, func(o *Options) { o.SourceBlocks, o.TargetBlocks = list(), list() })
	if got := verdicts(r)["blocks"]; got != "unknown" {
		t.Errorf("no blocks to compare: %q", got)
	}
	r = prove(t, source, target, func(o *Options) {
		o.SourceBlocks, o.TargetBlocks = list(meta(1, 0, 10, 1)), list(meta(1, 0, 10, 1))
	})
	if got := verdicts(r)["blocks"]; got != "different not-covered" { // its server has not loaded it
		t.Errorf("a block that is not loaded: %q", got)
	}
}
