package executor

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// simulatedOptions plays the playbooks of the contract test.
func simulatedOptions(w *World) SimulatedOptions {
	return SimulatedOptions{
		World:   w,
		Latency: PlaybookLatency(map[string]time.Duration{playbookHold: 300 * time.Millisecond}, 10*time.Millisecond),
		Tasks:   func(Run) int { return 2 },
		Failure: func(r Run, host string) *Failure {
			if r.Playbook != playbookOdd || host != "b" && host != "c" {
				return nil
			}
			return &Failure{Message: "broken on " + host, Unreachable: host == "c"}
		},
		Outputs: func(Run) map[string]json.RawMessage {
			return map[string]json.RawMessage{"answer": json.RawMessage(`{"value":42}`)}
		},
	}
}

func TestSimulatedContractInOneWorld(t *testing.T) {
	contract(t, func(t *testing.T) *harness {
		w := NewWorld()
		return &harness{
			open:    func() Executor { return NewSimulated(simulatedOptions(w)) },
			crash:   func(e Executor) { _ = e.(*Simulated).Close() },
			release: func(string) {},
			kill:    func(name string) { mustLose(t, w, name) },
			outputs: true,
			noise:   func(string) string { return "" },
			wait:    10 * time.Second,
		}
	})
}

func TestSimulatedContractInADirectory(t *testing.T) {
	contract(t, func(t *testing.T) *harness {
		dir := t.TempDir()
		var w *World
		return &harness{
			open: func() Executor {
				var err error
				if w, err = OpenWorld(dir); err != nil {
					t.Fatal(err)
				}
				return NewSimulated(simulatedOptions(w))
			},
			crash:   func(Executor) { _ = w.Close() },
			release: func(string) {},
			kill:    func(name string) { mustLose(t, w, name) },
			outputs: true,
			noise: func(name string) string {
				if strings.HasPrefix(name, "remove") {
					return "" // the journal names it until it is compacted
				}
				return files(t, dir)
			},
			wait: 10 * time.Second,
		}
	})
}

func mustLose(t *testing.T, w *World, name string) {
	t.Helper()
	if err := w.Lose(name, "the worker is gone"); err != nil {
		t.Fatal(err)
	}
}

const groups = `all:
  children:
    etcd: {hosts: {e: {}}}
    control_plane: {hosts: {a: {ansible_host: 198.18.0.1}}}
    compute: {hosts: {b: , c: }}
`

func TestWorldKnowsWhoJoinedAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		told := map[string]int{}
		dir := t.TempDir()
		w, err := OpenWorld(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := NewSimulated(SimulatedOptions{
			World: w, Latency: FixedLatency(time.Minute),
			Failure: func(r Run, host string) *Failure {
				if r.Name == "op-1" && host == "c" {
					return &Failure{}
				}
				return nil
			},
			OnNodes: func(cluster string) { mu.Lock(); told[cluster]++; mu.Unlock() },
		})
		labels := map[string]string{LabelCluster: "shop"}
		start(t, s, Run{Name: "op-1", Playbook: "create", Hosts: []string{"a", "b", "c", "e"}, Inventory: []byte(groups), Labels: labels})
		if got := s.Joined("shop"); len(got) != 0 {
			t.Errorf("joined at once: %v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, s.Joined("shop")); diff != "" {
			t.Errorf("after create: %s", diff)
		}
		if diff := cmp.Diff([]string{"a", "b", "e"}, w.Succeeded("shop", "create")); diff != "" {
			t.Errorf("create succeeded on: %s", diff)
		}
		start(t, s, Run{Name: "op-2", Playbook: "scale", Hosts: []string{"c"}, Inventory: []byte(groups), Labels: labels})
		start(t, s, Run{Name: "op-3", Playbook: "remove", Hosts: []string{"b"}, Labels: labels})
		start(t, s, Run{Name: "op-4", Playbook: "verify", Hosts: []string{"z"}, Labels: labels})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // the operator is down
		if w, err = OpenWorld(dir); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", "c"}, w.Joined("shop")); diff != "" {
			t.Errorf("after scale and remove: %s", diff)
		}
		if told["shop"] != 1 {
			t.Errorf("OnNodes: %v", told)
		}
		_ = w.Close()
	})
}

func TestWorldSurvivesATornJournal(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		w, err := OpenWorld(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := NewSimulated(SimulatedOptions{World: w, Latency: FixedLatency(time.Hour)})
		start(t, s, run(fmt.Sprintf("op-%d", i), playbookGood))
		if _, err := w.journal.file.WriteString(`{"start": {"name": "torn"`); err != nil {
			t.Fatal(err)
		}
		for j := range i + 1 {
			if o, err := s.Observe(t.Context(), fmt.Sprintf("op-%d", j), 0); err != nil || o.Phase != Running {
				t.Errorf("round %d, op-%d: %v, %v", i, j, o.Phase, err)
			}
		}
		_ = w.Close()
	}
}

func TestSimulatedTellsManyHostsAtOnceOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		s := NewSimulated(SimulatedOptions{Latency: FixedLatency(time.Minute), OnChange: func(string) { told.Add(1) }})
		r := Run{Name: "big", Playbook: "scale", Labels: map[string]string{LabelCluster: "x"}}
		for i := range 1000 {
			r.Hosts = append(r.Hosts, fmt.Sprintf("h%d", i))
		}
		start(t, s, r)
		time.Sleep(time.Hour)
		synctest.Wait()
		if told.Load() != 2 {
			t.Errorf("told %d times, want once for the start and once for the end", told.Load())
		}
	})
}

func BenchmarkSimulated(b *testing.B) {
	for _, shape := range []struct{ runs, hosts int }{{200, 100}, {20000, 1}} {
		b.Run(fmt.Sprintf("%d-runs-of-%d-hosts", shape.runs, shape.hosts), func(b *testing.B) {
			hosts := make([]string, shape.hosts)
			for i := range hosts {
				hosts[i] = fmt.Sprintf("r%02d-u%02d", i/40, i%40)
			}
			b.ReportAllocs()
			for b.Loop() {
				benchmarkFleet(b, shape.runs, hosts)
			}
		})
	}
}

// benchmarkFleet starts all runs, observes each once at every change, and waits for all of them to end.
func benchmarkFleet(b *testing.B, runs int, hosts []string) {
	var s *Simulated
	var left sync.WaitGroup
	left.Add(runs)
	var ended sync.Map // a run may be told twice, and both times be seen at its end
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s = NewSimulated(SimulatedOptions{
		Latency: func(r Run, host string) time.Duration {
			return time.Duration(len(r.Name)+len(host)) * 10 * time.Millisecond
		},
		OnChange: func(name string) {
			if o, err := s.Observe(b.Context(), name, 0); err != nil {
				b.Error(err)
			} else if _, again := ended.LoadOrStore(name, o.Phase.Finished()); o.Phase.Finished() && (!again || ended.CompareAndSwap(name, false, true)) {
				left.Done()
			}
		},
	})
	for i := range runs {
		r := Run{Name: fmt.Sprintf("op-%d", i), Playbook: "scale", Hosts: hosts, Labels: map[string]string{LabelCluster: fmt.Sprintf("c%d", i)}}
		if err := s.Start(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	left.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(runs*len(hosts)), "B-kept/host")
	runtime.KeepAlive(s)
}
