package proof

import (
	"context"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slipway-dev/slipway/migration/block"
)

// CompareBlocks says whether the target's blocks cover the source's inventory: every block that one of the source's was made of is in
// one of the target's, no range that the source covers is without a block, no two overlap that do not on the source, and no block lies
// beside its parent, which the server would delete. Ranges are looked at up to the time to, in milliseconds.
func CompareBlocks(source, target []*block.Meta, to int64) []Finding {
	var all []Finding
	all = append(all, uncovered(source, target)...)
	all = append(all, blockHoles(source, target, to)...)
	all = append(all, overlaps(source, target)...)
	return append(all, families(target)...)
}

func uncovered(source, target []*block.Meta) []Finding {
	have := map[ulid.ULID]bool{}
	for _, m := range target {
		have[m.ULID] = true
		for _, id := range m.Compaction.Sources {
			have[id] = true
		}
		if m.Cut != nil {
			have[m.Cut.From] = true
			for _, id := range m.Cut.Sources {
				have[id] = true
			}
		}
	}
	var all []Finding
	for _, m := range source {
		n := 0
		for _, id := range m.Compaction.Sources {
			if !have[id] {
				n++
			}
		}
		if n > 0 && !have[m.ULID] {
			text := fmt.Sprintf("%d of the %d blocks that it was made of are in no block of the target", n, len(m.Compaction.Sources))
			all = append(all, Finding{Kind: NotCovered, What: m.ULID.String(), Time: &m.MinTime, Source: rangeOf(m), Text: text})
		}
	}
	return all
}

func rangeOf(m *block.Meta) string { return window{m.MinTime, m.MaxTime}.String() }

// blockHoles walks over the target's ranges within each of the source's.
func blockHoles(source, target []*block.Meta, to int64) []Finding {
	sorted := slices.SortedFunc(slices.Values(target), func(a, b *block.Meta) int { return int(min(max(a.MinTime-b.MinTime, -1), 1)) })
	var all []Finding
	for _, m := range source {
		at, end := m.MinTime, min(m.MaxTime, to)
		for _, t := range sorted {
			if t.MinTime > at {
				break
			}
			at = max(at, t.MaxTime)
		}
		if at < end {
			all = append(all, Finding{Kind: Hole, What: m.ULID.String(), Time: &at, Source: rangeOf(m), Text: "no block of the target begins at or before " + stamp(at) + " and goes on from there"})
		}
	}
	return all
}

func overlaps(source, target []*block.Meta) []Finding {
	known := map[[2]ulid.ULID]bool{}
	pairs(source, func(a, b *block.Meta) { known[[2]ulid.ULID{a.ULID, b.ULID}] = true })
	var all []Finding
	pairs(target, func(a, b *block.Meta) {
		if !known[[2]ulid.ULID{a.ULID, b.ULID}] {
			all = append(all, Finding{Kind: Overlap, What: a.ULID.String(), Time: &b.MinTime, Target: rangeOf(a), Text: "it overlaps " + b.ULID.String() + ", " + rangeOf(b)})
		}
	})
	return all
}

// pairs visits each two blocks that overlap, in order of their begin.
func pairs(list []*block.Meta, visit func(a, b *block.Meta)) {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b *block.Meta) int {
		if a.MinTime != b.MinTime {
			return int(min(max(a.MinTime-b.MinTime, -1), 1))
		}
		return a.ULID.Compare(b.ULID)
	})
	for i, a := range sorted {
		for _, b := range sorted[i+1:] {
			if b.MinTime >= a.MaxTime {
				break
			}
			visit(a, b)
		}
	}
}

func families(target []*block.Meta) []Finding {
	there := map[ulid.ULID]bool{}
	for _, m := range target {
		there[m.ULID] = true
	}
	var all []Finding
	for _, m := range target {
		for _, p := range m.Compaction.Parents {
			if there[p.ULID] {
				all = append(all, Finding{Kind: ParentAndChild, What: p.ULID.String(), Time: &p.MinTime, Text: "the server deletes it: it is a parent of " + m.ULID.String()})
			}
		}
	}
	return all
}

// blocks compares the inventories, if both were given.
func (r *run) blocks(ctx context.Context) error {
	if r.o.SourceBlocks == nil || r.o.TargetBlocks == nil {
		r.skip("blocks", "no inventories of both sides were given (a server does not tell its blocks)")
		return ctx.Err()
	}
	return r.check(ctx, "blocks", func(c *Check) error {
		source, target := metas(c, "source", r.o.SourceBlocks), metas(c, "target", r.o.TargetBlocks)
		for _, f := range CompareBlocks(source, target, r.report.To) {
			c.find(f)
		}
		if n := r.report.Target.Blocks; n != len(target) {
			c.find(Finding{Kind: NotCovered, What: "the target", Source: fmt.Sprintf("%d blocks in its directory", len(target)), Target: fmt.Sprintf("%d blocks loaded", n), Text: "look again when the server has loaded or deleted blocks"})
		}
		c.number("blocks of the source", float64(len(source)), "")
		c.number("blocks of the target", float64(len(target)), "")
		c.conclude(len(source), "blocks of the source")
		return nil
	})
}

// metas leaves out what is no sound block, and says so.
func metas(c *Check, side string, l *block.Listing) []*block.Meta {
	var list []*block.Meta
	for _, b := range l.Blocks {
		if b.Meta == nil || b.Verdict != block.OK {
			c.find(Finding{Kind: Broken, What: b.Name, Text: fmt.Sprintf("on the %s it is %s", side, b.Verdict)})
			continue
		}
		list = append(list, b.Meta)
	}
	return list
}
