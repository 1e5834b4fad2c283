//go:build lab

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/slipway-dev/slipway/migration/agent"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/ssh"
	"github.com/slipway-dev/slipway/ssh/sshtest"
	"github.com/slipway-dev/slipway/test/engine"
)

// owner is the user of the old server; other is somebody else.
const owner, other = 4242, 4243

// host is an old server's host: this machine behind a real sshd with users of its own, in a mount namespace.
type host struct {
	t          *testing.T
	base, data string
	names      []string
	sshd       *exec.Cmd
	endpoint   ssh.Endpoint
	known      string // of the host key
	keyFile    string
	agent      string // the program

	mu   sync.Mutex
	told []string
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test needs root: sshd changes users")
	}
	base, err := os.MkdirTemp("/var/tmp", "slipway-test-ssh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	h := &host{t: t, base: base, data: filepath.Join(base, "data dir"), agent: filepath.Join(base, "slipway-agent"), keyFile: filepath.Join(base, "key")}
	h.must(os.Chmod(base, 0o755), os.Mkdir(h.data, 0o755), os.Mkdir(filepath.Join(base, "room"), 0o755), os.Chmod(filepath.Join(base, "room"), 0o1777))
	h.blocks()
	h.build("../../cmd/slipway-agent", h.agent)
	h.serve()
	return h
}

func (h *host) must(errs ...error) {
	h.t.Helper()
	if err := errors.Join(errs...); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) build(pkg, to string) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), "go", "build", "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
}

// blocks writes three blocks of some 200 KB that belong to the server's user.
func (h *host) blocks() {
	h.t.Helper()
	for b := range int64(3) {
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), h.data, 7_200_000)
		h.must(err)
		app := w.Appender(h.t.Context())
		for n := range 100 {
			for i := range int64(240) {
				_, err := app.Append(0, labels.FromStrings("__name__", "x", "n", strconv.Itoa(n)), b*7_200_000+i*30_000, float64(i*i*int64(n+1))*1.37)
				h.must(err)
			}
		}
		h.must(app.Commit())
		id, err := w.Flush(h.t.Context())
		h.must(err, w.Close())
		h.names = append(h.names, id.String())
	}
	h.must(filepath.WalkDir(h.data, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, owner, owner))
	}))
}

// serve starts sshd on loopback: real users, real forwarding; /etc and /run of the machine stay as they are.
func (h *host) serve() {
	t := h.t
	t.Helper()
	login, own := sshtest.NewKey(t), sshtest.NewKey(t)
	program := engine.Program(t, "openssh-9.2", "sshd")
	library := filepath.Dir(engine.Program(t, "libwrap-7.6", "libwrap.so.0"))
	name, port, _ := strings.Cut(engine.FreeAddress(t), ":")
	file := func(name, text string) string {
		path := filepath.Join(h.base, name)
		h.must(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	h.must(os.WriteFile(h.keyFile, login.PEM, 0o600))
	passwd, err := os.ReadFile("/etc/passwd")
	h.must(err)
	users := file("passwd", strings.TrimSpace(string(passwd))+fmt.Sprintf("\nprom:*:%d:%d::/tmp:/bin/sh\nother:*:%d:%d::/tmp:/bin/sh\nsshd:*:4244:65534::/run/sshd:/usr/sbin/nologin\n", owner, owner, other, other))
	h.must(os.Chmod(users, 0o644))
	keys := file("authorized", login.Authorized+"\n")
	h.must(os.Chmod(keys, 0o644))
	config := file("sshd_config", strings.Join([]string{"Port " + port, "ListenAddress " + name, "HostKey " + file("host", string(own.PEM)), "AuthorizedKeysFile " + keys,
		"StrictModes no", "UsePAM no", "PidFile none", "PermitRootLogin yes", "MaxStartups 100"}, "\n")+"\n")
	script := `mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && mount --bind "$1" /etc/passwd && exec "$2" -D -e -f "$3"`
	log, err := os.Create(filepath.Join(h.base, "sshd.log"))
	h.must(err)
	started := make(chan error)
	go func() { // on one thread: sshd ends with us, even when we are killed
		runtime.LockOSThread()
		h.sshd = exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", users, program, config)
		h.sshd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+library)
		h.sshd.Stdout, h.sshd.Stderr = log, log
		h.sshd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		started <- h.sshd.Start()
		_ = h.sshd.Wait() // how it ended does not matter
		close(started)
	}()
	h.must(<-started)
	t.Cleanup(func() {
		h.cut()
		_ = h.sshd.Process.Kill()
		<-started
		for _, pid := range h.agents() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("sshd said:\n%.4000s", text)
		}
	})
	number, err := strconv.Atoi(port)
	h.must(err)
	h.known = own.Authorized
	h.endpoint = ssh.Endpoint{Host: name, Port: number, User: "root", Key: login.PEM, HostKey: own.Authorized}
	dialer := ssh.NewDialer(ssh.Options{})
	defer dialer.Close()
	engine.Eventually(t, "logging in", func() error {
		c, err := dialer.Dial(t.Context(), h.endpoint)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func (h *host) options(user string) agent.Options {
	o := agent.Options{Endpoint: h.endpoint, Data: h.data, Folder: filepath.Join(h.base, "room"), Binary: h.agent, Args: []string{"-full-speed"}, Tell: func(text string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.told = append(h.told, text)
	}}
	o.Endpoint.User = user
	return o
}

func (h *host) heard(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.told, func(line string) bool { return strings.Contains(line, text) })
}

// agents are the processes that execute an agent that was put there.
func (h *host) agents() (pids []int) {
	found, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range found {
		if to, err := os.Readlink(exe); err == nil && strings.HasPrefix(to, filepath.Join(h.base, "room")+"/") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(exe)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// cut kills the connections of sshd, as a network does that is gone.
func (h *host) cut() {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.sshd.Process.Pid, h.sshd.Process.Pid))
	for _, pid := range strings.Fields(string(children)) {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
}

// clean says that nothing of ours is on the host.
func (h *host) clean() {
	h.t.Helper()
	if left, _ := os.ReadDir(filepath.Join(h.base, "room")); len(left) > 0 || len(h.agents()) > 0 {
		h.t.Errorf("left on the host: %v, processes %v", left, h.agents())
	}
}

// same holds the blocks of two data directories against each other.
func (h *host) same(target, folder string) {
	h.t.Helper()
	for _, name := range h.names {
		if out, err := exec.Command("diff", "-r", filepath.Join(h.data, name), filepath.Join(target, folder, name)).CombinedOutput(); err != nil {
			h.t.Errorf("block %s: %v\n%.2000s", name, err, out)
		}
	}
}

// TestBlocksComeThroughSSH pulls while the agent and then the connection are killed, once each.
func TestBlocksComeThroughSSH(t *testing.T) {
	h := newHost(t)
	before, err := os.ReadDir(h.data)
	h.must(err)
	a, err := agent.Open(t.Context(), h.options("root"))
	h.must(err)
	pids := h.agents()
	if len(pids) != 1 {
		t.Fatalf("agents: %v", pids)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[0]))
	h.must(err)
	if !strings.Contains(string(status), fmt.Sprintf("\nUid:\t%d\t%d\t%d\t%d\n", owner, owner, owner, owner)) || !strings.Contains(string(status), fmt.Sprintf("\nGroups:\t%d \n", owner)) {
		t.Errorf("the agent is not the owner alone:\n%s", status)
	}
	target, faults := t.TempDir(), 0
	var mu sync.Mutex
	bytes := 0
	fault := func(_ context.Context, n int) error {
		mu.Lock()
		defer mu.Unlock()
		switch bytes += n; {
		case faults == 0 && bytes > 50_000:
			faults++
			for _, pid := range h.agents() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		case faults == 1 && bytes > 150_000:
			faults++
			h.cut()
		}
		return nil
	}
	_, err = transfer.Pull(t.Context(), transfer.PullOptions{Source: a.Source(), Target: target, Blocks: h.names, PieceBytes: 16 << 10, Pace: fault})
	if err != nil || faults != 2 {
		t.Fatalf("%v, %d faults, told %q", err, faults, h.told)
	}
	h.same(target, transfer.StagingFolder)
	h.must(a.Source().Unpin(t.Context()))
	a.Close()
	h.clean()
	after, err := os.ReadDir(h.data)
	h.must(err)
	if diff := cmp.Diff(fmt.Sprint(before), fmt.Sprint(after)); diff != "" {
		t.Errorf("the data directory (-before +after):\n%s", diff)
	}
}

// TestTheNextRunTakesOver leaves the agent behind in each way that a killed run does.
func TestTheNextRunTakesOver(t *testing.T) {
	h := newHost(t)
	open := func(change func(o *agent.Options)) *agent.Agent {
		t.Helper()
		o := h.options("prom")
		change(&o)
		a, err := agent.Open(t.Context(), o)
		h.must(err)
		return a
	}
	first := open(func(*agent.Options) {})
	first.HangUp()
	pid := fmt.Sprint(h.agents())
	second := open(func(*agent.Options) {})
	if got := fmt.Sprint(h.agents()); got != pid || !h.heard("of an earlier run answers") {
		t.Errorf("agent %s, then %s; told %q", pid, got, h.told)
	}
	h.must(second.Source().Pin(t.Context(), h.names[:2]))
	second.HangUp()
	third := open(func(o *agent.Options) { o.Idle = time.Second }) // other arguments: another process
	if got := fmt.Sprint(h.agents()); got == pid || len(h.agents()) != 1 {
		t.Errorf("agent %s, then %s", pid, got)
	}
	third.HangUp()
	engine.Eventually(t, "the agent ends when nobody asks", func() error {
		if pids := h.agents(); len(pids) > 0 {
			return fmt.Errorf("it runs as %v", pids)
		}
		return nil
	})
	logs, _ := filepath.Glob(filepath.Join(h.base, "room", "*", "log"))
	text, err := os.ReadFile(logs[0])
	h.must(err)
	if !bytes.Contains(text, []byte("blocks stay pinned")) || !bytes.Contains(text, []byte("pinned=2")) {
		t.Errorf("it said %s", text)
	}
	remover, err := agent.New(h.options("prom"))
	h.must(err)
	left, err := remover.Remove(t.Context())
	if err != nil || left.Removed == "" || left.Pinned != 2 || left.PinFolder != filepath.Join(h.data, "slipway-pin") {
		t.Errorf("%+v, %v", left, err)
	}
	if again, err := remover.Remove(t.Context()); err != nil || again.Removed != "" {
		t.Errorf("once more: %+v, %v", again, err)
	}
	remover.HangUp()
	h.clean()
}

// TestOpenRefuses names what is wrong on the host, and leaves nothing there.
func TestOpenRefuses(t *testing.T) {
	h := newHost(t)
	trap := filepath.Join(h.base, "trap")
	h.must(os.Mkdir(trap, 0o1777), os.Chmod(trap, 0o1777))
	taken, err := agent.New(h.options("root"))
	h.must(err)
	name := taken.Name()
	taken.HangUp()
	h.must(os.Mkdir(filepath.Join(trap, name), 0o700), os.Chown(filepath.Join(trap, name), other, other))
	tests := map[string]struct {
		change func(o *agent.Options)
		want   string
	}{
		"a user who is not the owner":        {func(o *agent.Options) { o.Endpoint.User = "other" }, "belongs to user 4242, and other is user 4243: log in as its owner or as root"},
		"a directory that is not there":      {func(o *agent.Options) { o.Data += "x" }, "has no directory"},
		"a folder that somebody else has":    {func(o *agent.Options) { o.Folder = trap }, "is there and not a private folder (0700) of root"},
		"a place that is not there":          {func(o *agent.Options) { o.Folder = "/not/there" }, "name another folder with --agent-folder"},
		"a program that is none":             {func(o *agent.Options) { o.Binary = h.keyFile }, "reading the agent's program"},
		"a host that shows another key":      {func(o *agent.Options) { o.Endpoint.HostKey = sshtest.NewKey(h.t).Authorized }, "the host key is not the pinned one"},
		"an old server that does not answer": {func(o *agent.Options) { o.Args = []string{"-server=http://127.0.0.1:1"} }, "measuring the old server's idle latency"},
		"arguments that the agent knows not": {func(o *agent.Options) { o.Args = []string{"-quick"} }, "not defined: -quick"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			o := h.options("root")
			tt.change(&o)
			if a, err := agent.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
				if a != nil {
					a.Close()
				}
			}
		})
	}
	h.clean()
}

// TestAKilledPullLeavesAtMostAFolder kills the built program at spread moments; what it leaves is taken over by the next run or
// removed by the command for it.
func TestAKilledPullLeavesAtMostAFolder(t *testing.T) {
	h := newHost(t)
	slipway := filepath.Join(h.base, "slipway")
	h.build("../../cmd/slipway", slipway)
	target := filepath.Join(t.TempDir(), "data")
	from := fmt.Sprintf("ssh://root@%s%s", h.endpoint.Address(), strings.ReplaceAll(h.data, " ", "%20"))
	flags := []string{"--ssh-key", h.keyFile, "--host-key", h.known, "--agent-folder", filepath.Join(h.base, "room")}
	run := func(after time.Duration, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		out, err := exec.CommandContext(ctx, slipway, append(append([]string{"prometheus"}, args...), flags...)...).CombinedOutput() // ended by SIGKILL
		return string(out), err
	}
	killed := 0
	for after := 60 * time.Millisecond; after < 3*time.Second; after = after * 8 / 5 {
		if _, err := run(after, "pull", from, target, "--agent-binary", h.agent); err != nil {
			killed++
		}
		if pids := h.agents(); len(pids) > 1 {
			t.Errorf("killed after %s: agents %v", after, pids)
		}
		if killed%3 != 0 {
			continue
		}
		if out, err := run(time.Minute, "agent", "remove", from); err != nil {
			t.Errorf("killed after %s, then removing: %v: %s", after, err, out)
		}
		h.clean()
	}
	out, err := run(time.Minute, "pull", from, target, "--agent-binary", h.agent)
	if err != nil || killed < 3 {
		t.Fatalf("%v, killed %d times: %s", err, killed, out)
	}
	h.same(target, transfer.StagingFolder)
	h.clean()
	if _, err := os.Lstat(filepath.Join(h.data, "slipway-pin")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pin: %v", err)
	}
	t.Logf("killed %d times; the last run said:\n%s", killed, out)
}
