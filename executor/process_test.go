package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// standinVenv makes a virtual environment in which a stand-in takes the place of ansible-runner. Everything else is real.
func standinVenv(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 in PATH")
	}
	venv := filepath.Join(t.TempDir(), "venv")
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", venv).CombinedOutput(); err != nil {
		t.Fatalf("making a virtual environment: %v: %s", err, out)
	}
	site, err := filepath.Glob(filepath.Join(venv, "lib", "python3*", "site-packages"))
	if err != nil || len(site) != 1 {
		t.Fatalf("site-packages: %v, %v", site, err)
	}
	if err := os.CopyFS(site[0], os.DirFS("testdata/standin")); err != nil {
		t.Fatal(err)
	}
	return venv
}

// processHarness is a Process over a copy of the test content.
func processHarness(t *testing.T, venv string, wait time.Duration) (*harness, *ProcessOptions) {
	dir := t.TempDir()
	content := filepath.Join(dir, "content")
	if err := os.CopyFS(content, os.DirFS("testdata/content")); err != nil {
		t.Fatal(err)
	}
	options := &ProcessOptions{
		Dir: filepath.Join(dir, "state"), Venv: venv, MaxConcurrent: 3,
		Content: func(string) (string, error) { return content, nil },
	}
	h := &harness{
		open: func() Executor {
			p, err := NewProcess(*options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { endAll(p) })
			return p
		},
		crash: func(e Executor) { _ = e.(*Process).Close() },
		release: func(name string) {
			if err := os.WriteFile(filepath.Join(content, "playbooks", "release-"+name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		kill: func(name string) {
			id, ok, err := readIdentity(filepath.Join(options.Dir, "runs", name))
			if err != nil || !ok {
				t.Fatalf("pid file: %v, %v", ok, err)
			}
			send(t, id.PID, syscall.SIGKILL)
		},
		outputs: true,
		noise: func(name string) string {
			ps, err := exec.Command("ps", "axww", "-o", "args=").Output()
			if err != nil {
				t.Fatal(err)
			}
			return files(t, filepath.Join(options.Dir, "runs", name)) + string(ps)
		},
		wait: wait,
	}
	return h, options
}

// endAll ends what a failed test has left running.
func endAll(p *Process) {
	_ = p.Close()
	for _, r := range p.list() {
		_ = r.cancel(context.Background())
	}
}

func TestProcessContract(t *testing.T) {
	venv := standinVenv(t)
	contract(t, func(t *testing.T) *harness {
		h, _ := processHarness(t, venv, 20*time.Second)
		return h
	})
}

// runDir is the directory of a run.
func runDir(o *ProcessOptions, name string) string { return filepath.Join(o.Dir, "runs", name) }

func TestProcessEnds(t *testing.T) {
	venv := standinVenv(t)
	for name, c := range map[string]struct {
		playbook string
		change   func(*Run)
		during   func(t *testing.T, o *ProcessOptions)
		phase    Phase
		message  string
	}{
		"fails after its time": {playbook: playbookHold, change: func(r *Run) { r.TimeoutSeconds = 1 },
			phase: Failed, message: "the run took longer than 1 seconds and was ended"},
		"is lost when ansible is killed": {playbook: playbookHold, during: killChild,
			phase: Lost, message: "ansible-playbook was killed"},
		"is lost when the host shuts down": {playbook: playbookHold, during: terminate,
			phase: Lost, message: "the supervisor of the run was asked to end"},
		"is lost when its events are damaged": {playbook: playbookHold, during: damageEvents,
			phase: Lost, message: "what the run reported cannot be read: reading event"},
		"is lost when its result is damaged": {playbook: playbookHold, during: damageResult,
			phase: Lost, message: "the result of the run cannot be read"},
		"fails when the disk is full": {playbook: "full", phase: Failed, message: "recording events: No space left on device"},
		"fails when ansible-runner does": {playbook: "crash",
			phase: Failed, message: "running ansible-runner: RuntimeError: no such thing as ***"},
	} {
		t.Run(name, func(t *testing.T) {
			h, o := processHarness(t, venv, 20*time.Second)
			e := h.open()
			r := run("end-1", c.playbook)
			if c.change != nil {
				c.change(&r)
			}
			start(t, e, r)
			if c.during != nil {
				h.running(t, e, "end-1")
				h.await(t, e, "end-1", "the child", func(Observation) bool { return exists(filepath.Join(runDir(o, "end-1"), "child")) })
				c.during(t, o)
			}
			end := h.finished(t, e, "end-1")
			if end.Phase != c.phase || !strings.Contains(end.Message, c.message) || strings.Contains(end.Message, secretWord) {
				t.Errorf("phase %s, message %q", end.Phase, end.Message)
			}
			h.await(t, e, "end-1", "the end of its processes", func(Observation) bool {
				left, err := processes(runDir(o, "end-1"), "")
				return err == nil && len(left) == 0
			})
			if exists(filepath.Join(runDir(o, "end-1"), dirSecrets)) {
				t.Error("secrets are left")
			}
			again := h.open()
			if o := h.finished(t, again, "end-1"); o.Phase != end.Phase || o.Message != end.Message {
				t.Errorf("to the next operator it is %s, %q", o.Phase, o.Message)
			}
		})
	}
}

func killChild(t *testing.T, o *ProcessOptions) {
	b, err := os.ReadFile(filepath.Join(runDir(o, "end-1"), "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	send(t, pid, syscall.SIGKILL)
}

// send sends a signal to a process; a number that names no single process would hit the group of the tests.
func send(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("%d is no process to signal", pid)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

func terminate(t *testing.T, o *ProcessOptions) {
	id, _, err := readIdentity(runDir(o, "end-1"))
	if err != nil {
		t.Fatal(err)
	}
	send(t, id.PID, syscall.SIGTERM)
}

func damageEvents(t *testing.T, o *ProcessOptions) {
	f, err := os.OpenFile(filepath.Join(runDir(o, "end-1"), fileEvents), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("\x00\x00\x00\n")
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// damageResult holds the supervisor, which would otherwise write over it.
func damageResult(t *testing.T, o *ProcessOptions) {
	id, _, err := readIdentity(runDir(o, "end-1"))
	if err != nil {
		t.Fatal(err)
	}
	send(t, id.PID, syscall.SIGSTOP)
	if err := os.WriteFile(filepath.Join(runDir(o, "end-1"), fileResult), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestProcessKeepsFilesPrivate(t *testing.T) {
	h, o := processHarness(t, standinVenv(t), 20*time.Second)
	e := h.open()
	start(t, e, run("private-1", playbookHold))
	h.running(t, e, "private-1")
	err := filepath.WalkDir(o.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != o.Dir {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(runDir(o, "private-1"), dirSecrets, fileVars)) {
		t.Error("the secret vars are still there after Ansible has read them")
	}
}

func TestProcessQueuesAndTellsChanges(t *testing.T) {
	h, o := processHarness(t, standinVenv(t), 20*time.Second)
	o.MaxConcurrent = 1
	var mu sync.Mutex
	told := map[string]int{}
	o.OnChange = func(name string) { mu.Lock(); told[name]++; mu.Unlock() }
	e := h.open()
	start(t, e, run("queue-1", playbookHold))
	h.running(t, e, "queue-1")
	start(t, e, run("queue-2", playbookHold))
	start(t, e, run("queue-3", playbookGood))
	for _, name := range []string{"queue-2", "queue-3"} {
		if o, err := e.Observe(t.Context(), name, 0); err != nil || o.Phase != Pending || len(o.Hosts) != 4 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	if err := e.Cancel(t.Context(), "queue-2"); err != nil {
		t.Fatal(err)
	}
	h.crash(e)
	e = h.open()
	h.release("queue-1")
	for name, phase := range map[string]Phase{"queue-1": Succeeded, "queue-2": Cancelled, "queue-3": Succeeded} {
		if o := h.finished(t, e, name); o.Phase != phase {
			t.Errorf("%s is %s: %s", name, o.Phase, o.Message)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if told["queue-1"] == 0 || told["queue-3"] == 0 {
		t.Errorf("OnChange: %v", told)
	}
}

func TestProcessStartErrors(t *testing.T) {
	h, o := processHarness(t, "/nonexistent", 5*time.Second)
	e := h.open()
	r := run("err-1", "unknown")
	if err := e.Start(t.Context(), r); err == nil || !strings.Contains(err.Error(), "content test has no playbook unknown") {
		t.Errorf("an unknown playbook: %v", err)
	}
	o.Content = func(v string) (string, error) { return "", fmt.Errorf("no version %s here", v) }
	if err := h.open().Start(t.Context(), r); err == nil || !strings.Contains(err.Error(), "no version test here") {
		t.Errorf("unknown content: %v", err)
	}
	start(t, e, run("err-2", playbookGood))
	if got := h.finished(t, e, "err-2"); got.Phase != Failed || !strings.Contains(got.Message, "starting the supervisor") {
		t.Errorf("without Python: %s %q", got.Phase, got.Message)
	}
}

func TestProcessAdoptsWhatACrashedStartLeft(t *testing.T) {
	h, o := processHarness(t, standinVenv(t), 20*time.Second)
	base := filepath.Join(o.Dir, "runs")
	if err := os.MkdirAll(filepath.Join(base, ".new-123"), 0o700); err != nil {
		t.Fatal(err)
	}
	content, _ := o.Content("")
	r := run("crash-1", playbookGood)
	digest, err := r.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := createRun(base, r, digest, content); err != nil { // and then the operator dies before it forks
		t.Fatal(err)
	}
	e := h.open()
	start(t, e, r)
	if got := h.finished(t, e, "crash-1"); got.Phase != Succeeded {
		t.Errorf("phase %s, message %q", got.Phase, got.Message)
	}
	if exists(filepath.Join(base, ".new-123")) {
		t.Error("an unfinished directory is still there")
	}
	h.crash(e)
	if err := os.WriteFile(filepath.Join(runDir(o, "crash-1"), fileSpec), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(runDir(o, "crash-1"), fileResult)); err != nil {
		t.Fatal(err)
	}
	if got := h.finished(t, h.open(), "crash-1"); got.Phase != Lost || !strings.Contains(got.Message, "reading run.json") {
		t.Errorf("a damaged run: %s %q", got.Phase, got.Message)
	}
}
