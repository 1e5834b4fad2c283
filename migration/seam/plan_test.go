package seam

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// id makes a ULID of a small number.
func id(n int) ulid.ULID {
	var u ulid.ULID
	u[14], u[15] = byte(n>>8), byte(n)
	return u
}

// entry is a sound block with a number, from hour to hour, made of others.
func entry(n int, from, to int64, sources ...int) block.Entry {
	m := &block.Meta{ULID: id(n), MinTime: from * hour, MaxTime: to * hour, Version: 1}
	for _, s := range sources {
		m.Compaction.Sources = append(m.Compaction.Sources, id(s))
	}
	if len(sources) == 0 {
		m.Compaction.Sources = []ulid.ULID{id(n)}
	}
	return block.Entry{Name: m.ULID.String(), Meta: m, Bytes: 100, Verdict: block.OK}
}

const hour = int64(3_600_000)

func names(n ...int) (all []string) {
	for _, i := range n {
		all = append(all, id(i).String())
	}
	return all
}

// TestMakePlan looks at one moment after the other of a move. Hours count from an even one; S' is 21:00, piece B ends 21:10.
func TestMakePlan(t *testing.T) {
	old, mid, over, next := entry(1, 0, 18), entry(2, 18, 20), entry(3, 20, 22), entry(4, 22, 24)
	all := []block.Entry{old, mid, over}
	seam, end := 21*hour, 21*hour+10*60_000
	head := func(from, to int64) *Head { return &Head{Min: from * hour, Max: to * hour, Range: 2 * hour} }
	whole := Done{Part: Part{Source: old.Name, Side: Whole, Made: []ulid.ULID{id(1)}}, Block: old.Name}
	a := Done{Part: Part{Source: over.Name, Side: Before, From: 20 * hour, To: seam, Made: []ulid.ULID{id(3)}}, Block: id(30).String()}
	b := Done{Part: Part{Source: over.Name, Side: After, From: seam, To: end, Made: []ulid.ULID{id(3)}}}
	first, cut := []Round{{From: seam, End: end}}, []Round{{From: seam, End: end, Parts: []Part{b.Part}}}
	again := append(slices.Clone(cut), Round{From: end - 600_000, End: 23 * hour})
	damaged := mid
	damaged.Verdict = block.Damaged
	tests := map[string]struct {
		w     World
		parts string
		stage []string
		ready bool
		waits []WaitKind
		check func(t *testing.T, p *Plan)
	}{
		"everything is staged before the target has a sample": {
			World{Source: all, SourceHead: head(22, 24), TargetHead: &Head{Empty: true}}, "3 whole, 2 whole, 1 whole", names(3, 2, 1), false, []WaitKind{WaitTargetSample}, nil},
		"the block over the seam is in the source's head": {
			World{Source: all[:2], Held: names(1, 2), Seam: seam, Rounds: first, SourceHead: head(20, 22), TargetHead: head(21, 22)}, "2 whole, 1 whole", nil, false,
			[]WaitKind{WaitSourceCut, WaitTargetCut}, func(t *testing.T, p *Plan) {
				if w := p.Waits[0]; w.From != 20*hour || w.To != 22*hour || w.At != 23*hour {
					t.Errorf("%+v", w)
				}
			}},
		"piece A goes in first": {
			World{Source: all, Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(21, 23)}, "3 before, 2 whole, 1 whole, 3 after", nil, true, []WaitKind{WaitTargetCut}, nil},
		"the target's head may still go lower": {
			World{Source: all, Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: &Head{Min: seam, Max: seam + hour - 1, Range: 2 * hour}},
			"3 before, 2 whole, 1 whole, 3 after", nil, false, []WaitKind{WaitSettled, WaitTargetCut}, nil},
		"the target's head went below the seam": {
			World{Source: all, Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(20, 23)}, "3 before, 2 whole, 1 whole, 3 after", nil, false, []WaitKind{WaitTargetCut}, nil},
		"piece B waits for the target's own cut": {
			World{Source: all, Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(21, 23), Done: []Done{a, whole}, Target: []block.Entry{old, mid, entry(30, 20, 21)}},
			"3 after", nil, false, []WaitKind{WaitTargetCut}, nil},
		"piece B goes in": {
			World{Source: all, Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(22, 25), TargetHead: head(22, 25), Done: []Done{a}, Target: []block.Entry{entry(40, 0, 22, 1, 2, 30, 41)}},
			"3 after", nil, true, nil, nil},
		"nothing is left": {
			World{Source: all, Seam: seam, Rounds: cut, SourceHead: head(22, 25), TargetHead: head(22, 25), Done: []Done{a, b}, Target: []block.Entry{old, mid, entry(30, 20, 21)}}, "", nil, false, nil, nil},
		"a piece that the target lost is cut again": {
			World{Source: all, Held: names(3), Seam: seam, Rounds: cut, SourceHead: head(22, 25), TargetHead: head(22, 25), Done: []Done{a, b}, Target: []block.Entry{old, mid}}, "3 before", nil, true, nil, nil},
		"the end lies in the next block of the source": {
			World{Source: all, Held: names(1, 2, 3), Seam: seam, Rounds: []Round{{From: seam, End: 22*hour + 1}}, SourceHead: head(22, 25), TargetHead: head(22, 25), Done: []Done{a}, Target: []block.Entry{old, mid, entry(30, 20, 21)}},
			"3 after", nil, false, []WaitKind{WaitSourceCut, WaitTargetCut}, nil},
		"and is staged when it is there": {
			World{Source: append(all[:3:3], next), Held: names(1, 2, 3), Seam: seam, Rounds: []Round{{From: seam, End: 22*hour + 1}}, SourceHead: head(24, 26), TargetHead: head(24, 26), Done: []Done{a}, Target: []block.Entry{old, mid, entry(30, 20, 21)}},
			"4 after, 3 after", names(4), false, nil, nil},
		"the source compacted what is staged": {
			World{Source: append(all[:3:3], entry(5, 0, 20, 1, 2)), Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(21, 23)}, "3 before, 2 whole, 1 whole, 3 after", nil, true, []WaitKind{WaitTargetCut}, nil},
		"the source compacted staged blocks with one that nobody saw": {
			World{Source: []block.Entry{old, mid, entry(5, 0, 22, 1, 2, 9)}, Held: names(1, 2), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(21, 23)}, "5 before, 5 after", names(5), false,
			[]WaitKind{WaitTargetCut}, func(t *testing.T, p *Plan) {
				if diff := cmp.Diff(names(1, 2), p.Replaced); diff != "" {
					t.Error(diff)
				}
			}},
		"late samples came into a block that is installed": {
			World{Source: []block.Entry{old, mid, over, entry(6, 0, 18, 1, 7)}, Held: names(1, 2, 3), Seam: seam, Rounds: cut, SourceHead: head(22, 25), TargetHead: head(22, 25), Done: []Done{a, b},
				Target: []block.Entry{old, mid, entry(30, 20, 21)}}, "6 late", names(6), false, nil, nil},
		"no part is added behind the seam when those are cut": {
			World{Source: append(all[:3:3], entry(5, 20, 24, 3, 9)), Held: names(1, 2, 3), Seam: seam, Rounds: cut, SourceHead: head(24, 26), TargetHead: head(22, 25), Done: []Done{a, b},
				Target: []block.Entry{old, mid, entry(30, 20, 21), entry(50, 20, 21, 9)}}, "", nil, false, nil, nil},
		"the source compacted the block over the seam with one that lies behind": {
			World{Source: append(all[:3:3], entry(5, 0, 26, 1, 2, 3, 8)), Beyond: []Later{{id(8), 24 * hour}}, Held: names(1, 2, 3), Seam: seam, Rounds: first, SourceHead: head(26, 28), TargetHead: head(22, 25)}, "3 before, 2 whole, 1 whole, 3 after", nil, true, nil, nil},
		"late samples may come": {
			World{Source: all, Seam: seam, Rounds: cut, OutOfOrder: hour, SourceHead: head(22, 25), TargetHead: head(22, 25), Done: []Done{a, b}, Target: []block.Entry{old, mid, entry(30, 20, 21)}}, "", nil, false, []WaitKind{WaitLate}, nil},
		"a further round takes the block over its beginning again": {
			World{Source: append(all[:3:3], next), Held: names(3, 4), Seam: seam, Rounds: again, SourceHead: head(24, 26), TargetHead: head(24, 26), Done: []Done{a, b}, Target: []block.Entry{old, mid, entry(30, 20, 21)}},
			"4 after, 3 after", nil, true, nil, func(t *testing.T, p *Plan) {
				if x := p.Parts[1]; x.Round != 1 || x.From != end-600_000 || x.To != 22*hour {
					t.Errorf("%+v", x)
				}
			}},
		"a further round waits for both heads": {
			World{Source: all, Held: names(3), Seam: seam, Rounds: again, SourceHead: head(22, 24), TargetHead: head(22, 24), Done: []Done{a, b}, Target: []block.Entry{old, mid, entry(30, 20, 21)}},
			"3 after", nil, false, []WaitKind{WaitSourceCut, WaitTargetCut}, nil},
		"a further round takes what the source compacted meanwhile, and nothing of it before the seam": {
			World{Source: []block.Entry{old, mid, over, entry(5, 18, 24, 2, 3, 4)}, Beyond: []Later{{id(4), 22 * hour}}, Seam: seam, Rounds: again, SourceHead: head(24, 26), TargetHead: head(24, 26), Done: []Done{a, b},
				Target: []block.Entry{old, mid, entry(30, 20, 21)}}, "5 after", names(5), false, nil, nil},
		"a damaged block stops": {
			World{Source: []block.Entry{old, damaged, over}, Held: names(1, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(21, 23)}, "3 before, 2 whole, 1 whole, 3 after", names(2), false, []WaitKind{WaitTargetCut},
			func(t *testing.T, p *Plan) {
				if diff := cmp.Diff(names(2), p.Damaged); diff != "" {
					t.Error(diff)
				}
			}},
		"a damaged block that is given up leaves a hole": {
			World{Source: []block.Entry{old, damaged, over}, Lost: names(2), Held: names(1, 3), Seam: seam, Rounds: first, SourceHead: head(22, 23), TargetHead: head(21, 23)}, "3 before, 1 whole, 3 after", nil, true, []WaitKind{WaitTargetCut}, nil},
		"no server writes the source": {
			World{Source: all, Held: names(1, 2, 3), Seam: 23 * hour, Rounds: []Round{{From: 23 * hour, End: 24 * hour}}, TargetHead: &Head{Min: 23 * hour, Max: 26 * hour, Range: 2 * hour}}, "3 whole, 2 whole, 1 whole", nil, true, nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := MakePlan(test.w)
			text := ""
			for i, x := range p.Parts {
				u := ulid.MustParse(x.Source)
				text += fmt.Sprintf("%s%d %s", map[bool]string{true: ", "}[i > 0], u[15], x.Side)
			}
			var waits []WaitKind
			for _, w := range p.Waits {
				waits = append(waits, w.Kind)
			}
			if text != test.parts || p.Ready != test.ready {
				t.Errorf("parts %q, ready %v", text, p.Ready)
			}
			if diff := cmp.Diff(test.waits, waits) + cmp.Diff(test.stage, p.Stage, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if test.check != nil {
				test.check(t, p)
			}
		})
	}
}

// TestEverySampleOnceWhateverComes is a fuzz seed run in bulk.
func TestEverySampleOnceWhateverComes(t *testing.T) {
	for seed := range uint64(400) {
		newWorld(rand.New(rand.NewPCG(seed, 7))).move(t, fmt.Sprintf("seed %d", seed))
	}
}

// FuzzPlan moves a source whose doings are drawn from the input.
func FuzzPlan(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed*seed)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		newWorld(rand.New(rand.NewPCG(a, b))).move(t, fmt.Sprintf("seed %d %d", a, b))
	})
}

func sortedKeys(m map[int64]int) (keys []int64) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
