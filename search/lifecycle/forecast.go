package lifecycle

import (
	"fmt"
	"math"
	"time"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// horizon is how far shards are counted where nothing is deleted.
const horizon = 365 * 24 * time.Hour

// stages are the forms that every index goes through, with how long each lasts.
func (w *world) stages() []capacity.Stage {
	primaries, replicas := w.autoShardsNow(), w.replicas
	at := time.Duration(0)
	var all []capacity.Stage
	until := func(end time.Duration) {
		if end > at {
			all = append(all, capacity.Stage{Days: (end - at).Hours() / 24, Primaries: primaries, Copies: 1 + replicas})
			at = end
		}
	}
	for _, p := range w.phases {
		before, copies := primaries, replicas
		switch p.kind {
		case Shrink:
			before = Target(primaries, w.perSlot, 0, p.Shrink)
		case Replicas:
			copies = int(value(p.Replicas.Count, 0))
		case Mount:
			if w.cannot(Mount) != "" {
				continue
			}
			copies = 0
		case Delete:
			until(min(p.after, horizon))
			return all
		default:
			continue
		}
		if p.after < horizon {
			until(p.after)
			primaries, replicas = before, copies
		}
	}
	until(horizon)
	return all
}

func (w *world) autoShardsNow() int { n, _ := w.autoShards(); return n }

// breach is the age of the series in days at which its shards pass a number; false when they never do.
func breach(slotHours float64, stages []capacity.Stage, limit float64) (float64, bool) {
	days, shards := 0.0, 0.0
	for _, s := range stages {
		daily := 24 / slotHours * float64(s.Primaries*s.Copies)
		if shards+daily*s.Days > limit {
			return days + (limit-shards)/daily, true
		}
		days, shards = days+s.Days, shards+daily*s.Days
	}
	return 0, false
}

func (w *world) shardSum() (capacity.Sum, []capacity.Stage) {
	stages := w.stages()
	return capacity.Shards(w.slotHours(w.now), stages), stages
}

// budgets holds the shards of the full series against the cluster's budgets.
func (w *world) budgets() (all []Refusal) {
	sum, stages := w.shardSum()
	b := w.cluster.Budgets
	if b.MaxShards > 0 && sum.Out.Value > float64(b.MaxShards) {
		says := fmt.Sprintf("the series grows to %s shards, budgets.maxShards is %s", capacity.Grouped(sum.Out.Value), capacity.Grouped(float64(b.MaxShards)))
		if day, ok := breach(w.slotHours(w.now), stages, float64(b.MaxShards)); ok {
			says += fmt.Sprintf(": passed on day %.0f", math.Ceil(day))
		}
		all = append(all, Refusal{Rule: RefuseShards, Says: says, Fix: "shrink further (a larger maxShardBytes), make slots longer, drop replicas or delete earlier", Sums: []capacity.Sum{sum}})
	}
	heap := w.masterHeap()
	if heap <= 0 {
		return all
	}
	percent := int64(50)
	if b.MaxMasterHeapPercent > 0 {
		percent = int64(b.MaxMasterHeapPercent)
	}
	need := capacity.RestartHeap(len(w.c.Nodes), int(sum.Out.Value), w.entryBytes())
	if limit := heap / 100 * percent; need.Out.Value > float64(limit) {
		all = append(all, Refusal{Rule: RefuseHeap, Says: fmt.Sprintf("a full restart needs %s of master heap; %d %% of the smallest master's %s is %s", capacity.BytesText(need.Out.Value), percent,
			capacity.BytesText(float64(heap)), capacity.BytesText(float64(limit))), Fix: "give the masters more heap, or have fewer shards", Sums: []capacity.Sum{sum, need}})
	}
	return all
}

func (w *world) masterHeap() (least int64) {
	for i := range w.c.Nodes {
		if n := &w.c.Nodes[i]; n.MasterEligible() && n.HeapMaxBytes > 0 && (least == 0 || n.HeapMaxBytes < least) {
			least = n.HeapMaxBytes
		}
	}
	return least
}

// entryBytes is what a shard on a node costs a master after a restart, by version.
func (w *world) entryBytes() int64 {
	var major, minor int
	if _, err := fmt.Sscanf(w.c.Version, "%d.%d", &major, &minor); err == nil && w.c.Product == state.Elasticsearch && (major > 7 || major == 7 && minor >= 16) {
		return capacity.SmallEntryBytes
	}
	return capacity.EntryBytes
}

// passes is how often the bytes of one slot travel in its life, and by what.
func (w *world) passes() (n float64, text string) {
	replicas := w.replicas
	add := func(what string, times int) {
		if times <= 0 {
			return
		}
		n += float64(times)
		if text != "" {
			text += " + "
		}
		text += fmt.Sprintf("%s %d", what, times)
	}
	for i, p := range w.phases {
		switch p.kind {
		case Shrink:
			add("gather", 1)
			add("replica of the shrunk", replicas)
		case Replicas:
			next := int(value(p.Replicas.Count, 0))
			add("more replicas", next-replicas)
			replicas = next
		case Move:
			if i+1 < len(w.phases) && w.phases[i+1].kind == Shrink && w.phases[i+1].after == p.after {
				continue // the gather brings it
			}
			add("move", 1+replicas)
		case Mount:
			if p.Mount.Storage == v1alpha1.StorageFullCopy && w.cannot(Mount) == "" {
				add("mount", 1)
			}
		}
	}
	return n, text
}

// demand is what the policy brings in an hour, and what is allowed.
func (w *world) demand() (need, allowed float64, sums []capacity.Sum) {
	times, text := w.passes()
	hours := w.slotHours(w.now)
	need = float64(w.perSlot) * times / hours
	rate, who := w.rate(w.c)
	share := w.share(w.now)
	allowed = rate * 3600 * share
	out := func(v float64) capacity.Number {
		return capacity.Number{Name: "an hour", Value: v, Unit: capacity.Bytes}
	}
	sums = []capacity.Sum{
		{Text: fmt.Sprintf("%s × (%s) / %s h = %s an hour demanded", capacity.BytesText(float64(w.perSlot)), text, capacity.Grouped(hours), capacity.BytesText(need)), Out: out(need)},
		{Text: fmt.Sprintf("%s/s × 3 600 × %.0f %% of the day = %s an hour allowed (%s)", capacity.BytesText(rate), share*100, capacity.BytesText(allowed), who), Out: out(allowed)},
	}
	return need, allowed, sums
}

func (w *world) keepsUp() []Refusal {
	need, allowed, sums := w.demand()
	if need == 0 || need <= allowed {
		return nil
	}
	return []Refusal{{Rule: RefuseKeepUp, Says: fmt.Sprintf("the policy demands %s an hour, %s are allowed: the backlog grows by %s a day", capacity.BytesText(need), capacity.BytesText(allowed),
		capacity.BytesText((need-allowed)*24)), Fix: "raise the byte budgets, open the windows longer, or let the bytes travel less often (move at the age of the shrink; drop the replica before the move)", Sums: sums}}
}

// sums are the arithmetic of the policy when its series is full.
func (w *world) sums() []capacity.Sum {
	sum, _ := w.shardSum()
	all := []capacity.Sum{sum}
	if need, _, sums := w.demand(); need > 0 {
		all = append(all, sums...)
	}
	return all
}

// exposure says what the loss of one node takes from sight once replicas are gone, and how long the return from snapshots takes.
func (w *world) exposure() []string {
	var from, to time.Duration = -1, horizon
	tier := w.first()
	for _, p := range w.phases {
		switch p.kind {
		case Replicas:
			from = -1
			if int(value(p.Replicas.Count, 0)) == 0 {
				from = p.after
			}
		case Move:
			tier = w.tier(p.Move.Tier)
		case Mount, Delete:
			to = min(to, p.after)
		}
	}
	nodes := len(w.nodes(tier))
	if from < 0 || to <= from || nodes == 0 || w.perSlot <= 0 {
		return nil
	}
	slots := (to - from).Hours() / w.slotHours(w.now)
	all := slots * float64(w.perSlot)
	each := all / float64(nodes)
	rate, _ := w.rate(w.c)
	name := "node"
	if tier != nil {
		name = tier.Name + " node"
	}
	text := fmt.Sprintf("one %s lost = %s, %s h of partial answers (%s slots of one copy × %s = %s on %d nodes; back at %s/s)", name, capacity.BytesText(each), capacity.Grouped(each/rate/3600),
		capacity.Grouped(slots), capacity.BytesText(float64(w.perSlot)), capacity.BytesText(all), nodes, capacity.BytesText(rate))
	return []string{text}
}
