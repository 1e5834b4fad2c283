//go:build search || long

package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab/search"
	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
)

// real is a cluster of real servers: one node that is master and holds nothing, one node that is lost.
type real struct {
	t       *testing.T
	o       search.Options
	c       *search.Cluster
	client  *client.Client
	session *client.Session
	ledger  *FileLedger
	options Options
	names   []string
	docs    map[string]int64
	files   string // where the repository's files are
}

func start(t *testing.T, product search.Product, version string, repository search.Repository) *real {
	home := t.TempDir()
	for _, dir := range []string{home, filepath.Dir(home)} { // the servers' user has to come through
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	r := &real{t: t, o: search.Options{Home: home, WithCreator: true, QuickStart: true, Progress: os.Stderr}, docs: map[string]int64{}}
	var err error
	r.c, err = search.Create(t.Context(), r.o, "snap", search.Spec{Product: product, Version: version, Repository: repository,
		Tiers: []search.Tier{{Name: "keep", Nodes: 1}, {Name: "lose", Nodes: 1}}, Masters: 1})
	t.Cleanup(func() {
		if err := search.Delete(context.Background(), r.o, "snap"); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.files = filepath.Join(r.c.Snapshots, search.RepositoryName)
	if r.c.Gateway != nil {
		r.files = r.c.Gateway.Folder
	}
	if r.client, err = client.New(client.Options{Endpoints: []string{r.c.Nodes[0].URL}, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	if r.session, err = r.client.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.ledger, err = OpenLedger(t.TempDir(), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.ledger.Close() }) // nothing is written behind Put
	for i := range 6 {
		r.names = append(r.names, fmt.Sprintf("logs-2026.11.22.%02d", i))
	}
	r.options = Options{Cluster: r.session, Ledger: r.ledger, StateDir: t.TempDir(), Repository: search.RepositoryName, Lifecycle: "test", Indices: r.names, ReadBack: 1,
		Quiet: time.Second, DropReplicas: true, Every: 200 * time.Millisecond, Patience: 2 * time.Minute, Tell: func(d *Decision) { t.Logf("%s %s %v", d.Step, d.Says, d.Stop) }}
	return r
}

func (r *real) must(method, path, query string, body any) {
	r.t.Helper()
	params, err := url.ParseQuery(query)
	if err == nil {
		err = r.client.Call(r.t.Context(), method, path, params, body, nil)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// fill makes six indices with documents, and their primaries on the node that will be lost.
func (r *real) fill() {
	for i, name := range r.names {
		r.must("PUT", "/"+name, "wait_for_active_shards=all", map[string]any{"settings": map[string]any{"number_of_shards": 2, "number_of_replicas": 1}, "aliases": map[string]any{"logs": map[string]any{}}})
		var lines strings.Builder
		for n := range 200 + 10*i {
			fmt.Fprintf(&lines, "{\"index\":{}}\n{\"n\":%d,\"text\":\"document %d of %s\"}\n", n, n, name)
			r.docs[name]++
		}
		kind := ""
		if r.session.Can("mappingTypes") {
			kind = "/_doc"
		}
		r.post("/"+name+kind+"/_bulk", lines.String())
	}
}

func (r *real) post(path, body string) {
	r.t.Helper()
	res, err := http.Post(r.c.Nodes[0].URL+path, "application/x-ndjson", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct{ Errors bool }
	if err := json.NewDecoder(io.LimitReader(res.Body, 10<<20)).Decode(&got); err != nil || got.Errors || res.StatusCode != http.StatusOK {
		r.t.Fatalf("%d, %+v, %v", res.StatusCode, got, err)
	}
}

// count is what people see on the alias.
func (r *real) count() (n int64) {
	r.t.Helper()
	var got struct{ Count int64 }
	if err := r.client.Call(r.t.Context(), "GET", "/logs/_count", nil, nil, &got); err != nil {
		r.t.Fatal(err)
	}
	return got.Count
}

func (r *real) total() (n int64) {
	for _, d := range r.docs {
		n += d
	}
	return n
}

func (r *real) copies() map[string]*client.Copy {
	r.t.Helper()
	copies, err := r.session.Copies(r.t.Context(), r.names)
	if err != nil {
		r.t.Fatal(err)
	}
	return copies
}

// proveAll takes the snapshot, killed once at a call in the middle of each kind of step.
func (r *real) proveAll() {
	o := r.options
	kills := 0
	for left := 7; ; left += 4 {
		m := &mortal{Cluster: r.session, Ledger: r.ledger, t: r.t, left: left, after: left%8 == 3}
		o.Cluster, o.Ledger = m, m
		dead, err := killed(func() error { return Run(r.t.Context(), o) })
		if dead {
			kills++
			continue
		}
		if err != nil {
			r.t.Fatalf("after %d kills: %v", kills, err)
		}
		break
	}
	r.t.Logf("proved after %d kills", kills)
	for name, x := range r.copies() {
		e, err := r.ledger.Get(name)
		if err != nil {
			r.t.Fatal(err)
		}
		p, err := e.Standing(ledger.Identity{Name: name, UUID: x.UUID, Primaries: x.Primaries, Docs: r.docs[name]})
		if err != nil || x.Replicas != 0 || !x.Blocked || p.Bytes == 0 || p.SnapshotUUID == "" {
			r.t.Errorf("%s: %v, %+v, %+v", name, err, x, p)
		}
	}
}

// loseNode moves all single copies to one node, and loses it with its disk.
func (r *real) loseNode() {
	r.must("PUT", "/logs-*/_settings", "", map[string]any{"index.routing.allocation.include.tier": "lose"})
	r.wait("all shards lie on one node", func() bool {
		var rows []struct{ Node, State string }
		err := r.client.Call(r.t.Context(), "GET", "/_cat/shards/logs-*", url.Values{"format": {"json"}, "h": {"node,state"}}, nil, &rows)
		for _, row := range rows {
			if row.Node != "lose-1" || row.State != "STARTED" {
				return false
			}
		}
		return err == nil && len(rows) == 12
	})
	r.must("PUT", "/logs-*/_settings", "", map[string]any{"index.routing.allocation.include.tier": nil})
	if err := search.Lose(r.t.Context(), r.o, "snap", "lose-1"); err != nil {
		r.t.Fatal(err)
	}
	r.wait("all indices are red", func() bool {
		for _, x := range r.copies() {
			if x.Started > 0 {
				return false
			}
		}
		return true
	})
}

func (r *real) wait(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("it never came to be that %s", what)
		}
		if err := pause(r.t.Context(), 100*time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
	}
}

// flip turns a bit over in the largest file of the repository, and gives back what mends it.
func (r *real) flip() func() {
	r.t.Helper()
	var largest string
	var size int64
	err := filepath.WalkDir(r.files, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "__") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil || largest == "" {
		r.t.Fatalf("no file of data in %s: %v", r.files, err)
	}
	turn := func() {
		f, err := os.OpenFile(largest, os.O_RDWR, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		defer f.Close()
		var b [1]byte
		if _, err := f.ReadAt(b[:], size/2); err != nil {
			r.t.Fatal(err)
		}
		b[0] ^= 0x10
		if _, err := f.WriteAt(b[:], size/2); err != nil {
			r.t.Fatal(err)
		}
	}
	turn()
	return turn
}

// cut takes the repository away and puts something in its place that is none.
func (r *real) cut() func() {
	away := r.files + ".away"
	if err := errors.Join(os.Rename(r.files, away), os.WriteFile(r.files, nil, 0o644)); err != nil {
		r.t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(r.files), os.Rename(away, r.files)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// proof against a life: what a person wants to be sure of, on one real cluster.
func proofOfLife(t *testing.T, product search.Product, version string, repository search.Repository) {
	r := start(t, product, version, repository)
	r.fill()
	r.refusesRed()
	r.proveAll()
	if n := r.count(); n != r.total() {
		t.Errorf("%d documents are found, want %d", n, r.total())
	}
	r.repositoryCut()
	r.loseNode()
	o := RestoreOptions{Options: r.options, LostAfter: time.Second}
	if err := Restore(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if n := r.count(); n != r.total() {
		t.Errorf("%d documents came back, want %d", n, r.total())
	}
	for name, x := range r.copies() {
		e, err := r.ledger.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Standing(ledger.Identity{Name: name, UUID: x.UUID, Primaries: 2, Docs: r.docs[name]}); err != nil {
			t.Errorf("what came back is not proved: %v", err)
		}
	}
	r.otherOfTheSameName()
	r.corrupted()
}

// refusesRed: an index without all of its primaries gives a PARTIAL snapshot, which is no proof, and none is begun of it.
func (r *real) refusesRed() {
	r.must("PUT", "/red-1", "wait_for_active_shards=0", map[string]any{"settings": map[string]any{"number_of_shards": 2, "number_of_replicas": 0,
		"index.routing.allocation.require.tier": "keep", "index.routing.allocation.total_shards_per_node": 1}})
	r.wait("one of two shards is there", func() bool {
		copies, err := r.session.Copies(r.t.Context(), []string{"red-1"})
		return err == nil && copies["red-1"] != nil && copies["red-1"].Started == 1
	})
	o := r.options
	o.Indices = []string{"red-1"}
	var s *Stop
	if err := Run(r.t.Context(), o); !errors.As(err, &s) || s.Rule != RuleRed {
		r.t.Errorf("a red index: %v", err)
	}
	r.must("PUT", "/_snapshot/"+search.RepositoryName+"/by-hand", "", map[string]any{"indices": "red-1", "partial": true, "include_global_state": false})
	var got *client.Snapshot
	r.wait("a snapshot of half an index ends", func() bool {
		var err error
		got, err = r.session.Snapshot(r.t.Context(), search.RepositoryName, "by-hand")
		return err == nil && got != nil && got.State != client.SnapshotRunning
	})
	d := &Decision{}
	o.Attempts = 1
	o.decideProof(d, &world{journal: &Journal{Indices: []Before{{Name: "red-1", UUID: "u", Primaries: 2}}, Attempt: 1, Asked: true, Settled: true}, snapshot: got})
	if got.State != client.SnapshotPartial || d.Stop == nil || d.Stop.Rule != RuleState {
		r.t.Errorf("%+v: %+v", got, d)
	}
	r.must("DELETE", "/red-1", "", nil)
}

// repositoryCut: proofs stay, and nothing is done.
func (r *real) repositoryCut() {
	mend := r.cut()
	err := Verify(r.t.Context(), r.options)
	var s *Stop
	if err == nil || errors.As(err, &s) && s.Rule != RuleSnapshotGone {
		r.t.Errorf("with the repository cut off, verifying gives: %v", err)
	}
	r.t.Logf("cut off: %v", err)
	mend()
	if err := Verify(r.t.Context(), r.options); err != nil {
		r.t.Errorf("with the repository back, verifying gives: %v", err)
	}
}

// otherOfTheSameName is deleted and made anew: its proof does not cover it.
func (r *real) otherOfTheSameName() {
	name := r.names[5]
	r.must("DELETE", "/"+name, "", nil)
	r.must("PUT", "/"+name, "wait_for_active_shards=1", map[string]any{"settings": map[string]any{"number_of_shards": 2, "number_of_replicas": 0}})
	o := RestoreOptions{Options: r.options, LostAfter: time.Second}
	o.Indices = []string{name}
	var s *Stop
	if err := Restore(r.t.Context(), o); !errors.As(err, &s) || s.Rule != RuleReplaced {
		r.t.Errorf("another index of the same name: %v", err)
	}
	e, err := r.ledger.Get(name)
	if err != nil {
		r.t.Fatal(err)
	}
	x := r.copies()[name]
	if _, err := e.Standing(ledger.Identity{Name: name, UUID: x.UUID, Primaries: 2, Docs: x.Total()}); err == nil {
		r.t.Error("the proof covers another index of the same name")
	}
}

// corrupted: one bit of the repository turns over, and reading all back finds it; the proof of that index alone is void.
func (r *real) corrupted() {
	defer r.flip()()
	o := r.options
	o.ReadBack = -1
	err := Verify(r.t.Context(), o)
	var s *Stop
	if !errors.As(err, &s) || s.Rule != RuleReadBack {
		r.t.Errorf("with a bit turned over: %v", err)
	}
	r.t.Logf("corrupt: %v", err)
	void := 0
	for _, name := range r.names {
		e, err := r.ledger.Get(name)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Proofs[len(e.Proofs)-1].Void != "" {
			void++
		}
	}
	if void != 1 {
		r.t.Errorf("%d proofs are void, want 1", void)
	}
}
