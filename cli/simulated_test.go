package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/host"
)

func TestSimulatedHostsRememberTheirLease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases")
	hosts, err := openSimulatedHosts(path)
	if err != nil {
		t.Fatal(err)
	}
	address := host.Address{Host: "198.18.0.7", Port: 22}
	address.HostKey = host.SimulatedHostKey(address)
	free := address
	free.Host = "198.18.0.8"
	free.HostKey = host.SimulatedHostKey(free)
	want, err := hosts.Take(t.Context(), address, 0, "cluster", "operation")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hosts.Take(t.Context(), free, 0, "cluster", "operation"); err != nil {
		t.Fatal(err)
	}
	if err := hosts.Release(t.Context(), free, 1); err != nil {
		t.Fatal(err)
	}
	if err := hosts.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"host":"198.18.0.7","lease":{"gener`); err != nil { // a kill in the middle of a line
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openSimulatedHosts(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for a, lease := range map[*host.Address]host.Lease{&address: want, &free: {Generation: 1}} {
		got, err := again.Ping(t.Context(), *a)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lease, got); diff != "" {
			t.Errorf("lease of %s after a restart:\n%s", a.Host, diff)
		}
	}
	if _, err := again.Take(t.Context(), free, 1, "other", "next"); err != nil {
		t.Errorf("a host cannot be taken after a line was cut off: %v", err)
	}
}

func TestTaskCounts(t *testing.T) {
	counts := taskCounts()
	if n := counts("scale", v1alpha1.RoleCompute); n == 0 || n != counts("scale", v1alpha1.RoleCompute) {
		t.Errorf("tasks of scale on a worker: %d", n)
	}
	if n := counts("playbook-of-a-site", v1alpha1.RoleCompute); n != 0 {
		t.Errorf("tasks of an unknown entry point: %d, want 0", n)
	}
}
