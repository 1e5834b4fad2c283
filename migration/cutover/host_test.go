package cutover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/ssh"
	"github.com/slipway-dev/slipway/ssh/sshtest"
)

// machine is a host behind SSH, whose shell is that of this one.
type machine struct {
	host *Host
	disk *routed
	// path is searched before the others; cut is after how many bytes of a script the link breaks, 0 never; lines are the commands that ran.
	path  string
	cut   int
	lines []string
}

func newMachine(t *testing.T, dir string) *machine {
	t.Helper()
	m := &machine{}
	key, hostKey := sshtest.NewKey(t), sshtest.NewKey(t)
	s := sshtest.Start(t, sshtest.Options{HostKeys: []gossh.Signer{hostKey.Signer}, Authorized: key.Authorized, Handle: m.handle})
	file := filepath.Join(dir, "ssh-key")
	if err := os.WriteFile(file, key.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	m.host = &Host{Address: s.Host, Port: s.Port, User: "slipway", KeyFile: file, KnownHostKey: hostKey.Authorized}
	dialer := ssh.NewDialer(ssh.Options{})
	t.Cleanup(dialer.Close)
	m.disk = &routed{disk: osDisk{}, ctx: t.Context(), dialer: dialer, hosts: map[string]*Host{m.host.name(): m.host}}
	return m
}

func (m *machine) handle(ctx context.Context, e sshtest.Exec) int {
	m.lines = append(m.lines, e.Line)
	script, _ := io.ReadAll(e.Stdin)
	if m.cut > 0 && len(script) > m.cut {
		script = script[:m.cut]
	}
	cmd := exec.CommandContext(ctx, "sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(script), e.Stdout, e.Stderr
	cmd.Env = []string{"PATH=" + m.path + ":" + os.Getenv("PATH"), "ELEVATED=" + map[bool]string{true: "yes"}[e.Line != "sh"]}
	if err := cmd.Run(); err != nil {
		return max(cmd.ProcessState.ExitCode(), 1)
	}
	return 0
}

func (m *machine) name(file string) string { return m.host.name() + file }

func write(t *testing.T, file, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestHostFileIsReplacedWithItsMode(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, t.TempDir())
	file := filepath.Join(dir, "it's a file.yml")
	write(t, file, "old\n", 0o640)
	link := filepath.Join(dir, "link.yml")
	if err := os.Symlink(filepath.Base(file), link); err != nil {
		t.Fatal(err)
	}
	const text = "new $HOME `id` \\\n'THE-END-OF-THE-TEXT'\nTHE-END-OF-THE-TEXT\nno end of a line"
	if err := m.disk.replace(m.name(link), []byte(text)); err != nil {
		t.Fatal(err)
	}
	got, err := m.disk.read(m.name(link))
	if err != nil || string(got) != text {
		t.Errorf("read %q, %v", got, err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if diff := cmp.Diff([]string{"it's a file.yml", "link.yml"}, names(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHostFileStaysWhereTheLinkBreaks(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, t.TempDir())
	file := filepath.Join(dir, "prometheus.yml")
	write(t, file, "old\n", 0o644)
	text := []byte(strings.Repeat("# a line of the new text\n", 40))
	whole := len("main() {\nset -eu\numask 077\n") + len("f="+quote(file)+"\nsum="+digest(text)+replaceHead+replaceTail) + 4*((len(text)+2)/3) + len("\n}\nmain\n")
	for m.cut = 1; m.cut < whole-1; m.cut += 97 {
		_ = m.disk.replace(m.name(file), text)
		if got, err := os.ReadFile(file); err != nil || string(got) != "old\n" {
			t.Fatalf("cut after %d of %d bytes, the file is %q, %v", m.cut, whole, got, err)
		}
	}
	m.cut = 0
	write(t, filepath.Join(dir, ".prometheus.yml.slipway-AbCdEf"), "left by a killed command", 0o600)
	if err := m.disk.replace(m.name(file), text); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"prometheus.yml"}, names(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHostRefuses(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, t.TempDir())
	if _, err := m.disk.read(m.name(dir + "/none.yml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := m.disk.replace(m.name(dir+"/none.yml"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("replacing a file that is not there: %v", err)
	}
	if _, err := m.disk.read(m.name(dir)); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Errorf("a folder: %v", err)
	}
	other := sshtest.NewKey(t)
	m.host.KnownHostKey = other.Authorized
	var e *ssh.Error
	if _, err := m.disk.read(m.name(dir + "/none.yml")); !errors.As(err, &e) || e.Reason != ssh.HostKeyChanged {
		t.Errorf("another host key: %v", err)
	}
}

// TestHelperProcess is the program of the next test and no test.
func TestHelperProcess(t *testing.T) {
	if os.Getenv("CUTOVER_HELPER") == "" {
		return
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	fmt.Println("up")
	select {
	case <-hup:
		os.Exit(7)
	case <-time.After(time.Minute):
		os.Exit(1)
	}
}

func TestHostSignalsPrometheusAlone(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"prometheus-3": 7, "grafana": -1} {
		program := filepath.Join(dir, name)
		if err := os.Symlink(self, program); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-test.run=^TestHelperProcess$")
		cmd.Env = append(os.Environ(), "CUTOVER_HELPER=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		pid := filepath.Join(dir, name+".pid")
		write(t, pid, fmt.Sprintf("%d", cmd.Process.Pid), 0o644)
		err = m.disk.reload(&Server{Host: m.host, PIDFile: pid})
		if want == -1 {
			if err == nil || !strings.Contains(err.Error(), "is grafana and not prometheus") {
				t.Errorf("%s: %v", name, err)
			}
			_ = cmd.Process.Kill()
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			_ = cmd.Process.Kill()
		}
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != want {
			t.Errorf("%s ended with %d, want %d", name, cmd.ProcessState.ExitCode(), want)
		}
	}
}

func TestHostReloadsAUnitWithSudo(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, t.TempDir())
	m.path = dir
	write(t, filepath.Join(dir, "id"), "#!/bin/sh\n[ -n \"$ELEVATED\" ] && echo 0 || echo 1000\n", 0o755)
	write(t, filepath.Join(dir, "systemctl"), "#!/bin/sh\necho \"$@\" >"+dir+"/asked\n", 0o755)
	if err := m.disk.reload(&Server{Host: m.host, Unit: "prometheus@ecs.service"}); err != nil {
		t.Fatal(err)
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || string(asked) != "reload -- prometheus@ecs.service\n" {
		t.Errorf("%q, %v", asked, err)
	}
	if diff := cmp.Diff([]string{"sh", "sudo -n sh"}, m.lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// newTown is a street as it is in a cluster: the source's file lies on another host, and the target's is written by somebody else, who brings both
// sections at once.
func newTown(t *testing.T) (*street, func(Options) Options) {
	w := newStreet(t)
	m := newMachine(t, w.dir)
	off := w.read("target.yml")
	on := off + strings.ReplaceAll(managedPart, "MANAGER", strings.TrimPrefix(w.managerURL, "http://"))
	w.spec = strings.NewReplacer(
		"configFile: source.yml", fmt.Sprintf("configFile: %q, host: {address: %q, port: %d, user: slipway, keyFile: ssh-key, knownHostKey: %q}",
			filepath.Join(w.dir, "source.yml"), m.host.Address, m.host.Port, m.host.KnownHostKey),
		"configFile: target.yml, reloadBy: HTTP", "reloadBy: Declared").Replace(w.spec)
	return w, func(o Options) Options {
		o.Report = func(p Progress) {
			switch p.Wants {
			case WantsAlertingOn, WantsRemoteWriteOn:
				w.write("target.yml", on)
			case WantsOff:
				w.write("target.yml", off)
			}
		}
		return o
	}
}

// TestKilledAnywhereInACluster is TestKilledAnywhere with the source over SSH and a target that somebody else writes for.
func TestKilledAnywhereInACluster(t *testing.T) {
	for n := 1; ; n++ {
		w, cluster := newTown(t)
		before := w.shape()
		killed := attempt(t, cluster(w.options()), n, false, (*runner).run)
		if n%2 == 0 {
			if _, err := Run(context.Background(), cluster(w.options())); err != nil {
				t.Fatalf("going on after file %d: %v", n, err)
			}
			w.finished(n)
		}
		killedAgain := attempt(t, cluster(w.options()), max(1, n-8), n%3 == 0, (*runner).rollback)
		if _, err := Rollback(context.Background(), cluster(w.options())); err != nil {
			t.Fatalf("rolling back after file %d: %v", n, err)
		}
		if diff := cmp.Diff(before, w.shape()); diff != "" {
			t.Fatalf("killed at file %d (and in the rollback: %v), the rollback left (-want +got):\n%s", n, killedAgain, diff)
		}
		if !killed {
			if n < 15 {
				t.Fatalf("only %d files are written", n)
			}
			return
		}
	}
}

func TestDeclaredTargetThatLooksOtherwiseIsWantedOffAgain(t *testing.T) {
	w, cluster := newTown(t)
	o := cluster(w.options())
	var wants []Wants
	bring := o.Report
	o.Report = func(p Progress) {
		if n := len(wants); p.Wants != "" && (n == 0 || wants[n-1] != p.Wants) {
			wants = append(wants, p.Wants)
		}
		bring(p)
		if p.Wants == WantsAlertingOn {
			w.write("target.yml", strings.Replace(w.read("target.yml"), "alerting:\n", "alerting:\n  alert_relabel_configs: [{target_label: site, replacement: k8s}]\n", 1))
		}
	}
	_, err := Run(context.Background(), o)
	if ruleOf(err) != RuleAlertsLookSame {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff([]Wants{WantsAlertingOn, WantsOff}, wants); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHostsAreCompletelySaid(t *testing.T) {
	key := sshtest.NewKey(t).Authorized
	for name, c := range map[string]struct{ source, says string }{
		"no host key":       {"configFile: /p.yml, host: {address: a, user: u, keyFile: k}", "source.host wants address, user, keyFile and knownHostKey"},
		"a broken key":      {"configFile: /p.yml, host: {address: a, user: u, keyFile: k, knownHostKey: no}", "is no public key"},
		"a relative path":   {"configFile: p.yml, host: {address: a, user: u, keyFile: k, knownHostKey: " + key + "}", "want absolute paths"},
		"a unit here":       {"configFile: /p.yml, reloadBy: Signal, unit: prometheus", "on source.host"},
		"an odd unit":       {"configFile: /p.yml, reloadBy: Signal, unit: --now, host: {address: a, user: u, keyFile: k, knownHostKey: " + key + "}", "want the name of a unit"},
		"a declared source": {"reloadBy: Declared", "is for the target alone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadSpec([]byte("source: {url: http://a:9090, "+c.source+"}\ntarget: {url: http://b:9090, reloadBy: Declared}\nalerting: {}\n"), "/")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
		})
	}
}
