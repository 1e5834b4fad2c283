package grafana

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/test/golden"
)

// TestCompareTwoGrafanas asks two servers that behave as Grafana's API is documented, and shows what is said of what differs.
func TestCompareTwoGrafanas(t *testing.T) {
	var text strings.Builder
	for _, c := range []struct {
		name     string
		change   func(before, now *fakeGrafana)
		token    bool
		override []string
	}{
		{name: "all is there", change: func(_, _ *fakeGrafana) {}},
		{name: "a token sees one organisation", token: true, change: func(_, _ *fakeGrafana) {}},
		{name: "the new one lacks a dashboard", change: func(_, now *fakeGrafana) { now.orgs[0].dashboards = []string{"shop"} }},
		{name: "a person lets that pass", override: []string{RuleDashboards}, change: func(_, now *fakeGrafana) { now.orgs[0].dashboards = []string{"shop"} }},
		{name: "the old one got a folder since", change: func(before, _ *fakeGrafana) { before.orgs[0].folders = append(before.orgs[0].folders, "new") }},
		{name: "the new one has an alert rule more", change: func(_, now *fakeGrafana) { now.orgs[1].rules = []string{"r9"} }},
		{name: "one has no API for alert rules", change: func(before, _ *fakeGrafana) { before.rulesAreThere = false }},
		{name: "an organisation is not there", change: func(_, now *fakeGrafana) { now.orgs, now.users = now.orgs[:1], 2 }},
		{name: "the data source still means the old host", change: func(_, now *fakeGrafana) { now.orgs[0].sources[0].URL = "http://localhost:9090" }},
		{name: "the data source has another uid", change: func(_, now *fakeGrafana) { now.orgs[0].sources[0].UID = "made-anew" }},
		{name: "its server does not answer", change: func(_, now *fakeGrafana) { now.healthy = func(string) bool { return false } }},
		{name: "the new one is older", change: func(before, _ *fakeGrafana) { before.version = "12.0.1+security-01" }},
		{name: "the new one has no database", change: func(_, now *fakeGrafana) { now.database = "failing" }},
		{name: "the password is another one", change: func(_, now *fakeGrafana) { now.pass = "other" }},
	} {
		before, now := newShop(), moved()
		c.change(before, now)
		login := asAdmin
		if c.token {
			login = asToken
		}
		at := []string{before.serve(t), now.serve(t)}
		r, err := Compare(t.Context(), CompareOptions{Old: login(t, at[0]), New: login(t, at[1]), Source: oldPrometheus, Users: usersService, Override: c.override})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		fmt.Fprintf(&text, "== %s\n%s: %s\n", c.name, r.Verdict, r.Says)
		for _, f := range r.Findings {
			if f.Verdict != rule.Fine {
				fmt.Fprintf(&text, "%s %s: %s (%s)\n", f.Verdict, f.Rule, f.Says, f.Fix)
			}
		}
		text.WriteString("\n")
	}
	out := text.String()
	if strings.Contains(out, "s3cret") || strings.Contains(out, "glsa_1") {
		t.Error("a secret is told")
	}
	golden.Check(t, "testdata/compare.golden", strings.ReplaceAll(out, "127.0.0.1", "grafana"))
}

func TestCompareWaitsForWhatStillStarts(t *testing.T) {
	before, now := newShop(), moved()
	dashboards := now.orgs[0].dashboards
	now.orgs[0].dashboards, now.database = nil, "starting"
	o := CompareOptions{Old: asAdmin(t, before.serve(t)), New: asAdmin(t, now.serve(t)), Source: oldPrometheus, Users: usersService, Patience: time.Minute}
	waits := 0
	o.Tell = func(string) {
		waits++
		now.change(func(g *fakeGrafana) { g.orgs[0].dashboards, g.database = dashboards, "ok" })
	}
	r, err := Compare(t.Context(), o)
	if err != nil || r.Verdict != rule.Fine || waits != 1 {
		t.Errorf("after %d waits: %+v, %v", waits, r, err)
	}
}

func TestManyEntriesAreReadPageByPage(t *testing.T) {
	c := &Client{Client: asAdmin(t, newShop().serve(t)).Client}
	sizes := []int{perPage, perPage, 3}
	pages := 0
	err := c.pages(func(int) (int, error) { pages++; return sizes[pages-1], nil }, 1)
	if err != nil || pages != 3 {
		t.Errorf("%d pages were read: %v", pages, err)
	}
	if err := c.pages(func(int) (int, error) { return perPage, nil }, 0); err == nil {
		t.Error("a server that never ends is read for ever")
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"11.2.0", "12.0.0", true}, {"12.0.0", "12.0.0", false}, {"12.0.0", "9.5.18", false}, {"v10.4.2", "10.4.10", true}, {"12.0.0-pre", "12.0.0", false}, {"nightly", "12.0.0", false}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("older(%s, %s) is %v", c.a, c.b, got)
		}
	}
}
