//go:build engine

package cutover

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/test/engine"
)

const childState = "SLIPWAY_TEST_CUTOVER_STATE"

// TestMain is also the command that is killed: with a state directory in its environment the program does the cutover in it and ends
// itself with SIGKILL right after it has written its third file, wherever that is.
func TestMain(m *testing.M) {
	dir := os.Getenv(childState)
	if dir == "" {
		os.Exit(m.Run())
	}
	spec, err := os.ReadFile(filepath.Join(dir, "spec.yaml"))
	if err != nil {
		panic(err)
	}
	o := options(dir, spec)
	o.Report = func(p Progress) { _ = json.NewEncoder(os.Stdout).Encode(p) }
	if _, err := with(o, &dyingDisk{left: 3}, (*runner).run, context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

type dyingDisk struct {
	osDisk
	left int
}

func (d *dyingDisk) replace(path string, data []byte) error {
	err := d.osDisk.replace(path, data)
	if d.left--; d.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return err
}

func options(dir string, text []byte) Options {
	spec, err := ReadSpec(text, dir)
	if err != nil {
		panic(err)
	}
	return Options{Spec: spec, StateDir: filepath.Join(dir, "state"), Approved: []string{StepSourceAlerting, StepSourceRemoteWrite},
		Patience: time.Minute, Poll: 100 * time.Millisecond}
}

// webhook counts what people would be told.
type webhook struct {
	mu   sync.Mutex
	told []string
}

func (w *webhook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var group struct {
		Status string `json:"status"`
		Alerts []struct {
			Status string            `json:"status"`
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	err := json.NewDecoder(r.Body).Decode(&group)
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf("group %s %v:", group.Status, err)
	for _, a := range group.Alerts {
		text += " " + a.Status + " " + a.Labels["alertname"] + " " + a.Labels["site"]
	}
	w.told = append(w.told, text)
}

func (w *webhook) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.told...)
}

// world is a pair of real servers that fire the same alert, an Alertmanager, and somebody who is called.
type world struct {
	dir                    string
	people                 *webhook
	manager                *engine.Alertmanager
	source, target         *engine.Server
	sourceFile, targetFile string
	written                atomic.Int64
	// common is the target's text without the sections that move, moved is what they are.
	common, moved string
}

// inCluster has the source's file edited over SSH, the source told by a signal, and the target's file written by somebody else.
func (w *world) inCluster(t *testing.T) {
	t.Helper()
	m := newMachine(t, w.dir)
	w.write(t, "source.pid", fmt.Sprintln(w.source.PID()))
	w.write(t, "spec.yaml", fmt.Sprintf(`source: {url: %q, configFile: %q, reloadBy: Signal, pidFile: %q, host: {address: %q, port: %d, user: slipway, keyFile: ssh-key, knownHostKey: %q}}
target: {url: %q, reloadBy: Declared}
alerting: {}
remoteWrite: {}
`, w.source.URL, w.sourceFile, filepath.Join(w.dir, "source.pid"), m.host.Address, m.host.Port, m.host.KnownHostKey, w.target.URL))
}

// bring does what a controller does with a line of progress.
func (w *world) bring(p Progress) {
	text := w.common
	switch p.Wants {
	case "":
		return
	case WantsAlertingOn, WantsRemoteWriteOn:
		text += w.moved
	}
	if now, err := os.ReadFile(w.targetFile); err == nil && string(now) != text {
		_ = os.WriteFile(w.targetFile, []byte(text), 0o600) // the server does not show it, then
	}
}

const rules = `groups:
- name: g
  rules:
  - {alert: Broken, expr: m > 0, for: 1s, labels: {severity: page}, annotations: {text: "of {{ $labels.instance }}"}}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), people: &webhook{}}
	people := httptest.NewServer(w.people)
	t.Cleanup(people.Close)
	scraped := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		out.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(out, "m 1")
	}))
	t.Cleanup(scraped.Close)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.written.Add(n)
	}))
	t.Cleanup(receiver.Close)
	w.manager = engine.StartAlertmanager(t, engine.Alertmanager031, fmt.Sprintf(`route: {receiver: people, group_by: [alertname], group_wait: 100ms, group_interval: 500ms, repeat_interval: 1h}
receivers: [{name: people, webhook_configs: [{url: %q, send_resolved: true}]}]
`, people.URL))
	common := fmt.Sprintf(`# one of ours
global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {site: north}   # told to everybody
rule_files: [%s]
scrape_configs:
- job_name: a
  static_configs: [{targets: [%q]}]
`, filepath.Join(w.dir, "rules.yml"), strings.TrimPrefix(scraped.URL, "http://"))
	moved := fmt.Sprintf(`
# who is called
alerting:
  alertmanagers:
  - static_configs: [{targets: [%q]}]
remote_write:   # the archive
- url: %s/write
  queue_config: {batch_send_deadline: 1s}
# the end
`, w.manager.Address, receiver.URL)
	w.common, w.moved = common, moved
	w.write(t, "rules.yml", rules)
	flags := []string{"--rules.alert.resend-delay=2s"}
	w.source = engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Config: common + moved, Flags: flags})
	w.target = engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: common, Flags: flags})
	w.sourceFile, w.targetFile = w.source.ConfigFile(), w.target.ConfigFile()
	w.write(t, "spec.yaml", fmt.Sprintf(`source: {url: %q, configFile: %q, reloadBy: HTTP}
target: {url: %q, configFile: %q, reloadBy: HTTP}
alerting: {}
remoteWrite: {}
`, w.source.URL, w.sourceFile, w.target.URL, w.targetFile))
	return w
}

func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// updated is when the Alertmanager was told last, by its own clock.
func (w *world) updated() (time.Time, error) {
	var list []heldAlert
	res, err := http.Get(w.manager.URL + "/api/v2/alerts")
	if err != nil {
		return time.Time{}, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return time.Time{}, err
	}
	if len(list) != 1 {
		return time.Time{}, fmt.Errorf("%d alerts, want 1", len(list))
	}
	return list[0].UpdatedAt, nil
}

// outlives waits until one sender alone has kept the alert for some time. Alertmanager forgets it after four times the resend delay, 8 s.
func (w *world) outlives(t *testing.T, what string, least time.Duration) {
	t.Helper()
	begin, err := w.updated()
	if err != nil {
		t.Fatal(err)
	}
	engine.Eventually(t, what, func() error {
		now, err := w.updated()
		if err == nil && now.Sub(begin) < least {
			err = fmt.Errorf("told for %s", now.Sub(begin))
		}
		return err
	})
}

func (w *world) toldOnce(t *testing.T, when string) {
	t.Helper()
	if diff := cmp.Diff([]string{"group firing <nil>: firing Broken north"}, w.people.list()); diff != "" {
		t.Fatalf("%s people were told otherwise (-want +got):\n%s", when, diff)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestHandOverTellsPeopleOnce hands alerts and remote_write from a real 2.42 to a real 3.16, killed with -9 after every third file that is
// written, and back. People are told once, and never that it is over.
func TestHandOverTellsPeopleOnce(t *testing.T) {
	for name, arrange := range map[string]func(*world, *testing.T){
		"with files of this host":                        func(*world, *testing.T) {},
		"with the source over SSH and a declared target": (*world).inCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			arrange(w, t)
			w.handOver(t)
		})
	}
}

// attempt runs the command until it ends or is killed, and brings what it wants.
func (w *world) attempt(t *testing.T) error {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var told bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), childState+"="+w.dir)
	cmd.Stderr = &told
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var p Progress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Errorf("%s: %v", lines.Bytes(), err)
		}
		t.Logf("%s %s %v %s", p.Step, p.Says, p.Waits, p.Wants)
		w.bring(p)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, told.Bytes())
	}
	return nil
}

func (w *world) handOver(t *testing.T) {
	engine.Eventually(t, "the first notification", func() error {
		if len(w.people.list()) == 0 {
			return errors.New("nobody was told")
		}
		return nil
	})
	before := map[string]string{w.sourceFile: content(t, w.sourceFile), w.targetFile: content(t, w.targetFile)}
	kills := 0
	for done := false; !done; {
		err := w.attempt(t)
		var exit *exec.ExitError
		switch {
		case err == nil:
			done = true
		case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL && kills < 30:
			kills++
		default:
			t.Fatalf("after %d kills: %v", kills, err)
		}
	}
	if kills < 4 {
		t.Errorf("the command was killed %d times only", kills)
	}
	if strings.Contains(content(t, w.sourceFile), "alertmanagers:") || !strings.Contains(content(t, w.targetFile), "alertmanagers:") {
		t.Errorf("the section did not move:\n%s\n%s", content(t, w.sourceFile), content(t, w.targetFile))
	}
	w.outlives(t, "the target alone keeps the alert", 9*time.Second)
	w.toldOnce(t, "after the cutover")
	if w.written.Load() == 0 {
		t.Error("nothing was written remotely")
	}

	o := options(w.dir, []byte(content(t, filepath.Join(w.dir, "spec.yaml"))))
	o.Spec, o.Report = nil, w.bring
	if _, err := Rollback(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for path, want := range before {
		if diff := cmp.Diff(want, content(t, path)); diff != "" {
			t.Errorf("%s is not as it was (-want +got):\n%s", path, diff)
		}
	}
	w.target.Kill()
	w.outlives(t, "the source alone keeps the alert again", time.Second)
	w.toldOnce(t, "after the rollback")
}
