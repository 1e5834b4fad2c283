package host

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSimulatedFailures(t *testing.T) {
	bad := Address{Host: "198.18.0.11"}
	worse := Address{Host: "198.18.0.12"}
	down := &Error{Kind: Unreachable, Err: errors.New("powered off")}
	prober := NewSimulated(SimulatedOptions{Latency: time.Millisecond, Fail: func(a Address) error {
		if a.Host == worse.Host {
			return down
		}
		return nil
	}})
	prober.Fail(bad, down)
	for _, a := range []Address{bad, worse} {
		if _, err := prober.Inspect(t.Context(), a); !errors.Is(err, down) {
			t.Errorf("Inspect(%s) = %v", a, err)
		}
	}
	prober.Fail(bad, nil)
	facts := GoodFacts(bad)
	facts.Leftovers = []string{"files in /etc/kubernetes"}
	prober.SetFacts(bad, facts)
	seen, err := prober.Inspect(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(facts, seen.Facts); diff != "" {
		t.Error(diff)
	}
}

func TestFakeRecords(t *testing.T) {
	fake := NewFake()
	a := Address{Host: "198.18.0.10", HostKey: SimulatedHostKey(Address{Host: "198.18.0.10"})}
	wanted := errors.New("next")
	fake.NextErr(wanted)
	if _, err := fake.Ping(t.Context(), a); !errors.Is(err, wanted) {
		t.Errorf("Ping() = %v", err)
	}
	if _, err := fake.Take(t.Context(), a, 0, "c", "o"); err != nil {
		t.Error(err)
	}
	want := []Call{
		{Method: "Ping", Address: "198.18.0.10:22"},
		{Method: "Take", Address: "198.18.0.10:22", Cluster: "c", Operation: "o"},
	}
	if diff := cmp.Diff(want, fake.Calls()); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkSimulatedHosts prints what a taken host costs in memory.
func BenchmarkSimulatedHosts(b *testing.B) {
	for b.Loop() {
		prober := NewSimulated(SimulatedOptions{})
		before := heap()
		for i := range 20000 {
			a := Address{Host: fmt.Sprintf("198.18.%d.%d", i/250, i%250)}
			a.HostKey = SimulatedHostKey(a)
			if _, err := prober.Take(b.Context(), a, 0, "5b0c6f8e-6f0f-4b6e-9a55-0d6d0f1a2b3c", "operation-1"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/20000, "bytes/host")
		runtime.KeepAlive(prober)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
