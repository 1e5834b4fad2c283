package transfer

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/test/golden"
)

// id is a name of a block that says its number.
func id(n byte) ulid.ULID {
	var u ulid.ULID
	u[15] = n
	return u
}

// entry is a block of two hours, the nth since the beginning, with itself as its source.
func entry(n byte) block.Entry {
	at := fixtureStart + int64(n)*twoHours
	m := &block.Meta{ULID: id(n), MinTime: at, MaxTime: at + twoHours, Version: 1, Compaction: block.Compaction{Level: 1, Sources: []ulid.ULID{id(n)}}}
	return block.Entry{Name: id(n).String(), Meta: m, Bytes: 1000, Verdict: block.OK}
}

func entries(numbers ...byte) (list []block.Entry) {
	for _, n := range numbers {
		list = append(list, entry(n))
	}
	return list
}

func headAt(n int64) *Head { return &Head{MinTime: fixtureStart + n*twoHours, Bytes: 500} }

func worlds() map[string]World {
	changed := func(n byte, change func(e *block.Entry)) block.Entry {
		e := entry(n)
		change(&e)
		return e
	}
	compacted := changed(20, func(e *block.Entry) {
		e.Meta.MinTime, e.Meta.MaxTime = entry(1).Meta.MinTime, entry(2).Meta.MaxTime
		e.Meta.Compaction.Sources = []ulid.ULID{id(1), id(2)}
		e.Meta.Compaction.Parents = []block.Desc{{ULID: id(1)}, {ULID: id(2)}}
	})
	damaged := changed(3, func(e *block.Entry) {
		e.Verdict, e.Damage = block.Damaged, &block.Damage{Kind: block.MissingFile, File: "index", Offset: -1, What: "there is none"}
	})
	all := entries(1, 2, 3, 4)
	return map[string]World{
		"newest_first":             {Source: all, Head: headAt(5)},
		"empty_directory":          {Source: all},
		"nothing_left":             {Source: all, Target: all, Head: headAt(5)},
		"ends_inside_head":         {Source: all, Head: &Head{MinTime: entry(4).Meta.MaxTime - 1}},
		"ends_where_head_begins":   {Source: all, Head: &Head{MinTime: entry(4).Meta.MaxTime}},
		"head_override_is_refused": {Source: all, Head: headAt(4), Overrides: []string{RuleEndsBeforeHead}},
		"head_is_not_known":        {Source: all, TargetHasWAL: true},
		"head_is_empty":            {Source: all, Head: &Head{MinTime: 1<<63 - 1, Empty: true}, TargetHasWAL: true},
		"hole_by_damage":           {Source: append(entries(1, 2, 4), damaged), Head: headAt(5)},
		"hole_given_up":            {Source: append(entries(1, 2, 4), damaged), Head: headAt(5), Lost: []string{damaged.Name}},
		"hole_overridden":          {Source: append(entries(1, 2, 4), damaged), Head: headAt(5), Overrides: []string{RuleWithoutHoles}},
		"child_on_target":          {Source: all, Target: []block.Entry{compacted}, Head: headAt(5)},
		"parent_on_target":         {Source: append(entries(3, 4), compacted), Target: entries(1), Head: headAt(5)},
		"child_without_sources":    {Source: all, Target: []block.Entry{changed(20, func(e *block.Entry) { e.Meta.Compaction = block.Compaction{Parents: []block.Desc{{ULID: id(4)}}} })}, Head: headAt(30)},
		"overlap": {Source: all, Target: []block.Entry{changed(30, func(e *block.Entry) {
			e.Meta.MinTime, e.Meta.MaxTime = e.Meta.MinTime-27*twoHours+1, e.Meta.MaxTime-27*twoHours+1
		})}, Head: headAt(5)},
		"retention_by_time":         {Source: all, Head: headAt(5), Retention: Retention{Milliseconds: 2 * twoHours}},
		"retention_by_size":         {Source: all, Target: entries(9), Head: headAt(5), Retention: Retention{Bytes: 3600}},
		"retention_overridden":      {Source: all, Head: headAt(5), Retention: Retention{Milliseconds: 2 * twoHours}, Overrides: []string{RuleRetentionHolds}},
		"superseded_blocks_are_out": {Source: append([]block.Entry{compacted, changed(1, func(e *block.Entry) { e.Verdict = block.Superseded }), changed(2, func(e *block.Entry) { e.Verdict = block.Superseded })}, entries(3)...), Head: headAt(5)},
		"newer_not_wanted":          {Source: all, Target: entries(4), Head: headAt(5), Wanted: []string{id(2).String()}},
		"newest_wanted_alone":       {Source: all, Target: entries(4), Head: headAt(5), Wanted: []string{id(3).String()}},
		"unreadable_meta":           {Source: append(entries(1), block.Entry{Name: id(77).String(), Verdict: block.Unsupported}), Head: headAt(5)},
	}
}

func TestPlans(t *testing.T) {
	for name, world := range worlds() {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			if err := MakePlan(world).Fprint(&got); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", "plan", name+".golden"), got.String())
		})
	}
}

// FuzzPlan makes worlds of any blocks. Whatever they are: no step ends inside the head, none is related to another or to
// a block of the target, and every block that is newer than a step is a step, present, given up or no block.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{1, 0, 2, 0, 3, 1, 4, 0}, int64(5), int64(0))
	f.Add([]byte{1, 2, 2, 4, 3, 8, 4, 16, 9, 3}, int64(3), int64(3))
	f.Fuzz(func(t *testing.T, raw []byte, head, keep int64) {
		w := World{Head: headAt(head % 64), Retention: Retention{Milliseconds: max(keep%8, 0) * twoHours}}
		for i := 0; i+1 < len(raw) && i < 80; i += 2 {
			e := entry(raw[i] % 32)
			if raw[i+1]&1 != 0 {
				e.Verdict = block.Damaged
			}
			if raw[i+1]&2 != 0 {
				e.Meta.Compaction.Parents = []block.Desc{{ULID: id(raw[i+1] % 32)}}
			}
			if raw[i+1]&4 != 0 {
				w.Target = append(w.Target, e)
			} else {
				w.Source = append(w.Source, e)
			}
		}
		p := MakePlan(w)
		refused := map[string]bool{}
		for _, r := range p.Refusals {
			refused[r.Block] = true
		}
		for i, s := range p.Steps {
			if s.MaxTime > w.Head.MinTime || i > 0 && s.MaxTime > p.Steps[i-1].MaxTime {
				t.Fatalf("step %d %+v, head %d", i, s, w.Head.MinTime)
			}
			for _, e := range w.Source {
				if e.Meta.MaxTime > s.MaxTime && refused[e.Name] {
					t.Fatalf("%s is refused and older than that is %s", e.Name, s.Block)
				}
			}
		}
	})
}
