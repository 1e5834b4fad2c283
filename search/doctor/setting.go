package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

const (
	allocation           = "cluster.routing.allocation."
	concurrentRecoveries = allocation + "node_concurrent_recoveries"
	// mostRecoveries is how many shards at once a node should give and take: some 64 to 128 threads of the generic pool serve them
	// (elastic/elasticsearch#36195: 100 stopped 15 nodes for good).
	mostRecoveries = 10
)

func settingChecks() []check {
	settings := []state.Part{state.PartSettings}
	nodes := []state.Part{state.PartSettings, state.PartNodes}
	return []check{
		{"recoveries_at_once_are_few", "few shards move at once", nodes, (*patient).recoveries},
		{"allocation_is_on", "shards may be allocated and rebalanced", settings, (*patient).allocationOff},
		{"no_block_is_left", "no block on the whole cluster is left", settings, (*patient).blocks},
		{"excluded_nodes_are_meant", "no node is excluded from allocation", nodes, (*patient).excluded},
		{"watermarks_protect", "disk watermarks protect the nodes", settings, (*patient).watermarks},
		{"limits_are_not_lifted", "the limit of shards per node is not lifted", nodes, (*patient).liftedLimit},
		{"settings_survive_a_restart", "no setting is transient", settings, (*patient).transient},
		{"logging_is_quiet", "no logger is left on debug or trace", settings, (*patient).loggers},
	}
}

// scoped is a request that takes settings away where they are set.
func (p *patient) unset(keys ...string) []Request {
	by := map[string]map[string]string{}
	for _, key := range keys {
		for scope, values := range map[string]map[string]string{"transient": p.c.Settings.Transient, "persistent": p.c.Settings.Persistent} {
			if _, ok := values[key]; ok {
				if by[scope] == nil {
					by[scope] = map[string]string{}
				}
				by[scope][key] = ""
			}
		}
	}
	var all []Request
	for _, scope := range slices.Sorted(maps.Keys(by)) {
		all = append(all, settingsRequest(scope, by[scope]))
	}
	return all
}

func (p *patient) recoveries() []Finding {
	var found []Finding
	for _, key := range []string{concurrentRecoveries, allocation + "node_concurrent_incoming_recoveries", allocation + "node_concurrent_outgoing_recoveries"} {
		n, from, ok := p.setting(key)
		if !ok || n <= mostRecoveries || key != concurrentRecoveries && from == state.FromDefaults { // their defaults are the first one's value
			continue
		}
		f := Finding{Severity: Change, Fix: "take it away, or set it to 2 to 4 (8 at most) for as long as it is needed", Requests: p.unset(key),
			Source: "elastic/elasticsearch#36195 and #27427: each shard that starts is a task of the master, before which no index is created"}
		nodes, who := p.leaving(), "excluded nodes"
		if len(nodes) == 0 {
			nodes, who = p.data, "data nodes"
		}
		at := capacity.Product(capacity.Count(0, "relocations at once"), capacity.Count(len(nodes), who), capacity.Count(n, "each"))
		f.Sums = []capacity.Sum{at}
		f.Says = fmt.Sprintf("%s = %d (%s; 2 by default): %d %s may start %s", key, n, from, len(nodes), who, at.Out)
		if at.Out.Value >= 200 { // seen on four nodes: creating an index took 14 s instead of 0.45 s
			f.Severity = Hurts
		}
		found = append(found, f)
	}
	return found
}

// filters are exclude settings with the nodes that they name.
func (p *patient) filters() map[string][]string {
	all := map[string][]string{}
	for _, values := range []map[string]string{p.c.Settings.Persistent, p.c.Settings.Transient} {
		for key, value := range values {
			if strings.HasPrefix(key, allocation+"exclude.") && value != "" {
				all[key] = strings.Split(strings.ReplaceAll(value, " ", ""), ",")
			}
		}
	}
	return all
}

// named are the data nodes that a filter's value names.
func (p *patient) named(key, value string) []*state.Node {
	var of []*state.Node
	attribute := strings.TrimPrefix(key, allocation+"exclude.")
	for _, n := range p.data {
		is := n.Attributes[attribute]
		switch attribute {
		case "_name":
			is = n.Name
		case "_ip", "_host_ip", "_publish_ip":
			is = n.IP
		case "_host":
			is = n.Host
		case "_id":
			is = n.ID
		}
		if is != "" && matches(value, is) {
			of = append(of, n)
		}
	}
	return of
}

// matches knows the * of filters.
func matches(pattern, text string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(part):], after
	}
}

// leaving are data nodes that are excluded and still hold shards.
func (p *patient) leaving() []*state.Node {
	seen := map[*state.Node]bool{}
	for key, list := range p.filters() {
		for _, value := range list {
			for _, n := range p.named(key, value) {
				if n.Shards > 0 {
					seen[n] = true
				}
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}

func (p *patient) excluded() []Finding {
	var found []Finding
	all := p.filters()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		var gone, empty []string
		for _, value := range all[key] {
			nodes := p.named(key, value)
			if len(nodes) == 0 {
				gone = append(gone, value)
			} else if !slices.ContainsFunc(nodes, func(n *state.Node) bool { return n.Shards > 0 }) {
				empty = append(empty, value)
			}
		}
		if len(gone) > 0 {
			found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("%s names what no data node is: the next node of such a name or address gets no shards", key),
				Fix: "take them away", Requests: p.without(key, gone)}.about(gone))
		}
		if len(empty) > 0 {
			found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("%s names %s no shards any more: paid for and idle", key, many(len(empty), "node that holds", "nodes that hold")),
				Fix: "remove these nodes, then the setting"}.about(empty))
		}
	}
	return found
}

// without leaves a list shorter; where nothing is left the setting goes.
func (p *patient) without(key string, gone []string) []Request {
	var all []Request
	for _, of := range []struct {
		scope  string
		values map[string]string
	}{{"persistent", p.c.Settings.Persistent}, {"transient", p.c.Settings.Transient}} {
		if value := of.values[key]; value != "" {
			left := slices.DeleteFunc(strings.Split(strings.ReplaceAll(value, " ", ""), ","), func(v string) bool { return slices.Contains(gone, v) })
			all = append(all, settingsRequest(of.scope, map[string]string{key: strings.Join(left, ",")}))
		}
	}
	return all
}

func (p *patient) allocationOff() []Finding {
	effects := map[string]map[string]string{
		allocation + "enable": {
			"none": "no shard is allocated, so that new indices stay red", "primaries": "no replica is allocated: one lost node loses data",
			"new_primaries": "only primaries of new indices are allocated: a node that comes back brings nothing",
		},
		"cluster.routing.rebalance.enable": {"none": "shards stay where they are, so that new nodes fill with new indices alone", "primaries": "replicas stay where they are", "replicas": "primaries stay where they are"},
	}
	var found []Finding
	for _, key := range slices.Sorted(maps.Keys(effects)) {
		value, from := p.c.Settings.Get(key)
		effect, bad := effects[key][value]
		if !bad {
			continue
		}
		f := Finding{Severity: Change, Says: fmt.Sprintf("%s = %s (%s): %s", key, value, from, effect), Fix: "take it away when the work that it was for is done", Requests: p.unset(key)}
		if key == allocation+"enable" {
			f.Severity = Hurts
		}
		found = append(found, f)
	}
	return found
}

func (p *patient) blocks() []Finding {
	var found []Finding
	for _, key := range []string{"cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete", "cluster.blocks.create_index"} {
		if value, from := p.c.Settings.Get(key); value == "true" {
			found = append(found, Finding{Severity: Hurts, Says: fmt.Sprintf("%s = true (%s): the next slot cannot be created, and writing may stand still", key, from), Fix: "take it away when the work that it was for is done", Requests: p.unset(key)})
		}
	}
	return found
}

func (p *patient) watermarks() []Finding {
	key := allocation + "disk.threshold_enabled"
	if value, from := p.c.Settings.Get(key); value == "false" {
		return []Finding{{Severity: Hurts, Says: fmt.Sprintf("%s = false (%s): nothing keeps a disk from filling up, and a node with a full disk fails", key, from), Fix: "take it away", Requests: p.unset(key)}}
	}
	key = allocation + "disk.watermark.flood_stage"
	value, from := p.c.Settings.Get(key)
	disk := p.smallestDisk()
	if flood := p.watermark("flood_stage", 0.95, disk); flood > 0.98 {
		f := Finding{Severity: Change, Says: fmt.Sprintf("%s = %s (%s): %s of the smallest disk (%s) are left when writing stops; a merge may need more",
			key, value, from, capacity.Size(int64((1-flood)*float64(disk))), capacity.Size(disk)),
			Fix: "set the three watermarks higher; percentages follow the size of the disk", Requests: p.unset(key)}
		if len(f.Requests) == 0 { // it stands in the nodes' own files
			prefix := allocation + "disk.watermark."
			f.Requests = []Request{settingsRequest("persistent", map[string]string{prefix + "low": "85%", prefix + "high": "90%", prefix + "flood_stage": "95%"})}
		}
		return []Finding{f}
	}
	return nil
}

func (p *patient) smallestDisk() int64 {
	var least int64
	for _, n := range p.data {
		if n.DiskTotalBytes > 0 && (least == 0 || n.DiskTotalBytes < least) {
			least = n.DiskTotalBytes
		}
	}
	return least
}

func (p *patient) liftedLimit() []Finding {
	const key = "cluster.max_shards_per_node"
	n, from, ok := p.setting(key)
	if !ok || n <= 1000 {
		return nil
	}
	sum := capacity.Product(capacity.Count(0, "shards"), capacity.Count(len(p.data), "data nodes"), capacity.Count(n, "shards"))
	return []Finding{{Severity: Change, Says: fmt.Sprintf("%s = %d (%s; 1 000 by default): it lets %s be created, and nothing else warns", key, n, from, sum.Out), Sums: []capacity.Sum{sum},
		Fix: "have fewer shards first, then take it away", Requests: p.unset(key)}}
}

func (p *patient) transient() []Finding {
	if len(p.c.Settings.Transient) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(p.c.Settings.Transient))
	drop := map[string]*string{}
	for _, key := range keys {
		drop[key] = nil
	}
	return []Finding{Finding{Severity: Change, Says: many(len(keys), "setting is", "settings are") + " transient: a full restart forgets them, and until then they win over persistent ones",
		Fix:      "this keeps them all as persistent ones; leave out of the first part what an emergency left",
		Requests: []Request{{Method: "PUT", Path: "/_cluster/settings", Body: jsonText(map[string]any{"persistent": p.c.Settings.Transient, "transient": drop})}}}.about(keys)}
}

func (p *patient) loggers() []Finding {
	var loud []string
	for _, values := range []map[string]string{p.c.Settings.Persistent, p.c.Settings.Transient} {
		for key, value := range values {
			if level := strings.ToLower(value); strings.HasPrefix(key, "logger.") && (level == "debug" || level == "trace") {
				loud = append(loud, key)
			}
		}
	}
	slices.Sort(loud)
	if loud = slices.Compact(loud); len(loud) == 0 {
		return nil
	}
	return []Finding{Finding{Severity: Change, Says: fmt.Sprintf("%s on debug or trace: their logs fill disks", many(len(loud), "logger is", "loggers are")), Fix: "take them away", Requests: p.unset(loud...)}.about(loud)}
}
