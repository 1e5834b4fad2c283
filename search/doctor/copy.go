package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

func copyChecks() []check {
	return []check{
		{"data_have_a_second_copy", "every index has a replica, or lies in a snapshot", []state.Part{state.PartIndices}, (*patient).singleCopy},
		{"single_copies_lie_on_well_nodes", "no node that is ill holds the one copy of an index",
			[]state.Part{state.PartIndices, state.PartShards, state.PartNodes, state.PartNodeStats, state.PartSettings}, (*patient).copiesAtRisk},
	}
}

// lone says that an index has one copy, and that nothing else makes a second one.
func lone(x *state.Index) bool {
	return !x.Closed && x.Replicas == 0 && x.Mounted == "" && !x.System() && (x.AutoExpandReplicas == "" || x.AutoExpandReplicas == "false")
}

func (p *patient) singleCopy() []Finding {
	kept, unnamed := p.kept()
	var names []string
	var bytes int64
	backed := 0
	for i := range p.c.Indices {
		x := &p.c.Indices[i]
		if !lone(x) {
			continue
		}
		if kept[x.Name] {
			backed++
			continue
		}
		names, bytes = append(names, x.Name), bytes+max(x.Bytes, 0)
	}
	if len(names) == 0 || len(p.data) < 2 {
		return nil
	}
	slices.Sort(names)
	each := capacity.Size(bytes / int64(len(p.data)))
	each.Name = "lost with one node"
	in := []capacity.Number{capacity.Size(bytes), capacity.Count(len(p.data), "data nodes")}
	f := Finding{Severity: Change, Says: fmt.Sprintf("%s (%s) with one copy, in no successful snapshot that was seen; %s others with one copy are in one", many(len(names), "index", "indices"), capacity.Size(bytes), capacity.Grouped(float64(backed))),
		Sums: []capacity.Sum{{In: in, Out: each, Text: fmt.Sprintf("%s / %s = %s", in[0], in[1], each)}}, Fix: "take a snapshot and prove it, or give them a replica again"}
	if unnamed || p.unseen(state.PartSnapshots) {
		f.Says += " (not every snapshot told its indices)"
	}
	return []Finding{f.about(names)}
}

func (p *patient) unseen(part state.Part) bool {
	_, unseen := p.c.WhyUnseen(part)
	return unseen
}

// ill says why the loss of a node is near; empty where nothing says so.
func (p *patient) ill(n *state.Node, leaving []*state.Node) string {
	var why []string
	if n.DiskTotalBytes > 0 && 1-float64(n.DiskFreeBytes)/float64(n.DiskTotalBytes) >= p.highWatermark(n) {
		why = append(why, "disk over the high watermark")
	}
	if n.HeapMaxBytes > 0 && n.HeapUsedBytes*100 >= n.HeapMaxBytes*fullHeapOfOthers {
		why = append(why, "heap full")
	}
	if g := n.Pools["generic"]; g.Size > 0 && g.Active*100 >= g.Size*busyPoolPercent {
		why = append(why, "no free generic threads")
	}
	if slices.Contains(leaving, n) {
		why = append(why, "excluded, somebody means to take it away")
	}
	return strings.Join(why, ", ")
}

// sick are data nodes that are ill, and why.
func (p *patient) sick() map[string]string {
	leaving := p.leaving()
	sick := map[string]string{}
	for _, n := range p.data {
		if why := p.ill(n, leaving); why != "" {
			sick[n.Name] = why
		}
	}
	return sick
}

// exposed says that the loss of one node is the loss of an index.
func exposed(x *state.Index, kept map[string]bool) bool { return x != nil && lone(x) && !kept[x.Name] }

// hidden counts exposed indices of which it was not told where they lie.
func (p *patient) hidden(listed, kept map[string]bool) (n int) {
	for i := range p.c.Indices {
		if x := &p.c.Indices[i]; exposed(x, kept) && !listed[x.Name] {
			n++
		}
	}
	return n
}

// copiesAtRisk are indices whose one copy lies on an ill node, as far as it was told where shards lie.
func (p *patient) copiesAtRisk() []Finding {
	sick := p.sick()
	if len(sick) == 0 {
		return nil
	}
	kept, _ := p.kept()
	on, bytes, listed := map[string][]string{}, map[string]int64{}, map[string]bool{}
	for _, g := range p.c.Shards {
		if !exposed(p.byName[g.Index], kept) {
			continue
		}
		if listed[g.Index] = true; sick[g.Node] != "" {
			on[g.Node], bytes[g.Node] = append(on[g.Node], g.Index), bytes[g.Node]+g.Bytes
		}
	}
	hidden := p.hidden(listed, kept)
	if len(on) == 0 && hidden > 0 {
		return []Finding{{Severity: Unknown, Says: fmt.Sprintf("%s ill, and of %s with one copy it was not asked where they lie",
			many(len(sick), "node is", "nodes are"), many(hidden, "index", "indices"))}}
	}
	var found []Finding
	for _, node := range slices.SortedFunc(maps.Keys(on), func(a, b string) int { return cmp.Or(cmp.Compare(bytes[b], bytes[a]), cmp.Compare(a, b)) }) {
		names := slices.Compact(sortedNames(on[node]))
		f := Finding{Severity: Hurts, Fix: "give them a replica now, where other nodes have room; or take a snapshot of them first of all",
			Says: fmt.Sprintf("%s (%s) with one copy and no snapshot on %s, which is ill (%s): its loss is theirs",
				many(len(names), "index", "indices"), capacity.Size(bytes[node]), node, sick[node]),
			Requests: []Request{indexRequest(names, map[string]string{"index.number_of_replicas": "1"})}}
		if hidden > 0 {
			f.Says += fmt.Sprintf("; of %s with one copy it was not asked where they lie", many(hidden, "other index", "other indices"))
		}
		found = append(found, f.about(names))
	}
	return found
}
