package doctor

import (
	"fmt"
	"slices"

	"github.com/slipway-dev/slipway/search/state"
)

// Bounds of what is going on now. Those of waiting tasks are the start that research proposes; a cluster of 7,000 shards on 8.19 creates an index
// in less than 10 s at the 99th percentile, and in more than 200 s while a node restarts (elastic/elasticsearch#154337).
const (
	amberWaitMillis  = 5_000
	redWaitMillis    = 30_000
	busyPoolPercent  = 75
	fullHeapPercent  = 85
	fullHeapOfOthers = 92
)

func liveChecks() []check {
	return []check{
		{"a_master_is_elected", "a master is elected", []state.Part{state.PartNodes}, (*patient).noMaster},
		{"cluster_is_green", "every shard has all its copies", nil, (*patient).notGreen},
		{"index_creation_is_quick", "nothing waits long for the master", []state.Part{state.PartTasks}, (*patient).slowTasks},
		{"threads_are_free", "thread pools have free threads", []state.Part{state.PartNodeStats}, (*patient).busyPools},
		{"heaps_have_room", "no heap is nearly full", []state.Part{state.PartNodeStats}, (*patient).fullHeaps},
	}
}

func (p *patient) noMaster() []Finding {
	if p.c.ElectedMaster != "" {
		return nil
	}
	return []Finding{Finding{Severity: Hurts, Says: fmt.Sprintf("no master is elected; %d nodes can be one", len(p.masters)),
		Fix: "look at the logs of the nodes that can be master: is a majority of them up, and do they reach each other?"}.about(nodeNames(p.masters))}
}

func (p *patient) notGreen() []Finding {
	h := p.c.Health
	var red []string
	for i := range p.c.Indices {
		if p.c.Indices[i].Health == "red" {
			red = append(red, p.c.Indices[i].Name)
		}
	}
	switch {
	case h.Status == "red" || len(red) > 0:
		return []Finding{Finding{Severity: Hurts, Says: fmt.Sprintf("%s primaries that no node holds: %d shards unassigned", many(len(red), "index has", "indices have"), h.UnassignedShards),
			Fix:      "ask why, before anything else is changed; bring back the nodes that hold them, or restore them from a snapshot; never allocate an empty primary over data",
			Requests: []Request{{Method: "GET", Path: "/_cluster/allocation/explain"}}}.about(red)}
	case h.UnassignedShards-h.DelayedShards > 0:
		return []Finding{{Severity: Change, Says: fmt.Sprintf("%s unassigned, those not counted that wait for a node to come back: the loss of one node may lose data", many(h.UnassignedShards-h.DelayedShards, "replica is", "replicas are")),
			Fix: "ask why they cannot be placed", Requests: []Request{{Method: "GET", Path: "/_cluster/allocation/explain"}}}}
	}
	return nil
}

func (p *patient) slowTasks() []Finding {
	t := p.c.Tasks
	worst := max(t.OldestCreateIndexMillis, t.OldestPutMappingMillis)
	if worst <= amberWaitMillis && t.MaxWaitMillis <= redWaitMillis {
		return nil
	}
	f := Finding{Severity: Change, Says: fmt.Sprintf("%s for the master, the oldest for %s; the oldest create-index for %s, put-mapping for %s",
		many(t.Count, "task waits", "tasks wait"), seconds(t.MaxWaitMillis), seconds(t.OldestCreateIndexMillis), seconds(t.OldestPutMappingMillis)),
		Source: "more than 5 s is a delay, more than 30 s times out: the default master timeout"}
	if worst > redWaitMillis {
		f.Severity = Hurts
	}
	moving := p.c.Health.RelocatingShards + p.c.Health.InitializingShards
	if moving > 0 {
		f.Says += fmt.Sprintf("; meanwhile %d shards move or start, and each is one more task", moving)
		f.Fix = "let fewer shards move at once until index creation is quick again; what has begun goes on"
		f.Requests = []Request{p.fewerRecoveries()}
		return []Finding{f}
	}
	f.Fix = "see what waits"
	f.Requests = []Request{{Method: "GET", Path: "/_cluster/pending_tasks"}}
	return []Finding{f}
}

// fewerRecoveries is written where the setting stands now: a transient value wins over a persistent one.
func (p *patient) fewerRecoveries() Request {
	scope := "persistent"
	if _, ok := p.c.Settings.Transient[concurrentRecoveries]; ok {
		scope = "transient"
	}
	return settingsRequest(scope, map[string]string{concurrentRecoveries: "2"})
}

func seconds(millis int64) string { return fmt.Sprintf("%.1f s", float64(millis)/1000) }

func (p *patient) busyPools() []Finding {
	var stuck, queued []string
	for i := range p.c.Nodes {
		n := &p.c.Nodes[i]
		if g := n.Pools["generic"]; g.Size > 0 && g.Active*100 >= g.Size*busyPoolPercent {
			stuck = append(stuck, fmt.Sprintf("%s (generic %d of %d)", n.Name, g.Active, g.Size))
		}
		if w := n.Pools["write"]; w.Size > 0 && w.Queue > 10*w.Size && w.Active >= w.Size {
			queued = append(queued, fmt.Sprintf("%s (%d writes queued)", n.Name, w.Queue))
		}
	}
	slices.Sort(stuck)
	slices.Sort(queued)
	var found []Finding
	if len(stuck) > 0 {
		found = append(found, Finding{Severity: Hurts, Says: fmt.Sprintf("%s no free generic threads: recoveries wait for each other there, and a cluster can hang for good", many(len(stuck), "node has", "nodes have")),
			Fix: "let fewer shards move at once; a node whose pool stays full must be restarted", Source: "elastic/elasticsearch#36195, opensearch-project/OpenSearch#14768",
			Requests: []Request{p.fewerRecoveries()}}.about(stuck))
	}
	if len(queued) > 0 {
		found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("%s long queues of writes", many(len(queued), "node has", "nodes have")),
			Fix: "see whether these nodes hold more primaries of the newest indices than others, and whether consumers send more than the cluster takes"}.about(queued))
	}
	return found
}

func (p *patient) fullHeaps() []Finding {
	var masters, others []string
	for i := range p.c.Nodes {
		n := &p.c.Nodes[i]
		if n.HeapMaxBytes <= 0 {
			continue
		}
		percent := n.HeapUsedBytes * 100 / n.HeapMaxBytes
		switch {
		case n.MasterEligible() && percent >= fullHeapPercent:
			masters = append(masters, fmt.Sprintf("%s (%d %% of %s)", n.Name, percent, gib(n.HeapMaxBytes)))
		case !n.MasterEligible() && percent >= fullHeapOfOthers:
			others = append(others, fmt.Sprintf("%s (%d %% of %s)", n.Name, percent, gib(n.HeapMaxBytes)))
		}
	}
	var found []Finding
	if len(masters) > 0 {
		found = append(found, Finding{Severity: Hurts, Says: many(len(masters), "node that can be master has a heap", "nodes that can be master have heaps") + " with little room",
			Fix: "have fewer shards and indices, or give these nodes more heap, one node after the other"}.about(masters))
	}
	if len(others) > 0 {
		found = append(found, Finding{Severity: Change, Says: many(len(others), "other node has a heap", "other nodes have heaps") + " with little room",
			Fix: "look again in some minutes: what stays above 90 % runs out soon"}.about(others))
	}
	return found
}
