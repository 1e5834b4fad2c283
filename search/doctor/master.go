package doctor

import (
	"fmt"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// Bounds of masters.
const (
	// restartShare is how much of a master's heap a restart may take; the rest holds the cluster state and everything else.
	restartShare = 2
	// manyNodes is from where masters should do nothing else (documentation of both products: dedicated masters for larger clusters).
	manyNodes = 10
	// largestHeap is where object pointers become large: some 31 GiB.
	largestHeap = 31 << 30
)

func masterChecks() []check {
	nodes := []state.Part{state.PartNodes}
	stats := []state.Part{state.PartNodes, state.PartNodeStats}
	return []check{
		{"masters_survive_a_restart", "the heap of masters holds a restart of all nodes", stats, (*patient).restartHeap},
		{"quorum_survives_one_master", "the loss of one master leaves a majority", []state.Part{state.PartNodes, state.PartSettings}, (*patient).quorum},
		{"masters_do_nothing_else", "masters of a large cluster hold no data", nodes, (*patient).busyMasters},
		{"master_heap_holds_the_indices", "the heap of masters holds this many indices", stats, (*patient).indicesPerHeap},
	}
}

// entryBytes is what a shard costs a master at a restart, and why. Sure is false where a newer way of asking may make it less.
func (p *patient) entryBytes() (bytes int64, source string, sure bool) {
	switch {
	case p.elastic(7, 16):
		return capacity.SmallEntryBytes, "128 bytes for each shard and node since 7.16 (elastic/elasticsearch#77991)", true
	case p.is(state.Elasticsearch):
		return capacity.EntryBytes, "1.7 KB for each shard and node before 7.16 (elastic/elasticsearch#76218)", true
	}
	text, _ := p.c.Settings.Get("cluster.allocator.existing_shards_allocator.batch_enabled")
	batched := p.version[0] >= 3 && text != "false" || text == "true"
	return capacity.EntryBytes, "1.7 KB for each shard and node, as Elasticsearch 7.10 has it; less where shards are fetched in batches (opensearch-project/OpenSearch#8098)", !batched
}

// smallestMaster is the heap of the node that would be the worst master.
func (p *patient) smallestMaster() int64 {
	var least int64
	for _, n := range p.masters {
		if n.HeapMaxBytes > 0 && (least == 0 || n.HeapMaxBytes < least) {
			least = n.HeapMaxBytes
		}
	}
	return least
}

func (p *patient) restartHeap() []Finding {
	heap := p.smallestMaster()
	if heap == 0 {
		return []Finding{{Severity: Unknown, Says: "no node that can be master tells its heap"}}
	}
	entry, source, sure := p.entryBytes()
	sum := capacity.RestartHeap(len(p.c.Nodes), p.shards, entry)
	if int64(sum.Out.Value)*restartShare <= heap {
		return nil
	}
	f := Finding{Severity: Change, Sums: []capacity.Sum{sum}, Source: source,
		Says: fmt.Sprintf("%s shards: a full restart needs about %s of master heap, masters have %s", capacity.Grouped(float64(p.shards)), sum.Out, gib(heap)),
		Fix: fmt.Sprintf("have at most %s shards (delete, close, drop replicas that a snapshot replaces, shrink), or give masters a larger heap before anybody restarts all nodes; and then start nodes in groups of a tenth",
			capacity.Grouped(float64(heap/restartShare)/float64(int64(max(len(p.c.Nodes), 1))*entry)))}
	if sum.Out.Value > float64(heap) && sure {
		f.Severity = Hurts
	}
	if !sure {
		f.Says += " at most: this cluster fetches shards in batches, and nobody published what that takes"
	}
	return []Finding{f}
}

func (p *patient) quorum() []Finding {
	if len(p.c.Nodes) < 2 {
		return []Finding{{Severity: Change, Says: "one node: its loss loses everything that is in no snapshot", Fix: "have three nodes, or snapshots that somebody restores now and then"}}
	}
	voters := len(p.masters)
	for i := range p.c.Nodes {
		if p.c.Nodes[i].HasRole("voting_only") {
			voters++
		}
	}
	var found []Finding
	if need := voters/2 + 1; voters-1 < need {
		found = append(found, Finding{Severity: Hurts, Says: fmt.Sprintf("%d of %d nodes vote for a master: a majority is %d, so the loss of one stops the cluster", voters, len(p.c.Nodes), need),
			Sums: []capacity.Sum{majority(voters)}, Fix: "have three nodes that can be master, on machines that do not fail together"}.about(nodeNames(p.masters)))
	}
	if f, ok := p.splitBrain(voters); ok {
		found = append(found, f)
	}
	return found
}

func majority(voters int) capacity.Sum {
	out := capacity.Count(voters/2+1, "nodes")
	return capacity.Sum{In: []capacity.Number{capacity.Count(voters, "voters")}, Out: out, Text: fmt.Sprintf("%d voters / 2 + 1 = %s", voters, out)}
}

// splitBrain is about versions before 7, which are told what a majority is.
func (p *patient) splitBrain(voters int) (Finding, bool) {
	const key = "discovery.zen.minimum_master_nodes"
	if p.elastic(7) || !p.is(state.Elasticsearch) {
		return Finding{}, false
	}
	set, from, ok := p.setting(key)
	if !ok && len(p.c.Settings.Defaults) == 0 {
		return Finding{Severity: Unknown, Says: key + " was not told: it stands in elasticsearch.yml"}, true
	}
	if set > voters/2 {
		return Finding{}, false
	}
	shown := "not set"
	if ok {
		shown = fmt.Sprintf("%d (%s)", set, from)
	}
	return Finding{Severity: Hurts, Says: fmt.Sprintf("%s is %s with %d nodes that can be master: when the network parts them, two masters are elected and writes are lost", key, shown, voters),
		Sums: []capacity.Sum{majority(voters)}, Fix: "set it to a majority, here and in elasticsearch.yml",
		Requests: []Request{settingsRequest("persistent", map[string]string{key: fmt.Sprint(voters/2 + 1)})}}, true
}

func (p *patient) busyMasters() []Finding {
	var busy []string
	for _, n := range p.masters {
		if n.HoldsData() {
			busy = append(busy, n.Name)
		}
	}
	if len(p.data) < manyNodes || len(busy) == 0 {
		return nil
	}
	return []Finding{Finding{Severity: Change, Says: fmt.Sprintf("%d of %d nodes that can be master hold data too, in a cluster of %d data nodes: a search or a merge can stop the master", len(busy), len(p.masters), len(p.data)),
		Fix: "have three nodes that are master alone"}.about(busy)}
}

func (p *patient) indicesPerHeap() []Finding {
	heap := p.smallestMaster()
	if !p.elastic(8, 3) || heap == 0 {
		return nil
	}
	in := []capacity.Number{capacity.Count(len(p.c.Indices), "indices"), capacity.Count(capacity.IndicesPerMasterHeapGiB, "indices each GiB")}
	out := capacity.Number{Name: "GiB of master heap", Value: float64(len(p.c.Indices)) / capacity.IndicesPerMasterHeapGiB}
	if out.Value*(1<<30) <= float64(heap) {
		return nil
	}
	return []Finding{{Severity: Change, Says: fmt.Sprintf("%s indices need %s, masters have %s", capacity.Grouped(float64(len(p.c.Indices))), out, gib(heap)),
		Sums: []capacity.Sum{{In: in, Out: out, Text: fmt.Sprintf("%s / %s = %s", in[0], in[1], out)}}, Fix: "use longer slots, delete, or give masters a larger heap",
		Source: "size your shards, Elasticsearch 8.3 and newer"}}
}
