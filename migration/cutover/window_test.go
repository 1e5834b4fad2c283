package cutover

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name, from, to, zone string
		at                   string
		open                 bool
		opens                string
	}{
		{"is open from its first minute", "02:00", "05:00", "Asia/Shanghai", "2026-11-22T18:00:00Z", true, ""},
		{"is closed from its last minute", "02:00", "05:00", "Asia/Shanghai", "2026-11-22T21:00:00Z", false, "2026-11-23T18:00:00Z"},
		{"opens the same night", "02:00", "05:00", "Asia/Shanghai", "2026-11-22T12:34:56Z", false, "2026-11-22T18:00:00Z"},
		{"is open before midnight", "22:00", "04:00", "UTC", "2026-11-22T23:59:00Z", true, ""},
		{"is open after midnight", "22:00", "04:00", "UTC", "2026-11-23T03:59:59Z", true, ""},
		{"is closed by day", "22:00", "04:00", "UTC", "2026-11-23T04:00:00Z", false, "2026-11-23T22:00:00Z"},
		// In Berlin 02:00 to 03:00 is left out on 2026-03-29, and comes twice on 2026-10-25.
		{"opens an hour short where its first hour is left out", "02:00", "05:00", "Europe/Berlin", "2026-03-29T00:59:00Z", false, "2026-03-29T01:00:00Z"},
		{"opens a day later where all of it is left out", "02:10", "02:50", "Europe/Berlin", "2026-03-29T00:30:00Z", false, "2026-03-30T00:10:00Z"},
		{"is open in the first of two hours", "02:00", "03:00", "Europe/Berlin", "2026-10-25T00:30:00Z", true, ""},
		{"is open in the second of two hours", "02:00", "03:00", "Europe/Berlin", "2026-10-25T01:30:00Z", true, ""},
		{"is closed after both", "02:00", "03:00", "Europe/Berlin", "2026-10-25T02:00:00Z", false, "2026-10-26T01:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := (&Window{From: c.from, To: c.to, TimeZone: c.zone}).hours()
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.open(at); got != c.open {
				t.Fatalf("open: %t, want %t", got, c.open)
			}
			if got := h.opens(at).UTC().Format(time.RFC3339); !c.open && got != c.opens {
				t.Errorf("opens at %s, want %s", got, c.opens)
			}
		})
	}
}

func TestWindowRefuses(t *testing.T) {
	for name, w := range map[string]Window{
		"no time":         {From: "2:00", To: "05:00"},
		"a time too late": {From: "02:00", To: "24:00"},
		"no duration":     {From: "02:00", To: "02:00"},
		"no such zone":    {From: "02:00", To: "05:00", TimeZone: "Asia/Shangai"},
		"the local zone":  {From: "02:00", To: "05:00", TimeZone: "Local"},
	} {
		if err := w.complete(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

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
