package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/search/ledger"
)

// checkDone holds the end of every run that went well: proofs, no replicas, nothing of ours left beside one snapshot a group.
func checkDone(t *testing.T, f *fake, l Ledger, indices ...string) {
	t.Helper()
	read := 0
	for _, name := range indices {
		x := f.indices[name]
		docs := 0
		for _, s := range x.shards {
			docs += len(s)
		}
		e, err := l.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Standing(ledger.Identity{Name: name, UUID: x.uuid, Primaries: len(x.shards), Docs: int64(docs)})
		if err != nil || x.replicas != 0 || !x.blocked {
			t.Fatalf("%s: %v, %d replicas, blocked %t", name, err, x.replicas, x.blocked)
		}
		if len(e.Proofs) != 1 || p.Checksum == "" {
			t.Errorf("%s has proofs %+v", name, e.Proofs)
		}
		if p.ReadBack != nil {
			read++
		}
	}
	if read != 1 {
		t.Errorf("%d indices were read back, want 1", read)
	}
	if len(f.indices) != len(indices) || len(f.snapshots) != 1 {
		t.Errorf("left behind: %d indices, %d snapshots", len(f.indices), len(f.snapshots))
	}
}

func TestRunGoesOnWhereItWasKilled(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after the call: %t", after), func(t *testing.T) {
			t.Parallel() // what takes time is the disk
			for n := 1; ; n++ {
				f := newFake("elasticsearch", "6.8.23", "a", "b")
				f.ends = []string{"PARTIAL"}
				l := memory{}
				m := &mortal{Cluster: f.serve(t), Ledger: l, t: t, left: n, after: after}
				o := options(m, m, t.TempDir(), "a", "b")
				dead, err := killed(func() error { return Run(t.Context(), o) })
				if dead {
					err = Run(t.Context(), o) // m kills once
				}
				if err != nil {
					t.Fatalf("killed at call %d: %v", n, err)
				}
				checkDone(t, f, l, "a", "b")
				if !dead {
					if n < 20 {
						t.Errorf("the whole run takes %d calls only", n)
					}
					return
				}
			}
		})
	}
}

func TestRunStops(t *testing.T) {
	for _, c := range []struct {
		name   string
		rule   string
		before func(f *fake, o *Options)
		during func(f *fake, d *Decision)
	}{
		{name: "at snapshots that are PARTIAL again and again", rule: RuleState, before: func(f *fake, _ *Options) { f.ends = []string{"PARTIAL", "PARTIAL"} }},
		{name: "at a snapshot that FAILED", rule: RuleState, before: func(f *fake, o *Options) { f.ends, o.Attempts = []string{"FAILED"}, 1 }},
		{name: "at an index that somebody made anew", rule: RuleReplaced, during: at(StepTake, func(f *fake) { delete(f.indices, "a"); f.add("a", 2, 7); f.indices["a"].blocked = true })},
		{name: "at an index that somebody deleted", rule: RuleGone, during: at(StepReadBack, func(f *fake) { delete(f.indices, "a") })},
		{name: "at a write block that somebody lifted", rule: RuleBlock, during: at(StepReadBack, func(f *fake) { f.indices["a"].blocked = false })},
		{name: "at a document that came under the block", rule: RuleWritten, during: at(StepReadBack, func(f *fake) { f.indices["b"].shards[1] = append(f.indices["b"].shards[1], `{}`) })},
		{name: "at a primary that is on no node", rule: RuleRed, before: func(f *fake, _ *Options) { f.indices["a"].lost[1] = "NODE_LEFT" }},
		{name: "at a corrupt file in the repository", rule: RuleReadBack, before: func(f *fake, o *Options) { f.corrupt, o.ReadBack = "b", -1 }},
		{name: "at documents that come back as others", rule: RuleReadBack, before: func(f *fake, o *Options) { f.bent, o.ReadBack = "a", -1 }},
		{name: "at a snapshot that misses a shard", rule: RuleContents, before: func(f *fake, _ *Options) { f.short = "a" }},
		{name: "at a pattern", rule: RuleNames, before: func(_ *fake, o *Options) { o.Indices = []string{"a*"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake("opensearch", "2.19.0", "a", "b")
			l := memory{}
			o := options(f.serve(t), l, t.TempDir(), "a", "b")
			if c.before != nil {
				c.before(f, &o)
			}
			if c.during != nil {
				o.Tell = func(d *Decision) { c.during(f, d) }
			}
			err := Run(t.Context(), o)
			var s *Stop
			if !errors.As(err, &s) || s.Rule != c.rule {
				t.Fatalf("%v, want %s", err, c.rule)
			}
			for _, name := range []string{"a", "b"} {
				if e, err := l.Get(name); err != nil || e != nil {
					t.Errorf("%s has the entry %+v, %v", name, e, err)
				}
				if x := f.indices[name]; x != nil && x.replicas == 0 {
					t.Errorf("%s lost its replicas", name)
				}
			}
			for name := range f.indices {
				if strings.HasPrefix(name, readBackPrefix) {
					t.Errorf("%s was left", name)
				}
			}
		})
	}
}

// at changes the world when a step is told, once.
func at(step Step, change func(f *fake)) func(*fake, *Decision) {
	done := false
	return func(f *fake, d *Decision) {
		if d.Step == step && !done {
			done = true
			f.mu.Lock()
			defer f.mu.Unlock()
			change(f)
		}
	}
}

func TestRunNeverTakesAForeignSnapshotForItsOwn(t *testing.T) {
	f := newFake("elasticsearch", "6.8.23", "a")
	l := memory{}
	o := options(f.serve(t), l, t.TempDir(), "a")
	j := Journal{Indices: []Before{{Name: "a", UUID: f.indices["a"].uuid}}, Attempt: 1}
	foreign := f.indices["a"].copy()
	foreign.shards[0][0] = `{"another":1}`
	f.snapshots[j.Name()] = &fakeSnapshot{name: j.Name(), uuid: "foreign", state: "SUCCESS", indices: map[string]*fakeIndex{"a": foreign}}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	e, err := l.Get("a")
	if err != nil || len(e.Proofs) != 1 || e.Proofs[0].SnapshotUUID == "foreign" || f.snapshots[j.Name()] == nil {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestRunWaits(t *testing.T) {
	t.Run("until nothing writes any more", func(t *testing.T) {
		f := newFake("opensearch", "2.19.0", "a")
		o := options(f.serve(t), memory{}, t.TempDir(), "a")
		o.Quiet = 50 * time.Millisecond
		began := time.Now()
		writes := 5
		o.Tell = func(d *Decision) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if d.Step == StepWait && writes > 0 && !f.indices["a"].blocked {
				writes--
				f.indices["a"].shards[0] = append(f.indices["a"].shards[0], `{}`)
			}
		}
		if err := Run(t.Context(), o); err != nil || time.Since(began) < o.Quiet {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
	t.Run("for the snapshot of another where the server takes one at a time", func(t *testing.T) {
		f := newFake("elasticsearch", "6.8.23", "a")
		f.snapshots["other"] = &fakeSnapshot{name: "other", state: "IN_PROGRESS", end: "SUCCESS", looks: 4}
		o := options(f.serve(t), memory{}, t.TempDir(), "a")
		var waited bool
		o.Tell = func(d *Decision) { waited = waited || strings.Contains(d.Says, "is written by other") }
		if err := Run(t.Context(), o); err != nil || !waited {
			t.Errorf("%v, waited: %t", err, waited)
		}
	})
}

func TestPlanTellsWhatRunSends(t *testing.T) {
	f := newFake("elasticsearch", "6.8.23", "a", "b")
	l := memory{}
	o := options(f.serve(t), l, t.TempDir(), "a", "b")
	all, err := Plan(t.Context(), o)
	if err != nil || len(f.requests) > 0 {
		t.Fatalf("%v, sent %q", err, f.requests)
	}
	var want []string
	for _, d := range all {
		for _, r := range d.Requests {
			want = append(want, r.Method+" "+r.Path)
		}
	}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want, f.requests) || len(want) < 8 {
		t.Errorf("told %q\nsent %q", want, f.requests)
	}
}

func TestRunBeginsAnewWhenItsProofIsVoid(t *testing.T) {
	f := newFake("opensearch", "2.19.0", "a")
	l := memory{}
	o := options(f.serve(t), l, t.TempDir(), "a")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	clear(f.snapshots)
	var s *Stop
	if err := Verify(t.Context(), o); !errors.As(err, &s) || s.Rule != RuleSnapshotGone {
		t.Fatalf("%v", err)
	}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), o); err != nil || len(f.snapshots) != 1 {
		t.Errorf("%v, %d snapshots", err, len(f.snapshots))
	}
}
