package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/state"
)

// look is one look at a cluster, while it is taken.
type look struct {
	c     *Client
	d     dialect
	found *state.Cluster
	// indices are those of found, by name; valid once all are there.
	indices map[string]*state.Index
	// counts are those of the shards of indices, until there are indices to keep them.
	counts map[string]state.ShardCounts
	share  state.Sharer
}

// Observe takes one look at the cluster by cheap calls only, one after the other. A part that the server refuses is named in Unseen; an error is a cluster
// that does not answer, or one that is not known.
func (c *Client) Observe(ctx context.Context) (*state.Cluster, error) {
	about, err := c.About(ctx)
	if err != nil {
		return nil, err
	}
	l := &look{c: c, found: &state.Cluster{Schema: state.Schema, TakenAt: time.Now().UTC(), Name: about.Name, UUID: about.UUID, Product: about.Product,
		Version: about.Version, Flavour: about.Flavour}}
	l.d = dialectOf(about, baseline(about, nil)) // how to ask does not depend on the nodes
	if err := l.health(ctx); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", about.Name, err)
	}
	if err := l.parts(ctx); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", about.Name, err)
	}
	if l.found.Capabilities, err = c.Capabilities(ctx, about, l.found.Nodes); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", about.Name, err)
	}
	l.finish()
	return l.found, nil
}

// parts asks for one part after the other.
func (l *look) parts(ctx context.Context) error {
	for _, p := range []struct {
		name state.Part
		ask  func(context.Context) error
	}{
		{state.PartNodes, l.nodes},
		{state.PartNodeStats, l.nodeStats},
		{state.PartIndices, l.listIndices},
		{state.PartIndexConfig, l.indexSettings},
		{state.PartShards, l.shards},
		{state.PartRecoveries, l.recoveries},
		{state.PartSettings, l.settings},
		{state.PartTemplates, func(ctx context.Context) (err error) {
			l.found.Templates, err = l.d.templates.readTemplates(ctx, l.c)
			return err
		}},
		{state.PartAliases, l.aliases},
		{state.PartDataStreams, func(ctx context.Context) (err error) {
			l.found.DataStreams, err = l.d.streams.readStreams(ctx, l.c)
			return err
		}},
		{state.PartPolicies, func(ctx context.Context) (err error) {
			l.found.Policies, err = l.d.policies.readPolicies(ctx, l.c)
			return err
		}},
		{state.PartPolicyState, func(ctx context.Context) error { return l.d.policies.attach(ctx, l.c, l.indices) }},
		{state.PartRepositories, l.repositories},
		{state.PartSnapshots, l.snapshots},
		{state.PartTasks, l.tasks},
	} {
		if err := l.keep(ctx, p.name, p.ask(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// keep notes a part that was refused or could not be read, and gives back an error that ends the look.
func (l *look) keep(ctx context.Context, part state.Part, err error) error {
	var server *ServerError
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && (errors.As(err, &server) || errors.Is(err, ErrBroken) || errors.Is(err, ErrTooLarge) || errors.Is(err, context.DeadlineExceeded)):
		l.found.Unseen = append(l.found.Unseen, state.Unseen{Part: part, Why: clip(err.Error(), 400)})
		return nil
	}
	return err
}

// finish puts what came in the order of maps into one that is always the same.
func (l *look) finish() {
	f := l.found
	slices.SortFunc(f.Nodes, func(a, b state.Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Indices, func(a, b state.Index) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Shards, func(a, b state.ShardGroup) int {
		return strings.Compare(a.Index+"\x00"+a.Node+"\x00"+string(a.State), b.Index+"\x00"+b.Node+"\x00"+string(b.State))
	})
	slices.SortFunc(f.Templates, func(a, b state.Template) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(f.Aliases, func(a, b state.Alias) int {
		return strings.Compare(a.Name+"\x00"+a.Index, b.Name+"\x00"+b.Index)
	})
	slices.SortFunc(f.Policies, func(a, b state.Policy) int {
		return strings.Compare(string(a.Kind)+"\x00"+a.Name, string(b.Kind)+"\x00"+b.Name)
	})
	slices.SortFunc(f.Repositories, func(a, b state.Repository) int { return strings.Compare(a.Name, b.Name) })
}

// health is the one call that has to be answered. Counts of shards come per index with it, out of the cluster state.
func (l *look) health(ctx context.Context) error {
	type counts struct {
		ActivePrimaries int `json:"active_primary_shards"`
		Active          int `json:"active_shards"`
		Relocating      int `json:"relocating_shards"`
		Initializing    int `json:"initializing_shards"`
		Unassigned      int `json:"unassigned_shards"`
	}
	var got struct {
		counts
		Status        string `json:"status"`
		Nodes         int    `json:"number_of_nodes"`
		DataNodes     int    `json:"number_of_data_nodes"`
		Delayed       int    `json:"delayed_unassigned_shards"`
		Pending       int    `json:"number_of_pending_tasks"`
		Fetches       int    `json:"number_of_in_flight_fetch"`
		MaxWaitMillis int64  `json:"task_max_waiting_in_queue_millis"`
	}
	params := l.c.params(l.d, "")
	params.Set("level", "indices")
	l.counts = map[string]state.ShardCounts{}
	if _, err := l.c.read(ctx, "/_cluster/health", params, withList(&got, "indices", eachField(func(name string, n counts) {
		l.counts[name] = state.ShardCounts{Started: n.Active - n.Relocating, Relocating: n.Relocating, Initializing: n.Initializing, Unassigned: n.Unassigned}
	}))); err != nil {
		return err
	}
	l.found.Health = state.Health{Status: got.Status, Nodes: got.Nodes, DataNodes: got.DataNodes, ActivePrimaries: got.ActivePrimaries, ActiveShards: got.Active,
		RelocatingShards: got.Relocating, InitializingShards: got.Initializing, UnassignedShards: got.Unassigned, DelayedShards: got.Delayed,
		PendingTasks: got.Pending, InFlightFetches: got.Fetches, MaxTaskWaitedMillis: got.MaxWaitMillis}
	return nil
}

// settings of the cluster, with those defaults that a doctor reads.
func (l *look) settings(ctx context.Context) error {
	var got struct{ Persistent, Transient, Defaults map[string]any }
	params := l.c.params(l.d, "persistent,transient,defaults.cluster.routing,defaults.cluster.max_shards_per_node*,defaults.cluster.blocks,"+
		"defaults.indices.recovery,defaults.discovery.zen.minimum_master_nodes,defaults.action,defaults.bootstrap")
	params.Set("include_defaults", "true")
	if _, err := l.c.read(ctx, "/_cluster/settings", params, into(&got)); err != nil {
		return err
	}
	l.found.Settings = state.Settings{Persistent: flat(got.Persistent), Transient: flat(got.Transient), Defaults: flat(got.Defaults)}
	return nil
}

// tasks that wait for the elected master. Their sources name indices; only the first word is kept.
func (l *look) tasks(ctx context.Context) error {
	tasks := state.Tasks{}
	params := l.c.params(l.d, "tasks.source,tasks.time_in_queue_millis")
	var got struct {
		Tasks []struct {
			Source string `json:"source"`
			Millis int64  `json:"time_in_queue_millis"`
		} `json:"tasks"`
	}
	if _, err := l.c.read(ctx, "/_cluster/pending_tasks", params, into(&got)); err != nil {
		return err
	}
	for _, t := range got.Tasks {
		kind := taskKind(t.Source)
		if tasks.Kinds == nil {
			tasks.Kinds = map[string]int{}
		}
		tasks.Kinds[kind]++
		tasks.Count++
		tasks.MaxWaitMillis = max(tasks.MaxWaitMillis, t.Millis)
		switch kind {
		case "create-index":
			tasks.OldestCreateIndexMillis = max(tasks.OldestCreateIndexMillis, t.Millis)
		case "put-mapping":
			tasks.OldestPutMappingMillis = max(tasks.OldestPutMappingMillis, t.Millis)
		}
	}
	l.found.Tasks = tasks
	return nil
}

// taskKind is the first word of a task's source: "create-index [logs-1], cause [api]" is create-index.
func taskKind(source string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(source), " ")
	word, _, _ = strings.Cut(word, "[")
	word, _, _ = strings.Cut(word, "(")
	if word = clip(word, 40); word == "" {
		return "other"
	}
	return word
}

// repositories, without their settings but for what names the place: some hold secrets.
func (l *look) repositories(ctx context.Context) error {
	type repository struct {
		Type     string         `json:"type"`
		Settings map[string]any `json:"settings"`
	}
	_, err := l.c.read(ctx, "/_snapshot", l.c.params(l.d, "*.type,*.settings.bucket,*.settings.base_path,*.settings.location,*.settings.container,*.settings.readonly,"+
		"*.settings.path,*.settings.delegate_type"), eachField(func(name string, r repository) {
		s := flat(r.Settings)
		var place []string
		for _, key := range []string{"bucket", "container", "base_path", "location", "path"} {
			if s[key] != "" {
				place = append(place, s[key])
			}
		}
		l.found.Repositories = append(l.found.Repositories, state.Repository{Name: name, Type: r.Type, Place: strings.Join(place, "/"), ReadOnly: s["readonly"] == "true"})
	}))
	return err
}

// snapshots of each repository, out of its index file alone (verbose=false): names, states and indices, no times.
func (l *look) snapshots(ctx context.Context) error {
	var errs []error
	for _, r := range l.found.Repositories {
		params := l.c.params(l.d, "")
		params.Set("verbose", "false")
		params.Set("ignore_unavailable", "true")
		var got struct {
			Snapshots []struct {
				Name    string   `json:"snapshot"`
				UUID    string   `json:"uuid"`
				State   string   `json:"state"`
				Indices []string `json:"indices"`
			} `json:"snapshots"`
		}
		if _, err := l.c.read(ctx, "/_snapshot/"+url.PathEscape(r.Name)+"/_all", params, into(&got)); err != nil {
			errs = append(errs, fmt.Errorf("listing repository %s: %w", r.Name, err))
			continue
		}
		for _, s := range got.Snapshots {
			l.found.Snapshots = append(l.found.Snapshots, state.Snapshot{Repository: r.Name, Name: s.Name, UUID: s.UUID, State: s.State, Indices: len(s.Indices), IndexNames: s.Indices})
		}
	}
	return errors.Join(errs...)
}
