package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// session opens a session with a server that answers by method and path, and notes what is asked for.
func session(t *testing.T, product, version string, answers map[string]string) (*Session, *[]string) {
	t.Helper()
	var asked []string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := r.Method + " " + r.URL.Path
		switch r.URL.Path {
		case "/":
			tag := map[string]string{"elasticsearch": "You Know, for Search", "opensearch": "The OpenSearch Project"}[product]
			_ = json.NewEncoder(w).Encode(map[string]any{"cluster_uuid": "u", "tagline": tag, "version": map[string]string{"number": version}})
			return
		case "/_nodes/_local":
			_, _ = w.Write([]byte(`{}`))
			return
		}
		asked = append(asked, what)
		body, ok := answers[what]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(h.Close)
	c, err := New(Options{Endpoints: []string{h.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, &asked
}

func TestRequestsFitTheServer(t *testing.T) {
	old, _ := session(t, "elasticsearch", "6.8.23", nil)
	current, _ := session(t, "opensearch", "2.19.0", nil)
	uuids := map[string]string{"a": "u1"}
	for name, c := range map[string]struct {
		got  Request
		want string
	}{
		"6.8 blocks writes by a setting": {old.BlockWrites([]string{"a", "b"}),
			`PUT /a,b/_settings?master_timeout=30000ms&timeout=30000ms {"index.blocks.write":true}`},
		"newer ones wait for writes under way": {current.BlockWrites([]string{"a"}), `PUT /a/_block/write?cluster_manager_timeout=30000ms&timeout=30000ms`},
		"6.8 keeps no metadata": {old.TakeSnapshot("r", "s", []string{"a"}, uuids),
			`PUT /_snapshot/r/s?master_timeout=30000ms&wait_for_completion=false {"ignore_unavailable":false,"include_global_state":false,"indices":["a"],"partial":false}`},
		"newer ones keep UUIDs with the snapshot": {current.TakeSnapshot("r", "s", []string{"a"}, uuids),
			`PUT /_snapshot/r/s?cluster_manager_timeout=30000ms&wait_for_completion=false {"ignore_unavailable":false,"include_global_state":false,"indices":["a"],` +
				`"metadata":{"slipway":{"a":"u1"}},"partial":false}`},
		"a read-back has no aliases, no replicas and no policy": {old.Restore("r", "s", "a", "copy", 0),
			`POST /_snapshot/r/s/_restore?master_timeout=30000ms&wait_for_completion=false {"ignore_index_settings":["index.routing.allocation.require._name","index.lifecycle.name",` +
				`"index.lifecycle.rollover_alias","index.plugins.index_state_management.policy_id"],"ignore_unavailable":false,"include_aliases":false,"include_global_state":false,` +
				`"index_settings":{"index.auto_expand_replicas":"false","index.number_of_replicas":0},"indices":["a"],"partial":false,"rename_pattern":"^.+$","rename_replacement":"copy"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckNames(t *testing.T) {
	for name, ok := range map[string]bool{"logs-2026.11.22": true, ".ds-logs-000001": true, "": false, "a*": false, "-a": false, "_all": false, "a,b": false, "<a-{now/d}>": false, "A": false, "..": false, "a/b": false} {
		if err := CheckNames([]string{name}); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := CheckNames([]string{strings.Repeat("a", 200), strings.Repeat("b", maxPath)}); err == nil {
		t.Error("a path that no server takes is let through")
	}
}

func TestSend(t *testing.T) {
	s, asked := session(t, "elasticsearch", "7.17.0", map[string]string{
		"PUT /slow/_settings": `{"acknowledged":false}`, "POST /half/_flush": `{"_shards":{"total":2,"failed":1}}`, "PUT /well/_settings": `{"acknowledged":true}`,
	})
	if err := s.Send(t.Context(), s.Replicas([]string{"well"}, 0)); err != nil {
		t.Error(err)
	}
	if err := s.Send(t.Context(), s.Replicas([]string{"slow"}, 0)); !errors.Is(err, ErrNotAcknowledged) {
		t.Errorf("%v", err)
	}
	if err := s.Send(t.Context(), s.Flush([]string{"half"})); err == nil || ClassOf(err) != Human {
		t.Errorf("%v", err)
	}
	if err := s.Send(t.Context(), s.DeleteIndex("gone")); !IsAbsent(err) {
		t.Errorf("%v", err)
	}
	if len(*asked) != 4 {
		t.Errorf("asked %q", *asked)
	}
}

func TestCopies(t *testing.T) {
	answers := map[string]string{
		"GET /a,gone/_settings": `{"a":{"settings":{"index":{"uuid":"u1","creation_date":"1795404240685","number_of_shards":"2","number_of_replicas":"1","blocks":{"write":"true"}}}}}`,
		"GET /a,gone/_stats/docs": `{"indices":{"a":{"uuid":"u1","shards":{"1":[{"routing":{"state":"STARTED","primary":true},"docs":{"count":4},"seq_no":{"max_seq_no":9}},` +
			`{"routing":{"state":"STARTED","primary":false},"docs":{"count":3},"seq_no":{"max_seq_no":8}}]}}}}`,
	}
	s, _ := session(t, "opensearch", "2.19.0", answers)
	got, err := s.Copies(t.Context(), []string{"a", "gone"})
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	x := got["a"]
	if x.UUID != "u1" || x.Primaries != 2 || x.Replicas != 1 || x.Started != 1 || !x.Blocked || x.Total() != 4 || !cmp.Equal(x.MaxSeqNos, []int64{-1, 9}) || !cmp.Equal(x.Docs, []int64{-1, 4}) {
		t.Errorf("%+v", x)
	}
	answers["GET /a,gone/_stats/docs"] = `{"indices":{"a":{"shards":{"7":[]}}}}`
	if _, err := s.Copies(t.Context(), []string{"a", "gone"}); !errors.Is(err, ErrBroken) {
		t.Errorf("a shard that cannot be: %v", err)
	}
}

func TestSnapshot(t *testing.T) {
	s, _ := session(t, "opensearch", "2.19.0", map[string]string{
		"GET /_snapshot/r/s": `{"snapshots":[{"snapshot":"s","uuid":"su","state":"PARTIAL","indices":["a"],"start_time_in_millis":1000,"end_time_in_millis":2000,` +
			`"failures":[{"index":"a","shard_id":1,"reason":"node\u001b left"}],"shards":{"total":2,"failed":1,"successful":1},"metadata":{"slipway":{"a":"u1"}}}]}`,
		"GET /_snapshot/r/other":     `{"snapshots":[{"snapshot":"s"}]}`,
		"GET /_snapshot/r/s/_status": `{"snapshots":[{"indices":{"a":{"shards_stats":{"done":1,"total":2},"stats":{"total":{"size_in_bytes":7}}}}}]}`,
		"GET /_snapshot/r/_current":  `{"snapshots":[{"snapshot":"running"}]}`,
	})
	got, err := s.Snapshot(t.Context(), "r", "s")
	if err != nil || got.State != SnapshotPartial || got.UUID != "su" || got.Shards != 2 || got.Successful != 1 || got.UUIDs["a"] != "u1" || !cmp.Equal(got.Failures, []string{"a shard 1: node  left"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Snapshot(t.Context(), "r", "other"); !errors.Is(err, ErrBroken) {
		t.Errorf("another snapshot than was asked for: %v", err)
	}
	if _, err := s.Snapshot(t.Context(), "gone", "s"); err == nil {
		t.Error("a repository that is not there looks like a snapshot that is not there")
	}
	if contents, err := s.Contents(t.Context(), "r", "s"); err != nil || contents["a"] != (Stored{2, 1, 7}) {
		t.Errorf("%+v, %v", contents, err)
	}
	if running, err := s.Running(t.Context(), "r"); err != nil || !cmp.Equal(running, []string{"running"}) {
		t.Errorf("%q, %v", running, err)
	}
}

func TestSampleIsOfWholeShards(t *testing.T) {
	answers := map[string]string{"POST /a/_search": `{"_shards":{"total":1,"successful":1,"failed":0},"hits":{"hits":[{"_id":"1","sort":[0],"_source":{"n":1}}]}}`}
	s, _ := session(t, "elasticsearch", "6.8.23", answers)
	one, err := s.Sample(t.Context(), "a", []int64{0}, Sampling{Seed: 1})
	if err != nil || one.Docs != 3 {
		t.Fatalf("%+v, %v", one, err)
	}
	answers["POST /a/_search"] = strings.Replace(answers["POST /a/_search"], `"n":1`, `"n":2`, 1)
	if two, err := s.Sample(context.Background(), "a", []int64{0}, Sampling{Seed: 1}); err != nil || two.Sum == one.Sum {
		t.Errorf("another document has the same sum: %v, %v", two, err)
	}
	answers["POST /a/_search"] = `{"_shards":{"total":0,"successful":0,"failed":0},"hits":{"hits":[]}}`
	if _, err := s.Sample(t.Context(), "a", []int64{0}, Sampling{}); !errors.Is(err, ErrBroken) {
		t.Errorf("no shard answers: %v", err)
	}
}
