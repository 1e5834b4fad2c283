package grafana

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/rule"
)

// oldHost has a database, plugins, provisioning and dashboards that this names.
func oldHost(t testing.TB) *told {
	t.Helper()
	file := filepath.Join(t.TempDir(), "grafana.db")
	if err := newDatabase(t, file, "delete").Close(); err != nil {
		t.Fatal(err)
	}
	return &told{tars: map[string]string{
		"/var/lib/grafana":            packed(t, "./", "", "./grafana.db", read(t, file)),
		"/var/lib/grafana/plugins":    packed(t, "clock/plugin.json", "{}"),
		"/var/lib/grafana/dashboards": packed(t, "shop.json", `{"uid": "shop"}`),
		"/etc/grafana/provisioning": packed(t, "datasources/all.yaml", "datasources:\n  - {name: P, uid: p, type: prometheus, url: http://localhost:9090}\n",
			"dashboards/all.yaml", "providers: [{name: a, options: {path: /var/lib/grafana/dashboards}}]\n"),
	}}
}

func bringTo(dir string, h Host) Options {
	return Options{Host: h, Dir: dir, Data: "/var/lib/grafana", Provisioning: "/etc/grafana/provisioning", Source: oldPrometheus, Users: usersService}
}

func TestBring(t *testing.T) {
	h, dir := oldHost(t), t.TempDir()
	for _, round := range []string{"the first time", "a second time over it"} {
		r, err := Bring(t.Context(), bringTo(dir, h))
		if err != nil || r.Verdict != rule.Fine || !strings.Contains(r.Says, "sqlite3") {
			t.Fatalf("%s: %+v, %v", round, r, err)
		}
		if got := addresses(t, filepath.Join(dir, "grafana.db"))["prom"]; got != usersService {
			t.Errorf("%s the data source has %s", round, got)
		}
		for file, want := range map[string]string{"plugins/clock/plugin.json": "{}", "dashboards/shop.json": `{"uid": "shop"}`, "slipway/provisioning/datasources/all.yaml": "datasources:\n  - {name: P, uid: p, type: prometheus, url: " + usersService + "}\n"} {
			if diff := cmp.Diff(want, read(t, filepath.Join(dir, file))); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", round, file, diff)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, incomingFolder)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s what came is left: %v", round, err)
		}
	}
}

// TestNothingIsUsedThatIsNotWhole leaves what was there as it was, whatever is wrong with what comes.
func TestNothingIsUsedThatIsNotWhole(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*told)
		rule   string // empty: an error
	}{
		{"the database is torn", func(h *told) {
			h.tars["/var/lib/grafana"] = packed(t, "grafana.db", strings.Repeat("torn", 5000))
		}, RuleDatabaseWhole},
		{"the host has no database", func(h *told) { delete(h.tars, "/var/lib/grafana") }, RuleDataIsThere},
		{"the database was never at rest", func(h *told) { h.code = exitBusy }, ""},
		{"no data source is found", func(h *told) {
			file := filepath.Join(t.TempDir(), "grafana.db")
			db := newDatabase(t, file, "delete")
			if _, err := db.Exec("DELETE FROM data_source"); err != nil {
				t.Fatal(err)
			}
			_ = db.Close()
			h.tars["/var/lib/grafana"], h.tars["/etc/grafana/provisioning"] = packed(t, "grafana.db", read(t, file)), packed(t, "a/", "")
		}, RuleSourceFound},
		{"dashboards lie elsewhere", func(h *told) {
			h.tars["/etc/grafana/provisioning"] = packed(t, "dashboards/all.yaml", "providers: [{name: a, options: {path: /srv/dashboards}}]\n")
		}, RuleDashboardsReach},
		{"the host is gone", func(h *told) { h.err = errors.New("connection reset by peer") }, ""},
		{"plugins are cut off", func(h *told) {
			h.tars["/var/lib/grafana/plugins"] = h.tars["/var/lib/grafana/plugins"][:513]
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, dir := oldHost(t), t.TempDir()
			write(t, filepath.Join(dir, "grafana.db"), "as it was")
			c.change(h)
			r, err := Bring(t.Context(), bringTo(dir, h))
			switch {
			case c.rule == "" && err == nil:
				t.Errorf("no error: %+v", r)
			case c.rule != "" && (err != nil || !r.Verdict.Stops() || !strings.HasPrefix(r.Says, c.rule)):
				t.Errorf("%+v, %v", r, err)
			}
			if got := read(t, filepath.Join(dir, "grafana.db")); got != "as it was" {
				t.Errorf("the database became %.20q", got)
			}
		})
	}
}

func TestARuleIsLetPass(t *testing.T) {
	h, dir := oldHost(t), t.TempDir()
	h.tars["/etc/grafana/provisioning"] = packed(t, "datasources/l.yaml", "datasources: [{name: Loki, type: loki, url: 'http://localhost:3100'}]\n")
	o := bringTo(dir, h)
	if r, err := Bring(t.Context(), o); err != nil || !strings.HasPrefix(r.Says, RuleLoopback) {
		t.Fatalf("%+v, %v", r, err)
	}
	o.Override = []string{RuleLoopback}
	if r, err := Bring(t.Context(), o); err != nil || r.Verdict != rule.Overridden {
		t.Errorf("%+v, %v", r, err)
	}
}
