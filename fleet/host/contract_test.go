package host

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// subject is one implementation with one host that nobody has taken yet.
type subject struct {
	prober  Prober
	address Address // nothing pinned
	// stamp gives the host stage stamps.
	stamp func(t *testing.T, stages map[string]string)
}

// wantKind wants an error of a kind and gives its text.
func wantKind(t *testing.T, err error, kind Kind) string {
	t.Helper()
	var problem *Error
	if !errors.As(err, &problem) || problem.Kind != kind {
		t.Fatalf("error %v, want one of kind %s", err, kind)
	}
	return problem.Error()
}

// pinnedAddress inspects for the first time and pins what was shown.
func (s subject) pinnedAddress(t *testing.T) Address {
	t.Helper()
	seen, err := s.prober.Inspect(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	a := s.address
	a.HostKey = seen.HostKey
	if a.Bastion != nil {
		bastion := *a.Bastion
		bastion.HostKey = seen.BastionHostKey
		a.Bastion = &bastion
	}
	return a
}

// testProber is what every Prober has to do.
func testProber(t *testing.T, s subject) {
	a := s.pinnedAddress(t)
	t.Run("wants a pinned key for all but the first inspection", func(t *testing.T) { s.testPinning(t) })
	t.Run("refuses a host with another key and shows both", func(t *testing.T) { s.testChangedKey(t, a) })
	t.Run("reports facts", func(t *testing.T) { s.testFacts(t, a) })
	t.Run("gives one of many takers the host", func(t *testing.T) { s.testRace(t, a) })
	t.Run("moves the lease by compare-and-set", func(t *testing.T) { s.testLease(t, a) })
	t.Run("is Unreachable once the context has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.prober.Ping(ctx, a)
		wantKind(t, err, Unreachable)
	})
}

func (s subject) testPinning(t *testing.T) {
	_, err := s.prober.Ping(t.Context(), s.address)
	wantKind(t, err, HostKeyMissing)
	_, err = s.prober.Take(t.Context(), s.address, 0, "cluster", "operation-1")
	wantKind(t, err, HostKeyMissing)
	wantKind(t, s.prober.Release(t.Context(), s.address, 0), HostKeyMissing)
}

func (s subject) testChangedKey(t *testing.T, a Address) {
	other := SimulatedHostKey(Address{Host: "other"})
	shown := a.HostKey
	a.HostKey = other
	_, pingErr := s.prober.Ping(t.Context(), a)
	_, inspectErr := s.prober.Inspect(t.Context(), a)
	for _, err := range []error{pingErr, inspectErr} {
		text := wantKind(t, err, HostKeyChanged)
		if !strings.Contains(text, Fingerprint(other)) || !strings.Contains(text, Fingerprint(shown)) {
			t.Errorf("%q does not name both keys", text)
		}
	}
}

func (s subject) testFacts(t *testing.T, a Address) {
	seen, err := s.prober.Inspect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	f := seen.Facts
	for name, missing := range map[string]bool{
		"OS": f.OS == "", "Architecture": f.Architecture == "", "Kernel": f.Kernel == "", "Hostname": f.Hostname == "",
		"CPUs": f.CPUs == 0, "MemoryBytes": f.MemoryBytes == 0, "DiskBytes": f.DiskBytes == 0, "DiskFreeBytes": f.DiskFreeBytes == 0,
		"Fsync": f.Fsync == 0, "CgroupVersion": f.CgroupVersion == 0, "MachineID": len(f.MachineID) != 32,
	} {
		if missing {
			t.Errorf("%s is missing in %+v", name, f)
		}
	}
	if f.ClockOffset.Abs().Seconds() > 5 {
		t.Errorf("the clock is off by %s", f.ClockOffset)
	}
}

func (s subject) testRace(t *testing.T, a Address) {
	before, err := s.prober.Ping(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	operations := []string{"race-a", "race-b", "race-c", "race-d"}
	won := make([]error, len(operations))
	leases := make([]Lease, len(operations))
	var wait sync.WaitGroup
	for i, operation := range operations {
		wait.Go(func() {
			leases[i], won[i] = s.prober.Take(t.Context(), a, before.Generation, "cluster-"+operation, operation)
		})
	}
	wait.Wait()
	after, err := s.prober.Ping(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for i := range operations {
		if leases[i] != after {
			t.Errorf("%s saw %+v, the host has %+v", operations[i], leases[i], after)
		}
		switch {
		case won[i] == nil:
			winners++
		case !errors.Is(won[i], ErrLeaseChanged):
			t.Errorf("%s: %v", operations[i], won[i])
		}
	}
	if winners != 1 || after.Generation != before.Generation+1 {
		t.Errorf("%d winners, generation %d after %d", winners, after.Generation, before.Generation)
	}
}

func (s subject) testLease(t *testing.T, a Address) {
	start, err := s.prober.Ping(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	g := start.Generation
	take := func(name string, expected int64, operation string, want Lease, wantErr error) {
		t.Helper()
		lease, err := s.prober.Take(t.Context(), a, expected, "cluster", operation)
		if !errors.Is(err, wantErr) || lease != want {
			t.Fatalf("%s: %+v, %v", name, lease, err)
		}
	}
	first := Lease{Generation: g + 1, Cluster: "cluster", Operation: "first-1"}
	take("taking", g, "first-1", first, nil)
	take("taking again", g, "first-1", first, nil)
	stages := map[string]string{"os_base": "sha256:aa", "etcd": "sha256:bb"}
	s.stamp(t, stages)
	take("taking with an old expectation", g, "second-1", first, ErrLeaseChanged)
	s.sees(t, a, first, stages)
	take("taking the next generation", g+1, "second-1", Lease{Generation: g + 2, Cluster: "cluster", Operation: "second-1"}, nil)
	if err := s.prober.Release(t.Context(), a, g+1); !errors.Is(err, ErrLeaseChanged) {
		t.Errorf("releasing an old generation: %v", err)
	}
	for range 2 {
		if err := s.prober.Release(t.Context(), a, g+2); err != nil {
			t.Fatalf("releasing: %v", err)
		}
	}
	s.sees(t, a, Lease{Generation: g + 2}, nil)
}

// sees wants an inspection to find a lease and stamps.
func (s subject) sees(t *testing.T, a Address, lease Lease, stages map[string]string) {
	t.Helper()
	seen, err := s.prober.Inspect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stages, seen.Stages); seen.Lease != lease || diff != "" {
		t.Errorf("inspected lease %+v, want %+v; stages (-want +got):\n%s", seen.Lease, lease, diff)
	}
}

func TestSimulatedContract(t *testing.T) {
	prober := NewSimulated(SimulatedOptions{})
	a := Address{Host: "198.18.0.10", User: "root", Bastion: &Address{Host: "198.18.0.2", User: "jump"}}
	testProber(t, subject{prober: prober, address: a, stamp: func(_ *testing.T, stages map[string]string) { prober.SetStages(a, stages) }})
}

func TestFakeContract(t *testing.T) {
	prober := NewFake()
	a := Address{Host: "198.18.0.10", Port: 2222, User: "root"}
	testProber(t, subject{prober: prober, address: a, stamp: func(_ *testing.T, stages map[string]string) { prober.SetStages(a, stages) }})
}
