package lab

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

func TestSpecValidate(t *testing.T) {
	valid := Spec{Machines: 3}.defaulted()
	for _, c := range []struct {
		name   string
		change func(*Spec)
		want   string
	}{
		{"accepts the defaults", func(*Spec) {}, ""},
		{"accepts machines that all lack Python", func(s *Spec) { s.WithoutPython = 3 }, ""},
		{"refuses an empty lab", func(s *Spec) { s.Machines = 0 }, "machines: 0"},
		{"refuses more machines than addresses", func(s *Spec) { s.Machines = 201 }, "machines: 201"},
		{"refuses a disk that the image does not fit on", func(s *Spec) { s.DiskBytes = 1 << 20 }, "disk: 1048576"},
		{"refuses memory that systemd does not fit in", func(s *Spec) { s.MemoryBytes = 1 << 20 }, "memory: 1048576"},
		{"refuses a user that does not exist", func(s *Spec) { s.User = "admin" }, `user: "admin"`},
		{"refuses a port out of range", func(s *Spec) { s.Port = 70000 }, "port: 70000"},
		{"refuses more machines without Python than machines", func(s *Spec) { s.WithoutPython = 4 }, "without Python: 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := valid
			c.change(&spec)
			err := spec.validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestValidateLabName(t *testing.T) {
	for name, valid := range map[string]bool{"dev": true, "a": true, "a-1": true, "": false, "Dev": false, "-a": false, "a-": false, "1a": false,
		"../a": false, "a/b": false, strings.Repeat("a", 20): true, strings.Repeat("a", 21): false} {
		if got := validateLabName(name) == nil; got != valid {
			t.Errorf("%q: valid %t, want %t", name, got, valid)
		}
	}
}

func TestPlanMachines(t *testing.T) {
	spec := Spec{Machines: 3, Bastion: true, User: "ops", Port: 2222, WithoutPython: 1, MemoryBytes: 1 << 30}.defaulted()
	data, err := json.MarshalIndent(planMachines("dev", 7, spec), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/machines.json", string(data)+"\n")
}

func TestPlanMachinesGivesTheLargestLabsDifferentAddressesOfTheirNetwork(t *testing.T) {
	spec := Spec{Machines: MaxMachines, Bastion: true}.defaulted()
	for _, index := range []int{firstIndex, lastIndex} {
		seen := map[string]bool{gatewayAddress(index): true}
		network := netip.MustParsePrefix(networkCIDR(index))
		for _, m := range planMachines("big", index, spec) {
			address, err := netip.ParseAddr(m.Address)
			if err != nil || !network.Contains(address) || address.As4()[3] == 255 {
				t.Errorf("%s: %s is no host address of %s", m.Name, m.Address, network)
			}
			if seen[m.Address] || seen[m.MAC] || seen[m.Name] {
				t.Errorf("%s: %s %s is taken", m.Name, m.Address, m.MAC)
			}
			if len(portDev(m.Name)) > 15 {
				t.Errorf("%s: the kernel does not take %s as the name of a link", m.Name, portDev(m.Name))
			}
			seen[m.Address], seen[m.MAC], seen[m.Name] = true, true, true
		}
	}
}
