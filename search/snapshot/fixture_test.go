package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
)

// fake is a small model of a cluster with one repository: indices with numbered documents, snapshots that copy them, restores that bring them back.
type fake struct {
	mu        sync.Mutex
	product   string // elasticsearch or opensearch
	version   string
	indices   map[string]*fakeIndex
	snapshots map[string]*fakeSnapshot
	made      int
	ends      []string // how the next snapshots end; SUCCESS when there are none
	cut       bool     // the repository
	corrupt   string   // an index whose files in the repository are damaged
	bent      string   // an index whose restored documents are others
	short     string   // an index of which the repository says that a shard is not done
	requests  []string // that changed something
}

type fakeIndex struct {
	uuid     string
	shards   [][]string // documents by sequence number
	replicas int
	blocked  bool
	lost     map[int]string // shards on no node, and why
	coming   int            // looks until a restored index is there
}

type fakeSnapshot struct {
	name, uuid, state, end string
	looks                  int
	indices                map[string]*fakeIndex
	metadata               any
}

func (x *fakeIndex) copy() *fakeIndex {
	y := *x
	y.shards, y.lost = nil, map[int]string{}
	for _, s := range x.shards {
		y.shards = append(y.shards, slices.Clone(s))
	}
	return &y
}

func newFake(product, version string, indices ...string) *fake {
	f := &fake{product: product, version: version, indices: map[string]*fakeIndex{}, snapshots: map[string]*fakeSnapshot{}}
	for i, name := range indices {
		f.add(name, 2+i%2, 7+i)
	}
	return f
}

func (f *fake) uuid() string { f.made++; return fmt.Sprintf("uuid-%d", f.made) }

func (f *fake) add(name string, shards, docs int) {
	x := &fakeIndex{uuid: f.uuid(), shards: make([][]string, shards), replicas: 1, lost: map[int]string{}}
	for i := range docs {
		s := i % shards
		x.shards[s] = append(x.shards[s], fmt.Sprintf(`{"n":%d,"of":%q}`, i, name))
	}
	f.indices[name] = x
}

type reply struct {
	status int
	body   any
}

func refuse(status int, kind, why string) reply {
	return reply{status, map[string]any{"status": status, "error": map[string]any{"type": kind, "reason": why}}}
}

func yes() reply { return reply{200, map[string]any{"acknowledged": true}} }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body) // none is nil
	if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/_search") {
		f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var a reply
	switch parts[0] {
	case "":
		a = reply{200, map[string]any{"cluster_name": "fake", "cluster_uuid": "c", "tagline": map[string]string{"elasticsearch": "You Know, for Search"}[f.product],
			"version": map[string]any{"number": f.version, "distribution": map[string]string{"opensearch": "opensearch"}[f.product]}}}
	case "_nodes":
		a = reply{200, map[string]any{"nodes": map[string]any{"n": map[string]any{"version": f.version, "modules": []any{map[string]any{"name": "m", f.product + "_version": f.version}}}}}}
	case "_snapshot":
		a = f.repository(r.Method, parts[2:], body)
	case "_cat":
		a = f.cat(parts[2])
	default:
		a = f.index(r, parts, body)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

func (f *fake) cat(name string) reply {
	rows := []any{}
	x := f.indices[name]
	if x == nil {
		return refuse(404, "index_not_found_exception", name)
	}
	for s := range x.shards {
		row := map[string]any{"shard": fmt.Sprint(s), "prirep": "p", "state": "STARTED"}
		if why, lost := x.lost[s]; lost {
			row["state"], row["unassigned.reason"], row["unassigned.details"] = "UNASSIGNED", why, "failed shard on node [n]: failed recovery, failure RecoveryFailedException["+strings.Repeat("x", 400)+"]; nested: CorruptIndexException[checksum failed]"
		}
		rows = append(rows, row)
	}
	return reply{200, rows}
}

func (f *fake) index(r *http.Request, parts []string, body map[string]any) reply {
	names := strings.Split(parts[0], ",")
	if r.Method == http.MethodGet {
		return f.look(names, parts[1])
	}
	for _, name := range names {
		x := f.indices[name]
		if x == nil {
			return refuse(404, "index_not_found_exception", name)
		}
		switch {
		case r.Method == http.MethodDelete:
			delete(f.indices, name)
		case parts[1] == "_block":
			x.blocked = true
		case parts[1] == "_settings" && body["index.blocks.write"] == true:
			x.blocked = true
		case parts[1] == "_settings" && body["index.number_of_replicas"] != nil:
			x.replicas = int(body["index.number_of_replicas"].(float64))
		case parts[1] == "_search":
			return x.search(r.URL.Query().Get("preference"), body)
		}
	}
	return yes()
}

func (x *fakeIndex) search(preference string, body map[string]any) reply {
	var shard int
	_, _ = fmt.Sscanf(preference, "_shards:%d", &shard)
	from := body["query"].(map[string]any)["range"].(map[string]any)["_seq_no"].(map[string]any)["gte"].(float64)
	hits := []any{}
	for seq, doc := range x.shards[shard] {
		if seq >= int(from) && len(hits) < int(body["size"].(float64)) {
			hits = append(hits, map[string]any{"_id": fmt.Sprint(shard, seq), "sort": []int{seq}, "_source": json.RawMessage(doc)})
		}
	}
	return reply{200, map[string]any{"_shards": map[string]any{"total": 1, "successful": 1, "failed": 0}, "hits": map[string]any{"hits": hits}}}
}

func (f *fake) look(names []string, what string) reply {
	out := map[string]any{}
	for _, name := range names {
		x := f.indices[name]
		if x == nil {
			continue
		}
		if what == "_settings" {
			out[name] = map[string]any{"settings": map[string]any{"index": map[string]any{"uuid": x.uuid, "creation_date": "1", "number_of_shards": fmt.Sprint(len(x.shards)),
				"number_of_replicas": fmt.Sprint(x.replicas), "blocks": map[string]any{"write": fmt.Sprint(x.blocked)}}}}
			continue
		}
		shards := map[string]any{}
		if x.coming--; x.coming < 0 {
			for s, docs := range x.shards {
				if _, lost := x.lost[s]; !lost {
					shards[fmt.Sprint(s)] = []any{map[string]any{"routing": map[string]any{"state": "STARTED", "primary": true}, "docs": map[string]any{"count": len(docs)},
						"seq_no": map[string]any{"max_seq_no": len(docs) - 1}}}
				}
			}
		}
		out[name] = map[string]any{"uuid": x.uuid, "shards": shards}
	}
	if what == "_settings" {
		return reply{200, out}
	}
	return reply{200, map[string]any{"indices": out}}
}

func (f *fake) repository(method string, parts []string, body map[string]any) reply {
	if f.cut {
		return refuse(500, "repository_exception", "[r] could not read repository data from index blob")
	}
	switch {
	case parts[0] == "_verify":
		return reply{200, map[string]any{"nodes": map[string]any{}}}
	case parts[0] == "_current":
		running := []any{}
		for _, name := range slices.Sorted(maps.Keys(f.snapshots)) {
			if s := f.snapshots[name]; s.state == "IN_PROGRESS" {
				s.tick()
				running = append(running, map[string]any{"snapshot": name})
			}
		}
		return reply{200, map[string]any{"snapshots": running}}
	case method == http.MethodPut:
		return f.take(parts[0], body)
	}
	s := f.snapshots[parts[0]]
	if s == nil {
		return refuse(404, "snapshot_missing_exception", parts[0])
	}
	switch {
	case len(parts) > 1 && parts[1] == "_restore":
		return f.restore(s, body)
	case len(parts) > 1:
		return reply{200, map[string]any{"snapshots": []any{map[string]any{"indices": s.contents(f.short)}}}}
	case method == http.MethodDelete:
		delete(f.snapshots, s.name)
		return yes()
	}
	return reply{200, map[string]any{"snapshots": []any{s.tell()}}}
}

func (f *fake) take(name string, body map[string]any) reply {
	if f.snapshots[name] != nil {
		return refuse(400, "invalid_snapshot_name_exception", name)
	}
	for _, s := range f.snapshots {
		if f.version < "7" && s.state == "IN_PROGRESS" && f.product == "elasticsearch" {
			return refuse(503, "concurrent_snapshot_execution_exception", name)
		}
	}
	s := &fakeSnapshot{name: name, uuid: f.uuid(), state: "IN_PROGRESS", end: "SUCCESS", looks: 2, indices: map[string]*fakeIndex{}, metadata: body["metadata"]}
	if len(f.ends) > 0 {
		s.end, f.ends = f.ends[0], f.ends[1:]
	}
	for _, n := range body["indices"].([]any) {
		s.indices[n.(string)] = f.indices[n.(string)].copy()
	}
	f.snapshots[name] = s
	return reply{200, map[string]any{"accepted": true}}
}

func (s *fakeSnapshot) tick() {
	if s.looks--; s.looks < 0 && s.state == "IN_PROGRESS" {
		s.state = s.end
	}
}

func (s *fakeSnapshot) tell() map[string]any {
	s.tick()
	total, failures := 0, []any{}
	for _, x := range s.indices {
		total += len(x.shards)
	}
	ok := total
	if s.state == "PARTIAL" {
		ok--
		failures = append(failures, map[string]any{"index": "a", "shard_id": 0, "reason": "node left"})
	}
	return map[string]any{"snapshot": s.name, "uuid": s.uuid, "state": s.state, "indices": slices.Sorted(maps.Keys(s.indices)), "failures": failures, "start_time_in_millis": 5,
		"shards": map[string]any{"total": total, "successful": ok, "failed": total - ok}, "metadata": s.metadata}
}

func (s *fakeSnapshot) contents(short string) map[string]any {
	out := map[string]any{}
	for name, x := range s.indices {
		done := len(x.shards)
		if name == short {
			done--
		}
		out[name] = map[string]any{"shards_stats": map[string]any{"done": done, "total": len(x.shards)}, "stats": map[string]any{"total": map[string]any{"size_in_bytes": 9}}}
	}
	return out
}

func (f *fake) restore(s *fakeSnapshot, body map[string]any) reply {
	name := body["indices"].([]any)[0].(string)
	to := name
	if as, ok := body["rename_replacement"].(string); ok {
		to = as
	}
	if f.indices[to] != nil {
		return refuse(500, "snapshot_restore_exception", "cannot restore index ["+to+"]: an open index with same name already exists")
	}
	x := s.indices[name].copy()
	x.uuid, x.coming, x.replicas = f.uuid(), 2, int(body["index_settings"].(map[string]any)["index.number_of_replicas"].(float64))
	if f.corrupt == name {
		x.lost[0] = "ALLOCATION_FAILED"
	}
	if f.bent == name {
		x.shards[0][0] = `{"n":-1}`
	}
	f.indices[to] = x
	return reply{200, map[string]any{"accepted": true}}
}

// clone is the same world apart.
func (f *fake) clone() *fake {
	g := newFake(f.product, f.version)
	g.made = f.made
	for name, x := range f.indices {
		g.indices[name] = x.copy()
	}
	for name, s := range f.snapshots {
		y := *s
		g.snapshots[name] = &y
	}
	return g
}

// serve gives a session with the fake.
func (f *fake) serve(t *testing.T) *client.Session {
	t.Helper()
	h := httptest.NewServer(f)
	t.Cleanup(h.Close)
	c, err := client.New(client.Options{Endpoints: []string{h.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// memory is a ledger that costs no disk; what is put is encoded and checked as in a file.
type memory map[string][]byte

func (m memory) Get(index string) (*ledger.Entry, error) {
	if m[index] == nil {
		return nil, nil
	}
	return ledger.Decode(m[index])
}

func (m memory) Put(entries ...*ledger.Entry) error {
	for _, e := range entries {
		data, err := ledger.Encode(e)
		if err != nil {
			return err
		}
		m[e.Index] = data
	}
	return nil
}

func options(s Cluster, l Ledger, dir string, indices ...string) Options {
	return Options{Cluster: s, Ledger: l, StateDir: dir, Repository: "r", Lifecycle: "test", Indices: indices, ReadBack: 1, DropReplicas: true, Every: time.Millisecond, Patience: 5 * time.Second}
}

var errKilled = errors.New("killed")

// mortal ends the run at the n-th call, before it is made or right behind it, as a kill would.
type mortal struct {
	Cluster
	Ledger
	t     *testing.T
	left  int
	after bool
}

func call[T any](m *mortal, f func() (T, error)) (T, error) {
	m.left--
	if m.left == 0 && !m.after {
		panic(errKilled)
	}
	v, err := f()
	if m.left == 0 {
		panic(errKilled)
	}
	return v, err
}

func (m *mortal) Copies(ctx context.Context, names []string) (map[string]*client.Copy, error) {
	return call(m, func() (map[string]*client.Copy, error) { return m.Cluster.Copies(ctx, names) })
}

func (m *mortal) Snapshot(ctx context.Context, repository, name string) (*client.Snapshot, error) {
	return call(m, func() (*client.Snapshot, error) { return m.Cluster.Snapshot(ctx, repository, name) })
}

func (m *mortal) Sample(ctx context.Context, index string, max []int64, o client.Sampling) (client.Sample, error) {
	return call(m, func() (client.Sample, error) { return m.Cluster.Sample(ctx, index, max, o) })
}

func (m *mortal) Put(entries ...*ledger.Entry) error {
	_, err := call(m, func() (bool, error) { return true, m.Ledger.Put(entries...) })
	return err
}

func (m *mortal) Send(ctx context.Context, r client.Request) error {
	if body, ok := r.Body.(map[string]any); ok && body["index.number_of_replicas"] == 0 {
		m.standing(ctx, r)
	}
	_, err := call(m, func() (bool, error) { return true, m.Cluster.Send(ctx, r) })
	return err
}

// standing holds the law: no replica goes without a standing proof.
func (m *mortal) standing(ctx context.Context, r client.Request) {
	names := strings.Split(strings.Split(r.Path, "/")[1], ",")
	copies, err := m.Cluster.Copies(ctx, names)
	if err != nil {
		m.t.Error(err)
	}
	for _, name := range names {
		e, err := m.Get(name)
		x := copies[name]
		if err == nil {
			_, err = e.Standing(ledger.Identity{Name: name, UUID: x.UUID, Primaries: x.Primaries, Docs: x.Total()})
		}
		if err != nil {
			m.t.Errorf("replicas of %s go without proof: %v", name, err)
		}
	}
}

// killed runs until the kill, and says whether there was one.
func killed(run func() error) (dead bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != any(errKilled) {
				panic(r)
			}
			dead = true
		}
	}()
	return false, run()
}
