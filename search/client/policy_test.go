package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/search/state"
)

const day = 24 * 60 * 60 * 1000

func TestILM(t *testing.T) {
	c := fake(t, map[string]string{
		"/_ilm/policy": `{"logs":{"version":1,"policy":{"phases":{"delete":{"min_age":"360h","actions":{"delete":{}}},"hot":{"min_age":"0ms","actions":{"rollover":{"max_age":"1d"},"set_priority":{}}}}}}}`,
		"/_slm/policy": `{"daily":{"policy":{"schedule":"0 30 1 * * ?","repository":"cos","config":{"indices":["logs-*","x-*"]}},"last_success":{"time":5},"last_failure":{"time":7}}}`,
		"/*/_ilm/explain": `{"indices":{"a":{"policy":"logs","phase":"hot","action":"rollover","step":"ERROR","failed_step":"check-rollover-ready","lifecycle_date_millis":9,"step_info":{"reason":"no alias"}},
			"other":{"policy":"logs"}}}`,
	})
	got, err := ilm{withSLM: true}.readPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Policy{
		{Kind: state.KindILM, Name: "logs", Steps: []state.PolicyStep{{Name: "hot", Actions: []string{"rollover", "set_priority"}}, {Name: "delete", AfterMillis: 15 * day, Actions: []string{"delete"}}}},
		{Kind: state.KindSLM, Name: "daily", Patterns: []string{"logs-*", "x-*"}, Schedule: "0 30 1 * * ?", Repository: "cos", LastSuccessMillis: 5, LastFailureMillis: 7},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	indices := map[string]*state.Index{"a": {Policy: &state.Attachment{}}, "b": {}}
	if err := (ilm{}).attach(t.Context(), c, indices); err != nil {
		t.Fatal(err)
	}
	stuck := &state.Attachment{Kind: state.KindILM, Policy: "logs", Phase: "hot", Action: "rollover", Step: "check-rollover-ready", Failed: true, Why: "no alias", OriginMillis: 9}
	if diff := cmp.Diff(map[string]*state.Index{"a": {Policy: stuck}, "b": {}}, indices); diff != "" {
		t.Error(diff)
	}
}

func TestISM(t *testing.T) {
	c := fake(t, map[string]string{
		"/_plugins/_ism/policies": `{"policies":[{"_id":"logs","policy":{"ism_template":[{"index_patterns":["logs-*"],"priority":1}],"states":[
			{"name":"hot","actions":[],"transitions":[{"state_name":"warm","conditions":{"min_index_age":"15d"}},{"state_name":"big","conditions":{"min_size":"50gb"}}]},
			{"name":"warm","actions":[{"retry":{"count":3},"replica_count":{"number_of_replicas":0}}],"transitions":[]},{"name":"big","actions":[]}]}}],"total_policies":1}`,
		"/_plugins/_ism/explain/*": `{"a":{"policy_id":"logs","state":{"name":"warm"},"action":{"name":"replica_count","failed":true},"step":{"name":"attempt_set_replica_count"},"info":{"message":"timed out"}},"b":{"policy_id":null}}`,
	})
	got, err := ism{}.readPolicies(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := []state.Policy{{Kind: state.KindISM, Name: "logs", Patterns: []string{"logs-*"}, Steps: []state.PolicyStep{{Name: "hot"},
		{Name: "warm", AfterMillis: 15 * day, Actions: []string{"replica_count"}}, {Name: "big", AfterMillis: -1}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	indices := map[string]*state.Index{"a": {}, "b": {}}
	if err := (ism{}).attach(t.Context(), c, indices); err != nil {
		t.Fatal(err)
	}
	stuck := &state.Attachment{Kind: state.KindISM, Policy: "logs", Phase: "warm", Action: "replica_count", Step: "attempt_set_replica_count", Failed: true, Why: "timed out"}
	if diff := cmp.Diff(map[string]*state.Index{"a": {Policy: stuck}, "b": {}}, indices); diff != "" {
		t.Error(diff)
	}
}

func TestAge(t *testing.T) {
	for text, want := range map[string]int64{"15d": 15 * day, "360h": 15 * day, "0ms": 0, "90s": 90_000, "5m": 300_000, "1500micros": 1, "7": 7,
		"": -1, "d": -1, "-1d": -1, "1.5d": -1, "1y": -1, "9223372036854775807d": -1} {
		if got := parseAge(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

func FuzzAge(f *testing.F) {
	f.Add("15d")
	f.Add("9223372036854775807d")
	f.Fuzz(func(t *testing.T, text string) {
		if got := parseAge(text); got < -1 {
			t.Errorf("%q is %d", text, got)
		}
	})
}
