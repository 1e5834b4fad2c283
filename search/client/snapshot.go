package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/slipway-dev/slipway/search/state"
)

// SnapshotState is how far a snapshot came.
type SnapshotState string

// States of snapshots.
const (
	SnapshotRunning SnapshotState = "IN_PROGRESS"
	SnapshotSuccess SnapshotState = "SUCCESS"
	SnapshotPartial SnapshotState = "PARTIAL"
	SnapshotFailed  SnapshotState = "FAILED"
)

// Snapshot is one snapshot, as its repository tells.
type Snapshot struct {
	Name, UUID string
	State      SnapshotState
	Indices    []string
	// Started is by the clock of the elected master.
	Started, Ended time.Time
	// Shards that were to be taken, and those that were.
	Shards, Successful int
	// Failures are up to ten reasons.
	Failures []string
	// UUIDs are what this program wrote into the snapshot's metadata, by index; nil on servers without (Elasticsearch 6.8) and in snapshots of others.
	UUIDs map[string]string
}

// metadataKey is under what the UUIDs of the indices stand in a snapshot.
const metadataKey = "slipway"

func snapshotPath(repository, name string) string {
	return "/_snapshot/" + url.PathEscape(repository) + "/" + url.PathEscape(name)
}

// Snapshot looks for one snapshot; nil when there is none. It reads one small file of the repository.
func (s *Session) Snapshot(ctx context.Context, repository, name string) (*Snapshot, error) {
	var got struct {
		Snapshots []struct {
			Name     string   `json:"snapshot"`
			UUID     string   `json:"uuid"`
			State    string   `json:"state"`
			Indices  []string `json:"indices"`
			Started  int64    `json:"start_time_in_millis"`
			Ended    int64    `json:"end_time_in_millis"`
			Failures []struct {
				Index   string `json:"index"`
				ShardID int    `json:"shard_id"`
				Reason  string `json:"reason"`
			} `json:"failures"`
			Shards   struct{ Total, Failed, Successful int } `json:"shards"`
			Metadata map[string]any                          `json:"metadata"`
		} `json:"snapshots"`
	}
	_, err := s.c.read(ctx, snapshotPath(repository, name), s.params(), into(&got))
	var no *ServerError
	if errors.As(err, &no) && no.has("snapshot_missing_exception") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(got.Snapshots) != 1 || got.Snapshots[0].Name != name {
		return nil, fmt.Errorf("asking for snapshot %s gave %d others: %w", clip(name, 80), len(got.Snapshots), ErrBroken)
	}
	g := got.Snapshots[0]
	x := &Snapshot{Name: g.Name, UUID: g.UUID, State: SnapshotState(clip(g.State, 40)), Indices: g.Indices, Started: time.UnixMilli(g.Started).UTC(), Ended: time.UnixMilli(g.Ended).UTC(),
		Shards: g.Shards.Total, Successful: g.Shards.Successful}
	for _, f := range g.Failures[:min(len(g.Failures), 10)] {
		x.Failures = append(x.Failures, fmt.Sprintf("%s shard %d: %s", clip(f.Index, 100), f.ShardID, clip(f.Reason, 200)))
	}
	if uuids, ok := g.Metadata[metadataKey].(map[string]any); ok {
		x.UUIDs = map[string]string{}
		for index, uuid := range uuids {
			x.UUIDs[index] = text(uuid)
		}
	}
	return x, nil
}

// Running are the names of the snapshots that a repository is written by now.
func (s *Session) Running(ctx context.Context, repository string) ([]string, error) {
	var got struct {
		Snapshots []struct {
			Name string `json:"snapshot"`
		} `json:"snapshots"`
	}
	if _, err := s.c.read(ctx, snapshotPath(repository, "_current"), s.params(), into(&got)); err != nil {
		return nil, err
	}
	var running []string
	for _, g := range got.Snapshots {
		running = append(running, clip(g.Name, 200))
	}
	return running, nil
}

// Stored is one index within a snapshot.
type Stored struct {
	// Shards that the snapshot has, and those that are done.
	Shards, Done int
	Bytes        int64
}

// Contents says for each index of a snapshot how many of its shards are whole. It reads one file per shard: never ask for all snapshots.
// While the snapshot runs, shards may be done that a failing end still loses: ask Snapshot first.
func (s *Session) Contents(ctx context.Context, repository, name string) (map[string]Stored, error) {
	var got struct {
		Snapshots []struct {
			Indices map[string]struct {
				Shards struct{ Done, Total int } `json:"shards_stats"`
				Stats  struct {
					Total struct {
						Bytes int64 `json:"size_in_bytes"`
					} `json:"total"`
				} `json:"stats"`
			} `json:"indices"`
		} `json:"snapshots"`
	}
	params := s.c.params(s.d, "snapshots.indices.*.shards_stats,snapshots.indices.*.stats.total.size_in_bytes")
	if _, err := s.c.read(ctx, snapshotPath(repository, name)+"/_status", params, into(&got)); err != nil {
		return nil, err
	}
	found := map[string]Stored{}
	for _, g := range got.Snapshots {
		for index, x := range g.Indices {
			found[index] = Stored{Shards: x.Shards.Total, Done: x.Shards.Done, Bytes: x.Stats.Total.Bytes}
		}
	}
	return found, nil
}

// VerifyRepository has every node write into the repository and read it. It says nothing about what lies there.
func (s *Session) VerifyRepository(repository string) Request {
	return Request{Method: http.MethodPost, Path: "/_snapshot/" + url.PathEscape(repository) + "/_verify", Query: s.acknowledged()}
}

// TakeSnapshot begins a snapshot of indices, by name and UUID. The name is taken once: a second request of the same name is refused by the server.
func (s *Session) TakeSnapshot(repository, name string, indices []string, uuids map[string]string) Request {
	body := map[string]any{"indices": indices, "include_global_state": false, "partial": false, "ignore_unavailable": false}
	if s.About.Product == state.OpenSearch || !s.olderThan(7, 3) { // metadata came with 7.3
		body["metadata"] = map[string]any{metadataKey: uuids}
	}
	v := s.params()
	v.Set("wait_for_completion", "false")
	return Request{Method: http.MethodPut, Path: snapshotPath(repository, name), Query: v, Body: body}
}

func (s *Session) olderThan(major, minor int) bool {
	v, err := parseVersion(s.About.Version)
	return err != nil || !v.atLeast(major, minor)
}

// DeleteSnapshot deletes a snapshot.
func (s *Session) DeleteSnapshot(repository, name string) Request {
	return Request{Method: http.MethodDelete, Path: snapshotPath(repository, name), Query: s.params()}
}

// Restore brings one index of a snapshot back, as whole as it was or not at all. With as it gets that name, no aliases and no replicas, and no policy of
// the server's own takes hold of it; else it comes back under its own name with its aliases, with replicas copies.
func (s *Session) Restore(repository, name, index, as string, replicas int) Request {
	body := map[string]any{"indices": []string{index}, "include_global_state": false, "partial": false, "ignore_unavailable": false,
		"include_aliases": as == "", "index_settings": map[string]any{"index.number_of_replicas": replicas, "index.auto_expand_replicas": "false"}}
	ignored := []string{"index.routing.allocation.require._name"}
	if as != "" {
		body["rename_pattern"], body["rename_replacement"] = "^.+$", as
		ignored = append(ignored, "index.lifecycle.name", "index.lifecycle.rollover_alias", "index.plugins.index_state_management.policy_id")
	}
	body["ignore_index_settings"] = ignored
	v := s.params()
	v.Set("wait_for_completion", "false")
	return Request{Method: http.MethodPost, Path: snapshotPath(repository, name) + "/_restore", Query: v, Body: body}
}

// Lost are the primaries of an index that no node has now, with the server's reason.
type Lost struct {
	Shard int
	// Reason is as NEW_INDEX_RESTORED (being restored), ALLOCATION_FAILED (restoring went wrong), NODE_LEFT.
	Reason string
	// Detail is the whole chain of causes, the first cause last.
	Detail string
}

// LostPrimaries lists the primaries of one index that are on no node.
func (s *Session) LostPrimaries(ctx context.Context, index string) ([]Lost, error) {
	var lost []Lost
	params := url.Values{"format": {"json"}, "h": {"shard,prirep,state,unassigned.reason,unassigned.details"}}
	_, err := s.c.read(ctx, "/_cat/shards"+list([]string{index}), params, each(func(r struct {
		Shard  number `json:"shard"`
		Kind   string `json:"prirep"`
		State  string `json:"state"`
		Reason string `json:"unassigned.reason"`
		Detail string `json:"unassigned.details"`
	}) {
		if r.Kind == "p" && r.State == string(state.Unassigned) {
			lost = append(lost, Lost{Shard: int(r.Shard.or(-1)), Reason: clip(r.Reason, 60), Detail: clip(r.Detail, 8000)})
		}
	}))
	return lost, err
}
