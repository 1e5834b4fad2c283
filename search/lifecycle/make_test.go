package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/test/golden"
)

// overdue is the seed's cluster on the day on which the policy is applied to slots of two years that nobody cared for.
func overdue(n int) func(*Input) {
	return func(in *Input) {
		in.Cluster.Spec.Budgets.MaxShards = 0
		now := in.Now.In(time.FixedZone("Asia/Shanghai", 8*3600)).Truncate(2 * time.Hour)
		in.State.Capabilities = map[state.Capability]state.Support{state.ConcurrentSnapshots: state.Yes}
		for i := range n {
			at := now.Add(-time.Duration(2*i) * time.Hour)
			x := state.Index{Name: at.Format("game-log-2006.01.02.15"), UUID: fmt.Sprintf("uuid-%d", i), Health: "green", Primaries: 60, Replicas: 1, Docs: 1_000_000, PrimaryBytes: 8e9, Bytes: 16e9,
				Filters: map[string]string{"require.tier": "hot"}, CreatedMillis: at.UnixMilli()}
			x.Counts.Started = x.Shards()
			in.State.Indices = append(in.State.Indices, x)
		}
	}
}

func TestBacklogOfTheFirstDay(t *testing.T) {
	var b strings.Builder
	in := seed(overdue(8000))
	for _, of := range []string{"nobody looked yet: writers are watched first", "and after two quiet hours the oldest go first, within the budget"} {
		p, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "### %s\n", of)
		if err := Print(&b, p, false); err != nil {
			t.Fatal(err)
		}
		for i := range in.State.Indices {
			x := &in.State.Indices[i]
			in.Ledger = append(in.Ledger, ledger.Entry{Schema: 1, Lifecycle: "game-logs", Index: x.Name, Quiet: &ledger.Quiet{UUID: x.UUID, Docs: x.Docs, Since: in.Now}})
			x.Blocks = []string{"write"}
		}
		in.Now = in.Now.Add(3 * time.Hour)
	}
	golden.Check(t, "testdata/backlog.golden", b.String())
}

// one is the seed's cluster with one index, 400 hours old.
func one(change func(in *Input, x *state.Index, e *ledger.Entry)) Input {
	in := seed(nil)
	at := in.Now.Add(-400 * time.Hour).In(time.FixedZone("Asia/Shanghai", 8*3600)).Truncate(2 * time.Hour)
	x := state.Index{Name: at.Format("game-log-2006.01.02.15"), UUID: "Uuid0001xyz", Health: "green", Primaries: 60, Replicas: 1, Docs: 1_893_220_417, PrimaryBytes: 812e9, Blocks: []string{"write"},
		Filters: map[string]string{"require.tier": "hot"}}
	x.Counts.Started = x.Shards()
	e := ledger.Entry{Schema: 1, Lifecycle: "game-logs", Index: x.Name}
	change(&in, &x, &e)
	in.State.Indices, in.Ledger = append(in.State.Indices, x), []ledger.Entry{e}
	return in
}

// shrunk makes the index what it is after shrink, merge and proof.
func shrunk(in *Input, x *state.Index, e *ledger.Entry) {
	x.Name, x.Primaries, x.ResizedFrom = ShrunkName(10, e.Index), 10, e.Index
	x.Counts.Started = x.Shards()
	at := in.Now.Add(-300 * time.Hour)
	phases := in.Lifecycle.Spec.Phases
	for i, says := range []string{"60 → 10, with its replica", "1 segment", "slipway-1 in cos, proved (state, 10/10 shards, UUID, 1 893 220 417 docs)"} {
		e.Done = append(e.Done, ledger.Done{Phase: phases[i].Name, Kind: string(KindOf(&phases[i])), Hash: Hash(&phases[i]), At: at, Index: x.Name, UUID: x.UUID, Says: says})
	}
	e.Proofs = []ledger.Proof{{Repository: "cos", Snapshot: "slipway-1", Index: x.Name, IndexUUID: x.UUID, Shards: 10, Docs: x.Docs, TakenAt: at, ProvedAt: at, CheckedAt: in.Now.Add(-time.Minute)}}
	in.State.Snapshots = []state.Snapshot{{Repository: "cos", Name: "slipway-1", State: "SUCCESS"}}
}

func TestExplain(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		name   string
		change func(in *Input, x *state.Index, e *ledger.Entry)
	}{
		{"gathers for the shrink with its replica", func(*Input, *state.Index, *ledger.Entry) {}},
		{"waits for the window", func(in *Input, _ *state.Index, _ *ledger.Entry) {
			in.Lifecycle.Spec.Budget.Windows = []v1alpha1.Window{{From: "00:00", To: "18:00", TimeZone: "Asia/Shanghai"}}
		}},
		{"waits for index creation", func(in *Input, x *state.Index, e *ledger.Entry) { in.State.Tasks.OldestCreateIndexMillis = 6200 }},
		{"is paused by a person", func(in *Input, x *state.Index, e *ledger.Entry) {
			in.Lifecycle.Annotations = map[string]string{v1alpha1.PausedAnnotation: "audit until Friday"}
		}},
		{"is written still", func(in *Input, x *state.Index, e *ledger.Entry) {
			x.Blocks = nil
			e.Quiet = &ledger.Quiet{UUID: x.UUID, Docs: x.Docs, Since: in.Now.Add(-time.Hour)}
		}},
		{"waits for consumers that are behind", func(in *Input, x *state.Index, _ *ledger.Entry) {
			x.Blocks = nil
			in.Lifecycle.Spec.Closing.Kafka = &v1alpha1.Kafka{Group: "logstash"}
			in.Consumed = in.Now.Add(-500 * time.Hour)
		}},
		{"is under a policy of somebody else", func(_ *Input, x *state.Index, _ *ledger.Entry) {
			x.Policy = &state.Attachment{Kind: state.KindILM, Policy: "old"}
		}},
		{"waits after faults", func(in *Input, x *state.Index, e *ledger.Entry) {
			e.Try = &ledger.Try{Phase: "shrink", Action: "gather", Node: "es-000", At: in.Now.Add(-time.Minute), Failures: 2, Why: "503 from the elected master"}
		}},
		{"finds no node with room", func(in *Input, _ *state.Index, _ *ledger.Entry) {
			for i := range in.State.Nodes {
				in.State.Nodes[i].DiskFreeBytes = 5e12
			}
		}},
		{"drops its replica because of a proof", shrunk},
		{"looks again at a proof of yesterday", func(in *Input, x *state.Index, e *ledger.Entry) {
			shrunk(in, x, e)
			e.Proofs[0].CheckedAt = in.Now.Add(-24 * time.Hour)
		}},
		{"takes another snapshot when the proved one is gone", func(in *Input, x *state.Index, e *ledger.Entry) {
			shrunk(in, x, e)
			in.State.Snapshots = nil
		}},
		{"takes another snapshot when a document came late", func(in *Input, x *state.Index, e *ledger.Entry) {
			shrunk(in, x, e)
			x.Docs++
		}},
		{"is on its way to the warm tier", func(in *Input, x *state.Index, e *ledger.Entry) {
			shrunk(in, x, e)
			x.Replicas, x.Filters["require.tier"] = 0, "warm"
			x.Counts = state.ShardCounts{Started: 7, Relocating: 3}
		}},
	} {
		in := one(c.change)
		p, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := p.Of(in.Ledger[0].Index)
		if !ok {
			t.Fatal("the index is not in the plan")
		}
		fmt.Fprintf(&b, "### %s\n", c.name)
		if err := Explain(&b, s, in.Now); err != nil {
			t.Fatal(err)
		}
	}
	golden.Check(t, "testdata/explain.golden", b.String())
}

func TestEdit(t *testing.T) {
	in := seed(overdue(400))
	before, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	edited := *in.Lifecycle.DeepCopy()
	edited.Spec.Phases[0].AfterHours, edited.Spec.Phases[1].AfterHours = int32Of(2), int32Of(12)
	edited.Spec.Phases = append(edited.Spec.Phases[:4:4], edited.Spec.Phases[5])
	in.Lifecycle = &edited
	after, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/edit.golden", PrintDiff(before, after, Diff(before, after)))
}

func TestSpread(t *testing.T) {
	in := seed(nil)
	in.Lifecycle.Spec.Indices.Slot.Hours = 1
	in.Lifecycle.Spec.SpreadOverHours = int32Of(24)
	p, err := newPolicy(in)
	if err != nil {
		t.Fatal(err)
	}
	hours := map[int]int{}
	s := p.slots.At(in.Now)
	for range 24 * 100 {
		offset := p.offset(p.slots.Name(s))
		if offset < 0 || offset >= 24*time.Hour || offset != p.offset(p.slots.Name(s)) {
			t.Fatalf("%s: offset %s", p.slots.Name(s), offset)
		}
		hours[int(offset.Hours())]++
		s = p.slots.At(s.End)
	}
	for h := range 24 {
		if hours[h] < 60 || hours[h] > 150 {
			t.Errorf("hour %d gets %d of 2400, 100 would be even", h, hours[h])
		}
	}
}
