package lifecycle

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/slot"
	"github.com/slipway-dev/slipway/search/state"
)

// between is how long it takes from the making of one slot to the next, while there is time: each is a cluster state of its own.
const between = 5 * time.Minute

// create makes the slot that is now, then the ones ahead, one at a time; and has the alias point to the slot that is now.
func (w *world) create() ([]Step, []Hold) {
	if w.ahead == 0 {
		return nil, nil
	}
	if why, unseen := w.c.WhyUnseen(state.PartIndices); unseen {
		_, held := hold(HoldUnseen, "indices could not be listed: %s", why)
		return nil, []Hold{*held}
	}
	slots := append([]slot.Slot{w.slots.At(w.now)}, w.slots.Next(w.now, w.ahead)...)
	steps, holds := w.nextSlot(slots)
	if step, held := w.flip(slots[0]); step != nil {
		steps = append(steps, *step)
	} else if held != nil {
		holds = append(holds, *held)
	}
	return steps, holds
}

func (w *world) nextSlot(slots []slot.Slot) ([]Step, []Hold) {
	var newest time.Time
	for i, s := range slots {
		name := w.slots.Name(s)
		if m := w.byName[name]; m != nil {
			x := m.live()
			if at := time.UnixMilli(x.CreatedMillis); at.After(newest) {
				newest = at
			}
			continue
		}
		urgent := s.Start.Sub(w.now) < 2*s.End.Sub(s.Start)
		if free := newest.Add(between); !urgent && w.now.Before(free) {
			_, held := holdUntil(free, HoldOneSlot, "%s is made next; one was made %s", name, newest.UTC().Format("15:04 MST"))
			return nil, []Hold{*held}
		}
		if pending := w.notGreen(slots[:i]); pending != "" && !urgent {
			_, held := hold(HoldOneSlot, "%s is made when %s is green", name, pending)
			return nil, []Hold{*held}
		}
		n, sum := w.autoShards()
		step := Step{Action: CreateIndex, Index: name, On: name, Number: n, Alias: w.read, To: w.learnedFrom(), Says: fmt.Sprintf("create %s, which begins %s: %d primaries (%s)", name, w.clock(s.Start), n, sum)}
		if t := w.first(); t != nil {
			step.Tier = t.Name
		}
		return []Step{step}, nil
	}
	return nil, nil
}

// learnedFrom is the index whose mapping the next one begins with: that of the slot that was written last.
func (w *world) learnedFrom() string {
	for _, m := range slices.Backward(w.members) {
		if x := m.live(); !m.slot.Start.After(w.now) && x.Docs > 0 {
			return x.Name
		}
	}
	return ""
}

func (w *world) notGreen(slots []slot.Slot) string {
	for _, s := range slots {
		if m := w.byName[w.slots.Name(s)]; m != nil && m.live().Health != "green" && s.End.After(w.now) {
			return m.name
		}
	}
	return ""
}

func (w *world) clock(at time.Time) string { return at.Format("2006-01-02 15:04 MST") }

// autoShards is the number of primaries of a new index, and how it came out.
func (w *world) autoShards() (int, string) {
	if v := w.spec.Template.Shards; v != nil && v.IntVal > 0 {
		return int(v.IntVal), "template.shards"
	}
	nodes := len(w.nodes(w.first()))
	largest := quantity(w.spec.Template.MaxShardBytes)
	if largest <= 0 {
		largest = capacity.LargestShardBytes
	}
	n := AutoShards(w.perSlot, largest, nodes, w.replicas)
	if w.perSlot <= 0 {
		return n, "no slot was full yet and template.bytesPerSlot says nothing"
	}
	return n, fmt.Sprintf("%s in %s / %s; %d nodes, %d copies", capacity.BytesText(float64(w.perSlot)), w.fullest, capacity.BytesText(float64(largest)), nodes, 1+w.replicas)
}

// AutoShards is how many primaries hold some bytes below a size each, rounded up so that all copies spread evenly over the nodes; but not where that
// would make shards of less than 10 GB.
func AutoShards(bytes, largest int64, nodes, replicas int) int {
	least := max(1, int(math.Ceil(float64(bytes)/float64(max(largest, 1)))))
	if nodes < 1 {
		return min(least, 1024)
	}
	step := nodes / gcd(nodes, 1+replicas)
	even := (least + step - 1) / step * step
	if bytes/int64(even) < capacity.SmallestShardBytes {
		return min(least, 1024)
	}
	return min(even, 1024)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// flip has the write alias point to the slot that is now, never backward.
func (w *world) flip(now slot.Slot) (*Step, *Hold) {
	if w.write == "" {
		return nil, nil
	}
	if why, unseen := w.c.WhyUnseen(state.PartAliases); unseen {
		return hold(HoldUnseen, "aliases could not be listed: %s", why)
	}
	name := w.slots.Name(now)
	m := w.byName[name]
	switch {
	case w.writeIndex == name || m == nil:
		return nil, nil
	case m.source == nil || writeBlocked(m.source):
		return hold(HoldNextGreen, "%s is the slot that is now and cannot be written", name)
	case m.source.Health == "red" || m.source.Counts.Started < m.source.Primaries:
		return hold(HoldNextGreen, "%s is %s: alias %s stays on %s", name, orUnknown(m.source.Health), w.write, orUnknown(w.writeIndex))
	}
	if old := w.byName[w.writeIndex]; old != nil && old.slot.Start.After(now.Start) {
		return hold(HoldNextGreen, "alias %s writes to %s already, a slot to come", w.write, w.writeIndex)
	}
	from := w.writeIndex
	if from == "" {
		from = "nothing"
	}
	return &Step{Action: FlipAlias, Index: name, On: name, UUID: m.source.UUID, To: w.writeIndex, Alias: w.write, Says: fmt.Sprintf("alias %s writes to %s, no more to %s", w.write, name, from)}, nil
}
