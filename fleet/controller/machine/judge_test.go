package machine

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/host"
	"k8s.io/utils/ptr"
)

func good() host.Facts { return host.GoodFacts(host.Address{Host: "198.18.0.1"}) }

func TestJudge(t *testing.T) {
	cases := map[string]struct {
		change func(*host.Facts)
		reason string
		words  string
	}{
		"takes a good host":                 {func(*host.Facts) {}, "", ""},
		"takes a point release":             {func(f *host.Facts) { f.OS = "Debian 12.5" }, "", ""},
		"takes the last second":             {func(f *host.Facts) { f.ClockOffset = -30 * time.Second }, "", ""},
		"refuses another processor":         {func(f *host.Facts) { f.Architecture = "riscv64" }, v1alpha1.ReasonUnsupportedHost, "riscv64"},
		"refuses another system":            {func(f *host.Facts) { f.OS = "Debian 121" }, v1alpha1.ReasonUnsupportedHost, "Debian 121"},
		"refuses a host without Python":     {func(f *host.Facts) { f.Python = "" }, v1alpha1.ReasonNoPython, "install Python"},
		"refuses an old Python":             {func(f *host.Facts) { f.Python = "3.8.10" }, v1alpha1.ReasonNoPython, "3.8.10"},
		"refuses Python 2":                  {func(f *host.Facts) { f.Python = "2.27" }, v1alpha1.ReasonNoPython, "2.27"},
		"refuses a full disk":               {func(f *host.Facts) { f.DiskFreeBytes = 4<<30 - 1 }, v1alpha1.ReasonNoSpace, "4.0 GiB"},
		"refuses a clock that is behind":    {func(f *host.Facts) { f.ClockOffset = -31 * time.Second }, v1alpha1.ReasonClockSkew, "30 s"},
		"refuses what a cluster left":       {func(f *host.Facts) { f.Leftovers = []string{"/etc/kubernetes"} }, v1alpha1.ReasonLeftovers, "/etc/kubernetes"},
		"refuses a port that is taken":      {func(f *host.Facts) { f.PortsInUse = []int{6443} }, v1alpha1.ReasonLeftovers, "6443"},
		"names what matters first of three": {func(f *host.Facts) { f.Python, f.DiskFreeBytes, f.Leftovers = "", 0, []string{"x"} }, v1alpha1.ReasonNoPython, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := good()
			c.change(&f)
			got := Requirements{}.withDefaults().judge(f)
			if got.Reason != c.reason || !strings.Contains(got.Message, c.words) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestFactsStayWhileTheyAreNear(t *testing.T) {
	first := good()
	first.ClockOffset = 5 * time.Second
	before := facts(first, nil)
	again := first
	again.DiskFreeBytes -= 1 << 29
	again.ClockOffset += time.Second
	again.Fsync += 100 * time.Microsecond
	if diff := cmp.Diff(before, facts(again, before)); diff != "" {
		t.Errorf("noise is worth a write: %s", diff)
	}
	again.DiskFreeBytes /= 2
	again.ClockOffset += time.Minute
	again.Fsync *= 10
	got := facts(again, before)
	if *got.DiskFreeBytes != again.DiskFreeBytes || *got.ClockOffsetSeconds != 66 || got.FsyncMicroseconds != again.Fsync.Microseconds() {
		t.Errorf("a real change was lost: %+v", got)
	}
}

func TestFactsFitTheAPI(t *testing.T) {
	f := host.Facts{MachineID: strings.Repeat("a", 100), CgroupVersion: 7, CPUs: -1, Leftovers: []string{"b", "a", "", "b"}, PortsInUse: []int{6443, 80, 80}}
	for range 100 {
		f.Security = append(f.Security, strings.Repeat("s", 100))
	}
	got := facts(f, nil)
	want := &v1alpha1.MachineFacts{
		MachineID: strings.Repeat("a", 64), Leftovers: []string{"a", "b"}, Security: []string{strings.Repeat("s", 64)}, PortsInUse: []int32{80, 6443},
		DiskFreeBytes: ptr.To(int64(0)), ClockOffsetSeconds: ptr.To(int64(0)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFingerprintFollowsWhatAVisitDependsOn(t *testing.T) {
	m := func(change func(*v1alpha1.Machine)) *v1alpha1.Machine {
		out := &v1alpha1.Machine{Spec: v1alpha1.MachineSpec{Address: "a", Port: 22, User: "root", SSHKeySecretName: "key"}}
		change(out)
		return out
	}
	base := fingerprint(m(func(*v1alpha1.Machine) {}))
	for name, change := range map[string]func(*v1alpha1.Machine){
		"address":    func(m *v1alpha1.Machine) { m.Spec.Address = "b" },
		"port":       func(m *v1alpha1.Machine) { m.Spec.Port = 23 },
		"user":       func(m *v1alpha1.Machine) { m.Spec.User = "ops" },
		"key":        func(m *v1alpha1.Machine) { m.Spec.SSHKeySecretName = "other" },
		"host key":   func(m *v1alpha1.Machine) { m.Spec.HostKey = "ssh-ed25519 A" },
		"bastion":    func(m *v1alpha1.Machine) { m.Spec.Bastion = &v1alpha1.Bastion{Address: "b"} },
		"claim":      func(m *v1alpha1.Machine) { m.Spec.ClaimRef = &v1alpha1.ClaimRef{} },
		"quarantine": func(m *v1alpha1.Machine) { m.Spec.Quarantine = &v1alpha1.Quarantine{} },
		"request":    func(m *v1alpha1.Machine) { m.Annotations = map[string]string{v1alpha1.InspectAnnotation: "now"} },
	} {
		if fingerprint(m(change)) == base {
			t.Errorf("a change of the %s goes unseen", name)
		}
	}
	if fingerprint(m(func(m *v1alpha1.Machine) { m.Labels = map[string]string{"rack": "7"}; m.Status.Phase = "Idle" })) != base {
		t.Error("labels and status are worth a visit")
	}
}
