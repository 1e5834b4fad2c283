//go:build lab

package lab

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLabFaultsHurtAndHeal(t *testing.T) {
	home := newHome(t)
	l := newLab(t, home, "hurt", Spec{Machines: 2, DiskBytes: 2 << 30})
	for _, c := range []struct {
		name string
		test func(*testing.T, *Lab)
	}{
		{"power-off loses what was not synced and keeps what was", powerFault},
		{"unplug cuts the machine off and the console still works", cableFault},
		{"freeze stops processes until thaw", freezeFault},
		{"fill-disk leaves the space that was asked for", diskFault},
		{"rate slows both ways", rateFault},
		{"slow takes cores away and gives them back", slowFault},
		{"delay adds time each way through the relay", delayFault},
		{"clock moves for sshd, python and sudo and comes back", clockFault},
		{"reboot from inside comes back by itself", rebootInside},
		{"heal ends all faults at once", healFault},
		{"kill -9 of the supervisor leaves a machine that can still be cut off and booted", supervisorFault},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, l) })
	}
	index := l.state.Index
	must(t, l.Freeze(t.Context(), "m1"))
	must(t, l.Delete(t.Context()))
	expectNothingLeft(t, home, index)
}

func faults(t *testing.T, l *Lab, machine string) []string {
	t.Helper()
	reopened, err := Open(l.opts)
	must(t, err)
	m, err := reopened.Machine(machine)
	must(t, err)
	return m.Faults
}

func powerFault(t *testing.T, l *Lab) {
	mustExec(t, l, "m1", "sh", "-c", "echo kept > /root/synced; sync; echo lost > /root/unsynced")
	before := mustExec(t, l, "m1", "cat", "/etc/machine-id")
	must(t, l.PowerOff(t.Context(), "m1"))
	m, err := l.Machine("m1")
	must(t, err)
	if m.Running || answers(l, "m1") || !slices.Equal(faults(t, l, "m1"), []string{faultPower}) {
		t.Errorf("after power-off: running %t, faults %v", m.Running, m.Faults)
	}
	if pids := cgroupPIDs(l.memberDirs("m1")); len(pids) != 0 {
		t.Errorf("processes left: %v", pids)
	}
	if err := l.Freeze(t.Context(), "m1"); err == nil {
		t.Error("froze a machine without power")
	}
	must(t, l.PowerOn(t.Context(), "m1"))
	if got := mustExec(t, l, "m1", "sh", "-c", "cat /root/synced; cat /root/unsynced 2>/dev/null || true"); got != "kept" {
		t.Errorf("disk after the power cut: %q", got)
	}
	if after := mustExec(t, l, "m1", "cat", "/etc/machine-id"); after != before || len(faults(t, l, "m1")) != 0 {
		t.Errorf("machine-id %s, was %s; faults %v", after, before, faults(t, l, "m1"))
	}
}

func cableFault(t *testing.T, l *Lab) {
	must(t, l.Unplug(t.Context(), "m1"))
	eventually(t, "unplug", func() bool { return !answers(l, "m1") })
	var out strings.Builder
	must(t, l.Console(t.Context(), "m1", Streams{Out: &out}, "cat", "/sys/class/net/eth0/carrier"))
	if strings.TrimSpace(out.String()) != "0" {
		t.Errorf("carrier: %s", out.String())
	}
	must(t, l.Plug(t.Context(), "m1"))
	eventually(t, "plug", func() bool { return answers(l, "m1") })
}

func freezeFault(t *testing.T, l *Lab) {
	must(t, l.Freeze(t.Context(), "m1"))
	if answers(l, "m1") {
		t.Error("a frozen sshd greets")
	}
	must(t, l.Thaw(t.Context(), "m1"))
	mustExec(t, l, "m1", "true")
}

func freeBytes(t *testing.T, l *Lab) int64 {
	t.Helper()
	blocks, err := strconv.ParseInt(mustExec(t, l, "m1", "stat", "-f", "-c", "%f", "/"), 10, 64)
	must(t, err)
	size, err := strconv.ParseInt(mustExec(t, l, "m1", "stat", "-f", "-c", "%S", "/"), 10, 64)
	must(t, err)
	return blocks * size
}

func diskFault(t *testing.T, l *Lab) {
	before := freeBytes(t, l)
	must(t, l.FillDisk(t.Context(), "m1", 10<<20))
	if free := freeBytes(t, l); free > 20<<20 {
		t.Errorf("%d bytes free, want about 10 MiB", free)
	}
	if _, err := l.Exec(t.Context(), "m1", "dd", "if=/dev/zero", "of=/root/big", "bs=1M", "count=30"); err == nil {
		t.Error("30 MiB fit on a disk with 10 MiB free")
	}
	mustExec(t, l, "m1", "rm", "/root/big")
	must(t, l.FreeDisk(t.Context(), "m1"))
	if free := freeBytes(t, l); free < before-(32<<20) {
		t.Errorf("%d bytes free after healing, were %d", free, before)
	}
}

// transfer measures how long 2 MiB take from a machine to this host.
func transfer(t *testing.T, l *Lab) time.Duration {
	t.Helper()
	began := time.Now()
	out, err := l.Exec(t.Context(), "m1", "head", "-c", "2097152", "/dev/zero")
	must(t, err)
	if len(out.Stdout) != 2<<20 {
		t.Fatalf("%d bytes arrived", len(out.Stdout))
	}
	return time.Since(began)
}

func rateFault(t *testing.T, l *Lab) {
	fast := transfer(t, l)
	must(t, l.LimitRate(t.Context(), "m1", 512<<10))
	slow := transfer(t, l)
	if slow < 2*time.Second || slow < 2*fast {
		t.Errorf("2 MiB at 512 KiB/s took %s (without limit %s)", slow, fast)
	}
	began := time.Now()
	must(t, l.ExecAs(t.Context(), "m1", "", Streams{In: strings.NewReader(strings.Repeat("x", 2<<20))}, "cat"))
	if up := time.Since(began); up < 2*time.Second {
		t.Errorf("2 MiB to the machine at 512 KiB/s took %s", up)
	}
	must(t, l.LimitRate(t.Context(), "m1", 0))
	must(t, l.LimitRate(t.Context(), "m1", 0))
	if healed := transfer(t, l); healed > slow/2 {
		t.Errorf("2 MiB took %s after healing", healed)
	}
}

func slowFault(t *testing.T, l *Lab) {
	work := func() time.Duration {
		began := time.Now()
		mustExec(t, l, "m1", "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
		return time.Since(began)
	}
	fast := work()
	must(t, l.LimitCores(t.Context(), "m1", 0.1))
	if got := faults(t, l, "m1"); !slices.Equal(got, []string{faultSlow}) {
		t.Errorf("faults %v", got)
	}
	slow := work()
	if slow < 3*fast {
		t.Errorf("with a tenth of a core the same work took %s instead of %s", slow, fast)
	}
	must(t, l.LimitCores(t.Context(), "m1", 0))
	if healed := work(); healed > slow/2 {
		t.Errorf("the work took %s after healing", healed)
	}
	if err := l.LimitCores(t.Context(), "m1", -1); err == nil {
		t.Error("took a negative number of cores")
	}
}

func greeting(t *testing.T, address string) time.Duration {
	t.Helper()
	began := time.Now()
	if !sshGreets(t.Context(), address) {
		t.Fatalf("no greeting from %s", address)
	}
	return time.Since(began)
}

func delayFault(t *testing.T, l *Lab) {
	address, err := l.Delay(t.Context(), "m1", 0, 400*time.Millisecond)
	must(t, err)
	if took := greeting(t, address); took < 400*time.Millisecond {
		t.Errorf("greeting after %s", took)
	}
	if got := faults(t, l, "m1"); !slices.Equal(got, []string{faultDelay}) {
		t.Errorf("faults: %v", got)
	}
	must(t, l.StopRelays(t.Context(), "m1"))
	eventually(t, "end of the relay", func() bool { return !sshGreets(t.Context(), address) })
}

func skew(t *testing.T, l *Lab, command ...string) time.Duration {
	t.Helper()
	seconds, err := strconv.ParseInt(mustExec(t, l, "m1", command...), 10, 64)
	must(t, err)
	return time.Until(time.Unix(seconds, 0))
}

func clockFault(t *testing.T, l *Lab) {
	commands := [][]string{{"date", "+%s"}, {"python3", "-c", "import time; print(int(time.time()))"}, {"runuser", "-u", "ops", "--", "sudo", "date", "+%s"}}
	for _, offset := range []time.Duration{90 * time.Second, -time.Hour} {
		must(t, l.SetClock(t.Context(), "m1", offset))
		for _, command := range commands {
			if got := skew(t, l, command...); (got - offset).Abs() > 5*time.Second {
				t.Errorf("%v: %s off, want %s", command, got, offset)
			}
		}
	}
	must(t, l.SetClock(t.Context(), "m1", 0))
	for _, command := range commands {
		if got := skew(t, l, command...); got.Abs() > 5*time.Second {
			t.Errorf("%v: %s off after healing", command, got)
		}
	}
}

func rebootInside(t *testing.T, l *Lab) {
	boots := func() string {
		out, err := l.Exec(t.Context(), "m2", "sh", "-c", "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait")
		if err != nil {
			return ""
		}
		return out.Stdout
	}
	for range 2 {
		before := boots()
		_, _ = l.Exec(t.Context(), "m2", "systemctl", "reboot") // the connection may break before the answer
		eventually(t, "reboot", func() bool { now := boots(); return now != "" && now != before && strings.HasSuffix(now, "running\n") })
	}
	var out strings.Builder
	must(t, l.Console(t.Context(), "m2", Streams{Out: &out}, "cat", "/proc/self/cgroup"))
	if strings.Contains(out.String(), "slipway-lab") {
		t.Errorf("the console is outside the machine's cgroups:\n%s", out.String())
	}
}

func healFault(t *testing.T, l *Lab) {
	must(t, l.FillDisk(t.Context(), "m1", 50<<20))
	must(t, l.SetClock(t.Context(), "m1", time.Minute))
	must(t, l.LimitRate(t.Context(), "m1", 1<<20))
	must(t, l.Unplug(t.Context(), "m1"))
	_, err := l.Delay(t.Context(), "m2", 0, time.Millisecond)
	must(t, err)
	must(t, l.Freeze(t.Context(), "m1"))
	must(t, l.PowerOff(t.Context(), "m2"))
	for _, machine := range []string{"m1", "m2"} {
		must(t, l.Heal(t.Context(), machine))
		if got := faults(t, l, machine); len(got) != 0 {
			t.Errorf("faults of %s after healing: %v", machine, got)
		}
		mustExec(t, l, machine, "true")
	}
	if got := skew(t, l, "date", "+%s"); got.Abs() > 5*time.Second {
		t.Errorf("%s off after healing", got)
	}
}

func supervisorFault(t *testing.T, l *Lab) {
	m, err := l.find("m2")
	must(t, err)
	supervisor := m.Process
	must(t, syscall.Kill(supervisor.PID, syscall.SIGKILL))
	eventually(t, "death of the supervisor", func() bool { return !supervisor.alive() })
	must(t, l.PowerOff(t.Context(), "m2"))
	if pids := cgroupPIDs(l.memberDirs("m2")); len(pids) != 0 || answers(l, "m2") {
		t.Errorf("processes left: %v", pids)
	}
	must(t, l.PowerOn(t.Context(), "m2"))
	mustExec(t, l, "m2", "true")
	// Then both at once, as an out-of-memory killer would.
	m, err = l.find("m2")
	must(t, err)
	leader, err := l.leader(m)
	must(t, err)
	must(t, syscall.Kill(leader, syscall.SIGKILL))
	eventually(t, "death of the machine", func() bool { return !answers(l, "m2") && !l.hasPower(m) })
	must(t, l.PowerOn(t.Context(), "m2"))
	mustExec(t, l, "m2", "true")
}
