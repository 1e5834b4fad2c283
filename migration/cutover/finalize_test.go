package cutover

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFinalize(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *street, o *Options)
		rule   string
		text   string
	}{
		"ends a cutover":              {func(*street, *Options) {}, "", ""},
		"refuses before it is done":   {func(w *street, _ *Options) { w.grafana.sources["main"]["url"] = w.source.url }, RuleCutOver, "somebody gave data source main"},
		"refuses while somebody asks": {func(w *street, _ *Options) { w.source.requests = 1 }, RuleNobodyAsks, "/api/v1/query_range 1 times; it may be: nobody of whom we know"},
		"names another data source": {func(w *street, o *Options) {
			o.Spec.Grafana[0].DataSourceUIDs = []string{"main", "other"}
			w.source.requests = 1
			w.grafana.add("third", w.source.url, false)
		}, RuleNobodyAsks, "data source third (Prom third)"},
		"refuses a bridge":          {func(w *street, _ *Options) { w.target.loaded += "remote_read: [{url: 'http://u:geheim@shim/read'}]\n" }, RuleNoBridge, "http://u:xxxxx@shim/read"},
		"refuses series of its own": {func(w *street, _ *Options) { w.source.names = append(w.source.names, "pushed_total") }, RuleNothingOfItsOwn, "name pushed_total"},
		"does not mind the source's scrape of itself": {func(w *street, _ *Options) {
			w.source.instance = "localhost:9090"
			w.source.vectors = map[string][]string{"process_start_time_seconds": {"prometheus"}, `count_over_time(up{instance="localhost:9090"}[10m])`: {"prometheus"}}
		}, "", ""},
		"minds an instance that another job scrapes, too": {func(w *street, _ *Options) {
			w.source.instance = "localhost:9090"
			w.source.vectors = map[string][]string{"process_start_time_seconds": {"prometheus"}, `count_over_time(up{instance="localhost:9090"}[10m])`: {"prometheus", "pushed"}}
		}, RuleNothingOfItsOwn, "instance localhost:9090"},
		"lets a person override": {func(w *street, o *Options) {
			w.source.names = append(w.source.names, "x")
			o.Spec.Overrides = []string{RuleNothingOfItsOwn}
		}, "", ""},
		"does not mind the server's names": {func(w *street, _ *Options) { w.source.names = append(w.source.names, "prometheus_old_total") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newStreet(t)
			if _, err := w.run(); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*fakePrometheus{w.source, w.target} {
				p.set(func() { p.names = []string{"up"} })
			}
			o := w.options()
			c.change(w, &o)
			report, err := Finalize(context.Background(), o, false)
			if ruleOf(err) != c.rule || err != nil && (!strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "geheim")) {
				t.Fatalf("%v; want %s with %q", err, c.rule, c.text)
			}
			if len(report.Finds) != 4 || len(report.Off) < 5 || !strings.Contains(fmt.Sprint(report.Off), "/data") {
				t.Errorf("%+v", report)
			}
			_, err = Rollback(context.Background(), w.options())
			if (ruleOf(err) == RuleNotFinalized) != (c.rule == "") {
				t.Errorf("rolling back afterwards: %v", err)
			}
		})
	}
}

func TestFinalizeDryIsNotFinal(t *testing.T) {
	w := newStreet(t)
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	w.source.set(func() { w.source.names = nil })
	if _, err := Finalize(context.Background(), w.options(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := Rollback(context.Background(), w.options()); err != nil {
		t.Error(err)
	}
}

func TestQueryClients(t *testing.T) {
	log := `{"httpRequest":{"clientIP":"198.18.0.9","method":"GET","path":"/api/v1/query_range"},"params":{"query":"up"},"ts":"2026-11-22T10:00:05Z"}
{"httpRequest":{"clientIP":"198.18.0.9","method":"GET","path":"/api/v1/query_range"},"time":"2026-11-22T10:00:06.5Z"}
{"httpRequest":{"clientIP":"198.18.0.7","method":"GET","path":"/api/v1/query"},"ts":"2026-11-22T09:00:00Z"}
{"params":{"query":"up"},"ruleGroup":{"file":"a","name":"b"},"ts":"2026-11-22T10:00:05Z"}
half a li`
	got, err := queryClients(strings.NewReader(log), time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"198.18.0.9 at /api/v1/query_range, 2 times"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzQueryClients(f *testing.F) {
	f.Add(`{"httpRequest":{"clientIP":"a"},"ts":"2026-11-22T10:00:05Z"}`)
	f.Fuzz(func(t *testing.T, text string) {
		who, err := queryClients(strings.NewReader(text), time.Time{})
		for _, w := range who {
			if err == nil && strings.ContainsAny(w, "\n\x1b") {
				t.Errorf("%q", w)
			}
		}
	})
}
