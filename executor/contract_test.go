package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The playbooks that every implementation under the contract knows in the tests.
const (
	playbookGood = "good" // all hosts succeed with two tasks, and an output "answer" is reported
	playbookOdd  = "odd"  // host b fails at its last task, host c is unreachable, the others succeed
	playbookHold = "hold" // runs until the harness lets it go, then as good
	secretWord   = "hunter2-very-secret"
	secretKey    = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0LWtleS1tYXRlcmlhbC1vZi10aGUtdGVzdA==\n-----END OPENSSH PRIVATE KEY-----\n"
)

// harness is one implementation under the contract test.
type harness struct {
	// open gives an executor over the state of this harness; opened again, it stands for a restarted operator.
	open func() Executor
	// crash drops the executor as kill -9 of the operator does.
	crash func(Executor)
	// release lets a held run go on.
	release func(name string)
	// kill kills the worker of a run behind the executor's back.
	kill func(name string)
	// outputs says that the implementation reports the output "answer" of the good playbook.
	outputs bool
	// noise is what other people can see of a run: file names, process lists, objects that are no Secrets.
	noise func(name string) string
	// wait bounds how long a run may take.
	wait time.Duration
}

func run(name, playbook string) Run {
	vars, _ := json.Marshal(map[string]string{"color": "green"})
	secret, _ := json.Marshal(map[string]any{"password": secretWord, "nested": map[string]any{"list": []string{secretWord + "2"}}})
	return Run{
		Name: name, Playbook: playbook, ContentVersion: "test", Hosts: []string{"a", "b", "c", "d"},
		Inventory: []byte("all:\n  hosts: {a: , b: , c: , d: }\n  vars: {ansible_connection: local}\n"),
		Vars:      vars, SecretVars: secret, Keys: map[string][]byte{"rack-key": []byte(secretKey)},
		KnownHosts: []byte("198.18.0.1 ssh-ed25519 AAAA\n"), Labels: map[string]string{LabelCluster: "shop"},
	}
}

// contract runs all that must hold for every Executor.
func contract(t *testing.T, make func(t *testing.T) *harness) {
	cases := map[string]func(*testing.T, *harness, Executor){
		"refuses a run that is not whole":                         testInvalid,
		"ends a good run with every host succeeded":               testGood,
		"adopts the same run, running and finished":               testAdopt,
		"refuses the same name with other content":                testMismatch,
		"numbers events without gaps and gives those after since": testSince,
		"tells the results per host when some fail":               testOdd,
		"cancels a running run and keeps a finished one":          testCancel,
		"removes a finished run only":                             testRemove,
		"keeps a run over a restart of the operator":              testRestart,
		"says Lost when the worker was killed":                    testLost,
		"shows no secret":                                         testSecrets,
		"runs several runs at once":                               testMany,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := make(t)
			test(t, h, h.open())
		})
	}
}

// await observes until the condition holds and gives what was seen then.
func (h *harness) await(t *testing.T, e Executor, name, what string, ok func(Observation) bool) Observation {
	t.Helper()
	deadline := time.NewTimer(h.wait)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		o, err := e.Observe(t.Context(), name, 0)
		if err != nil {
			t.Fatalf("observing %s: %v", name, err)
		}
		if ok(o) {
			return o
		}
		select {
		case <-deadline.C:
			t.Fatalf("run %s: waited %s for %s, last seen: %+v", name, h.wait, what, o)
		case <-tick.C:
		}
	}
}

func (h *harness) finished(t *testing.T, e Executor, name string) Observation {
	t.Helper()
	return h.await(t, e, name, "the end", func(o Observation) bool { return o.Phase.Finished() })
}

func (h *harness) running(t *testing.T, e Executor, name string) Observation {
	t.Helper()
	return h.await(t, e, name, "a running host", func(o Observation) bool {
		return o.Phase == Running && len(o.Events) > 0
	})
}

func start(t *testing.T, e Executor, r Run) {
	t.Helper()
	if err := e.Start(t.Context(), r); err != nil {
		t.Fatalf("starting: %v", err)
	}
}

func testInvalid(t *testing.T, _ *harness, e Executor) {
	for name, change := range map[string]func(*Run){
		"no name":            func(r *Run) { r.Name = "" },
		"name with a slash":  func(r *Run) { r.Name = "../x" },
		"no playbook":        func(r *Run) { r.Playbook = "" },
		"playbook as a path": func(r *Run) { r.Playbook = "../../etc/x" },
		"no hosts":           func(r *Run) { r.Hosts = nil },
		"a host twice":       func(r *Run) { r.Hosts = []string{"a", "a"} },
		"a key as a path":    func(r *Run) { r.Keys = map[string][]byte{"../k": nil} },
		"vars as a list":     func(r *Run) { r.Vars = []byte("[]") },
	} {
		r := run("invalid", playbookGood)
		change(&r)
		if err := e.Start(t.Context(), r); err == nil {
			t.Errorf("%s: the run was started", name)
		}
	}
	if _, err := e.Observe(t.Context(), "invalid", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("observing a run that was never started: %v", err)
	}
	if err := e.Cancel(t.Context(), "invalid"); !errors.Is(err, ErrNotFound) {
		t.Errorf("cancelling a run that was never started: %v", err)
	}
}

func testGood(t *testing.T, h *harness, e Executor) {
	start(t, e, run("good-1", playbookGood))
	h.release("good-1")
	o := h.finished(t, e, "good-1")
	if o.Phase != Succeeded || o.Message != "" {
		t.Fatalf("phase %s, message %q", o.Phase, o.Message)
	}
	if len(o.Hosts) != 4 {
		t.Errorf("hosts: %+v", o.Hosts)
	}
	for name, host := range o.Hosts {
		if host.Result != HostSucceeded || host.Done == 0 || host.Message != "" {
			t.Errorf("host %s: %+v", name, host)
		}
	}
	if h.outputs && string(o.Outputs["answer"]) != `{"value":42}` {
		t.Errorf("outputs: %s", o.Outputs)
	}
}

func testAdopt(t *testing.T, h *harness, e Executor) {
	start(t, e, run("adopt-1", playbookHold))
	before := h.running(t, e, "adopt-1")
	start(t, e, run("adopt-1", playbookHold))
	h.release("adopt-1")
	after := h.finished(t, e, "adopt-1")
	start(t, e, run("adopt-1", playbookHold))
	again := h.finished(t, e, "adopt-1")
	if after.Phase != Succeeded || again.Phase != Succeeded {
		t.Errorf("phases %s and %s", after.Phase, again.Phase)
	}
	if len(again.Events) != len(after.Events) || len(after.Events) < len(before.Events) {
		t.Errorf("events: %d while it ran, %d at the end, %d after adoption", len(before.Events), len(after.Events), len(again.Events))
	}
}

func testMismatch(t *testing.T, h *harness, e Executor) {
	start(t, e, run("same-1", playbookGood))
	h.release("same-1")
	h.finished(t, e, "same-1")
	other := run("same-1", playbookGood)
	other.SecretVars = []byte(`{"password": "another"}`)
	if err := e.Start(t.Context(), other); !errors.Is(err, ErrDigestMismatch) {
		t.Errorf("other secret vars: %v", err)
	}
	other = run("same-1", playbookOdd)
	if err := e.Start(t.Context(), other); !errors.Is(err, ErrDigestMismatch) {
		t.Errorf("another playbook: %v", err)
	}
}

func testSince(t *testing.T, h *harness, e Executor) {
	start(t, e, run("since-1", playbookGood))
	h.release("since-1")
	o := h.finished(t, e, "since-1")
	for i, event := range o.Events {
		if event.Sequence != i+1 {
			t.Fatalf("event %d has number %d", i+1, event.Sequence)
		}
	}
	for _, since := range []int{1, len(o.Events) / 2, len(o.Events), len(o.Events) + 5} {
		part, err := e.Observe(t.Context(), "since-1", since)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(0, len(o.Events)-since); len(part.Events) != want {
			t.Errorf("since %d: %d events, want %d", since, len(part.Events), want)
		}
		if len(part.Events) > 0 && part.Events[0].Sequence != since+1 {
			t.Errorf("since %d: first is %d", since, part.Events[0].Sequence)
		}
		if len(part.Hosts) != 4 {
			t.Errorf("since %d: hosts %+v", since, part.Hosts)
		}
	}
}

func testOdd(t *testing.T, h *harness, e Executor) {
	start(t, e, run("odd-1", playbookOdd))
	h.release("odd-1")
	o := h.finished(t, e, "odd-1")
	if o.Phase != Failed || !strings.Contains(o.Message, "2 of 4 hosts did not succeed: b, c") {
		t.Errorf("phase %s, message %q", o.Phase, o.Message)
	}
	want := map[string]Result{"a": HostSucceeded, "b": HostFailed, "c": HostUnreachable, "d": HostSucceeded}
	for name, result := range want {
		if o.Hosts[name].Result != result {
			t.Errorf("host %s is %+v, want %s", name, o.Hosts[name], result)
		}
	}
	for _, name := range []string{"b", "c"} {
		host := o.Hosts[name]
		if host.Task == "" || !strings.Contains(host.Message, "broken on "+name) {
			t.Errorf("host %s does not say what failed: %+v", name, host)
		}
		if len(host.Message) > maxMessage {
			t.Errorf("host %s: message of %d bytes", name, len(host.Message))
		}
	}
}

func testCancel(t *testing.T, h *harness, e Executor) {
	start(t, e, run("cancel-1", playbookHold))
	h.running(t, e, "cancel-1")
	if err := e.Cancel(t.Context(), "cancel-1"); err != nil {
		t.Fatalf("cancelling: %v", err)
	}
	o := h.finished(t, e, "cancel-1")
	if o.Phase != Cancelled {
		t.Errorf("phase %s, message %q", o.Phase, o.Message)
	}
	if err := e.Cancel(t.Context(), "cancel-1"); err != nil {
		t.Errorf("cancelling again: %v", err)
	}
	start(t, e, run("cancel-2", playbookGood))
	h.release("cancel-2")
	h.finished(t, e, "cancel-2")
	if err := e.Cancel(t.Context(), "cancel-2"); err != nil {
		t.Errorf("cancelling a finished run: %v", err)
	}
	if o := h.finished(t, e, "cancel-2"); o.Phase != Succeeded {
		t.Errorf("a finished run became %s", o.Phase)
	}
}

func testRemove(t *testing.T, h *harness, e Executor) {
	if err := e.Remove(t.Context(), "remove-0"); err != nil {
		t.Errorf("removing an unknown run: %v", err)
	}
	start(t, e, run("remove-1", playbookHold))
	h.running(t, e, "remove-1")
	if err := e.Remove(t.Context(), "remove-1"); !errors.Is(err, ErrNotFinished) {
		t.Errorf("removing a running run: %v", err)
	}
	h.release("remove-1")
	h.finished(t, e, "remove-1")
	for range 2 {
		if err := e.Remove(t.Context(), "remove-1"); err != nil {
			t.Fatalf("removing: %v", err)
		}
	}
	if _, err := e.Observe(t.Context(), "remove-1", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("observing a removed run: %v", err)
	}
	if seen := h.noise("remove-1"); strings.Contains(seen, "remove-1") {
		t.Errorf("something is left of it:\n%s", seen)
	}
}

func testRestart(t *testing.T, h *harness, e Executor) {
	start(t, e, run("restart-1", playbookHold))
	before := h.running(t, e, "restart-1")
	h.crash(e)
	e = h.open()
	during, err := e.Observe(t.Context(), "restart-1", 0)
	if err != nil {
		t.Fatalf("observing after a restart: %v", err)
	}
	if during.Phase == Lost || len(during.Events) < len(before.Events) {
		t.Errorf("after a restart: %+v, before %+v", during, before)
	}
	start(t, e, run("restart-1", playbookHold))
	h.crash(e)
	h.release("restart-1")
	e = h.open()
	if o := h.finished(t, e, "restart-1"); o.Phase != Succeeded {
		t.Errorf("phase %s, message %q", o.Phase, o.Message)
	}
	h.crash(e)
	e = h.open()
	if o := h.finished(t, e, "restart-1"); o.Phase != Succeeded || len(o.Hosts) != 4 || len(o.Events) == 0 {
		t.Errorf("a finished run after a restart: %+v", o)
	}
}

func testLost(t *testing.T, h *harness, e Executor) {
	start(t, e, run("lost-1", playbookHold))
	h.running(t, e, "lost-1")
	h.kill("lost-1")
	o := h.finished(t, e, "lost-1")
	if o.Phase != Lost || o.Message == "" {
		t.Errorf("phase %s, message %q", o.Phase, o.Message)
	}
	for name, host := range o.Hosts {
		if host.Result == HostSucceeded {
			t.Errorf("host %s of a lost run succeeded: %+v", name, host)
		}
	}
	h.crash(e)
	e = h.open()
	start(t, e, run("lost-1", playbookHold))
	if o := h.finished(t, e, "lost-1"); o.Phase != Lost {
		t.Errorf("after a restart it is %s", o.Phase)
	}
	if err := e.Remove(t.Context(), "lost-1"); err != nil {
		t.Errorf("removing: %v", err)
	}
	start(t, e, run("lost-2", playbookGood))
	h.release("lost-2")
	if o := h.finished(t, e, "lost-2"); o.Phase != Succeeded {
		t.Errorf("the next attempt is %s", o.Phase)
	}
}

func testSecrets(t *testing.T, h *harness, e Executor) {
	start(t, e, run("secret-1", playbookHold))
	seen := fmt.Sprintf("%+v", h.running(t, e, "secret-1")) + h.noise("secret-1")
	h.release("secret-1")
	h.finished(t, e, "secret-1")
	start(t, e, run("secret-2", playbookOdd))
	h.release("secret-2")
	h.finished(t, e, "secret-2")
	for _, name := range []string{"secret-1", "secret-2"} {
		o, err := e.Observe(t.Context(), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(o)
		seen += string(text) + h.noise(name) + logs(t, e, name)
	}
	for _, secret := range []string{secretWord, "c2VjcmV0LWtleS1tYXRlcmlhbC1vZi10aGUtdGVzdA"} {
		if i := strings.Index(seen, secret); i >= 0 {
			t.Errorf("a secret can be seen: …%s…", seen[max(0, i-200):min(len(seen), i+100)])
		}
	}
}

func testMany(t *testing.T, h *harness, e Executor) {
	for i := range 6 {
		start(t, e, run(fmt.Sprintf("many-%d", i), playbookGood))
	}
	for i := range 6 {
		name := fmt.Sprintf("many-%d", i)
		h.release(name)
		if o := h.finished(t, e, name); o.Phase != Succeeded {
			t.Errorf("%s is %s: %s", name, o.Phase, o.Message)
		}
	}
}

// logs reads the text of a finished run, following it to its end; empty when the implementation keeps none.
func logs(t *testing.T, e Executor, name string) string {
	t.Helper()
	l, ok := e.(Logger)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	text := ""
	for _, follow := range []bool{false, true} {
		r, err := l.Logs(ctx, name, follow)
		if err != nil {
			t.Fatalf("opening the log of %s: %v", name, err)
		}
		b, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatalf("reading the log of %s: %v", name, err)
		}
		if !strings.Contains(string(b), "PLAY") {
			t.Errorf("the log of %s has no play: %q", name, b)
		}
		text += string(b)
	}
	return text
}

// files lists what is below a directory with the content of all files but those under a folder named secrets.
// The scratch of ansible-runner is the run's own (0700) and holds what was not scrubbed yet; it is looked at once it must be empty.
func files(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() && (d.Name() == "secrets" || d.Name() == "artifacts" && unfinished(dir)) {
			return filepath.SkipDir
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(&text, path)
		if d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			text.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// unfinished says that a run has no result yet.
func unfinished(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, fileResult))
	return errors.Is(err, os.ErrNotExist)
}
