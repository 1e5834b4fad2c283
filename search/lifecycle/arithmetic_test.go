package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/test/golden"
)

// seed is the cluster and the policy of the design: 60 hot nodes, two-hour slots of 812 GB, kept a year.
func seed(change func(*Input)) Input {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tier := func(name string) v1alpha1.Tier {
		return v1alpha1.Tier{Name: name, NodeAttribute: &v1alpha1.NodeAttribute{Name: "tier", Value: name}}
	}
	c := &v1alpha1.SearchCluster{}
	c.Name = "game-logs"
	c.Spec.Tiers = []v1alpha1.Tier{tier("hot"), tier("warm")}
	c.Spec.Budgets = v1alpha1.Budgets{MaxShards: 70000, RelocationBytesPerSecond: quantityOf("800Mi")}
	l := &v1alpha1.IndexLifecycle{}
	l.Name = "game-logs"
	l.Spec = v1alpha1.IndexLifecycleSpec{ClusterName: "game-logs", Indices: v1alpha1.Indices{Pattern: "game-log-*", Slot: v1alpha1.Slot{Format: "game-log-{yyyy.MM.dd.HH}", Hours: 2, TimeZone: "Asia/Shanghai"}},
		Template: v1alpha1.Template{BytesPerSlot: quantityOf("812G"), MaxShardBytes: quantityOf("14G")},
		Phases: []v1alpha1.Phase{
			{Name: "shrink", AfterHours: int32Of(24), Shrink: &v1alpha1.Shrink{MaxShardBytes: quantityOf("100Gi")}},
			{Name: "merge", AfterHours: int32Of(24), ForceMerge: &v1alpha1.ForceMerge{Segments: 1}},
			{Name: "backup", AfterHours: int32Of(24), Snapshot: &v1alpha1.Snapshot{RepositoryName: "cos"}},
			{Name: "drop-replica", AfterHours: int32Of(360), Replicas: &v1alpha1.Replicas{Count: int32Of(0)}},
			{Name: "warm", AfterHours: int32Of(360), Move: &v1alpha1.Move{Tier: "warm"}},
			{Name: "delete", AfterHours: int32Of(8760), Delete: &v1alpha1.Delete{}},
		}}
	s := &state.Cluster{TakenAt: now, Name: "game-logs", Product: state.Elasticsearch, Version: "6.8.23"}
	for i := range 160 {
		n := state.Node{Name: fmt.Sprintf("es-%03d", i), Roles: []string{"data"}, Attributes: map[string]string{"tier": "warm"}, DiskTotalBytes: 48e12, DiskFreeBytes: 40e12, HeapMaxBytes: 31 << 30}
		if i < 60 {
			n.Attributes["tier"] = "hot"
		}
		if i < 3 {
			n.Roles = []string{"master", "data"}
		}
		s.Nodes = append(s.Nodes, n)
	}
	in := Input{Cluster: c, Lifecycle: l, State: s, Now: now}
	if change != nil {
		change(&in)
	}
	return in
}

func sixty() *intstr.IntOrString { n := intstr.FromInt32(60); return &n }

func TestArithmetic(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		name   string
		change func(*Input)
	}{
		{"60 → 10 at 100Gi is accepted", nil},
		{"60 → 20 at 50Gi breaks 70 000 shards on day 273", func(in *Input) { in.Lifecycle.Spec.Phases[0].Shrink.MaxShardBytes = quantityOf("50Gi") }},
		{"two-hourly, shrunk to 5 with replicas 0 at 360 h, is 42 600", func(in *Input) {
			in.Lifecycle.Spec.Phases[0].Shrink = &v1alpha1.Shrink{Shards: 5}
			for i := range 3 {
				in.Lifecycle.Spec.Phases[i].AfterHours = int32Of(360)
			}
		}},
		{"hourly, shrunk to 5 with its replica at 15 days, is 127 200", func(in *Input) {
			in.Lifecycle.Spec.Indices.Slot.Hours = 1
			in.Lifecycle.Spec.Template.BytesPerSlot = quantityOf("406G")
			in.Lifecycle.Spec.Template.MaxShardBytes = quantityOf("10G")
			in.Lifecycle.Spec.Template.Shards = sixty()
			in.Lifecycle.Spec.Phases = []v1alpha1.Phase{{Name: "shrink", AfterHours: int32Of(360), Shrink: &v1alpha1.Shrink{Shards: 5}}}
		}},
		{"a policy that cannot keep up", func(in *Input) {
			in.Lifecycle.Spec.Budget = v1alpha1.Budget{BytesPerSecond: quantityOf("400Mi"), Windows: []v1alpha1.Window{{From: "00:00", To: "18:00", TimeZone: "Asia/Shanghai"}}}
		}},
		{"a snapshot before the shrink, and nothing proved after it", func(in *Input) {
			p := in.Lifecycle.Spec.Phases
			p[0], p[2] = p[2], p[0]
		}},
		{"replicas that go unproved", func(in *Input) {
			in.Lifecycle.Spec.Phases = append(in.Lifecycle.Spec.Phases[:2:2], in.Lifecycle.Spec.Phases[3:]...)
		}},
		{"a snapshot that is not counted", func(in *Input) { in.Cluster.Spec.Constraints.SnapshotAsCopy = v1alpha1.SnapshotNotCounted }},
		{"a close where all is to be searched always, a mount that 6.8 cannot", func(in *Input) {
			in.Lifecycle.Spec.Phases[4] = v1alpha1.Phase{Name: "object-store", AfterHours: int32Of(400), Mount: &v1alpha1.Mount{Storage: v1alpha1.StorageSharedCache}}
			in.Lifecycle.Spec.Phases[5] = v1alpha1.Phase{Name: "shut", AfterHours: int32Of(8760), Close: &v1alpha1.Close{}}
		}},
		{"two policies, system indices and names without a slot", func(in *Input) {
			other := *in.Lifecycle.DeepCopy()
			other.Name, other.Spec.Indices.Pattern = "all", "game-*"
			in.Others = []v1alpha1.IndexLifecycle{other}
			in.State.Indices = []state.Index{{Name: "game-log-foo", Primaries: 1}, {Name: "game-log-2026.11.22.03", Primaries: 1}, {Name: "security-auditlog", Primaries: 1}}
			in.Lifecycle.Spec.Indices.Pattern = "*"
		}},
		{"masters that would not come back", func(in *Input) { in.State.Nodes[0].HeapMaxBytes = 16 << 30 }},
	} {
		p, err := Make(seed(c.change))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "### %s\n", c.name)
		if err := Print(&b, p, false); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b)
	}
	golden.Check(t, "testdata/arithmetic.golden", b.String())
}
