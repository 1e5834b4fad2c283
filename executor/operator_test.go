package executor

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// operatorOrder tells a copy of this test program what to do as an operator that will be killed.
type operatorOrder struct {
	Dir, Content, Venv string
	Playbook           string
	Cancel             bool
}

const operatorVariable = "SLIPWAY_TEST_OPERATOR"

// TestOperator is the operator of the tests that kill one; alone it does nothing.
func TestOperator(t *testing.T) {
	text := os.Getenv(operatorVariable)
	if text == "" {
		return
	}
	var order operatorOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		t.Fatal(err)
	}
	p, err := NewProcess(ProcessOptions{
		Dir: order.Dir, Venv: order.Venv, Content: func(string) (string, error) { return order.Content, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{wait: 20 * time.Second}
	start(t, p, run("operator-1", order.Playbook))
	h.running(t, p, "operator-1")
	if order.Cancel {
		if err := p.Cancel(t.Context(), "operator-1"); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = os.Stdout.WriteString("running\n")
	select {} // until it is killed
}

// operator starts such a program in this place; its output tells when the run goes.
func operator(t *testing.T, order operatorOrder, environment ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0], "-test.run=^TestOperator$", "-test.count=1")
	command.Env = append(append(os.Environ(), operatorVariable+"="+string(text)), environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	return command, out
}

func TestProcessOutlivesAKilledOperator(t *testing.T) {
	venv := standinVenv(t)
	h, o := processHarness(t, venv, 20*time.Second)
	content, _ := o.Content("")
	command, out := operator(t, operatorOrder{Dir: o.Dir, Content: content, Venv: venv, Playbook: playbookHold})
	b := make([]byte, 8)
	if _, err := io.ReadFull(out, b); err != nil || string(b) != "running\n" {
		t.Fatalf("the operator says %q, %v", b, err)
	}
	// The whole group, as a terminal or a service manager would.
	if err := syscall.Kill(-command.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil {
		t.Fatal("the operator was not killed")
	}
	id, _, err := readIdentity(runDir(o, "operator-1"))
	if err != nil || !id.alive() {
		t.Fatalf("the supervisor died with the operator: %+v, %v", id, err)
	}
	e := h.open()
	before := h.running(t, e, "operator-1")
	start(t, e, run("operator-1", playbookHold))
	h.release("operator-1")
	after := h.finished(t, e, "operator-1")
	if after.Phase != Succeeded || len(after.Events) < len(before.Events) {
		t.Errorf("phase %s, message %q, %d events and then %d", after.Phase, after.Message, len(before.Events), len(after.Events))
	}
	now, _, err := readIdentity(runDir(o, "operator-1"))
	if err != nil || now != id {
		t.Errorf("it was started again: %+v, then %+v, %v", id, now, err)
	}
}

func TestIdentityAlive(t *testing.T) {
	_, started, _, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = zombie.Wait() }()
	me := identity{PID: os.Getpid(), Started: started, Boot: strings.TrimSpace(string(boot))}
	for name, c := range map[string]struct {
		change func(*identity)
		want   bool
	}{
		"is alive when all is as it was":   {func(*identity) {}, true},
		"is another process by its start":  {func(i *identity) { i.Started = "1" }, false},
		"is of an earlier boot":            {func(i *identity) { i.Boot = "x" }, false},
		"is gone":                          {func(i *identity) { i.PID = 1 << 30 }, false},
		"is dead but for its parent's ear": {func(i *identity) { i.PID, i.Started = waitZombie(t, zombie.Process.Pid) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			id := me
			c.change(&id)
			if got := id.alive(); got != c.want {
				t.Errorf("%+v alive: %v", id, got)
			}
		})
	}
}

func waitZombie(t *testing.T, pid int) (int, string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if state, started, _, err := readStat(pid); err != nil || state == "Z" {
			return pid, started
		}
	}
	t.Fatal("it does not end")
	return 0, ""
}

func TestSweepFindsWhatHides(t *testing.T) {
	dir, control := t.TempDir(), filepath.Join(t.TempDir(), "sockets")
	for name, c := range map[string]struct {
		script string
		env    []string
		argv0  string
	}{
		"what ignores signals":              {"trap '' TERM INT HUP; sleep 300", []string{environmentMark + "=" + dir}, "sh"},
		"a child without the environment":   {"while :; do env -i sleep 300; done", []string{environmentMark + "=" + dir}, "sh"},
		"an ssh that keeps a connection":    {"while :; do sleep 300; done", nil, "ssh: " + control + "/0123 [mux]"},
		"what has a session of its own too": {"while :; do setsid sleep 300; done", []string{environmentMark + "=" + dir}, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.Command("/bin/sh", "-c", c.script)
			command.Args[0], command.Env = c.argv0, append([]string{"PATH=" + os.Getenv("PATH")}, c.env...)
			command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			if err := sweep(t.Context(), dir, control); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := command.Wait(); !errors.As(err, &exit) {
				t.Errorf("it ended with %v", err)
			}
			if left, err := processes(dir, control); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
	bystander := exec.Command("sleep", "300")
	bystander.Env = []string{environmentMark + "=" + dir + "-other"}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	if err := sweep(t.Context(), dir, control); err != nil {
		t.Fatal(err)
	}
	if state, _, _, err := readStat(bystander.Process.Pid); err != nil || state == "Z" {
		t.Errorf("a process of another run was killed: %s, %v", state, err)
	}
}

func TestRunLogsFollowsFromAnotherProcess(t *testing.T) {
	h, o := processHarness(t, standinVenv(t), 20*time.Second)
	e := h.open()
	logs := RunLogs{Dir: o.Dir}
	if _, err := logs.Logs(t.Context(), "none", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
	start(t, e, run("follow-1", playbookHold))
	h.running(t, e, "follow-1")
	r, err := logs.Logs(t.Context(), "follow-1", true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h.release("follow-1")
	text, err := io.ReadAll(r)
	if err != nil || strings.Count(string(text), "ok: [") != 8 {
		t.Errorf("the log: %v\n%s", err, text)
	}
}
