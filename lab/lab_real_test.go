//go:build lab

package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary be its own relay and its own creator that is killed half-way.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "relay" {
		if err := relayMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 3 && os.Args[1] == "create" {
		if err := createMain(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func relayMain(args []string) error {
	var flags RelayFlags
	set := flag.NewFlagSet("relay", flag.ContinueOnError)
	set.StringVar(&flags.Listen, "listen", "", "")
	set.StringVar(&flags.To, "to", "", "")
	set.DurationVar(&flags.Delay, "delay", 0, "")
	if err := set.Parse(args); err != nil {
		return err
	}
	return Relay(context.Background(), flags)
}

func createMain(home, name string) error {
	l, err := New(Options{Name: name, Home: home, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return l.Create(context.Background(), Spec{Machines: 3})
}

// traces is all that a lab could leave on the host.
type traces struct {
	Mounts, Processes, Links, Cgroups, Loops, Runtime []string
}

// tracesOf looks at what carries the index, or lies below the data directory; other labs come and go meanwhile.
func tracesOf(t *testing.T, home string, index int) traces {
	t.Helper()
	var found traces
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range parseMounts(string(data)) {
		if strings.HasPrefix(m.point, home) || strings.HasPrefix(m.source, home) || m.point == netnsPath(index) {
			found.Mounts = append(found.Mounts, m.point)
		}
	}
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range cmdlines {
		line, _ := os.ReadFile(path)
		if strings.Contains(string(line), home) && !strings.Contains(path, "/"+strconv.Itoa(os.Getpid())+"/") {
			found.Processes = append(found.Processes, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Name == hostDev(index) {
			found.Links = append(found.Links, i.Name)
		}
	}
	host, err := DetectHost()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range host.Hierarchies {
		if exists(h.labCgroup(index)) {
			found.Cgroups = append(found.Cgroups, h.labCgroup(index))
		}
	}
	found.Loops = loopDevices(home)
	for _, path := range []string{netnsPath(index), newRegistry(host).claimPath(index)} {
		if exists(path) {
			found.Runtime = append(found.Runtime, path)
		}
	}
	return found
}

func expectNothingLeft(t *testing.T, home string, index int) {
	t.Helper()
	if diff := cmp.Diff(traces{}, tracesOf(t, home, index)); diff != "" {
		t.Errorf("the lab left something behind (-want +got):\n%s", diff)
	}
	names, err := Names(Options{Home: home})
	if err != nil || len(names) != 0 {
		t.Errorf("labs left: %v, %v", names, err)
	}
}

// home is a data directory that is removed only when nothing is mounted in it.
func newHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "slipway-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		names, _ := Names(Options{Home: home})
		for _, name := range names {
			if l, err := New(Options{Name: name, Home: home}); err == nil {
				if err := l.Delete(context.Background()); err != nil {
					t.Errorf("cleaning up: %v", err)
				}
			}
		}
		if err := os.RemoveAll(home); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	return home
}

func newLab(t *testing.T, home, name string, spec Spec) *Lab {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(Options{Name: name, Home: home, Progress: testWriter{t}, RelayCommand: []string{self, "relay"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Create(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	return l
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(data []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(data), "\n"))
	return len(data), nil
}

func mustExec(t *testing.T, l *Lab, machine string, command ...string) string {
	t.Helper()
	out, err := l.Exec(t.Context(), machine, command...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.Stdout)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition that a fault brings about a moment later.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := waitFor(ctx, func() (bool, error) { return ask(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func answers(l *Lab, machine string) bool {
	m, err := l.Machine(machine)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return sshGreets(ctx, net.JoinHostPort(m.Address, strconv.Itoa(m.Port)))
}

func TestLabMachinesAreSeparateAndReachable(t *testing.T) {
	home := newHome(t)
	l := newLab(t, home, "one", Spec{Machines: 3, User: "ops", Port: 2222, DiskBytes: 3 << 30, MemoryBytes: 512 << 20, WithoutPython: 1})
	if got := mustExec(t, l, "m1", "whoami"); got != "ops" {
		t.Errorf("user: %s", got)
	}
	if got := mustExec(t, l, "m1", "sudo", "-n", "id", "-u"); got != "0" {
		t.Errorf("sudo: uid %s", got)
	}
	var out strings.Builder
	must(t, l.ExecAs(t.Context(), "one-m2", "root", Streams{Out: &out}, "echo", "two  words", "$HOME"))
	if out.String() != "two  words $HOME\n" {
		t.Errorf("words changed on the way: %q", out.String())
	}
	unique := map[string]bool{}
	for _, m := range l.Machines() {
		unique[mustExec(t, l, m.Name, "cat", "/etc/machine-id")] = true
		unique[m.HostKey], unique[m.Address], unique[m.MAC] = true, true, true
		if got := mustExec(t, l, m.Name, "hostname"); got != m.Hostname {
			t.Errorf("hostname %s, want %s", got, m.Hostname)
		}
		if got := mustExec(t, l, m.Name, "cat", "/sys/class/net/eth0/address"); got != m.MAC {
			t.Errorf("MAC %s, want %s", got, m.MAC)
		}
	}
	if len(unique) != 12 {
		t.Errorf("machine ids, host keys, addresses and MACs: %d of 12 are different", len(unique))
	}
	blocks, err := strconv.Atoi(mustExec(t, l, "m1", "stat", "-f", "-c", "%b", "/"))
	if err != nil || blocks*4096 < 2<<30 || blocks*4096 > 3<<30 {
		t.Errorf("a disk of 3 GiB has %d blocks, %v", blocks, err)
	}
	_, err = l.Exec(t.Context(), "m3", "python3", "-V")
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 127 {
		t.Errorf("python3 on a machine without it: %v", err)
	}
	mustExec(t, l, "m2", "python3", "-c", "import socket; socket.create_connection(('"+l.Machines()[2].Address+"', 2222), 5)")
	if got := mustExec(t, l, "m1", "ip", "route", "show", "default"); !strings.Contains(got, "via "+l.Gateway()) {
		t.Errorf("default route: %s", got)
	}
	if got := mustExec(t, l, "m1", "systemctl", "is-system-running", "--wait"); got != "running" {
		t.Errorf("system state: %s", got)
	}
	limit, err := os.ReadFile(memoryFile(l, "m1"))
	if err != nil || strings.TrimSpace(string(limit)) != strconv.Itoa(512<<20) {
		t.Errorf("memory limit: %s, %v", limit, err)
	}
	index := l.state.Index
	must(t, l.Delete(t.Context()))
	expectNothingLeft(t, home, index)
	if err := l.Delete(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
}

func memoryFile(l *Lab, machine string) string {
	for _, dir := range l.memberDirs(machine) {
		for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
			if path := filepath.Join(dir, file); exists(path) {
				return path
			}
		}
	}
	return ""
}

func TestLabBastionIsTheOnlyWayIn(t *testing.T) {
	home := newHome(t)
	l := newLab(t, home, "dmz", Spec{Machines: 1, Bastion: true, User: "ops"})
	if got := mustExec(t, l, "m1", "sh", "-c", "echo $SSH_CLIENT | cut -d' ' -f1"); got != hostAddress(l.state.Index, bastionOctet) {
		t.Errorf("m1 sees %s, want the bastion", got)
	}
	m, err := l.Machine("m1")
	must(t, err)
	_, err = run(t.Context(), "", "ssh", "-F", l.SSHConfig(), "-o", "ProxyJump=none", "-l", "ops", m.Hostname, "true")
	if err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("around the bastion: %v", err)
	}
	text, err := l.Manifests(ManifestOptions{Namespace: "harbor"})
	must(t, err)
	if !strings.Contains(text, "  bastion:\n    address: "+hostAddress(l.state.Index, bastionOctet)+"\n    user: ops\n") {
		t.Errorf("manifest without bastion:\n%s", text)
	}
}

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
		{"delay adds time each way through the relay", delayFault},
		{"clock moves for sshd, python and sudo and comes back", clockFault},
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

func TestLabsLiveSideBySide(t *testing.T) {
	homes := []string{newHome(t), newHome(t)}
	labs := make([]*Lab, 2)
	done := make(chan error, 2)
	for i, home := range homes {
		go func() {
			l, err := New(Options{Name: "twin", Home: home})
			if err == nil {
				labs[i] = l
				err = l.Create(context.WithoutCancel(t.Context()), Spec{Machines: 1})
			}
			done <- err
		}()
	}
	must(t, errors.Join(<-done, <-done))
	if labs[0].CIDR() == labs[1].CIDR() {
		t.Fatalf("both labs use %s", labs[0].CIDR())
	}
	if _, err := labs[0].Exec(t.Context(), "m1", "timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/"+labs[1].Machines()[0].Address+"/22"); err == nil {
		t.Error("a machine reaches the other lab")
	}
	index := labs[0].state.Index
	must(t, labs[0].Delete(t.Context()))
	expectNothingLeft(t, homes[0], index)
	mustExec(t, labs[1], "m1", "true")
}

func TestLabCreationThatIsKilledLeavesNothingAfterDelete(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	// Each step is a file or directory that appears at some point of the creation.
	for _, step := range []string{"labs/torn/lock", "labs/torn/lab.json", "labs/torn/id_ed25519.pub", "labs/torn/machines/m1/disk.img",
		"labs/torn/machines/m1/boot.sh", "labs/torn/machines/m2/console.log", "labs/torn/machines/m3/console.log"} {
		for _, stale := range []bool{false, true} {
			t.Run(fmt.Sprintf("killed at %s, stale %t", filepath.Base(filepath.Dir(step))+"/"+filepath.Base(step), stale), func(t *testing.T) {
				killedCreation(t, self, step, stale)
			})
		}
	}
}

func killedCreation(t *testing.T, self, step string, stale bool) {
	home := newHome(t)
	process, err := os.StartProcess(self, []string{self, "create", home, "torn"}, &os.ProcAttr{Files: []*os.File{nil, os.Stderr, os.Stderr}})
	must(t, err)
	eventually(t, step, func() bool { return exists(filepath.Join(home, step)) })
	must(t, process.Kill())
	_, err = process.Wait()
	must(t, err)
	index := 0
	host, err := DetectHost()
	must(t, err)
	claims, err := newRegistry(host).claims()
	must(t, err)
	for _, c := range claims {
		if strings.HasPrefix(c.Dir, home) {
			index = c.Index
		}
	}
	if stale {
		if index == 0 {
			return // killed before it had claimed anything
		}
		_, err := DeleteStale(t.Context())
		must(t, err)
	} else {
		l, err := New(Options{Name: "torn", Home: home})
		must(t, err)
		must(t, l.Delete(t.Context()))
	}
	expectNothingLeft(t, home, max(index, 1))
}

func TestLabWhoseDirectoryIsGoneIsStale(t *testing.T) {
	home := newHome(t)
	l := newLab(t, home, "lost", Spec{Machines: 1})
	index := l.state.Index
	must(t, os.RemoveAll(l.Dir()))
	removed, err := DeleteStale(t.Context())
	must(t, err)
	if len(removed) == 0 || !strings.Contains(strings.Join(removed, "\n"), l.CIDR()) {
		t.Errorf("removed: %v", removed)
	}
	expectNothingLeft(t, home, index)
}
