package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// fewFiles is what a node needs at least (bootstrap checks of both products).
const fewFiles = 65_535

// goLiveChecks are what a new cluster should be asked before the first log comes.
func goLiveChecks() []check {
	nodes := []state.Part{state.PartNodes}
	stats := []state.Part{state.PartNodes, state.PartNodeStats}
	return []check{
		{"heap_leaves_memory_for_files", "heaps are at most half of the memory and at most 31 GiB", stats, (*patient).heapSizes},
		{"nodes_do_not_swap", "no node swaps", stats, (*patient).swapping},
		{"nodes_may_open_files", "nodes may open enough files", stats, (*patient).openFiles},
		{"nodes_are_of_one_version", "all nodes are of one version", nodes, (*patient).versions},
		{"nodes_of_a_tier_are_equal", "nodes of a tier have disks and heaps of one size", stats, (*patient).unequal},
		{"new_slots_have_a_replica", "the newest slots have a replica", []state.Part{state.PartIndices}, (*patient).newReplicas},
		{"templates_are_for_logs", "the heaviest series refreshes seldom", []state.Part{state.PartTemplates}, (*patient).logTemplates},
	}
}

// nodesWhere tells in one finding which nodes something is true of.
func (p *patient) nodesWhere(says, fix string, what func(*state.Node) string) []Finding {
	var names []string
	for i := range p.c.Nodes {
		if text := what(&p.c.Nodes[i]); text != "" {
			names = append(names, fmt.Sprintf("%s (%s)", p.c.Nodes[i].Name, text))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []Finding{Finding{Severity: Change, Says: many(len(names), "node", "nodes") + ": " + says, Fix: fix}.about(names)}
}

func (p *patient) heapSizes() []Finding {
	large := p.nodesWhere("a heap beyond 31 GiB, where each pointer takes twice the room", "set -Xms and -Xmx to 31g or less", func(n *state.Node) string {
		if n.HeapMaxBytes > largestHeap+1<<30 {
			return gib(n.HeapMaxBytes)
		}
		return ""
	})
	greedy := p.nodesWhere("less than half of the memory is left to the cache of files", "set -Xms and -Xmx to half of the memory, on data nodes to less", func(n *state.Node) string {
		if n.MemTotalBytes > 0 && n.HoldsData() && n.HeapMaxBytes > n.MemTotalBytes/100*55 {
			return fmt.Sprintf("heap %s of %s", gib(n.HeapMaxBytes), gib(n.MemTotalBytes))
		}
		return ""
	})
	return append(large, greedy...)
}

func (p *patient) swapping() []Finding {
	return p.nodesWhere("memory is in swap: a collection that touches it stops the node for seconds", "switch swap off, or set bootstrap.memory_lock", func(n *state.Node) string {
		if n.SwapUsedBytes > 64<<20 && !n.MemoryLocked {
			return capacity.Size(n.SwapUsedBytes).String()
		}
		return ""
	})
}

func (p *patient) openFiles() []Finding {
	return p.nodesWhere("too few files may be opened for many shards", fmt.Sprintf("set LimitNOFILE to %d or more", fewFiles), func(n *state.Node) string {
		if n.MaxOpenFiles > 0 && n.MaxOpenFiles < fewFiles {
			return fmt.Sprintf("%d", n.MaxOpenFiles)
		}
		return ""
	})
}

func (p *patient) versions() []Finding {
	count := map[string]int{}
	for i := range p.c.Nodes {
		count[p.c.Nodes[i].Version]++
	}
	if len(count) < 2 {
		return nil
	}
	var words []string
	for _, v := range slices.Sorted(maps.Keys(count)) {
		words = append(words, fmt.Sprintf("%d of %s", count[v], v))
	}
	return []Finding{{Severity: Change, Says: "nodes are of several versions: " + strings.Join(words, ", ") + "; a shard cannot move from a newer to an older one", Fix: "finish the upgrade"}}
}

func (p *patient) unequal() []Finding {
	var found []Finding
	for _, tier := range p.tiers.names {
		for _, of := range []struct {
			what  string
			value func(*state.Node) int64
		}{{"disks", func(n *state.Node) int64 { return n.DiskTotalBytes }}, {"heaps", func(n *state.Node) int64 { return n.HeapMaxBytes }}} {
			var least, most *state.Node
			for _, n := range p.tiers.nodes[tier] {
				if of.value(n) <= 0 {
					continue
				}
				if least == nil || of.value(n) < of.value(least) {
					least = n
				}
				if most == nil || of.value(n) > of.value(most) {
					most = n
				}
			}
			if least != nil && float64(of.value(most)) > 1.3*float64(of.value(least)) {
				found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("tier %s has %s from %s (%s) to %s (%s): shards are dealt out by count, so the smaller node is full or busy first",
					tier, of.what, capacity.Size(of.value(least)), least.Name, capacity.Size(of.value(most)), most.Name), Fix: "have nodes of one size in a tier, or a tier for each size"})
			}
		}
	}
	return found
}

func (p *patient) newReplicas() []Finding {
	var names []string
	for _, s := range p.series {
		if x := p.byName[s.Newest().Name]; s.alive(p.now) && x.Replicas == 0 && len(p.data) > 1 {
			names = append(names, x.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []Finding{Finding{Severity: Change, Says: fmt.Sprintf("%s written with one copy: a node that restarts stops them, and one that is lost loses what no snapshot has yet", many(len(names), "series is", "series are")),
		Fix: "give the template a replica for as long as a slot is written"}.about(names)}
}

func (p *patient) logTemplates() []Finding {
	s, share := p.heaviest()
	if s == nil || share < 0.3 {
		return nil
	}
	name := s.Newest().Name
	settings := p.templateOf(name)
	if settings == nil || settings["index.refresh_interval"] != "" && settings["index.refresh_interval"] != "1s" {
		return nil
	}
	return []Finding{{Severity: Change, Says: fmt.Sprintf("%s (%.0f %% of the bytes) is refreshed every second where it is searched: many small segments, which are merged again and again", s.Pattern.Format(), share*100),
		Fix:      "set index.refresh_interval of its template to 30s; this does it for the index that is written now",
		Requests: []Request{indexRequest([]string{name}, map[string]string{"index.refresh_interval": "30s"})}, Source: "OpenSearch's tuning guide: 60 % more documents with this, half of the memory as heap and larger translogs"}}
}

// templateOf is the settings that a new index of a name gets: of the composable template with the highest priority, else of all legacy ones, the
// highest order last; nil when none matches.
func (p *patient) templateOf(name string) map[string]string {
	var best *state.Template
	var legacy []*state.Template
	for i := range p.c.Templates {
		t := &p.c.Templates[i]
		if !slices.ContainsFunc(t.Patterns, func(pattern string) bool { return matches(pattern, name) }) {
			continue
		}
		if t.Legacy {
			legacy = append(legacy, t)
		} else if best == nil || t.Priority > best.Priority {
			best = t
		}
	}
	if best != nil {
		return nonNil(best.Settings)
	}
	if len(legacy) == 0 {
		return nil
	}
	slices.SortStableFunc(legacy, func(a, b *state.Template) int { return int(a.Priority - b.Priority) })
	merged := map[string]string{}
	for _, t := range legacy {
		maps.Copy(merged, t.Settings)
	}
	return merged
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
