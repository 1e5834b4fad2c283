package replica

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

const hour = int64(3_600_000)

// entry is a sound block of a replica (a or b) with a number, from hour to hour, with samples.
func entry(name string, from, to int64, samples uint64) block.Entry {
	var u ulid.ULID
	copy(u[16-len(name):], name)
	m := &block.Meta{ULID: u, MinTime: from * hour, MaxTime: to * hour, Stats: block.Stats{NumSamples: samples}, Version: 1}
	m.Compaction.Sources = []ulid.ULID{u}
	return block.Entry{Name: name, Meta: m, Bytes: 100, Verdict: block.OK}
}

func bad(e block.Entry) block.Entry {
	e.Verdict = block.Damaged
	return e
}

// shape is what cells are, in short: range, replica, blocks.
func shape(cells []Cell) string {
	var all []string
	for _, c := range cells {
		text := fmt.Sprintf("%d-%d", c.From/hour, c.To/hour)
		for _, p := range c.Pieces {
			text += " " + p.Name
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestChoose(t *testing.T) {
	type list = []block.Entry
	both := func(a, b list) [2][]block.Entry { return [2][]block.Entry{a, b} }
	tests := map[string]struct {
		w     World
		cells string
		why   string // of the last cell
		until int64
		open  string
	}{
		"the first one is taken where both have all": {
			w:     World{Blocks: both(list{entry("a1", 0, 2, 480), entry("a2", 2, 4, 480)}, list{entry("b1", 0, 2, 481), entry("b2", 2, 4, 480)}), Until: 4 * hour},
			cells: "0-2 a1, 2-4 a2", why: "both have it", until: 4},
		"a hole is filled by the other one, which is kept until it lacks something itself": {
			w: World{Blocks: both(list{entry("a1", 0, 2, 480), entry("a2", 2, 4, 200), entry("a3", 4, 6, 480), entry("a4", 6, 8, 480)},
				list{entry("b1", 0, 2, 480), entry("b2", 2, 4, 480), entry("b3", 4, 6, 480), entry("b4", 6, 8, 300)}), Until: 8 * hour},
			cells: "0-2 a1, 2-4 b2, 4-6 b3, 6-8 a4", why: "B has 300 of 480 samples there, which is as if it missed 45m0s", until: 8},
		"blocks of other lengths are one range": {
			w: World{Blocks: both(list{entry("a1", 0, 6, 1440)}, list{entry("b1", 0, 2, 480), entry("b2", 4, 6, 480)}), Until: 6 * hour}, cells: "0-6 a1", why: "B has 960 of 1440 samples there", until: 6},
		"what one lacks as a whole is the other's": {
			w: World{Blocks: both(nil, list{entry("b1", 0, 2, 480)}), Until: 2 * hour}, cells: "0-2 b1", why: "A has nothing there", until: 2},
		"what may still be in a head waits, with all behind it": {
			w:     World{Blocks: both(list{entry("a1", 0, 2, 480), entry("a2", 2, 4, 480), entry("a3", 4, 6, 480)}, list{entry("b1", 0, 2, 480)}), Until: 3 * hour},
			cells: "0-2 a1", why: "both have it", until: 2},
		"what was chosen stays chosen, whatever is seen later": {
			w: World{Blocks: both(list{entry("a9", 0, 6, 1440), entry("a4", 6, 8, 480)}, list{entry("b9", 0, 6, 1440)}), Until: 8 * hour,
				Cells: []Cell{{From: 0, To: 6 * hour, Member: 1, Pieces: []Piece{{Entry: entry("b1", 0, 6, 10)}}}}},
			cells: "0-6 b1, 6-8 a4", why: "B has nothing there", until: 8},
		"a block that reaches back into its own replica's is taken": {
			w:     World{Blocks: both(list{entry("a9", 0, 6, 1440)}, nil), Until: 6 * hour, Cells: []Cell{{From: 0, To: 2 * hour, Pieces: []Piece{{Entry: entry("a1", 0, 2, 480)}}}}},
			cells: "0-2 a1, 2-6 a9", why: "B has nothing there", until: 6},
		"one that reaches back into the other's is not, where the other one has the range apart": {
			w:     World{Blocks: both(list{entry("a9", 0, 6, 1440)}, list{entry("b2", 2, 6, 900)}), Until: 6 * hour, Cells: []Cell{{From: 0, To: 2 * hour, Member: 1, Pieces: []Piece{{Entry: entry("b1", 0, 2, 480)}}}}},
			cells: "0-2 b1, 2-6 b2", why: "A has nothing there", until: 6},
		"a damaged block is replaced by a whole range": {
			w: World{Blocks: both(list{bad(entry("a1", 0, 2, 480))}, list{entry("b1", 0, 2, 479)}), Until: 2 * hour}, cells: "0-2 b1", why: "block a1 of A is damaged", until: 2},
		"and not by a part of it": {
			w: World{Blocks: both(list{bad(entry("a1", 0, 2, 480))}, list{entry("b1", 0, 2, 300)}), Until: 2 * hour}, until: 2, open: "a1"},
		"unless it is given up": {
			w: World{Blocks: both(list{bad(entry("a1", 0, 2, 480))}, list{entry("b1", 0, 2, 300)}), Until: 2 * hour, Lost: []string{"a1"}}, cells: "0-2 b1", why: "A has nothing there", until: 2},
		"a block of an unknown range is offered, so that somebody says something": {
			w: World{Blocks: both(list{{Name: "a1", Verdict: block.Damaged}}, list{entry("b1", 0, 2, 300)}), Until: 2 * hour}, cells: "0-2 b1", why: "A has nothing there", until: 2, open: "a1"},
		"behind the seam nothing changes": {
			w:     World{Blocks: both(list{entry("a2", 2, 4, 100)}, list{entry("b2", 2, 4, 480)}), Until: 4 * hour, Seam: 2 * hour, Cells: []Cell{{From: 0, To: 2 * hour, Pieces: []Piece{{Entry: entry("a1", 0, 2, 480)}}}}},
			cells: "0-2 a1, 2-4 a2", why: "it lies behind the seam, which is of one replica", until: 4},
		"behind the end nothing is chosen": {
			w:     World{Blocks: both(list{entry("a2", 2, 4, 100)}, nil), Until: 4 * hour, Seam: hour, End: 2 * hour, Cells: []Cell{{From: 0, To: 2 * hour, Pieces: []Piece{{Entry: entry("a1", 0, 2, 480)}}}}},
			cells: "0-2 a1", until: 4},
		"nothing is chosen while nobody knows the heads": {
			w: World{Blocks: both(list{entry("a1", 0, 2, 480)}, nil), Until: math.MinInt64}, until: math.MinInt64 / hour},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.w.Names = [2]string{"A", "B"}
			c, err := Choose(test.w)
			if err != nil {
				t.Fatal(err)
			}
			why, open := "", ""
			if n := len(c.Cells); n > 0 {
				why = c.Cells[n-1].Why
			}
			for _, e := range c.Open {
				open += e.Name
			}
			got := []any{shape(c.Cells), why, c.Until / hour, open}
			if d := cmp.Diff([]any{test.cells, test.why, test.until, test.open}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChooseStopsWhereNobodyHasARangeApart(t *testing.T) {
	cells := []Cell{{From: 0, To: 2 * hour, Member: 0, Pieces: []Piece{{Entry: entry("a1", 0, 2, 480)}}}, {From: 2 * hour, To: 4 * hour, Member: 1, Pieces: []Piece{{Entry: entry("b2", 2, 4, 480)}}}}
	_, err := Choose(World{Blocks: [2][]block.Entry{{entry("a9", 0, 6, 1440)}, {entry("b9", 0, 6, 1440)}}, Until: 6 * hour, Cells: cells})
	var back *ReachesBackError
	if !errors.As(err, &back) || back.From != 4*hour || back.To != 6*hour {
		t.Error(err)
	}
}

func TestSubstitute(t *testing.T) {
	piece := func(name string, from, to int64, held bool) Piece {
		return Piece{Entry: entry(name, from, to, 480), Held: held}
	}
	cell := Cell{From: 0, To: 6 * hour, Pieces: []Piece{piece("a1", 0, 2, true), piece("a2", 2, 4, false), piece("a3", 4, 6, false)}}
	fresh := Cell{From: 0, To: 6 * hour, Pieces: []Piece{piece("a1", 0, 2, false), piece("a2", 2, 4, false), piece("a3", 4, 6, false)}}
	tests := map[string]struct {
		cell          Cell
		b             []block.Entry
		damaged, lost []string
		cells         string
		dropped       int
		stuck         string
	}{
		"a block of the same range stands in": {cell: cell, b: []block.Entry{entry("b1", 0, 2, 480), entry("b2", 2, 4, 478)}, damaged: []string{"a2"}, cells: "0-2 a1, 2-4 b2, 4-6 a3", dropped: 1},
		"several smaller ones do":             {cell: cell, b: []block.Entry{entry("b2", 2, 3, 240), entry("b3", 3, 4, 240)}, damaged: []string{"a2"}, cells: "0-2 a1, 2-4 b2 b3, 4-6 a3", dropped: 1},
		"one with fewer samples does not": {cell: cell, b: []block.Entry{entry("b2", 2, 4, 400)}, damaged: []string{"a2"}, cells: "0-2 a1, 2-4 a2, 4-6 a3",
			stuck: "[1970-01-01T02:00:00Z, 1970-01-01T04:00:00Z): B has 400 of 480 samples there, which is as if it missed 20m0s"},
		"but does for what is given up": {cell: cell, b: []block.Entry{entry("b2", 2, 4, 400)}, lost: []string{"a2"}, cells: "0-2 a1, 2-4 b2, 4-6 a3", dropped: 1},
		"what is given up needs nobody": {cell: cell, lost: []string{"a2"}, cells: "0-2 a1, 4-6 a3", dropped: 1},
		"one that goes beyond does not": {cell: cell, b: []block.Entry{entry("b9", 0, 6, 1440)}, damaged: []string{"a2"}, cells: "0-2 a1, 2-4 a2, 4-6 a3",
			stuck: "[1970-01-01T02:00:00Z, 1970-01-01T04:00:00Z): block b9 of B goes beyond it"},
		"it takes the whole range where nothing travelled": {cell: fresh, b: []block.Entry{entry("b9", 0, 6, 1440)}, damaged: []string{"a2"}, cells: "0-6 b9", dropped: 3},
		"a damaged one does not stand in": {cell: cell, b: []block.Entry{bad(entry("b2", 2, 4, 480))}, damaged: []string{"a2"}, cells: "0-2 a1, 2-4 a2, 4-6 a3",
			stuck: "[1970-01-01T02:00:00Z, 1970-01-01T04:00:00Z): block b2 of B is damaged, too"},
		"what is on the target's disk stays": {cell: cell, b: []block.Entry{entry("b1", 0, 2, 480)}, damaged: []string{"a1"}, cells: "0-6 a1 a2 a3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := World{Names: [2]string{"A", "B"}, Blocks: [2][]block.Entry{nil, test.b}, Cells: []Cell{test.cell}, Damaged: test.damaged, Lost: test.lost}
			cells, dropped, stuck := Substitute(w)
			if d := cmp.Diff([]any{test.cells, test.dropped, test.stuck}, []any{shape(cells), len(dropped), strings.Join(stuck, "; ")}); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestChooseNeverTakesARangeTwice plays two replicas that cut, compact, miss and damage blocks, and looks at what is chosen after each step:
// no two cells overlap, what was chosen is not changed, and every range that was written is somebody's.
func TestChooseNeverTakesARangeTwice(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var blocks [2][]block.Entry
		var cells []Cell
		var written []block.Entry
		number := 0
		for at := int64(0); at < 60; at += 2 {
			for m := range 2 {
				if rnd.IntN(6) > 0 {
					number++
					blocks[m] = append(blocks[m], entry(fmt.Sprintf("%c%d", 'a'+m, number), at, at+2, uint64(rnd.IntN(480)+1)))
					written = append(written, blocks[m][len(blocks[m])-1])
				}
				if rnd.IntN(4) == 0 {
					number++
					blocks[m] = compacted(blocks[m], at/6*6, fmt.Sprintf("%c%d", 'a'+m, number))
				}
			}
			c, err := Choose(World{Blocks: blocks, Cells: cells, Until: (at + 2) * hour})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if before, now := shape(cells), shape(c.Cells[:len(cells)]); before != now {
				t.Fatalf("seed %d: a choice changed: %s to %s", seed, before, now)
			}
			for i := 1; i < len(c.Cells); i++ {
				if c.Cells[i].From < c.Cells[i-1].To {
					t.Fatalf("seed %d: %s", seed, shape(c.Cells))
				}
			}
			cells = c.Cells
			for _, e := range written {
				if !covered(cells, e) {
					t.Fatalf("seed %d: [%d, %d) is nobody's: %s", seed, e.Meta.MinTime/hour, e.Meta.MaxTime/hour, shape(cells))
				}
			}
		}
	}
}

// compacted merges what lies between two multiples of six hours, but for the newest.
func compacted(list []block.Entry, before int64, name string) []block.Entry {
	var kept, merged []block.Entry
	for _, e := range list {
		if e.Meta.MinTime >= (before-6)*hour && e.Meta.MaxTime <= before*hour {
			merged = append(merged, e)
		} else {
			kept = append(kept, e)
		}
	}
	if len(merged) < 2 {
		return list
	}
	return append(kept, entry(name, merged[0].Meta.MinTime/hour, merged[len(merged)-1].Meta.MaxTime/hour, samples(merged)))
}

func covered(cells []Cell, e block.Entry) bool {
	at := e.Meta.MinTime
	for _, c := range cells {
		if c.From <= at && c.To > at {
			at = c.To
		}
	}
	return at >= e.Meta.MaxTime
}

func TestCheck(t *testing.T) {
	one := Facts{Name: "A", External: map[string]string{"cluster": "x", "replica": "a"}, Jobs: []string{"shop"}, Block: 2 * 3600e9}
	two := one
	two.Name, two.External = "B", map[string]string{"cluster": "x", "replica": "b"}
	tests := map[string]struct {
		change func(f *Facts)
		rule   string
	}{
		"two replicas of one server pass":       {func(*Facts) {}, ""},
		"and without a label for the replica":   {func(f *Facts) { f.External = map[string]string{"cluster": "x", "replica": "a"} }, ""},
		"labels of two servers are refused":     {func(f *Facts) { f.External = map[string]string{"cluster": "y", "replica": "b"} }, RuleOneLabel},
		"blocks of two lengths are refused":     {func(f *Facts) { f.Block = 3600e9 }, RuleOneLength},
		"samples that come late are refused":    {func(f *Facts) { f.Late = 600e9 }, RuleNotLate},
		"a job that only one has is refused":    {func(f *Facts) { f.Jobs = []string{"shop", "bank"} }, RuleOneScrape},
		"a job that only the other has is, too": {func(f *Facts) { f.Jobs = nil }, RuleOneScrape},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			other := two
			test.change(&other)
			got := ""
			for _, f := range Check(one, other) {
				if f.Verdict.Stops() {
					got += f.Rule
				}
			}
			if got != test.rule {
				t.Errorf("refused by %q, want %q", got, test.rule)
			}
		})
	}
}
