package cutover

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// lines runs and returns every line, as it is printed.
func (w *street) lines(t *testing.T, change func(*Options)) (all []Progress, err error) {
	t.Helper()
	o := w.options()
	change(&o)
	o.Report = func(p Progress) {
		text, err := json.Marshal(p)
		if err != nil || strings.Contains(string(text), "geheim") {
			t.Errorf("%s, %v", text, err)
		}
		all = append(all, p)
	}
	_, err = Run(context.Background(), o)
	return all, err
}

func TestProgressEndsWithDone(t *testing.T) {
	w := newStreet(t)
	all, err := w.lines(t, func(*Options) {})
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	if !last.Done || last.State != Done || len(last.Steps) != 7 || last.Stop != nil || last.Step != "" {
		t.Errorf("%+v", last)
	}
	for _, p := range all[:len(all)-1] {
		if p.Done || p.Step == "" {
			t.Errorf("%+v", p)
		}
	}
}

func TestProgressAsksForApproval(t *testing.T) {
	w := newStreet(t)
	all, err := w.lines(t, func(o *Options) { o.Approved = nil })
	if ruleOf(err) != RuleApproved {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	if last.NeedsApproval != StepSourceAlerting || !strings.Contains(last.Diff, "-alerting:") || last.Stop != nil || last.Done {
		t.Errorf("%+v", last)
	}
}

func TestProgressNamesTheStop(t *testing.T) {
	w := newStreet(t)
	w.target.set(func() { w.target.silent = true })
	all, _ := w.lines(t, func(o *Options) { o.Spec.Grafana = nil })
	if last := all[len(all)-1]; last.Stop == nil || last.Stop.Rule != RuleFailed || !strings.Contains(last.Stop.Text, "target") {
		t.Errorf("%+v", last)
	}
	w = newStreet(t)
	w.target.alerts = nil
	all, _ = w.lines(t, func(*Options) {})
	if last := all[len(all)-1]; last.Stop == nil || last.Stop.Rule != RuleFiresTheSame {
		t.Errorf("%+v", last)
	}
	if p := all[len(all)-2]; len(p.Waits) != 1 || !strings.Contains(p.Waits[0], "the same alerts on both") {
		t.Errorf("%+v", p)
	}
}
