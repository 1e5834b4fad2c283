package move

import (
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

const hour = int64(3_600_000)

func entryOf(n byte, from, to int64) block.Entry {
	var id ulid.ULID
	id[15] = n
	m := &block.Meta{ULID: id, MinTime: from * hour, MaxTime: to * hour, Version: 1}
	m.Compaction.Sources = []ulid.ULID{id}
	return block.Entry{Name: id.String(), Meta: m, Bytes: 100, Verdict: block.OK}
}

func observed(from, to int64) *transfer.Observation {
	return &transfer.Observation{Head: transfer.Head{MinTime: from * hour, MaxTime: to * hour}}
}

// TestDecide looks at one world after the other; times are hours.
func TestDecide(t *testing.T) {
	old, over := entryOf(1, 18, 20), entryOf(2, 20, 22)
	base := func() World {
		return World{
			Source: []block.Entry{old, over}, SourceServer: observed(22, 24), TargetServer: observed(21, 24), SourceRange: 2 * hour, TargetRange: 2 * hour, SeamSpan: time.Minute,
			State: State{Frozen: []block.Entry{old, over}, Seam: 21 * hour, Rounds: []seam.Round{{From: 21 * hour, End: 21*hour + 60_000}}, Covered: 21 * hour}, Staged: []string{old.Name, over.Name},
		}
	}
	a := seam.Done{Part: seam.Part{Source: over.Name, Side: seam.Before, From: 20 * hour, To: 21 * hour, Made: []ulid.ULID{over.Meta.ULID}}, Block: entryOf(9, 20, 21).Name}
	tests := map[string]struct {
		change func(w *World)
		want   string // in the words; empty steps mean a wait or a stop
		kind   Kind
	}{
		"nobody holds the blocks":                   {func(w *World) { w.State = State{} }, "pin 2 blocks", stepPin},
		"an installation was interrupted":           {func(w *World) { w.Installing = old.Name }, "end the installation of block " + old.Name, stepResume},
		"the target does not answer":                {func(w *World) { w.TargetServer, w.Silent = nil, []string{"no answer"} }, "waits: no answer", ""},
		"the target has no sample":                  {func(w *World) { w.State.Seam, w.State.Rounds, w.TargetServer.Head.Empty = 0, nil, true }, "no sample yet", ""},
		"the target has its first sample":           {func(w *World) { w.State.Seam, w.State.Rounds = 0, nil }, "freeze S' at 1970-01-01T21:00:00.000Z", stepSeam},
		"the target has an older block of its own":  {func(w *World) { w.State.Seam, w.Target = 0, []block.Entry{entryOf(50, 19, 21)} }, "freeze S' at 1970-01-01T19:00:00.000Z", stepSeam},
		"the target's head went lower":              {func(w *World) { w.TargetServer.Head.MinTime -= 5 }, "lower S' from 1970-01-01T21:00:00.000Z to 1970-01-01T20:59:59.995Z", stepLower},
		"the target's own block is older than S'":   {func(w *World) { w.Target = []block.Entry{entryOf(50, 20, 21)} }, "lower S' from 1970-01-01T21:00:00.000Z to 1970-01-01T20:00:00.000Z", stepLower},
		"an interrupted installation and no answer": {func(w *World) { w.Installing, w.TargetServer, w.Silent = old.Name, nil, []string{"no answer"} }, "waits: no answer", ""},
		"the source does not answer":                {func(w *World) { w.NoSource, w.Silent, w.State.Frozen = true, []string{"nobody there"}, nil }, "waits: nobody there", ""},
		"the target does not scrape the same":       {func(w *World) { w.State.Rounds, w.Uncovered = nil, "two targets are missing" }, "waits: two targets are missing", ""},
		"both scrape the same":                      {func(w *World) { w.State.Rounds = nil }, "up to 1970-01-02T00:01:00.000Z", stepEnd},
		"a block is not here":                       {func(w *World) { w.Staged = w.Staged[:1] }, "bring block " + over.Name, stepStage},
		"the block over the seam is in the head yet": {func(w *World) {
			w.SourceServer = observed(20, 22)
			w.Source, w.State.Frozen = w.Source[:1], w.State.Frozen[:1]
		}, "appears on the source at about 1970-01-01T23:00:00Z", ""},
		"piece A can be cut":          {func(*World) {}, "cut piece A of block " + over.Name, stepCut},
		"piece A is cut":              {func(w *World) { w.State.Cuts = []seam.Done{a} }, "install piece " + a.Block, stepInstall},
		"piece A is there":            {func(w *World) { w.State.Cuts = []seam.Done{a}; w.Target = []block.Entry{entryOf(9, 20, 21)} }, "install block " + old.Name, stepInstall},
		"the target keeps too little": {func(w *World) { w.TargetServer.Retention.Bytes = 50 }, "stops: " + transfer.RuleRetentionHolds, ""},
		"the source deletes the oldest block, too": {func(w *World) {
			w.TargetServer.Retention.Milliseconds, w.SourceServer.Retention.Milliseconds = hour, 2*hour
		}, "leave block " + old.Name, stepExpire},
		"a block of the source is damaged": {func(w *World) { w.Source[0].Verdict, w.Staged = block.Damaged, nil }, "stops: " + RuleSourceDamaged, ""},
		"a block of the target is damaged": {func(w *World) { bad := entryOf(7, 1, 2); bad.Verdict = block.Damaged; w.Target = []block.Entry{bad} }, "stops: " + RuleTargetDamaged, ""},
		"the target was restarted before anything behind is cut": {func(w *World) { w.TargetServer.Started = 21*hour + 5 },
			"fill what the target missed, until 1970-01-01T21:00:00Z (it was restarted), in a further round up to 1970-01-02T00:01:00.000Z", stepEnd},
		"the target was restarted and does not scrape the same": {func(w *World) { w.TargetServer.Started, w.Uncovered = 22*hour, "two targets are missing" },
			"does not scrape the same yet: two targets are missing", stepCut},
		"the target was restarted and has no sample since": {func(w *World) { w.TargetServer.Started = 25 * hour }, "and has no newer sample yet", stepCut},
		"the target was frozen": {func(w *World) { w.Outages = []seam.Range{{From: 22 * hour, To: 23 * hour}} },
			"from 1970-01-01T22:00:00Z to 1970-01-01T23:00:00Z (it scraped nothing), in a further round", stepEnd},
		"an undo left merged blocks":                    {func(w *World) { w.State.Merged = []string{old.Name} }, "stops: " + RuleTargetFresh, ""},
		"a block of the source that lies behind is new": {func(w *World) { w.Source = append(w.Source, entryOf(3, 22, 24)) }, "cut piece A", stepCut},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := base()
			w.Source = append([]block.Entry{}, w.Source...)
			test.change(&w)
			d := Decide(&w)
			kind := Kind("")
			if len(d.Steps) > 0 {
				kind = d.Steps[0].Kind
			}
			if !strings.Contains(d.String(), test.want) || kind != test.kind {
				t.Errorf("%q, want %q:\n%s", kind, test.want, d)
			}
		})
	}
}

// TestDecideLooksBeforeItEnds: nothing is compared and nothing is done before the target's own scrapes were looked through.
func TestDecideLooksBeforeItEnds(t *testing.T) {
	old := entryOf(1, 18, 20)
	w := World{
		Source: []block.Entry{old}, Target: []block.Entry{old}, SourceServer: observed(22, 24), TargetServer: observed(22, 25), SourceRange: 2 * hour, TargetRange: 2 * hour, WantsLook: true,
		State: State{Frozen: []block.Entry{old}, Seam: 21 * hour, Rounds: []seam.Round{{From: 21 * hour, End: 21*hour + 60_000}}, Covered: 21 * hour, Released: true},
	}
	if d := Decide(&w); len(d.Steps) != 1 || d.Steps[0].Kind != stepLook {
		t.Errorf("not looked yet:\n%s", d)
	}
	w.Looked, w.Unseen = true, "no answer"
	if d := Decide(&w); len(d.Steps) != 0 || d.Phase == Done || !strings.Contains(d.String(), "waits: no answer") {
		t.Errorf("looked in vain:\n%s", d)
	}
	w.Unseen = ""
	if d := Decide(&w); d.Phase != Done || !strings.Contains(d.String(), "missed nothing since 1970-01-01T21:00:00.000Z") {
		t.Errorf("nothing was found:\n%s", d)
	}
	w.TargetServer.Started, w.Uncovered = 22*hour, "not yet"
	if d := Decide(&w); d.Phase != Coverage || len(d.Steps) != 0 {
		t.Errorf("restarted, and not covered:\n%s", d)
	}
}

func TestDecideEnds(t *testing.T) {
	old := entryOf(1, 18, 20)
	w := World{
		Source: []block.Entry{old}, Target: []block.Entry{old}, SourceServer: observed(22, 24), TargetServer: observed(22, 25), SourceRange: 2 * hour, TargetRange: 2 * hour, WantsProof: true,
		State: State{Frozen: []block.Entry{old}, Seam: 21 * hour, Rounds: []seam.Round{{From: 21 * hour, End: 21*hour + 60_000}}, Covered: 21 * hour},
	}
	overlapping := entryOf(5, 19, 21)
	w.Target = append(w.Target, overlapping)
	w.State.Frozen = append(w.State.Frozen, overlapping)
	if d := Decide(&w); len(d.Steps) > 0 || !strings.Contains(d.String(), "merges block") {
		t.Errorf("overlapping blocks:\n%s", d)
	}
	w.Target = w.Target[:1]
	w.State.Frozen = w.State.Frozen[:1]
	w.Bridged = "it still asks the old server"
	if d := Decide(&w); len(d.Steps) > 0 || !strings.Contains(d.String(), "waits: "+w.Bridged) {
		t.Errorf("a bridge that is still there:\n%s", d)
	}
	w.Bridged = ""
	for _, want := range []Kind{stepVerify, stepRelease, ""} {
		d := Decide(&w)
		if want == "" && d.Phase != Done || want != "" && (len(d.Steps) == 0 || d.Steps[0].Kind != want) {
			t.Errorf("want %q:\n%s", want, d)
		}
		if want == stepVerify {
			w.State.Proof = &Proved{Verdict: "proved"}
		}
		w.State.Released = want == stepRelease
	}
}
