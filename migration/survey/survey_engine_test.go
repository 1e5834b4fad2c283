//go:build engine

package survey

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/test/engine"
)

// exporter is something to scrape; it gives its host:port.
func exporter(t *testing.T) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, "# TYPE x counter\nx{le=\"1\"} 1\nx{le=\"2\"} 2\ny 3\n")
	}))
	t.Cleanup(h.Close)
	u, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func clientOf(t *testing.T, s *engine.Server, name string) *server.Client {
	t.Helper()
	c, err := server.New(server.Options{Name: name, URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func stopping(findings []Finding) (rules []string) {
	for _, f := range findings {
		if f.Verdict.Stops() {
			rules = append(rules, f.Rule)
		}
	}
	slices.Sort(rules)
	return rules
}

// TestSurveyOfRealServers surveys a 2.42 and a 3.16 that is wrong in all that is easily forgotten, and then the same one put right.
func TestSurveyOfRealServers(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, []byte("groups: [{name: g, interval: 1s, rules: [{record: week, expr: 'max_over_time(y[1w])'}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen, hidden, closed := exporter(t), exporter(t), engine.FreeAddress(t)
	config := func(own, ownName, hiddenAt, rest string) string {
		return fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
- {job_name: prometheus, static_configs: [{targets: [%q], labels: {instance: %s}}]}
- {job_name: node, static_configs: [{targets: [%q]}, {targets: [%q], labels: {instance: %q}}]}
%s`, rules, own, ownName, seen, hiddenAt, hidden, rest)
	}
	oldAddress, newAddress := engine.FreeAddress(t), engine.FreeAddress(t)
	old := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Address: oldAddress, Config: config(oldAddress, "self", hidden, ""), Flags: []string{"--storage.tsdb.retention.time=30d"}})
	wrong := config(newAddress, "self", closed, "remote_write: [{url: 'http://"+closed+"/w'}]\nalerting: {alertmanagers: [{static_configs: [{targets: ['"+closed+"']}]}]}\n")
	fresh := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Address: newAddress, Config: wrong, Flags: []string{"--storage.tsdb.retention.time=1d", "--storage.remote.flush-deadline=1s"}})
	source, target := clientOf(t, old, "source"), clientOf(t, fresh, "target")
	var p Pair
	var findings []Finding
	except := []string{"prometheus"} // under one name its own series are others in 3.16
	look := func() {
		t.Helper()
		report, err := NewCoverage(CoverageOptions{Source: source, Target: target, Except: except}).Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p = Pair{Coverage: &report}
		for _, side := range []struct {
			c  *server.Client
			to **Observation
		}{{source, &p.Source}, {target, &p.Target}} {
			if *side.to, err = Observe(t.Context(), side.c); err != nil {
				t.Fatal(err)
			}
		}
		findings = Judge(p, nil)
	}
	want := []string{RuleRetention, RuleSelfScrape, RuleAlertsOff, RuleRemoteWriteOff, RuleCoverage}
	slices.Sort(want)
	_, port, _ := strings.Cut(hidden, ":")
	engine.Eventually(t, "the target that is wrong", func() error {
		look()
		if diff := cmp.Diff(want, stopping(findings)); diff != "" {
			return fmt.Errorf("rules that stop -want +got:\n%s", diff)
		}
		f := p.Coverage.Firewall
		if len(f) != 1 || f[0].Network != "127.0.0.0/24" || f[0].Port != port || !strings.Contains(f[0].Error, "refused") || p.Coverage.Says != "1 of 2 targets are equal; 1 that it cannot reach; jobs that stay behind: 1" {
			return fmt.Errorf("%s; the firewall's list is %+v, want port %s", p.Coverage.Says, f, port)
		}
		return nil
	})
	if says := verdict(t, findings, RuleRetention).Says; !strings.Contains(says, "Prometheus Operator") {
		t.Errorf("%s", says)
	}

	except = nil
	fresh.Configure(config(newAddress, "new", hidden, "storage: {tsdb: {retention: {time: 30d}}}\n"))
	engine.Eventually(t, "the target that is put right", func() error {
		if look(); len(stopping(findings)) > 0 {
			return fmt.Errorf("%v; %s", stopping(findings), p.Coverage.Says)
		}
		return nil
	})
	if own := p.Coverage.OwnJobs(); !slices.Equal(own, []string{"prometheus"}) || p.Coverage.Says != "2 of 3 targets are equal; 1 on the target alone, 1 of the source itself" {
		t.Errorf("jobs by which the source scrapes itself: %q; %s", own, p.Coverage.Says)
	}
	plan, err := NewPlan(p.Source, PlanOptions{To: skew.Version{Major: 3, Minor: 16}, Rates: []int64{1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if says := verdict(t, plan.Findings, RuleSelfScrape).Says; !strings.HasPrefix(says, `it scrapes itself as {instance="self", job="prometheus"}`) {
		t.Errorf("the plan says %q", says)
	}
	if plan.Skew == nil || len(plan.Skew.Hops) != 2 || plan.Source.Storage.Series == 0 || plan.Need.HeadBytes == 0 || plan.Source.Storage.SamplesPerSecond <= 0 || !filepath.IsAbs(plan.Source.Flags.DataDir) {
		t.Errorf("%+v", plan)
	}
}
