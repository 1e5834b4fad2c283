package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/search/state"
)

// fake answers paths with what the documentation of the products shows, and all others with a refusal.
func fake(t *testing.T, answers map[string]string) *Client {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s: one look changes nothing", r.Method, r.URL.Path)
		}
		text, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			text = `{"error":{"type":"security_exception","reason":"action is unauthorized"}}`
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(h.Close)
	return dial(t, Options{Endpoints: []string{h.URL}})
}

func TestObserveSaysWhatItCouldNotSee(t *testing.T) {
	c := fake(t, map[string]string{
		"/":                `{"cluster_name":"logs","cluster_uuid":"u","version":{"number":"7.17.0","build_flavor":"default"},"tagline":"You Know, for Search"}`,
		"/_cluster/health": `{"status":"green","number_of_nodes":3}`,
		"/_snapshot":       `{"cos":{"type":"cos","settings":{"bucket":"b","base_path":"p","access_key_secret":"hunter2"}}}`,
		"/_alias":          `[]`,
	})
	got, err := c.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[state.Part]string{state.PartNodes: "status 403, security_exception", state.PartSnapshots: "listing repository cos", state.PartAliases: "broken",
		state.PartPolicies: "403"} {
		if why, unseen := got.WhyUnseen(part); !unseen || !strings.Contains(why, want) {
			t.Errorf("%s: %q", part, why)
		}
	}
	if got.Capabilities[state.ILM] != state.Unsure || got.Capabilities[state.SearchableSnapshots] != state.Unsure || got.Capabilities[state.CloneIndex] != state.Yes {
		t.Errorf("%v", got.Capabilities)
	}
	if diff := cmp.Diff([]state.Repository{{Name: "cos", Type: "cos", Place: "b/p"}}, got.Repositories); diff != "" {
		t.Error(diff)
	}
}

func TestObserveEndsWhereNobodyAnswers(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	if got, err := dial(t, Options{Endpoints: []string{gone.URL}}).Observe(t.Context()); err == nil || ClassOf(err) != Retry {
		t.Errorf("%v, %v", got, err)
	}
}

func TestObserveRefusesAWrongPassword(t *testing.T) {
	h := httptest.NewServer(says(http.StatusUnauthorized, ""))
	defer h.Close()
	if _, err := dial(t, Options{Endpoints: []string{h.URL}}).Observe(t.Context()); err == nil || ClassOf(err) != Human || !strings.Contains(err.Error(), "401") {
		t.Errorf("%v", err)
	}
}

func TestTaskKind(t *testing.T) {
	for source, want := range map[string]string{
		"create-index [logs-1], cause [api]":             "create-index",
		"put-mapping [logs-1/abc]":                       "put-mapping",
		"shard-started StartedShardEntry{shardId [[a]]}": "shard-started",
		"cluster_reroute(reroute after starting shards)": "cluster_reroute",
		"ilm-execute-cluster-state-steps [{}]":           "ilm-execute-cluster-state-steps",
		"":                                               "other",
	} {
		if got := taskKind(source); got != want {
			t.Errorf("%q is %q", source, got)
		}
	}
}
