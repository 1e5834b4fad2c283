//go:build search || long

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab/search"
	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/doctor"
)

// illServer is a real cluster that somebody left in a bad state.
type illServer struct {
	t      *testing.T
	url    string
	client *client.Client
}

// startIll starts hot-1 and warm-1 of a product.
func startIll(t *testing.T, product search.Product, version string) *illServer {
	home := t.TempDir()
	for _, dir := range []string{home, filepath.Dir(home)} { // the servers' user has to come through
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	o := search.Options{Home: home, WithCreator: true, QuickStart: true, Progress: os.Stderr}
	made, err := search.Create(t.Context(), o, "ill", search.Spec{Product: product, Version: version, Tiers: []search.Tier{{Name: "hot", Nodes: 1}, {Name: "warm", Nodes: 1}}})
	t.Cleanup(func() {
		if err := search.Delete(context.Background(), o, "ill"); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Endpoints: []string{made.Nodes[0].URL}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s := &illServer{t: t, url: made.Nodes[0].URL, client: c}
	s.fallIll(made.Snapshots)
	return s
}

// put sends a request; a path may have a query.
func (s *illServer) put(path, body string) {
	s.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	params, err := url.ParseQuery(query)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.client.Call(s.t.Context(), "PUT", path, params, json.RawMessage(body), nil); err != nil {
		s.t.Fatal(err)
	}
}

// slotName is the hour that lies some hours before a time.
func slotName(at time.Time, before int) string {
	return at.UTC().Add(-time.Duration(before) * time.Hour).Format("app-2006.01.02.15")
}

// fallIll leaves behind what emergencies leave: recoveries at fifty, a filter that names a node that is gone, single copies, and no next slot.
func (s *illServer) fallIll(snapshots string) {
	s.put("/_template/app", `{"index_patterns":["app-*"],"settings":{"number_of_shards":2,"number_of_replicas":0,"index.routing.allocation.require.tier":"hot"}}`)
	now := time.Now()
	for before := 12; before >= 1; before-- {
		s.put("/"+slotName(now, before), `{}`)
		s.put("/"+slotName(now, before)+"/_doc/1?refresh=true", `{"message":"a line of a log","level":"info"}`)
	}
	s.put("/"+slotName(now, 6)+"/_settings", `{"index.routing.allocation.require._name":"gone-1"}`)
	s.put("/_snapshot/repo", fmt.Sprintf(`{"type":"fs","settings":{"location":%q}}`, snapshots+"/repo"))
	s.put("/_snapshot/repo/one?wait_for_completion=true", fmt.Sprintf(`{"indices":%q,"include_global_state":false}`, slotName(now, 12)))
	s.put("/_cluster/settings", `{"persistent":{"cluster.routing.allocation.node_concurrent_recoveries":50,"action.auto_create_index":"false"},`+
		`"transient":{"cluster.routing.allocation.exclude._name":"hot-9"}}`)
}

// look runs the command as a user does.
func (s *illServer) look() doctor.Report { return report(s.t, s.url) }

// says whether a rule has a finding with some words.
func says(r doctor.Report, rule, words string) bool {
	return slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
		return f.Rule == rule && f.Severity != doctor.Fine && strings.Contains(f.Says, words)
	})
}

// mend sends every request of some rules to the server: what is printed has to work.
func (s *illServer) mend(r doctor.Report, rules ...string) {
	for _, f := range r.Findings {
		for _, q := range f.Requests {
			if slices.Contains(rules, f.Rule) {
				s.put(q.Path, cmp.Or(q.Body, "{}"))
			}
		}
	}
}

// doctorOnServer makes a cluster ill, reads what doctor says, does what it says, and looks again.
func doctorOnServer(t *testing.T, product search.Product, version string) {
	s := startIll(t, product, version)
	ill := s.look()
	for rule, words := range map[string]string{
		"recoveries_at_once_are_few": "node_concurrent_recoveries = 50 (persistent; 2 by default): 2 data nodes may start 100 relocations at once",
		"filters_can_be_met":         "1 index asks for require._name = gone-1",
		"excluded_nodes_are_meant":   "exclude._name names what no data node is",
		"settings_survive_a_restart": "1 setting is transient",
		"next_slots_exist":           slotName(ill.TakenAt, 0) + " should be written now and does not exist: action.auto_create_index is false",
		"data_have_a_second_copy":    "11 indices",
		"new_slots_have_a_replica":   "1 series is written with one copy",
		"heap_dumps_lie_apart":       "2 nodes write",
		"templates_are_for_logs":     "refreshed every second",
	} {
		if !says(ill, rule, words) {
			t.Errorf("%s does not say %q: %+v", rule, words, ill.Findings)
		}
	}
	if says(ill, "snapshots_succeed", "") {
		t.Error("a snapshot of today is not enough")
	}
	if n := ill.Counts[string(doctor.Unknown)]; n > 0 {
		t.Errorf("%d rules could not be judged: %+v", n, ill.Findings)
	}
	s.mend(ill, "recoveries_at_once_are_few", "filters_can_be_met", "excluded_nodes_are_meant", "next_slots_exist")
	well := s.look()
	for _, rule := range []string{"recoveries_at_once_are_few", "filters_can_be_met", "excluded_nodes_are_meant", "settings_survive_a_restart"} {
		if says(well, rule, "") {
			t.Errorf("%s is not mended: %+v", rule, well.Findings)
		}
	}
	if says(well, "next_slots_exist", slotName(ill.TakenAt, 0)+" should") {
		t.Errorf("the slot of now is not there: %+v", well.Findings)
	}
}
