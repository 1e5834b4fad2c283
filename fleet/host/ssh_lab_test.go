//go:build lab

package host

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab"
)

// practice makes a lab of its own that is gone when the test ends.
func practice(t *testing.T, spec lab.Spec) *lab.Lab {
	t.Helper()
	l, err := lab.New(lab.Options{Name: fmt.Sprintf("host%d", os.Getpid()%10000), Home: t.TempDir(), Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Delete(ctx); err != nil {
			t.Errorf("deleting the lab: %v", err)
		}
	})
	return l
}

func addressOf(t *testing.T, m lab.Machine) Address {
	t.Helper()
	key, err := os.ReadFile(m.KeyPath)
	if err != nil {
		t.Fatal(err)
	}
	return Address{Host: m.Address, Port: m.Port, User: m.User, Key: key}
}

func labProber(t *testing.T) *SSH {
	t.Helper()
	prober, err := NewSSH(SSHOptions{DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(prober.Close)
	return prober
}

func labSubject(t *testing.T, l *lab.Lab, name string) subject {
	m, err := l.Machine(name)
	if err != nil {
		t.Fatal(err)
	}
	a := addressOf(t, m)
	if jump, err := l.Machine("bastion"); err == nil {
		b := addressOf(t, jump)
		a.Bastion = &Address{Host: b.Host, Port: b.Port, User: b.User}
	}
	return subject{prober: labProber(t), address: a, stamp: func(t *testing.T, stages map[string]string) {
		for stage, digest := range stages {
			run(t, l, name, fmt.Sprintf("mkdir -p /var/lib/slipway/stages && echo %s >/var/lib/slipway/stages/%s", digest, stage))
		}
	}}
}

func run(t *testing.T, l *lab.Lab, name, script string) string {
	t.Helper()
	var out strings.Builder
	if err := l.Console(t.Context(), name, lab.Streams{Out: &out, Err: os.Stderr}, "/bin/sh", "-c", script); err != nil {
		t.Fatalf("running %q: %v", script, err)
	}
	return out.String()
}

func TestLabMachines(t *testing.T) {
	l := practice(t, lab.Spec{Machines: 2, WithoutPython: 1})
	t.Run("contract", func(t *testing.T) { testProber(t, labSubject(t, l, "m1")) })
	t.Run("take ends what an older generation runs", func(t *testing.T) { testTakeEnds(t, l) })
	t.Run("sees a host without Python", func(t *testing.T) { testWithoutPython(t, l) })
	t.Run("sees leftovers", func(t *testing.T) { testLeftovers(t, l) })
	t.Run("sees a wrong clock", func(t *testing.T) { testClock(t, l) })
	t.Run("is Unreachable without power", func(t *testing.T) {
		a := labSubject(t, l, "m1").pinnedAddress(t)
		if err := l.PowerOff(t.Context(), "m1"); err != nil {
			t.Fatal(err)
		}
		_, err := labProber(t).Ping(t.Context(), a)
		wantKind(t, err, Unreachable)
	})
}

func testTakeEnds(t *testing.T, l *lab.Lab) {
	s := labSubject(t, l, "m1")
	a := s.pinnedAddress(t)
	lease, err := s.prober.Ping(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.prober.Take(t.Context(), a, lease.Generation, "cluster", "old-1")
	if err != nil {
		t.Fatal(err)
	}
	run(t, l, "m1", fmt.Sprintf("setsid /var/lib/slipway/fence run %d old-1 -- sh -c 'trap \"\" TERM; exec sleep 3600' >/dev/null 2>&1 & "+
		"until pgrep -f 'sleep 360[0]'; do sleep 0.1; done", old.Generation))
	if _, err := s.prober.Take(t.Context(), a, old.Generation, "cluster", "new-1"); err != nil {
		t.Fatal(err)
	}
	if left := run(t, l, "m1", "pgrep -f 'sleep 360[0]' || true"); strings.TrimSpace(left) != "" {
		t.Errorf("still there: %s", left)
	}
	if refused := run(t, l, "m1", fmt.Sprintf("/var/lib/slipway/fence run %d old-1 -- true 2>&1; echo code $?", old.Generation)); !strings.Contains(refused, "code 76") {
		t.Errorf("an older generation may still run commands: %s", refused)
	}
}

func testWithoutPython(t *testing.T, l *lab.Lab) {
	for _, name := range []string{"m1", "m2"} {
		m, err := l.Machine(name)
		if err != nil {
			t.Fatal(err)
		}
		s := labSubject(t, l, name)
		seen, err := s.prober.Inspect(t.Context(), s.address)
		if err != nil {
			t.Fatal(err)
		}
		if seen.HostKey != m.HostKey {
			t.Errorf("host key %q, want %q", seen.HostKey, m.HostKey)
		}
		if got := seen.Facts.Python != ""; got != m.Python {
			t.Errorf("%s: Python %q, the machine has it: %v", name, seen.Facts.Python, m.Python)
		}
		if len(seen.Facts.Leftovers) > 0 {
			t.Errorf("leftovers on a bare machine: %v", seen.Facts.Leftovers)
		}
	}
}

func testLeftovers(t *testing.T, l *lab.Lab) {
	run(t, l, "m2", "mkdir -p /etc/kubernetes/manifests /var/lib/kubelet/pods/x && ip link add cni0 type bridge && "+
		"mount -t tmpfs none /var/lib/kubelet/pods/x && "+
		"cp /bin/sleep /run/kubelet && (setsid /run/kubelet 3600 >/dev/null 2>&1 &)")
	s := labSubject(t, l, "m2")
	seen, err := s.prober.Inspect(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"files in /etc/kubernetes", "mount /var/lib/kubelet/pods/x", "network device cni0", "process kubelet"} {
		if !slices.Contains(seen.Facts.Leftovers, want) {
			t.Errorf("%q is not among %q", want, seen.Facts.Leftovers)
		}
	}
}

func testClock(t *testing.T, l *lab.Lab) {
	if err := l.SetClock(t.Context(), "m2", time.Minute); err != nil {
		t.Fatal(err)
	}
	s := labSubject(t, l, "m2")
	seen, err := s.prober.Inspect(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	if off := seen.Facts.ClockOffset - time.Minute; off.Abs() > 2*time.Second {
		t.Errorf("offset %s, want 1m0s", seen.Facts.ClockOffset)
	}
}

func TestLabBastion(t *testing.T) {
	l := practice(t, lab.Spec{Machines: 1, Bastion: true, User: "ops", Port: 2222})
	testProber(t, labSubject(t, l, "m1"))
}

func TestLabFullDisk(t *testing.T) {
	l := practice(t, lab.Spec{Machines: 1})
	s := labSubject(t, l, "m1")
	a := s.pinnedAddress(t)
	if err := l.FillDisk(t.Context(), "m1", 0); err != nil {
		t.Fatal(err)
	}
	seen, err := s.prober.Inspect(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Facts.DiskFreeBytes > 64<<20 {
		t.Errorf("%d bytes are free on a full disk", seen.Facts.DiskFreeBytes)
	}
	_, err = s.prober.Take(t.Context(), a, 0, "cluster", "operation-1")
	if err == nil {
		t.Fatal("a host without space was taken")
	}
	wantKind(t, err, Faulty)
}
