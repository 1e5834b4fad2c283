package doctor

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

func diskChecks() []check {
	stats := []state.Part{state.PartNodes, state.PartNodeStats, state.PartSettings}
	return []check{
		{"disks_are_under_their_watermarks", "no data node is over a watermark", stats, (*patient).overWatermark},
		{"tiers_have_days_left", "every tier has disk for a year of the volume of now", append(stats, state.PartIndices), (*patient).diskDays},
		{"one_node_may_be_lost", "every tier has room for the shards of one lost node", stats, (*patient).roomForOne},
		{"volume_is_as_planned", "the volume is about what was planned", []state.Part{state.PartIndices}, (*patient).volume},
	}
}

// watermark is the share of a disk above which something happens. Absolute values (50gb, of what must be free) depend on the disk.
func (p *patient) watermark(name string, fallback float64, total int64) float64 {
	text, _ := p.c.Settings.Get("cluster.routing.allocation.disk.watermark." + name)
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		if v, err := strconv.ParseFloat(percent, 64); err == nil {
			return v / 100
		}
	}
	if v, err := strconv.ParseFloat(text, 64); err == nil && v > 0 && v <= 1 {
		return v
	}
	if free, ok := parseBytes(text); ok && total > 0 {
		return 1 - float64(free)/float64(total)
	}
	return fallback
}

// parseBytes reads 50gb as the servers do: in powers of 1024.
func parseBytes(text string) (int64, bool) {
	text = strings.ToLower(text)
	for _, unit := range []struct {
		name  string
		shift int
	}{{"tb", 40}, {"gb", 30}, {"mb", 20}, {"kb", 10}, {"b", 0}} {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			v, err := strconv.ParseFloat(number, 64)
			return int64(v * float64(int64(1)<<unit.shift)), err == nil && v >= 0 && v < 1e6
		}
	}
	return 0, false
}

// highWatermark is where shards are moved away.
func (p *patient) highWatermark(n *state.Node) float64 {
	return p.watermark("high", 0.90, n.DiskTotalBytes)
}

func (p *patient) overWatermark() []Finding {
	var flood, high, low []string
	for _, n := range p.data {
		if n.DiskTotalBytes <= 0 {
			continue
		}
		used := 1 - float64(n.DiskFreeBytes)/float64(n.DiskTotalBytes)
		text := fmt.Sprintf("%s (%.0f %% of %s)", n.Name, used*100, capacity.Size(n.DiskTotalBytes))
		switch {
		case used >= p.watermark("flood_stage", 0.95, n.DiskTotalBytes):
			flood = append(flood, text)
		case used >= p.highWatermark(n):
			high = append(high, text)
		case used >= p.watermark("low", 0.85, n.DiskTotalBytes):
			low = append(low, text)
		}
	}
	var found []Finding
	if len(flood) > 0 {
		fix := "make room (delete, or move shards); the block goes by itself when there is room"
		if !p.elastic(7, 4) && p.is(state.Elasticsearch) {
			fix = "make room, then take the block index.blocks.read_only_allow_delete away by hand: before 7.4 it stays"
		}
		found = append(found, Finding{Severity: Hurts, Says: fmt.Sprintf("%s over the flood stage: every index with a shard there takes no more documents", many(len(flood), "node is", "nodes are")), Fix: fix}.about(flood))
	}
	if len(high) > 0 {
		found = append(found, Finding{Severity: Hurts, Says: fmt.Sprintf("%s over the high watermark: their shards are being moved away, if there is somewhere to go", many(len(high), "node is", "nodes are")), Fix: "make room in the tier: delete, or add nodes"}.about(high))
	}
	if len(low) > 0 {
		found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("%s over the low watermark and take no new replicas", many(len(low), "node is", "nodes are")), Fix: "see how many days the tier has left"}.about(low))
	}
	return found
}

// room is what a tier has and what comes into it each day.
type room struct {
	tier          string
	nodes         int
	total, usable int64 // usable is below the high watermark, and may be less than nothing
	in, out       int64 // bytes of a day
}

// rooms follows the heaviest way of a byte: new slots into the tier of the newest index, older ones out of it into the next.
func (p *patient) rooms() []room {
	var all []room
	for _, name := range p.tiers.names {
		r := room{tier: name, nodes: len(p.tiers.nodes[name])}
		for _, n := range p.tiers.nodes[name] {
			r.total += n.DiskTotalBytes
			r.usable += n.DiskFreeBytes - int64(float64(n.DiskTotalBytes)*(1-p.highWatermark(n)))
		}
		for _, s := range p.series {
			if s.alive(p.now) {
				in, out := p.flow(s, name)
				r.in, r.out = r.in+in, r.out+out
			}
		}
		all = append(all, r)
	}
	return all
}

// flow is what a series brings into a tier and takes out of it in a day: the bytes of its youngest and of its oldest days there. Nothing leaves where
// the oldest of all lies and nothing is deleted yet.
func (p *patient) flow(s *series, tier string) (in, out int64) {
	var there []member
	for _, m := range s.past {
		if p.tiers.of(m.Index) == tier {
			there = append(there, m)
		}
	}
	if len(there) == 0 {
		return 0, 0
	}
	young, old := edge(there, false), edge(there, true)
	oldest := s.past[0].Name == there[0].Name
	if oldest && p.now.Sub(there[0].End) < time.Duration(math.Min(p.keepDays(s)-1, 36500)*float64(day)) {
		return young, 0
	}
	return young, old
}

// edge is the bytes a day of up to a week at the young or old end of members.
func edge(of []member, old bool) int64 {
	var some []member
	var covered time.Duration
	for i := range of {
		m := of[len(of)-1-i]
		if old {
			m = of[i]
		}
		some, covered = append(some, m), covered+m.End.Sub(m.Start)
		if covered >= 7*day {
			break
		}
	}
	return per(some, covered.Hours()/24, bytesOf)
}

func (p *patient) diskDays() []Finding {
	var found []Finding
	for _, r := range p.rooms() {
		grows := r.in - r.out
		if r.total <= 0 || grows <= 0 || r.nodes == 0 {
			continue
		}
		left := float64(r.usable) / float64(grows)
		if left >= year {
			continue
		}
		out := capacity.Number{Name: "days", Value: math.Max(0, math.Floor(left))}
		in := []capacity.Number{capacity.Size(max(r.usable, 0)), capacity.Size(r.in), capacity.Size(r.out)}
		sums := []capacity.Sum{capacity.Disk(r.nodes, r.total/int64(r.nodes)), {In: in, Out: out, Text: fmt.Sprintf("%s / (%s in - %s out a day) = %s", in[0], in[1], in[2], out)}}
		f := Finding{Severity: severityIn(left), Says: fmt.Sprintf("tier %s is full in %.0f days: %s are left below the high watermark, and it grows by %s a day", r.tier, out.Value, in[0], capacity.Size(grows)),
			Fix: "add nodes, keep for fewer days, move or drop replicas earlier", Source: "the high watermark, from where the server moves shards away"}
		if fits := p.keptBytes(r, grows); fits > 0 {
			sums = append(sums, capacity.Nodes(fits, r.total/int64(r.nodes)))
			f.Fix = fmt.Sprintf("%s; for %d days the tier needs the nodes below", f.Fix, p.o.KeepDays)
		}
		f.Sums = sums
		if left > 0 {
			at := p.now.Add(time.Duration(left * float64(day))).UTC()
			f.HurtsAt = &at
		}
		found = append(found, f)
	}
	return found
}

// keptBytes is what lies in a tier when everything is kept as long as people said; 0 when nobody said.
func (p *patient) keptBytes(r room, grows int64) int64 {
	if p.o.KeepDays == 0 {
		return 0
	}
	oldest := p.now
	for _, s := range p.series {
		if s.alive(p.now) && len(s.past) > 0 && s.past[0].Start.Before(oldest) {
			oldest = s.past[0].Start
		}
	}
	used := int64(0)
	for _, n := range p.tiers.nodes[r.tier] {
		used += n.DiskTotalBytes - n.DiskFreeBytes
	}
	missing := float64(p.o.KeepDays) - p.now.Sub(oldest).Hours()/24
	return used + int64(math.Max(0, missing)*float64(grows))
}

func (p *patient) roomForOne() []Finding {
	var found []Finding
	for _, name := range p.tiers.names {
		nodes := p.tiers.nodes[name]
		var free, largest int64
		var worst string
		for _, n := range nodes {
			free += n.DiskFreeBytes - int64(float64(n.DiskTotalBytes)*(1-p.highWatermark(n)))
			if n.ShardBytes > largest {
				largest, worst = n.ShardBytes, n.Name
			}
		}
		if len(nodes) < 2 || largest == 0 {
			continue
		}
		lost := p.nodes[worst]
		free -= lost.DiskFreeBytes - int64(float64(lost.DiskTotalBytes)*(1-p.highWatermark(lost)))
		if free >= largest {
			continue
		}
		in := []capacity.Number{capacity.Size(largest), capacity.Size(max(free, 0))}
		found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("tier %s cannot take the shards of %s: %s, and the other %d nodes have room for %s below the high watermark", name, worst, in[0], len(nodes)-1, in[1]),
			Fix: "keep the size of one node free in each tier"})
	}
	return found
}

// doubled and grown are how many times the plan hurts, and should be known.
const (
	doubled = 2.0
	grown   = 1.25
)

func (p *patient) volume() []Finding {
	var is, was int64
	for _, s := range p.series {
		if !s.alive(p.now) {
			continue
		}
		of, days := s.recent(p.now)
		is += per(of, days, primaryBytesOf)
		before, daysBefore := s.window(p.now.Add(-28*day), 7)
		was += per(before, daysBefore, primaryBytesOf)
	}
	planned, word := p.o.PlannedBytesPerDay, "were planned"
	if planned == 0 {
		planned, word = was, "came four weeks ago"
	}
	if planned == 0 || is == 0 || float64(is) < grown*float64(planned) {
		return nil
	}
	out := capacity.Number{Name: "times", Value: math.Round(float64(is)/float64(planned)*10) / 10}
	in := []capacity.Number{capacity.Size(is), capacity.Size(planned)}
	f := Finding{Severity: Change, Says: fmt.Sprintf("%s a day come (primaries, last days), %s %s", in[0], in[1], word),
		Sums: []capacity.Sum{{In: in, Out: out, Text: fmt.Sprintf("%s / %s = %s", in[0], in[1], out)}}, Fix: "size nodes, shards and the days that are kept by what really comes"}
	if p.o.PlannedBytesPerDay > 0 && float64(is) >= doubled*float64(planned) {
		f.Severity = Hurts
	}
	return []Finding{f}
}
