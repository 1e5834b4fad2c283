package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/search/ledger"
)

// proved is a cluster whose indices a and b are proved and have single copies.
func proved(t *testing.T) (*fake, Ledger, RestoreOptions) {
	t.Helper()
	f, l := newFake("opensearch", "2.19.0", "a", "b"), memory{}
	o := options(f.serve(t), l, t.TempDir(), "a", "b")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Indices = []string{"a"}
	return f, l, RestoreOptions{Options: o, LostAfter: time.Millisecond}
}

func checkBack(t *testing.T, f *fake, l Ledger) {
	t.Helper()
	x := f.indices["a"]
	if x == nil || len(x.lost) > 0 || len(f.indices) != 2 {
		t.Fatalf("a is %+v, and there are %d indices", x, len(f.indices))
	}
	e, err := l.Get("a")
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Standing(ledger.Identity{Name: "a", UUID: x.uuid, Primaries: 2, Docs: 7})
	if err != nil || p.ReadBack == nil || p.ReadBack.Docs != 7 {
		t.Errorf("what came back has the proof %+v, %v", p, err)
	}
}

func TestRestoreGoesOnWhereItWasKilled(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after the call: %t", after), func(t *testing.T) {
			t.Parallel() // what takes time is the disk
			base, entries, o := proved(t)
			for n := 1; ; n++ {
				f, l := base.clone(), memory(maps.Clone(entries.(memory)))
				f.indices["a"].lost[1] = "NODE_LEFT"
				m := &mortal{Cluster: f.serve(t), Ledger: l, t: t, left: n, after: after}
				o.Cluster, o.Ledger, o.StateDir = m, m, t.TempDir()
				dead, err := killed(func() error { return Restore(t.Context(), o) })
				if dead {
					err = Restore(t.Context(), o)
				}
				if err != nil {
					t.Fatalf("killed at call %d: %v", n, err)
				}
				checkBack(t, f, l)
				if !dead {
					if n < 10 {
						t.Errorf("the whole restore takes %d calls only", n)
					}
					return
				}
			}
		})
	}
}

func TestRestore(t *testing.T) {
	for _, c := range []struct {
		name   string
		rule   string // empty: it comes back
		change func(f *fake, o *RestoreOptions)
		kept   bool // the index is left as it was
	}{
		{name: "brings back an index that is not there", change: func(f *fake, _ *RestoreOptions) { delete(f.indices, "a") }},
		{name: "leaves an index whose primaries answer", change: func(*fake, *RestoreOptions) {}, kept: true},
		{name: "leaves another index of the same name", rule: RuleReplaced, kept: true, change: func(f *fake, _ *RestoreOptions) { delete(f.indices, "a"); f.add("a", 2, 7) }},
		{name: "deletes nothing when the snapshot is gone", rule: RuleSnapshotGone, kept: true, change: func(f *fake, _ *RestoreOptions) { f.indices["a"].lost[0] = "NODE_LEFT"; clear(f.snapshots) }},
		{name: "deletes nothing that came behind the proof", rule: RuleWritten, kept: true, change: func(f *fake, _ *RestoreOptions) {
			f.indices["a"].lost[0] = "NODE_LEFT"
			f.indices["a"].shards[1] = append(f.indices["a"].shards[1], `{}`)
		}},
		{name: "stops at documents that come back as others", rule: RuleRestored, change: func(f *fake, _ *RestoreOptions) { delete(f.indices, "a"); f.bent = "a" }},
		{name: "tries twice and stops where the files are corrupt", rule: RuleRestored, change: func(f *fake, _ *RestoreOptions) { delete(f.indices, "a"); f.corrupt = "a" }},
		{name: "knows nothing of an index without proof", rule: RuleProof, change: func(_ *fake, o *RestoreOptions) { o.Indices = []string{"unknown"} }, kept: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, l, o := proved(t)
			c.change(f, &o)
			before := ""
			if x := f.indices["a"]; x != nil {
				before = x.uuid
			}
			err := Restore(t.Context(), o)
			var s *Stop
			if c.rule == "" && err != nil || c.rule != "" && (!errors.As(err, &s) || s.Rule != c.rule) {
				t.Fatalf("%v, want %q", err, c.rule)
			}
			if c.kept && f.indices["a"].uuid != before {
				t.Error("the index was touched")
			}
			if c.rule == "" && !c.kept {
				checkBack(t, f, l)
			}
		})
	}
}

func TestRestoreWaitsForANodeThatStartsAgain(t *testing.T) {
	f, _, o := proved(t)
	f.indices["a"].lost[1] = "NODE_LEFT"
	o.LostAfter = time.Hour
	o.Tell = func(d *Decision) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if d.Step == StepWait {
			clear(f.indices["a"].lost)
		}
	}
	sent := len(f.requests)
	if err := Restore(t.Context(), o); err != nil || len(f.requests) != sent {
		t.Errorf("%v, sent %q", err, f.requests[sent:])
	}
	if all, err := PlanRestore(t.Context(), o); err != nil || all[0].Step != StepDone {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fake)
		rule   string // empty: another error
		void   bool
	}{
		{"leaves the proof when no snapshot is found: the repository may not be where it was", func(f *fake) { clear(f.snapshots) }, RuleSnapshotGone, false},
		{"voids the proof of a snapshot that another one of the same name took the place of", func(f *fake) {
			for _, s := range f.snapshots {
				s.uuid = "another"
			}
		}, RuleSnapshotOther, true},
		{"voids the proof of files that are corrupt", func(f *fake) { f.corrupt = "a" }, RuleReadBack, true},
		{"voids the proof of documents that come back as others", func(f *fake) { f.bent = "a" }, RuleReadBack, true},
		{"leaves the proof when the repository is cut off", func(f *fake) { f.cut = true }, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, l, o := proved(t)
			o.ReadBack = -1
			if err := Verify(t.Context(), o.Options); err != nil {
				t.Fatal(err)
			}
			c.change(f)
			err := Verify(t.Context(), o.Options)
			var s *Stop
			if err == nil || errors.As(err, &s) != (c.rule != "") || s != nil && s.Rule != c.rule {
				t.Fatalf("%v, want %q", err, c.rule)
			}
			e, err := l.Get("a")
			if err != nil || (e.Proofs[0].Void != "") != c.void {
				t.Errorf("%+v, %v", e.Proofs, err)
			}
			if len(f.indices) != 2 {
				t.Error("a read-back was left")
			}
		})
	}
}
