package cutover

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The clock of a street begins at 2023-11-14 22:13:20 UTC.
const openWindow, closedWindow = "window: {from: '22:00', to: '23:30'}\n", "window: {from: '02:00', to: '05:00', timeZone: UTC}\n"

func TestNothingBeginsOutsideOfTheWindow(t *testing.T) {
	w := newStreet(t)
	w.spec += closedWindow
	before := w.shape()
	_, err := w.run()
	if ruleOf(err) != RuleWindow {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(before, w.shape()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	plan, err := Plan(context.Background(), w.options())
	if err != nil || plan.Steps[0].Rule != RuleWindow {
		t.Errorf("the plan says %v, %v", plan, err)
	}
}

func TestWhatBeganIsEndedOutsideOfTheWindow(t *testing.T) {
	for n := 1; ; n++ {
		w := newStreet(t)
		common := w.spec
		before := w.shape()
		w.spec = common + openWindow
		if !attempt(t, w.options(), n, true, (*runner).run) {
			return
		}
		w.spec = common + closedWindow
		_, err := w.run()
		st, loadErr := store{dir: w.options().StateDir, disk: osDisk{}}.load()
		if loadErr != nil {
			t.Fatal(loadErr)
		}
		if st.Phase != Done && ruleOf(err) != RuleWindow {
			t.Fatalf("after file %d: %v", n, err)
		}
		for _, rec := range st.Steps {
			if rec.Phase == Begun {
				t.Errorf("after file %d: %s is left in the middle", n, rec.Step)
			}
		}
		if _, err := Rollback(context.Background(), w.options()); err != nil {
			t.Fatalf("rolling back outside of the window: %v", err)
		}
		if diff := cmp.Diff(before, w.shape()); diff != "" {
			t.Errorf("after file %d (-want +got):\n%s", n, diff)
		}
	}
}
