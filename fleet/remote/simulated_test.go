package remote

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSimulatedNodes(t *testing.T) {
	joined := []string{"m1"}
	up := true
	connector := NewSimulated(SimulatedOptions{
		Joined:      func(Target) []string { return joined },
		Unreachable: func(Target) bool { return !up },
	})
	c, err := connector.Connect(t.Context(), Target{Key: "a/b", UID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	names := func() []string {
		t.Helper()
		nodes, err := c.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, name := range []string{"m1", "m2"} {
			if n, ok := nodes[name]; ok {
				list = append(list, fmt.Sprintf("%s %v", name, n.Ready))
			}
		}
		return list
	}
	steps := []struct {
		name string
		act  func()
		want []string
	}{
		{"a machine that joined is a node", func() {}, []string{"m1 true"}},
		{"one that left without its node being deleted is not ready", func() { joined = []string{"m2"} }, []string{"m1 false", "m2 true"}},
		{"a deleted node is gone", func() { _ = c.DeleteNode(t.Context(), "m1") }, []string{"m2 true"}},
		{"and back when the machine joins again", func() { joined = []string{"m1", "m2"} }, []string{"m1 true", "m2 true"}},
		{"a node whose machine runs on stays deleted", func() { _ = c.DeleteNode(t.Context(), "m2") }, []string{"m1 true"}},
		{"until it is said to have joined again", func() { connector.Rejoined("a/b", "m2") }, []string{"m1 true", "m2 true"}},
	}
	for _, step := range steps {
		step.act()
		if diff := cmp.Diff(step.want, names()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	up = false
	if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Nodes() = %v", err)
	}
}

func TestSimulatedAnotherUIDIsAnotherCluster(t *testing.T) {
	connector := NewSimulated(SimulatedOptions{Joined: func(Target) []string { return []string{"m1"} }})
	for _, uid := range []string{"1", "2"} {
		c, err := connector.Connect(t.Context(), Target{Key: "a/b", UID: uid})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Drain(t.Context(), "m1")
		if err != nil || d.Remaining != 0 {
			t.Fatal(d, err)
		}
		if uid == "1" {
			continue
		}
		if len(connector.Objects("a/b", "x")) != 0 {
			t.Error("objects of the first cluster are in the second")
		}
	}
}

func TestFakeAnswersAsTold(t *testing.T) {
	fake := NewFake(nil)
	fake.SetNodes("a/b", Node{Name: "m1", Message: "no network"})
	fake.SetDrain("a/b", "m1", Drain{Remaining: 2, Message: "held"})
	c, err := fake.Connect(t.Context(), Target{Key: "a/b", UID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := c.Drain(t.Context(), "m1"); err != nil || d.Remaining != 2 {
		t.Errorf("Drain() = %+v, %v", d, err)
	}
	nodes, err := c.Nodes(t.Context())
	want := map[string]Node{"m1": {Name: "m1", Message: "no network", Unschedulable: true}}
	if diff := cmp.Diff(want, nodes); err != nil || diff != "" {
		t.Errorf("Nodes(): %v\n%s", err, diff)
	}
	wanted := errors.New("next")
	fake.NextErr(wanted)
	if _, err := c.Version(t.Context()); !errors.Is(err, wanted) {
		t.Errorf("Version() = %v", err)
	}
	var methods []string
	for _, call := range fake.Calls() {
		methods = append(methods, call.Method+" "+call.Name)
	}
	if diff := cmp.Diff([]string{"Connect ", "Drain m1", "Nodes ", "Version "}, methods); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkSimulatedNodes prints what a node costs in memory, and a read of 100.
func BenchmarkSimulatedNodes(b *testing.B) {
	joined := map[string][]string{}
	for i := range 200 {
		for j := range 100 {
			key := fmt.Sprintf("ns/c%03d", i)
			joined[key] = append(joined[key], fmt.Sprintf("r%03d-u%03d", i, j))
		}
	}
	connector := NewSimulated(SimulatedOptions{Joined: func(t Target) []string { return joined[t.Key] }, ReadyLatency: time.Hour})
	before := heap()
	for key := range joined {
		c, err := connector.Connect(b.Context(), Target{Key: key, UID: key})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Nodes(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	perNode := float64(heap()-before) / 20000
	c, err := connector.Connect(b.Context(), Target{Key: "ns/c000", UID: "ns/c000"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Nodes(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(perNode, "bytes/node")
	for key := range joined {
		connector.Forget(key)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
