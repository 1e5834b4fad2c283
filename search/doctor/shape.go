package doctor

import (
	"fmt"
	"math"
	"slices"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// manySmall is how many shards a series must have before small ones matter: a small cluster with small indices is well.
const manySmall = 500

func (p *patient) shardSizes() []Finding {
	var found []Finding
	for _, s := range p.series {
		of, days := s.recent(p.now)
		if !s.alive(p.now) || days <= 0 {
			continue
		}
		var bytes, docs, shards int64
		for _, m := range of {
			bytes, docs, shards = bytes+max(m.PrimaryBytes, 0), docs+max(m.Docs, 0), shards+int64(m.Primaries)
		}
		if shards == 0 || bytes == 0 {
			continue
		}
		if f, ok := p.shardSize(s, of, bytes, docs, shards); ok {
			found = append(found, f)
		}
	}
	return found
}

func (p *patient) shardSize(s *series, of []member, bytes, docs, shards int64) (Finding, bool) {
	each := bytes / shards
	out := capacity.Size(each)
	out.Name = "a shard"
	in := []capacity.Number{capacity.Size(bytes), capacity.Count(int(shards), "primaries")}
	sum := capacity.Sum{In: in, Out: out, Text: fmt.Sprintf("%s / %s = %s", in[0], in[1], out)}
	primaries := of[len(of)-1].Primaries
	perSlot := float64(bytes) / float64(len(of))
	want := max(1, int(math.Ceil(perSlot/30e9)))
	total := 0
	for _, m := range s.Members {
		total += p.byName[m.Name].Shards()
	}
	f := Finding{Severity: Change, Sums: []capacity.Sum{sum}, Source: "10 to 50 GB a shard (size your shards); 30 to 50 GB in write-ups of petabyte log clusters"}
	switch perShard := docs / shards; {
	case perShard > capacity.LargestShardDocs/2:
		f.Severity = Hurts
		f.Says = fmt.Sprintf("%s: %s documents a shard, and a shard takes no more than %s", s.Pattern.Format(), capacity.Grouped(float64(perShard)), capacity.Grouped(capacity.LargestShardDocs))
		f.Fix = fmt.Sprintf("give the template %d primaries, or use shorter slots", max(want, primaries*2))
	case each > capacity.LargestShardBytes:
		f.Says = fmt.Sprintf("%s: shards of %s are slow to move and to bring back", s.Pattern.Format(), capacity.Size(each))
		f.Fix = fmt.Sprintf("give the template %d primaries: %s a slot / 30 GB", want, capacity.BytesText(perSlot))
	case each < capacity.SmallestShardBytes && primaries > 1 && total > manySmall && want < primaries:
		f.Says = fmt.Sprintf("%s: shards of %s, %s shards in all: each costs the masters as much as a large one", s.Pattern.Format(), capacity.Size(each), capacity.Grouped(float64(total)))
		f.Fix = fmt.Sprintf("shrink to %d when a slot is no longer written, or use longer slots; fewer primaries only as far as hot nodes still share the writing", want)
	default:
		return Finding{}, false
	}
	return f, true
}

// uneven is how much more than its share the busiest node may carry.
const uneven = 1.2

// spread looks at the series that brings most of the bytes: where its shards are no multiple of the hot nodes, some nodes work for two.
func (p *patient) spread() []Finding {
	s, share := p.heaviest()
	if s == nil || share < 0.5 || len(p.data) < 3 {
		return nil
	}
	x := p.byName[s.Newest().Name]
	tier, nodes := p.hot(s)
	n, shards := len(nodes), x.Shards()
	if n < 2 || shards == 0 {
		return nil
	}
	if f, ok := p.crowded(s, nodes); ok {
		return []Finding{f}
	}
	in := []capacity.Number{capacity.Count(shards, "shards"), capacity.Count(n, tier+" nodes")}
	mean := float64(shards) / float64(n)
	most := math.Ceil(mean)
	if most/mean < uneven {
		return nil
	}
	out := capacity.Number{Name: "shards a node", Value: mean}
	f := Finding{Severity: Change, Sums: []capacity.Sum{{In: in, Out: out, Text: fmt.Sprintf("%s / %s = %s", in[0], in[1], out)}},
		Says: fmt.Sprintf("%s (%.0f %% of the bytes): %d primaries with %d replicas over %d %s nodes: some carry %.0f shards where %.1f would be their share, and the slowest node sets the pace",
			s.Pattern.Format(), share*100, x.Primaries, x.Replicas, n, tier, most, mean)}
	if shards < n {
		f.Says = fmt.Sprintf("%s (%.0f %% of the bytes): %d primaries with %d replicas are written by %d of %d %s nodes; the others look on", s.Pattern.Format(), share*100, x.Primaries, x.Replicas, shards, n, tier)
	}
	f.Fix = fmt.Sprintf("give the template %d primaries, so that each node has the same, and index.routing.allocation.total_shards_per_node", evenPrimaries(n, x))
	return []Finding{f}
}

// evenPrimaries is the count nearest to that of an index for which all copies spread evenly over nodes.
func evenPrimaries(nodes int, x *state.Index) int {
	copies := 1 + x.Replicas
	unit := nodes / divisor(nodes, copies)
	return max(1, int(math.Round(float64(x.Primaries)/float64(unit)))) * unit
}

func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// crowded says that one node really holds more primaries of the index that is written now than its share.
func (p *patient) crowded(s *series, nodes []*state.Node) (Finding, bool) {
	if s.now == nil {
		return Finding{}, false
	}
	count, all := map[string]int{}, 0
	for _, g := range p.c.Shards {
		if g.Index == s.now.Name && g.Node != "" {
			count[g.Node] += g.Primaries + g.Replicas
			all += g.Primaries + g.Replicas
		}
	}
	worst := ""
	for _, n := range nodes {
		if count[n.Name] > count[worst] {
			worst = n.Name
		}
	}
	share := math.Ceil(float64(all) / float64(len(nodes)))
	if worst == "" || float64(count[worst]) < share+2 {
		return Finding{}, false
	}
	return Finding{Severity: Change, Says: fmt.Sprintf("%s: %s holds %d of its %d shards where %.0f would be its share of %d nodes", s.now.Name, worst, count[worst], all, share, len(nodes)),
		Fix:      "keep the shards of an index apart; the next slots are spread so when the template says it",
		Requests: []Request{indexRequest([]string{s.now.Name}, map[string]string{"index.routing.allocation.total_shards_per_node": fmt.Sprintf("%.0f", share+1)})}}, true
}

// ingest holds the documents of the last days against what hot nodes take.
func (p *patient) ingest() []Finding {
	var docs, weighted float64
	heavy, _ := p.heaviest()
	for _, s := range p.series {
		of, days := s.recent(p.now)
		if !s.alive(p.now) || days <= 0 {
			continue
		}
		rate := float64(per(of, days, docsOf)) / day.Seconds()
		docs += rate
		weighted += rate * float64(1+p.byName[s.Newest().Name].Replicas)
	}
	if heavy == nil || docs == 0 {
		return nil
	}
	tier, nodes := p.hot(heavy)
	rate, from := p.o.DocsPerSecondPerNode, "the rate that was given"
	if rate == 0 {
		rate, from = capacity.DocsPerSecondPerCore*medianCores(nodes), "2 500 docs/s a core, a rule of thumb from write-ups; --docs-per-node takes a measured rate"
	}
	copies := max(1, int(math.Round(weighted/docs)))
	sum := capacity.DocsPerSecond(len(nodes), rate, copies)
	if sum.Out.Value <= 0 || docs <= sum.Out.Value*0.7 {
		return nil
	}
	f := Finding{Severity: Change, Sums: []capacity.Sum{sum}, Source: from,
		Says: fmt.Sprintf("%s docs/s come on average of the last days, %d %s nodes take about %s; the hours of the evening bring more than the average", capacity.Grouped(math.Round(docs)), len(nodes), tier, capacity.Grouped(sum.Out.Value)),
		Fix:  "add hot nodes, or measure what one really takes, or write with fewer replicas while a slot is written"}
	if docs > sum.Out.Value && p.o.DocsPerSecondPerNode > 0 {
		f.Severity = Hurts
	}
	return []Finding{f}
}

func medianCores(nodes []*state.Node) float64 {
	var cores []int
	for _, n := range nodes {
		if n.Processors > 0 {
			cores = append(cores, n.Processors)
		}
	}
	if len(cores) == 0 {
		return 0
	}
	slices.Sort(cores)
	return float64(cores[len(cores)/2])
}
