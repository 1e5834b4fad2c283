//go:build search || long

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/lab/search"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/test/golden"
)

// contract is what every server has to keep to. It runs on one real server with two nodes, hot-1 and warm-1.
func contract(t *testing.T, product search.Product, version string) {
	home := t.TempDir()
	for _, dir := range []string{home, filepath.Dir(home)} { // the servers' user has to come through
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	o := search.Options{Home: home, WithCreator: true, QuickStart: true, Progress: os.Stderr}
	made, err := search.Create(t.Context(), o, "contract", search.Spec{Product: product, Version: version, Tiers: []search.Tier{{Name: "hot", Nodes: 1}, {Name: "warm", Nodes: 1}}})
	t.Cleanup(func() {
		if err := search.Delete(context.Background(), o, "contract"); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, made: made, calls: map[string]bool{}}
	s.client = s.dial(s.proxy(made.Nodes[0].URL))
	about, err := s.client.About(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.about = about
	s.fill()
	t.Run("says what it is", s.saysWhatItIs)
	t.Run("one look sees all of it", s.look)
	t.Run("can what it is said to be able to, and no more", s.tryAll)
	t.Run("another endpoint answers when the first does not", s.failover)
	t.Run("errors are of the right class", s.classes)
	t.Run("TLS, passwords and keys go through nginx", s.behindProxy)
	s.keep()
}

// server is one under test.
type server struct {
	t      *testing.T
	made   *search.Cluster
	client *Client
	about  *About

	mu    sync.Mutex
	calls map[string]bool // paths that were asked for through the proxy
	root  bool
	// proxied says that all went well behind nginx.
	proxied bool
	tried   map[state.Capability]state.Support
	seen    []string
}

// proxy notes what passes.
func (s *server) proxy(to string) string {
	target, err := url.Parse(to)
	if err != nil {
		s.t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ModifyResponse = func(res *http.Response) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls[res.Request.Method+" "+res.Request.URL.Path] = true
		if res.Request.URL.Path == "/" {
			s.root = res.StatusCode == http.StatusOK
		}
		return nil
	}
	h := httptest.NewServer(forward)
	s.t.Cleanup(h.Close)
	return h.URL
}

func (s *server) dial(endpoints ...string) *Client {
	c, err := New(Options{Endpoints: endpoints, Timeout: time.Minute})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// must changes something on the server.
func (s *server) must(method, path, query, body string) {
	s.t.Helper()
	if err := s.do(method, path, query, body); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) do(method, path, query, body string) error {
	params, err := url.ParseQuery(query)
	if err != nil {
		s.t.Fatal(err)
	}
	var in any
	if body != "" {
		in = json.RawMessage(body)
	}
	return s.client.Call(s.t.Context(), method, path, params, in, nil)
}

// fill puts something of everything into the cluster.
func (s *server) fill() {
	s.must("PUT", "/_template/legacy", "", `{"index_patterns":["old-*"],"order":3,"settings":{"number_of_shards":1,"index.refresh_interval":"30s"},"aliases":{"old":{}}}`)
	s.must("PUT", "/logs-2026.11.22.10", "wait_for_active_shards=all", `{"settings":{"number_of_shards":2,"number_of_replicas":1},"aliases":{"logs":{}}}`)
	s.must("POST", "/logs-2026.11.22.10/_doc", "refresh=true", `{"message":"one"}`)
	s.must("POST", "/logs-2026.11.22.10/_doc", "refresh=true", `{"message":"two"}`)
	s.must("PUT", "/pinned-1", "wait_for_active_shards=all", `{"settings":{"number_of_shards":2,"number_of_replicas":0,"index.routing.allocation.require.tier":"warm","index.blocks.write":true}}`)
	s.must("PUT", "/lost-1", "wait_for_active_shards=0", `{"settings":{"number_of_shards":1,"number_of_replicas":0,"index.routing.allocation.require.tier":"none"}}`)
	s.must("PUT", "/closed-1", "", `{"settings":{"number_of_shards":3,"number_of_replicas":0}}`)
	s.must("POST", "/closed-1/_close", "", "")
	s.must("PUT", "/_snapshot/repo", "", fmt.Sprintf(`{"type":"fs","settings":{"location":%q}}`, s.made.Snapshots+"/repo"))
	s.must("PUT", "/_snapshot/repo/one", "wait_for_completion=true", `{"indices":"logs-*"}`)
	s.must("PUT", "/_cluster/settings", "", `{"persistent":{"cluster.routing.allocation.node_concurrent_recoveries":50},"transient":{"cluster.routing.allocation.exclude._name":"gone-1,gone-2"}}`)
}

func (s *server) saysWhatItIs(t *testing.T) {
	want := map[search.Product]state.Product{search.Elasticsearch: state.Elasticsearch, search.OpenSearch: state.OpenSearch}[s.made.Spec.Product]
	if s.about.Product != want || s.about.Version != s.made.Spec.Version || s.about.Name != "contract" || s.about.UUID == "" {
		t.Errorf("%+v", s.about)
	}
}

// look compares one look with what fill did.
func (s *server) look(t *testing.T) {
	s.mu.Lock()
	clear(s.calls)
	s.mu.Unlock()
	got, err := s.client.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	for call := range s.calls {
		s.seen = append(s.seen, call)
	}
	s.mu.Unlock()
	slices.Sort(s.seen)
	if err := got.Check(); err != nil || len(got.Unseen) > 0 {
		t.Errorf("%v; unseen: %+v", err, got.Unseen)
	}
	if got.Health.Status != "red" || got.Health.Nodes != 2 || got.Health.UnassignedShards != 1 || got.ElectedMaster == "" {
		t.Errorf("health %+v, master %q", got.Health, got.ElectedMaster)
	}
	s.lookAtNodes(t, got)
	s.lookAtIndices(t, got)
	s.lookAtRest(t, got)
}

func (s *server) lookAtNodes(t *testing.T, got *state.Cluster) {
	for i, name := range []string{"hot-1", "warm-1"} {
		n := got.Nodes[i]
		tier, _, _ := strings.Cut(name, "-")
		if n.Name != name || !cmp.Equal(n.Attributes, map[string]string{"tier": tier}) || !n.HoldsData() || !n.MasterEligible() || n.Version != s.made.Spec.Version {
			t.Errorf("node %+v", n)
		}
		if n.HeapMaxBytes < 400<<20 || n.HeapUsedBytes <= 0 || n.DiskTotalBytes <= 0 || n.DiskFreeBytes <= 0 || n.Processors < 1 || n.Load1 < 0 || n.CPUPercent < 0 && !s.hidesCPU() ||
			n.MemTotalBytes <= 0 || n.MaxOpenFiles <= 0 || n.StartedMillis <= 0 || n.Shards < 2 || n.ShardBytes <= 0 || n.IndexedDocs < 2 {
			t.Errorf("numbers of %s: %+v", name, n)
		}
		if !n.HeapDumps || !strings.HasSuffix(n.HeapDumpPath, name+"/data") || n.JavaVersion == "" || n.HomePath == "" || len(n.DataPaths) != 1 {
			t.Errorf("paths of %s: %+v", name, n)
		}
		for _, pool := range pools() {
			if n.Pools[pool].Size < 1 {
				t.Errorf("%s has no pool %s: %+v", name, pool, n.Pools)
			}
		}
	}
}

// hidesCPU says whether the server tells -1 percent of CPU: OpenSearch 3.3 does, on Java 25.
func (s *server) hidesCPU() bool {
	return s.about.Product == state.OpenSearch && strings.HasPrefix(s.about.Version, "3.")
}

func (s *server) lookAtIndices(t *testing.T, got *state.Cluster) {
	byName := map[string]state.Index{}
	for _, x := range got.Indices {
		if x.UUID == "" || x.CreatedMillis == 0 {
			t.Errorf("%+v", x)
		}
		byName[x.Name] = x
	}
	logs := byName["logs-2026.11.22.10"]
	if logs.Health != "green" || logs.Primaries != 2 || logs.Replicas != 1 || logs.Docs != 2 || logs.PrimaryBytes <= 0 || logs.Bytes < logs.PrimaryBytes ||
		logs.Counts != (state.ShardCounts{Started: 4}) {
		t.Errorf("%+v", logs)
	}
	pinned := byName["pinned-1"]
	if !cmp.Equal(pinned.Filters, map[string]string{"require.tier": "warm"}) || !cmp.Equal(pinned.Blocks, []string{"write"}) {
		t.Errorf("%+v", pinned)
	}
	if lost := byName["lost-1"]; lost.Health != "red" || lost.Counts.Unassigned != 1 {
		t.Errorf("%+v", lost)
	}
	if closed := byName["closed-1"]; !closed.Closed || closed.Primaries != 3 || closed.Replicas != 0 || closed.Docs > 0 {
		t.Errorf("%+v", closed)
	}
	var shards []string
	for _, g := range got.Shards {
		shards = append(shards, fmt.Sprintf("%s %s %s %d", g.Index, g.Node, g.State, g.Primaries+g.Replicas))
	}
	want := []string{"logs-2026.11.22.10 hot-1 STARTED 2", "logs-2026.11.22.10 warm-1 STARTED 2", "lost-1  UNASSIGNED 1", "pinned-1 warm-1 STARTED 2"}
	for _, line := range want {
		if !slices.Contains(shards, line) {
			t.Errorf("%q is not among %q", line, shards)
		}
	}
}

func (s *server) lookAtRest(t *testing.T, got *state.Cluster) {
	for key, want := range map[string]string{
		"cluster.routing.allocation.node_concurrent_recoveries": "50 persistent",
		"cluster.routing.allocation.exclude._name":              "gone-1,gone-2 transient",
		"cluster.routing.allocation.disk.watermark.low":         "500mb default",
		"indices.recovery.max_bytes_per_sec":                    s.fortyMB() + " default",
	} {
		value, from := got.Settings.Get(key)
		if fmt.Sprintf("%s %s", value, from) != want {
			t.Errorf("%s is %s (%s), want %s", key, value, from, want)
		}
	}
	i := slices.IndexFunc(got.Templates, func(x state.Template) bool { return x.Name == "legacy" })
	if i < 0 {
		t.Fatalf("templates: %+v", got.Templates)
	}
	want := state.Template{Name: "legacy", Legacy: true, Patterns: []string{"old-*"}, Priority: 3, Aliases: []string{"old"},
		Settings: map[string]string{"index.number_of_shards": "1", "index.refresh_interval": "30s"}}
	if diff := cmp.Diff(want, got.Templates[i]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]state.Alias{{Name: "logs", Index: "logs-2026.11.22.10"}}, got.Aliases); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]state.Repository{{Name: "repo", Type: "fs", Place: s.made.Snapshots + "/repo"}}, got.Repositories); diff != "" {
		t.Error(diff)
	}
	if len(got.Snapshots) != 1 || got.Snapshots[0].State != "SUCCESS" || !cmp.Equal(got.Snapshots[0].IndexNames, []string{"logs-2026.11.22.10"}) {
		t.Errorf("%+v", got.Snapshots)
	}
}

// fortyMB is how a product writes a default of 40 MB.
func (s *server) fortyMB() string {
	if s.about.Product == state.OpenSearch && !strings.HasPrefix(s.about.Version, "1.") {
		return "41943040b"
	}
	return "40mb"
}

// tryAll uses each capability, and compares what comes of it with what the client says of this very server.
func (s *server) tryAll(t *testing.T) {
	can, err := s.client.Capabilities(t.Context(), s.about, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.tried = map[state.Capability]state.Support{}
	for what, try := range tries(s.about.Product) {
		start := time.Now()
		err := try(s)
		t.Logf("%s took %s", what, time.Since(start).Round(time.Millisecond))
		s.tried[what] = state.Yes
		if err != nil {
			s.tried[what] = state.No
		}
		if can[what] != s.tried[what] {
			t.Errorf("%s is said to be %s, and is %s: %v", what, can[what], s.tried[what], err)
		}
	}
	if can[state.Security] != state.No {
		t.Errorf("security is %s", can[state.Security])
	}
}

// tries use what a capability names. What needs nodes, a licence, or two things at one moment, is not tried.
func tries(product state.Product) map[state.Capability]func(*server) error {
	call := func(method, path, query, body string) func(*server) error {
		return func(s *server) error { return s.do(method, path, query, body) }
	}
	size := map[state.Product]string{state.Elasticsearch: "max_primary_shard_size", state.OpenSearch: "max_shard_size"}[product]
	return map[state.Capability]func(*server) error{
		state.ILM:                 call("GET", "/_ilm/status", "", ""),
		state.SLM:                 call("GET", "/_slm/policy", "", ""),
		state.ISM:                 call("GET", "/_plugins/_ism/policies", "", ""),
		state.SM:                  call("GET", "/_plugins/_sm/policies", "", ""),
		state.Freeze:              call("POST", "/pinned-1/_freeze", "", ""),
		state.NodeShutdown:        (*server).listShutdowns,
		state.DataTiers:           (*server).decidesByTier,
		state.ComposableTemplates: call("PUT", "/_index_template/composable", "", `{"index_patterns":["new-*"],"priority":7,"template":{"settings":{"number_of_shards":1}}}`),
		state.WriteBlockAPI:       call("PUT", "/logs-2026.11.22.10/_block/write", "", ""),
		state.MappingTypes:        call("PUT", "/typed-1", "include_type_name=true&wait_for_active_shards=0", `{"mappings":{"kind":{"properties":{"a":{"type":"long"}}}}}`),
		state.CloneIndex:          call("POST", "/pinned-1/_clone/cloned-1", "", ""),
		state.ShrinkBySize:        call("POST", "/pinned-1/_shrink/shrunk-1", "", `{"`+size+`":"50gb"}`),
		state.CreateIndexBlock:    (*server).blockCreation,
		state.ConcurrentSnapshots: (*server).snapshotTwice,
		state.DataStreams: func(s *server) error {
			err := s.do("PUT", "/_index_template/stream", "", `{"index_patterns":["stream-*"],"priority":9,"data_stream":{},"template":{"settings":{"number_of_replicas":0}}}`)
			return errors.Join(err, s.do("PUT", "/_data_stream/stream-1", "", ""))
		},
		state.ModifyDataStream: func(s *server) error {
			err := s.do("POST", "/_data_stream/_modify", "", `{"actions":[{"add_backing_index":{"data_stream":"absent","index":"absent"}}]}`)
			var no *ServerError
			if errors.As(err, &no) && no.Type == "illegal_argument_exception" && strings.Contains(no.Reason, "data stream") {
				return nil // it knows the call, and not the stream
			}
			return err
		},
	}
}

// listShutdowns: servers that do not know the call take its name for that of a node, and answer with an object.
func (s *server) listShutdowns() error {
	var got struct {
		Nodes []json.RawMessage `json:"nodes"`
	}
	return s.client.Call(s.t.Context(), "GET", "/_nodes/shutdown", nil, nil, &got)
}

// decidesByTier looks for the tier among what decides where a shard may lie: the setting alone is taken by servers that make nothing of it.
func (s *server) decidesByTier() error {
	type decider struct {
		Name string `json:"decider"`
	}
	var got struct {
		Nodes []struct {
			Deciders []decider `json:"deciders"`
		} `json:"node_allocation_decisions"`
	}
	in := json.RawMessage(`{"index":"pinned-1","shard":0,"primary":true}`)
	err := s.client.Call(s.t.Context(), "POST", "/_cluster/allocation/explain", url.Values{"include_yes_decisions": {"true"}}, in, &got)
	switch {
	case err != nil:
		return err
	case len(got.Nodes) == 0 || !slices.Contains(got.Nodes[0].Deciders, decider{"filter"}):
		s.t.Errorf("the server does not tell what decides: %+v", got)
	case slices.Contains(got.Nodes[0].Deciders, decider{"data_tier"}):
		return nil
	}
	return fmt.Errorf("none of these is data_tier: %+v", got.Nodes)
}

// snapshotTwice takes two snapshots at once, until both are seen to run or one is refused; what is over before the next begins proves nothing.
func (s *server) snapshotTwice() error {
	for i := range 5 {
		s.must("PUT", fmt.Sprintf("/_snapshot/repo/first-%d", i), "", `{"indices":"logs-*"}`)
		refused := s.do("PUT", fmt.Sprintf("/_snapshot/repo/second-%d", i), "", `{"indices":"logs-*"}`)
		together := s.snapshots()
		s.wait("the snapshots to end", func() bool { return s.snapshots() == 0 })
		if refused != nil && ClassOf(refused) != Wait {
			s.t.Errorf("a snapshot beside another one: %s: %v", ClassOf(refused), refused)
		}
		if refused != nil || together == 2 {
			return refused
		}
	}
	return nil
}

// snapshots is how many run.
func (s *server) snapshots() int {
	var got struct {
		Snapshots []struct{ Snapshot string }
	}
	if err := s.client.Call(s.t.Context(), "GET", "/_snapshot/repo/_status", nil, nil, &got); err != nil {
		s.t.Fatal(err)
	}
	return len(got.Snapshots)
}

func (s *server) wait(what string, holds func() bool) {
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (s *server) blockCreation() error {
	err := s.do("PUT", "/_cluster/settings", "", `{"persistent":{"cluster.blocks.create_index":true}}`)
	if err != nil {
		return err
	}
	refused := s.do("PUT", "/blocked-1", "", "")
	s.must("PUT", "/_cluster/settings", "", `{"persistent":{"cluster.blocks.create_index":null}}`)
	if ClassOf(refused) != Human || refused == nil {
		return fmt.Errorf("with creation blocked, creating gives: %w", refused)
	}
	return nil
}

func (s *server) failover(t *testing.T) {
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer busy.Close()
	c := s.dial(dead.URL, busy.URL, s.made.Nodes[1].URL)
	got, err := c.Observe(t.Context())
	if err != nil || got.Name != "contract" {
		t.Errorf("%v", err)
	}
	if load := c.Load(); load.Calls > 40 {
		t.Errorf("the dead ones are asked again and again: %+v", load)
	}
}

func (s *server) classes(t *testing.T) {
	small, err := New(Options{Endpoints: []string{s.made.Nodes[0].URL}, MaxBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	for name, test := range map[string]struct {
		err    error
		class  Class
		absent bool
	}{
		"an index that is not there":       {s.do("GET", "/absent", "", ""), Human, true},
		"a body that is wrong":             {s.do("PUT", "/wrong-1", "", `{"settings":{"number_of_shards":"many"}}`), Human, false},
		"a setting that is not there":      {s.do("PUT", "/_cluster/settings", "", `{"persistent":{"cluster.absent":1}}`), Human, false},
		"an index that is there":           {s.do("PUT", "/pinned-1", "", ""), Human, false},
		"a write into a blocked index":     {s.do("POST", "/pinned-1/_doc", "", `{"a":1}`), Human, false},
		"a repository that is not there":   {s.do("GET", "/_snapshot/absent", "", ""), Human, true},
		"a snapshot that is there already": {s.do("PUT", "/_snapshot/repo/one", "", ""), Human, false},
		"an answer above the limit":        {small.Call(t.Context(), "GET", "/_cluster/settings", url.Values{"include_defaults": {"true"}}, nil, &map[string]any{}), Human, false},
	} {
		if test.err == nil || ClassOf(test.err) != test.class || IsAbsent(test.err) != test.absent {
			t.Errorf("%s: %s, absent %v: %v", name, ClassOf(test.err), IsAbsent(test.err), test.err)
		}
	}
}

// keep compares with the record of this server; -update writes it.
func (s *server) keep() {
	r := record{Product: s.about.Product, Version: s.about.Version, Flavour: s.about.Flavour, Root: s.root, Proxied: s.proxied, Tried: s.tried, Calls: s.seen}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		s.t.Fatal(err)
	}
	golden.Check(s.t, "testdata/seen/"+string(s.made.Spec.Product)+"-"+s.about.Version+".json", string(data)+"\n")
}
