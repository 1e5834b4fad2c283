package client

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/state"
)

// maxPath is how long a list of names in a path may become: the servers take a first line of 4,096 bytes.
const maxPath = 3000

// listIndices lists all indices with their sizes.
func (l *look) listIndices(ctx context.Context) error {
	type row struct {
		Index   string `json:"index"`
		UUID    string `json:"uuid"`
		Health  string `json:"health"`
		Status  string `json:"status"`
		Pri     number `json:"pri"`
		Rep     number `json:"rep"`
		Docs    number `json:"docs.count"`
		Bytes   number `json:"store.size"`
		PriSize number `json:"pri.store.size"`
		Created number `json:"creation.date"`
	}
	params := url.Values{"format": {"json"}, "bytes": {"b"}, "h": {"index,uuid,health,status,pri,rep,docs.count,store.size,pri.store.size,creation.date"}}
	if l.d.catEverything != "" {
		params.Set("expand_wildcards", l.d.catEverything)
	}
	l.found.Indices = make([]state.Index, 0, len(l.counts))
	_, err := l.c.read(ctx, "/_cat/indices", params, each(func(r row) {
		x := state.Index{Name: r.Index, UUID: r.UUID, Health: r.Health, Closed: r.Status == "close", Primaries: int(r.Pri.or(0)), Replicas: int(r.Rep.or(0)),
			Docs: r.Docs.or(-1), Bytes: r.Bytes.or(-1), PrimaryBytes: r.PriSize.or(-1), CreatedMillis: r.Created.or(0), Counts: l.counts[r.Index]}
		l.share.Index(&x)
		l.found.Indices = append(l.found.Indices, x)
	}))
	l.counts = nil
	l.indices = make(map[string]*state.Index, len(l.found.Indices))
	for i := range l.found.Indices {
		l.indices[l.found.Indices[i].Name] = &l.found.Indices[i]
	}
	return err
}

// indexSettings reads those settings of indices that decide where shards lie and who may write.
func (l *look) indexSettings(ctx context.Context) error {
	type entry struct {
		Settings struct {
			Index map[string]any `json:"index"`
		} `json:"settings"`
	}
	const of = "*.settings.index."
	params := l.c.params(l.d, strings.Join([]string{of + "routing.allocation", of + "blocks", of + "number_of_shards", of + "number_of_replicas",
		of + "auto_expand_replicas", of + "hidden", of + "frozen", of + "resize", of + "shrink", of + "store.snapshot.repository_name", of + "store.type",
		of + "searchable_snapshot.repository", of + "lifecycle", of + "plugins.index_state_management.policy_id", of + "opendistro.index_state_management.policy_id"}, ","))
	params.Set("expand_wildcards", l.d.everything)
	_, err := l.c.read(ctx, "/_all/_settings", params, eachField(func(name string, e entry) {
		if x := l.indices[name]; x != nil { // one that was made meanwhile is for the next look
			configure(x, flat(e.Settings.Index))
			l.share.Index(x)
		}
	}))
	return err
}

// configure fills in what settings, without index. before them, say of an index; pure.
func configure(x *state.Index, s map[string]string) {
	if x.Primaries == 0 { // a closed index of older servers
		x.Primaries, x.Replicas = atoi(s["number_of_shards"]), atoi(s["number_of_replicas"])
	}
	if v := s["auto_expand_replicas"]; v != "false" {
		x.AutoExpandReplicas = v
	}
	x.Hidden, x.Frozen = s["hidden"] == "true", s["frozen"] == "true"
	x.ResizedFrom = firstOf(s, "resize.source.name", "shrink.source.name")
	x.Mounted = firstOf(s, "store.snapshot.repository_name", "searchable_snapshot.repository")
	for key, value := range s {
		if block, ok := strings.CutPrefix(key, "blocks."); ok && value == "true" {
			x.Blocks = append(x.Blocks, block)
		}
		filter, ok := strings.CutPrefix(key, "routing.allocation.")
		kind, _, _ := strings.Cut(filter, ".")
		switch {
		case !ok || value == "":
		case filter == "include._tier_preference":
			x.TierPreference = value
		case slices.Contains([]string{"require", "include", "exclude", "total_shards_per_node"}, kind):
			if x.Filters == nil {
				x.Filters = map[string]string{}
			}
			x.Filters[filter] = value
		}
	}
	slices.Sort(x.Blocks)
	if policy := s["lifecycle.name"]; policy != "" {
		x.Policy = &state.Attachment{Kind: state.KindILM, Policy: policy, OriginMillis: int64(atoi(s["lifecycle.origination_date"]))}
	} else if policy := firstOf(s, "plugins.index_state_management.policy_id", "opendistro.index_state_management.policy_id"); policy != "" {
		x.Policy = &state.Attachment{Kind: state.KindISM, Policy: policy}
	}
}

func firstOf(s map[string]string, keys ...string) string {
	for _, key := range keys {
		if s[key] != "" {
			return s[key]
		}
	}
	return ""
}

func atoi(text string) int {
	var n number
	_ = n.UnmarshalJSON([]byte(text)) // it has no error: no number is 0
	return int(n.or(0))
}

// aliases of all indices; one without any costs a line of the answer.
func (l *look) aliases(ctx context.Context) error {
	type entry struct {
		Aliases map[string]struct {
			Write  bool `json:"is_write_index"`
			Filter any  `json:"filter"`
		} `json:"aliases"`
	}
	_, err := l.c.read(ctx, "/_alias", url.Values{"expand_wildcards": {l.d.everything}}, eachField(func(index string, e entry) {
		if x := l.indices[index]; x != nil {
			index = x.Name // one text for both
		}
		for name, a := range e.Aliases {
			l.found.Aliases = append(l.found.Aliases, state.Alias{Name: l.share.Text(name), Index: index, WriteIndex: a.Write, Filtered: a.Filter != nil})
		}
	}))
	return err
}

// shards says where those of the most telling indices lie.
func (l *look) shards(ctx context.Context) error {
	type row struct {
		Index string `json:"index"`
		Kind  string `json:"prirep"`
		State string `json:"state"`
		Store number `json:"store"`
		Node  string `json:"node"`
	}
	type key struct {
		index, node string
		state       state.ShardState
	}
	groups := map[key]*state.ShardGroup{}
	params := url.Values{"format": {"json"}, "bytes": {"b"}, "h": {"index,prirep,state,store,node"}}
	for _, names := range batches(choose(l.found.Indices, l.c.o.MaxShards)) {
		_, err := l.c.read(ctx, "/_cat/shards/"+names, params, each(func(r row) {
			node, _, _ := strings.Cut(r.Node, " -> ") // of a relocating one both are told
			k := key{r.Index, node, state.ShardState(r.State)}
			g := groups[k]
			if g == nil {
				g = &state.ShardGroup{Index: r.Index, Node: node, State: k.state}
				groups[k] = g
			}
			if r.Kind == "p" {
				g.Primaries++
			} else {
				g.Replicas++
			}
			g.Bytes += r.Store.or(0)
		}))
		if err != nil && !IsAbsent(err) { // an index may go meanwhile
			return err
		}
	}
	for _, g := range groups {
		l.found.Shards = append(l.found.Shards, *g)
	}
	return nil
}

// choose takes open indices, those that are not green first and then the newest, up to a number of shards; pure.
func choose(all []state.Index, most int) []string {
	var open []*state.Index
	for i := range all {
		if !all[i].Closed {
			open = append(open, &all[i])
		}
	}
	slices.SortFunc(open, func(a, b *state.Index) int {
		if ga, gb := a.Health == "green", b.Health == "green"; ga != gb {
			if gb {
				return -1
			}
			return 1
		}
		if a.CreatedMillis != b.CreatedMillis {
			return int(min(max(b.CreatedMillis-a.CreatedMillis, -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	var names []string
	for _, x := range open {
		if most -= x.Shards(); most < 0 {
			break
		}
		names = append(names, x.Name)
	}
	return names
}

// batches joins names by commas into paths that the servers take; pure.
func batches(list []string) []string {
	var out []string
	current := ""
	for _, name := range list {
		escaped := url.PathEscape(name)
		if current != "" && len(current)+1+len(escaped) > maxPath {
			out, current = append(out, current), ""
		}
		if current != "" {
			current += ","
		}
		current += escaped
	}
	if current != "" {
		out = append(out, current)
	}
	return out
}

// recoveries under way, of those indices that have shards on their way: asked for all, every shard of the cluster would answer.
func (l *look) recoveries(ctx context.Context) error {
	type named struct {
		Name string `json:"name"`
	}
	type entry struct {
		Shards []struct {
			ID     int    `json:"id"`
			Type   string `json:"type"`
			Stage  string `json:"stage"`
			Millis int64  `json:"total_time_in_millis"`
			Source named  `json:"source"`
			Target named  `json:"target"`
			Index  struct {
				Size struct {
					Total     int64 `json:"total_in_bytes"`
					Recovered int64 `json:"recovered_in_bytes"`
				} `json:"size"`
			} `json:"index"`
		} `json:"shards"`
	}
	var moving []string
	for i := range l.found.Indices {
		if x := &l.found.Indices[i]; !x.Closed && x.Counts.Relocating+x.Counts.Initializing > 0 {
			moving = append(moving, x.Name)
		}
	}
	params := url.Values{"active_only": {"true"}, "filter_path": {"*.shards.id,*.shards.type,*.shards.stage,*.shards.total_time_in_millis,*.shards.source.name," +
		"*.shards.target.name,*.shards.index.size.total_in_bytes,*.shards.index.size.recovered_in_bytes"}}
	for _, names := range batches(moving) {
		_, err := l.c.read(ctx, "/"+names+"/_recovery", params, eachField(func(index string, e entry) {
			for _, s := range e.Shards {
				l.found.Recoveries = append(l.found.Recoveries, state.Recovery{Index: index, Shard: s.ID, Type: strings.ToLower(s.Type), Stage: s.Stage, Source: s.Source.Name,
					Target: s.Target.Name, BytesTotal: s.Index.Size.Total, BytesDone: s.Index.Size.Recovered, Millis: s.Millis})
			}
		}))
		if err != nil && !IsAbsent(err) {
			return err
		}
	}
	return nil
}
