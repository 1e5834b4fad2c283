package cutover

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRollbackWithASilentSource(t *testing.T) {
	w := newStreet(t)
	before := w.shape()
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	w.source.set(func() { w.source.silent = true })
	plan, err := PlanRollback(context.Background(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		if file := strings.HasPrefix(s.Step, "Source"); file != (s.Problem == "") || file != (s.Diff != "") {
			t.Errorf("the plan says of %s: %q, %s", s.Step, s.Problem, s.Diff)
		}
	}
	for range 2 { // as often as one likes
		_, err := Rollback(context.Background(), w.options())
		if ruleOf(err) != RuleSourceAnswers || !strings.Contains(fmt.Sprint(err), "stay with the target") || strings.Contains(fmt.Sprint(err), "geheim") {
			t.Fatalf("%v", err)
		}
		now := w.shape()
		if now["main"] != w.target.url || !strings.Contains(now["target"], "alerting:") {
			t.Error("people or alerts were led to a server that is silent")
		}
		if now["source.yml"] != before["source.yml"] {
			t.Errorf("the source's file is\n%s", now["source.yml"])
		}
	}
	w.source.set(func() { w.source.silent, w.source.loaded = false, w.read("source.yml") }) // it was started again
	if _, err := Rollback(context.Background(), w.options()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, w.shape()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSilentSourceAndNobodySends(t *testing.T) {
	w := newStreet(t)
	w.target.mute = true
	if _, err := w.run(); ruleOf(err) != RuleHeard {
		t.Fatal(err)
	}
	w.source.set(func() { w.source.silent = true })
	_, err := Rollback(context.Background(), w.options())
	if ruleOf(err) != RuleSourceAnswers || strings.Contains(fmt.Sprint(err), "nobody sends alerts") {
		t.Errorf("the target sends: %v", err)
	}

	w = newStreet(t)
	w.target.rules = nil
	if _, err := w.run(); ruleOf(err) != RuleSameAlertingRules {
		t.Fatal(err)
	}
	w.source.set(func() { w.source.silent = true })
	if _, err := Rollback(context.Background(), w.options()); !strings.Contains(fmt.Sprint(err), "nobody sends alerts now") {
		t.Errorf("%v", err)
	}
}
