package doctor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

func shardChecks() []check {
	return []check{
		{"shards_fit_the_heap_of_data_nodes", "no data node has more shards than its heap carries", []state.Part{state.PartNodes, state.PartNodeStats}, (*patient).shardsPerHeap},
		{"shards_stay_within_bounds", "the count of shards stays within all bounds for a year", []state.Part{state.PartIndices, state.PartNodes, state.PartSettings}, (*patient).shardForecast},
		{"shards_have_a_good_size", "shards of the newest full slots have a good size", []state.Part{state.PartIndices}, (*patient).shardSizes},
		{"primaries_spread_over_hot_nodes", "primaries of the heaviest series spread evenly over the hot nodes", []state.Part{state.PartIndices, state.PartNodes}, (*patient).spread},
		{"hot_nodes_take_the_documents", "hot nodes take the documents that come", []state.Part{state.PartIndices, state.PartNodes}, (*patient).ingest},
	}
}

// shardsPerHeap is the rule before Elasticsearch 8.3; newer ones count indices of masters instead.
func (p *patient) shardsPerHeap() []Finding {
	if p.elastic(8, 3) {
		return nil
	}
	var over []string
	var worst *state.Node
	most := 0.0
	for _, n := range p.data {
		if n.HeapMaxBytes <= 0 {
			continue
		}
		if ratio := float64(n.Shards) / heapShards(n); ratio > 1 {
			over = append(over, n.Name)
			if ratio > most {
				most, worst = ratio, n
			}
		}
	}
	if worst == nil {
		return nil
	}
	slices.Sort(over)
	in := []capacity.Number{{Name: "GiB of heap", Value: float64(worst.HeapMaxBytes) / (1 << 30)}, capacity.Count(capacity.ShardsPerHeapGiB, "shards")}
	f := Finding{Severity: Change, Says: fmt.Sprintf("%d of %d data nodes have more shards than their heap carries; the worst, %s, has %s", len(over), len(p.data), worst.Name, capacity.Grouped(float64(worst.Shards))),
		Sums: []capacity.Sum{capacity.Product(capacity.Count(0, "shards"), in...)}, Fix: "have fewer, larger shards: longer slots, fewer primaries, shrink, fewer replicas of what is old",
		Source: "20 shards for each GB of heap, size your shards of Elasticsearch 7"}
	if most > 2 {
		f.Severity = Hurts
	}
	return []Finding{f.about(over)}
}

func heapShards(n *state.Node) float64 {
	return float64(n.HeapMaxBytes) / (1 << 30) * capacity.ShardsPerHeapGiB
}

// bound is a count of shards that should not be passed.
type bound struct {
	name   string
	shards float64
	sum    capacity.Sum
	source string
	// hard says that the server refuses what is past it.
	hard bool
}

func (p *patient) bounds() []bound {
	var all []bound
	perNode, _, ok := p.setting("cluster.max_shards_per_node")
	if !ok {
		perNode = 1000
	}
	limit := capacity.Product(capacity.Count(0, "shards"), capacity.Count(len(p.data), "data nodes"), capacity.Count(perNode, "shards"))
	source := "cluster.max_shards_per_node: past it no index is created"
	if !p.elastic(7) && p.is(state.Elasticsearch) {
		source = "cluster.max_shards_per_node: 6.x warns past it, and 7 refuses"
	}
	all = append(all, bound{"the limit of shards per node", limit.Out.Value, limit, source, p.elastic(7) || p.is(state.OpenSearch)})
	if heap := p.smallestMaster(); heap > 0 {
		entry, why, _ := p.entryBytes()
		in := []capacity.Number{capacity.Size(heap / restartShare), capacity.Count(len(p.c.Nodes), "nodes"), capacity.Size(entry)}
		out := capacity.Number{Name: "shards", Value: math.Floor(in[0].Value / in[1].Value / in[2].Value)}
		all = append(all, bound{"half of the master heap at a restart", out.Value, capacity.Sum{In: in, Out: out, Text: fmt.Sprintf("%s / %s / %s = %s", in[0], in[1], in[2], out)}, why, false})
	}
	if !p.elastic(8, 3) {
		var carried float64
		for _, n := range p.data {
			carried += heapShards(n)
		}
		in := []capacity.Number{{Name: "GiB of data heap", Value: carried / capacity.ShardsPerHeapGiB}, capacity.Count(capacity.ShardsPerHeapGiB, "shards")}
		all = append(all, bound{"the heap of data nodes", math.Floor(carried), capacity.Product(capacity.Count(0, "shards"), in...), "20 shards for each GB of heap, size your shards of Elasticsearch 7", false})
	}
	return all
}

// year is how far forecasts look.
const year = 365

// forecast is how the shards of all series grow.
type forecast struct {
	perDay float64
	// days is for how long; math.Inf where nothing is known to delete.
	days float64
	sums []capacity.Sum
}

func (p *patient) forecast() forecast {
	var all forecast
	for _, s := range p.series {
		if !s.alive(p.now) || len(s.past) == 0 {
			continue
		}
		stages := s.stages()
		keep := p.keepDays(s)
		have := 0.0
		for _, st := range stages {
			have += st.Days
		}
		last := stages[len(stages)-1]
		horizon := math.Min(keep, year)
		if have >= horizon {
			continue // every day that comes drives one out
		}
		last.Days += horizon - have
		shown := append(slices.Clone(stages[:len(stages)-1]), last)
		sum := capacity.Shards(s.Newest().Hours(), shown)
		all.sums = append(all.sums, sum)
		all.perDay += 24 / s.Newest().Hours() * float64(last.Primaries*last.Copies)
		all.days = math.Max(all.days, keep-have)
	}
	slices.SortFunc(all.sums, func(a, b capacity.Sum) int { return cmp.Compare(b.Out.Value, a.Out.Value) })
	return all
}

// stages are how many shards members have from the newest to the oldest, in runs: what lies in a run that is shorter than a hundredth of all is
// taken to the run before it, since some are always on their way.
func (s *series) stages() []capacity.Stage {
	var runs []capacity.Stage
	least := float64(len(s.past)) / 100
	for i := len(s.past) - 1; i >= 0; {
		first := s.past[i]
		n, days := 0, 0.0
		for i >= 0 && s.past[i].Primaries == first.Primaries && s.past[i].Replicas == first.Replicas {
			days += s.past[i].Hours() / 24
			n, i = n+1, i-1
		}
		copies := 1 + first.Replicas
		if len(runs) > 0 && (float64(n) < least || runs[len(runs)-1].Primaries == first.Primaries && runs[len(runs)-1].Copies == copies) {
			runs[len(runs)-1].Days += days
			continue
		}
		runs = append(runs, capacity.Stage{Days: days, Primaries: first.Primaries, Copies: copies})
	}
	return runs
}

// keepDays is how long members live: what a person said, or the age at which a policy that is attached deletes; else for ever.
func (p *patient) keepDays(s *series) float64 {
	if p.o.KeepDays > 0 {
		return float64(p.o.KeepDays)
	}
	if a := s.past[len(s.past)-1].Policy; a != nil {
		for _, pol := range p.c.Policies {
			if pol.Kind != a.Kind || pol.Name != a.Policy {
				continue
			}
			for _, step := range pol.Steps {
				if slices.Contains(step.Actions, "delete") && step.AfterMillis > 0 {
					return float64(step.AfterMillis) / float64(day.Milliseconds())
				}
			}
		}
	}
	return math.Inf(1)
}

func (p *patient) shardForecast() []Finding {
	f := p.forecast()
	fix := p.remedies()
	var found []Finding
	for _, b := range p.bounds() {
		left := (b.shards - float64(p.shards)) / f.perDay
		switch {
		case b.shards <= 0 || float64(p.shards) > b.shards:
			found = append(found, Finding{Severity: pastBound(b), Says: fmt.Sprintf("%s shards are past %s (%s)", capacity.Grouped(float64(p.shards)), b.name, capacity.Grouped(b.shards)),
				Sums: []capacity.Sum{b.sum}, Source: b.source, Fix: fix})
		case f.perDay > 0 && left < math.Min(f.days, year):
			at := p.now.Add(time.Duration(left * float64(day))).UTC()
			in := []capacity.Number{{Value: b.shards}, capacity.Count(p.shards, "shards"), {Name: "shards a day", Value: math.Round(f.perDay)}}
			out := capacity.Number{Name: "days", Value: math.Floor(left)}
			days := capacity.Sum{In: in, Out: out, Text: fmt.Sprintf("(%s - %s) / %s = %s", in[0], in[1], in[2], out)}
			found = append(found, Finding{Severity: severityIn(left), HurtsAt: &at, Sums: append([]capacity.Sum{b.sum, days}, f.sums[:min(len(f.sums), 3)]...), Source: b.source, Fix: fix,
				Says: fmt.Sprintf("%s shards grow by %s a day and pass %s (%s)", capacity.Grouped(float64(p.shards)), capacity.Grouped(math.Round(f.perDay)), b.name, capacity.Grouped(b.shards))})
		}
	}
	return found
}

// goodShardBytes is the size that a shard should be shrunk to: the least of 30 to 50 GB in write-ups of petabyte log clusters.
const goodShardBytes = 30e9

// remedies are the ways to fewer shards in the order in which they should be gone, each with how many it frees: of slots that are over.
func (p *patient) remedies() string {
	kept, _ := p.kept()
	var replicas, shrunk, merged int
	for _, s := range p.series {
		for i, m := range s.past {
			if m.Closed || m.Mounted != "" {
				continue
			}
			if kept[m.Name] {
				replicas += m.Primaries * m.Replicas
			}
			if want := max(1, int(math.Ceil(float64(m.PrimaryBytes)/goodShardBytes))); m.PrimaryBytes >= 0 && want < m.Primaries {
				shrunk += (m.Primaries - want) * (1 + m.Replicas)
			}
			if i%2 == 1 { // of two slots one is left
				merged += m.Shards()
			}
		}
	}
	frees := func(n int) string { return " (frees " + capacity.Grouped(float64(n)) + ")" }
	return "in this order: drop replicas of what a proved snapshot holds" + frees(replicas) + ", shrink slots that are over to shards of 30 GB" + frees(shrunk) +
		", use slots of twice the length from now on (would have saved " + capacity.Grouped(float64(merged)) + "), mount from a snapshot, delete"
}

func pastBound(b bound) Severity {
	if b.hard {
		return Hurts
	}
	return Change
}

// severityIn is how bad something is that happens in some days.
func severityIn(days float64) Severity {
	if days < 30 {
		return Hurts
	}
	return Change
}
