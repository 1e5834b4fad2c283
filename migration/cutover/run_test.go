package cutover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// killed is what stands for SIGKILL: nothing after it runs but deferred functions that let go of files.
var errKilled = errors.New("killed")

// killingDisk ends the command before or after one of the files that it writes.
type killingDisk struct {
	osDisk
	left  int
	after bool
}

func (d *killingDisk) replace(path string, data []byte) error {
	d.left--
	if d.left == 0 && !d.after {
		panic(errKilled)
	}
	err := d.osDisk.replace(path, data)
	if d.left == 0 {
		panic(errKilled)
	}
	return err
}

// attempt does something with such a disk, and says whether it was killed.
func attempt(t *testing.T, o Options, n int, after bool, do func(*runner, context.Context) (*Report, error)) (killed bool) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, errKilled) {
				panic(p)
			}
			killed = true
		}
	}()
	if _, err := with(o, &killingDisk{left: n, after: after}, do, context.Background()); err != nil {
		t.Fatalf("file %d: %v", n, err)
	}
	return false
}

// TestKilledAnywhere kills the cutover at every file that it writes. From there it goes on to its end, and from there it goes back to what was.
func TestKilledAnywhere(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newStreet(t)
			before := w.shape()
			killed := attempt(t, w.options(), n, after, (*runner).run)
			o := w.options()
			o.Spec = nil
			if n == 1 && !after {
				o.Spec = w.options().Spec // killed before the state was there
			}
			if n%2 == 0 { // rolled back at once, and by half of them after going on
				if _, err := w.run(); err != nil {
					t.Fatalf("going on after file %d: %v", n, err)
				}
				w.finished(n)
			}
			if _, err := Rollback(context.Background(), o); err != nil {
				t.Fatalf("rolling back after file %d: %v", n, err)
			}
			if diff := cmp.Diff(before, w.shape()); diff != "" {
				t.Fatalf("killed at file %d (after it: %v), the rollback left (-want +got):\n%s", n, after, diff)
			}
			if !killed {
				if n < 15 {
					t.Fatalf("only %d files are written", n)
				}
				break
			}
		}
	}
}

func (w *street) finished(n int) {
	w.t.Helper()
	want := map[string]string{"main": w.target.url, "other": w.target.url, "logs": "http://loki:3100"}
	shape := w.shape()
	for uid, url := range want {
		if shape[uid] != url {
			w.t.Fatalf("after file %d data source %s has %s", n, uid, shape[uid])
		}
	}
	if strings.Contains(shape["source"], "alerting:") || strings.Contains(shape["source"], "remote_write:") ||
		!strings.Contains(shape["target"], "password: geheim") || !strings.Contains(shape["target"], "remote_write:") || shape["source"] != shape["source.yml"] {
		w.t.Fatalf("after file %d the sections did not move:\n%s\n%s", n, shape["source"], shape["target"])
	}
}

func TestRollbackKilledAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		w := newStreet(t)
		before := w.shape()
		if _, err := w.run(); err != nil {
			t.Fatal(err)
		}
		killed := attempt(t, w.options(), n, n%2 == 0, (*runner).rollback)
		if _, err := Rollback(context.Background(), w.options()); err != nil {
			t.Fatalf("rolling back after file %d: %v", n, err)
		}
		if diff := cmp.Diff(before, w.shape()); diff != "" {
			t.Fatalf("killed at file %d, the rollback left (-want +got):\n%s", n, diff)
		}
		if !killed {
			return
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *street, o *Options)
		rule   string
		text   string
		// moved says that people look at the new server already: that step was before.
		moved bool
	}{
		"the edit of the source without approval": {func(_ *street, o *Options) { o.Approved = nil }, RuleApproved, "--approve SourceAlertingOff", true},
		"alerts that would look otherwise": {func(w *street, _ *Options) {
			w.target.set(func() { w.target.loaded = strings.Replace(w.target.loaded, "north", "k8s", 1) })
		}, RuleAlertsLookSame, `label site is "north" on the source and "k8s" on the target`, true},
		"a target without a rule":                 {func(w *street, _ *Options) { w.target.rules = nil }, RuleSameAlertingRules, "Broken (up == 0)", true},
		"an alert that fires on the source alone": {func(w *street, _ *Options) { w.target.alerts = nil }, RuleFiresTheSame, `1 alerts fire on the source and not on the target: {alertname="Broken", severity="page", site="north"}`, true},
		"an alert that fires on the target alone": {func(w *street, _ *Options) { w.source.alerts = nil }, RuleFiresNothingElse, "alertname", true},
		"a target that sends nothing":             {func(w *street, _ *Options) { w.target.mute = true }, RuleHeard, "the target sent 0 alerts to http", true},
		"a target that does not load":             {func(w *street, _ *Options) { w.target.refuses = "alerting:" }, RuleLoads, "failed to reload config", true},
		"another section on the target": {func(w *street, _ *Options) {
			w.write("target.yml", w.read("target.yml")+"alerting: {alertmanagers: []}\n")
		}, RuleSectionFree, "target.yml", true},
		"a file that is not the server's": {func(w *street, _ *Options) { w.write("target.yml", "global: {}\n") }, RuleFileIsServed, "0 external labels", true},
		"a file with hidden secrets": {func(w *street, _ *Options) {
			w.write("source.yml", strings.Replace(w.read("source.yml"), "geheim", "<secret>", 1))
		}, RuleFileIsServed, "is hidden", true},
		"a new address that does not answer":        {func(_ *street, o *Options) { o.Spec.Grafana[0].NewURL = "http://127.0.0.1:1" }, RuleEndpointAnswers, "127.0.0.1:1", false},
		"Grafana that cannot reach the new address": {func(w *street, _ *Options) { w.grafana.healthy[w.target.url] = false }, RuleDataSourceHealthy, "connection refused", false},
		"no data source":                            {func(_ *street, o *Options) { o.Spec.Grafana[0].OldURL = "http://elsewhere" }, RuleDataSourceIsOurs, "http://elsewhere", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newStreet(t)
			o := w.options()
			c.change(w, &o)
			before := w.shape()
			_, err := Run(context.Background(), o)
			if ruleOf(err) != c.rule || !strings.Contains(fmt.Sprint(err), c.text) || strings.Contains(fmt.Sprint(err), "geheim") {
				t.Fatalf("%v; want %s with %q and no password", err, c.rule, c.text)
			}
			w.target.set(func() { w.target.refuses, w.target.mute = "", false })
			after := w.shape()
			if got := after["main"] == w.target.url; got != c.moved {
				t.Errorf("people look at the new server: %v", got)
			}
			if before["source.yml"] != after["source.yml"] || before["source"] != after["source"] {
				t.Error("the source was touched")
			}
			if _, err := Rollback(context.Background(), w.options()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, w.shape()); diff != "" {
				t.Errorf("the rollback left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRollbackRefusesWhatSomebodyChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *street)
		text   string
	}{
		"the source's file": {func(w *street) { w.write("source.yml", w.read("source.yml")+"# by hand\n") }, "+# by hand"},
		"the target's file": {func(w *street) {
			w.write("target.yml", strings.Replace(w.read("target.yml"), "password: geheim", "password: neu, username_file: x", 1))
		}, "target.yml was changed by somebody else"},
		"a data source": {func(w *street) { w.grafana.sources["main"]["url"] = "http://third" }, "+url: http://third"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newStreet(t)
			if _, err := w.run(); err != nil {
				t.Fatal(err)
			}
			c.change(w)
			_, err := Rollback(context.Background(), w.options())
			if ruleOf(err) != RuleUnchanged || !strings.Contains(fmt.Sprint(err), c.text) || strings.Contains(fmt.Sprint(err), "geheim") {
				t.Errorf("%v; want %q and no password", err, c.text)
			}
			plan, err := PlanRollback(context.Background(), w.options())
			if err != nil || plan.Err() == nil {
				t.Errorf("the plan says %v, %v", err, plan.Err())
			}
		})
	}
}

func TestRunTwiceDoesNothing(t *testing.T) {
	w := newStreet(t)
	for range 2 {
		report, err := w.run()
		if err != nil || report.Phase != Done {
			t.Fatalf("%v %v", report, err)
		}
	}
	if n := len(w.grafana.puts); n != 2 {
		t.Errorf("Grafana was changed %d times, want once for each of 2 data sources", n)
	}
	w.grafana.sources["other"]["url"] = w.source.url
	if _, err := w.run(); ruleOf(err) != RuleUnchanged {
		t.Errorf("an address that somebody put back: %v", err)
	}
}

func TestPlanChangesNothing(t *testing.T) {
	w := newStreet(t)
	before := w.shape()
	o := w.options()
	o.Approved = nil
	report, err := Plan(context.Background(), o)
	if err != nil || report.Err() != nil {
		t.Fatalf("%v, %v", err, report.Err())
	}
	if diff := cmp.Diff(before, w.shape()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "state")); !os.IsNotExist(err) {
		t.Errorf("the plan left a state directory: %v", err)
	}
	var steps, diffs []string
	for _, s := range report.Steps {
		steps = append(steps, fmt.Sprintf("%s %v", s.Step, s.Approval))
		diffs = append(diffs, s.Diff)
	}
	want := []string{"GrafanaURL false", "GrafanaURL false", "TargetAlertingOn false", "TargetHeard false", "SourceAlertingOff true", "TargetRemoteWriteOn false", "SourceRemoteWriteOff true"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := strings.Join(diffs, ""); strings.Contains(all, "geheim") || !strings.Contains(all, "-alerting:") || !strings.Contains(all, "+alerting:") {
		t.Errorf("%s", all)
	}
}

func TestStateOfAnotherCutoverIsRefused(t *testing.T) {
	w := newStreet(t)
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	o := w.options()
	o.Spec.Alerting = nil
	if _, err := Run(context.Background(), o); ruleOf(err) != RuleSameCutover {
		t.Error(err)
	}
	o = Options{StateDir: t.TempDir()}
	if _, err := Rollback(context.Background(), o); err == nil || !strings.Contains(err.Error(), "there is no cutover in") {
		t.Error(err)
	}
}

func TestOnlyOneCommandAtATime(t *testing.T) {
	w := newStreet(t)
	unlock, err := store{dir: filepath.Join(w.dir, "state"), disk: osDisk{}}.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := w.run(); err == nil || !strings.Contains(err.Error(), "another command works with it") {
		t.Error(err)
	}
}
