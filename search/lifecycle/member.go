package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/slot"
	"github.com/slipway-dev/slipway/search/state"
)

// member is the index of one slot in all the forms that are there.
type member struct {
	name string
	slot slot.Slot
	// source is the index that was written, shrunk what was made of it, mounted what is searched from its snapshot; nil where it is not there.
	source, shrunk, mounted *state.Index
	entry                   *ledger.Entry
}

// ShrunkName is what the shrunk form of an index is called; the name of its slot becomes an alias of it.
func ShrunkName(primaries int, index string) string {
	return fmt.Sprintf("shrunk-%d-%s", primaries, index)
}

// MountedName is what the mounted form is called.
func MountedName(index string) string { return "mounted-" + index }

// slotName is the slot's name of a form of its index.
func slotName(name string) (of string, shrunk, mounted bool) {
	if rest, ok := strings.CutPrefix(name, "mounted-"); ok {
		return rest, false, true
	}
	if rest, ok := strings.CutPrefix(name, "shrunk-"); ok {
		if n, rest, ok := strings.Cut(rest, "-"); ok {
			if _, err := strconv.ParseUint(n, 10, 16); err == nil {
				return rest, true, false
			}
		}
	}
	return name, false, false
}

// live is the form that searches use.
func (m *member) live() *state.Index {
	switch {
	case m.source != nil:
		return m.source
	case m.shrunk != nil:
		return m.shrunk
	}
	return m.mounted
}

// world is the cluster as one policy sees it.
type world struct {
	*policy
	c        *state.Cluster
	now      time.Time
	members  []*member
	byName   map[string]*member
	consumed time.Time
	shards   map[string][]state.ShardGroup
	// strangers match the pattern and are no slot; system ones are the servers'.
	strangers, system []string
	why               error // of the first stranger
	readers           map[string]bool
	writeIndex        string
	writers           []string // all that bear the write alias
	// promised are bytes that were given to a node in this plan.
	promised map[string]int64
	perSlot  int64
	fullest  string
}

func newWorld(p *policy, in Input) *world {
	w := &world{policy: p, c: in.State, now: in.Now, consumed: in.Consumed, byName: map[string]*member{}, shards: map[string][]state.ShardGroup{}, readers: map[string]bool{},
		promised: map[string]int64{}}
	entries := map[string]*ledger.Entry{}
	for i := range in.Ledger {
		if e := &in.Ledger[i]; e.Lifecycle == p.name {
			entries[e.Index] = e
		}
	}
	for i := range w.c.Indices {
		w.add(&w.c.Indices[i], entries)
	}
	slices.SortFunc(w.members, func(a, b *member) int {
		return cmp.Or(a.slot.Start.Compare(b.slot.Start), cmp.Compare(a.name, b.name))
	})
	for _, g := range w.c.Shards {
		w.shards[g.Index] = append(w.shards[g.Index], g)
	}
	for _, a := range w.c.Aliases {
		if a.Name == p.read {
			w.readers[a.Index] = true
		}
		if a.Name == p.write && p.write != "" {
			w.writers = append(w.writers, a.Index)
			if a.WriteIndex {
				w.writeIndex = a.Index
			}
		}
	}
	if len(w.writers) == 1 && w.writeIndex == "" {
		w.writeIndex = w.writers[0] // an alias of one index is written without being told so
	}
	w.measure()
	return w
}

func (w *world) add(x *state.Index, entries map[string]*ledger.Entry) {
	name, shrunk, mounted := slotName(x.Name)
	if !takes(w.spec.Indices.Pattern, name) {
		return
	}
	if x.System() {
		w.system = append(w.system, x.Name)
		return
	}
	s, err := w.slots.Parse(name)
	if err != nil {
		w.strangers = append(w.strangers, x.Name)
		if w.why == nil {
			w.why = err
		}
		return
	}
	m := w.byName[name]
	if m == nil {
		m = &member{name: name, slot: s, entry: entries[name]}
		w.byName[name] = m
		w.members = append(w.members, m)
	}
	switch {
	case mounted:
		m.mounted = x
	case shrunk:
		m.shrunk = x
	default:
		m.source = x
	}
}

// measure finds what a full slot holds: the fullest of those that ended within seven days, else the newest that ended, else what the policy says.
func (w *world) measure() {
	week := w.now.Add(-7 * 24 * time.Hour)
	var last *state.Index
	for _, m := range w.members {
		x := m.live()
		if m.slot.End.After(w.now) || x.PrimaryBytes <= 0 {
			continue
		}
		if m.slot.End.After(week) && x.PrimaryBytes > w.perSlot {
			w.perSlot, w.fullest = x.PrimaryBytes, m.name
		}
		last = x
	}
	switch {
	case w.perSlot > 0:
	case last != nil:
		w.perSlot, w.fullest = last.PrimaryBytes, last.Name
	default:
		w.perSlot = quantity(w.spec.Template.BytesPerSlot)
		w.fullest = "template.bytesPerSlot"
	}
}

// tier is one of the cluster's tiers; without any, all nodes with data are the one.
func (w *world) tier(name string) *v1alpha1.Tier {
	i := slices.IndexFunc(w.cluster.Tiers, func(t v1alpha1.Tier) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &w.cluster.Tiers[i]
}

// first is the tier that new indices are written to; nil without tiers.
func (w *world) first() *v1alpha1.Tier {
	if len(w.cluster.Tiers) == 0 {
		return nil
	}
	return &w.cluster.Tiers[0]
}

func within(t *v1alpha1.Tier, n *state.Node) bool {
	switch {
	case !n.HoldsData():
		return false
	case t == nil:
		return true
	case t.NodeAttribute != nil:
		return n.Attributes[t.NodeAttribute.Name] == t.NodeAttribute.Value
	}
	return n.HasRole(t.DataRole)
}

func (w *world) nodes(t *v1alpha1.Tier) (of []*state.Node) {
	for i := range w.c.Nodes {
		if within(t, &w.c.Nodes[i]) {
			of = append(of, &w.c.Nodes[i])
		}
	}
	return of
}

// bound says that an index's settings send it to a tier.
func bound(t *v1alpha1.Tier, x *state.Index) bool {
	if t.NodeAttribute != nil {
		return x.Filters["require."+t.NodeAttribute.Name] == t.NodeAttribute.Value
	}
	first, _, _ := strings.Cut(x.TierPreference, ",")
	return first == t.DataRole
}

// settled says that no shard of an index is on its way or missing.
func settled(x *state.Index) bool {
	return x.Counts.Relocating == 0 && x.Counts.Initializing == 0 && x.Counts.Unassigned == 0
}

// tierOf is the tier that an index is bound to now; nil when it is none of ours.
func (w *world) tierOf(x *state.Index) *v1alpha1.Tier {
	for i := range w.cluster.Tiers {
		if bound(&w.cluster.Tiers[i], x) {
			return &w.cluster.Tiers[i]
		}
	}
	return w.first()
}

func identity(x *state.Index) ledger.Identity {
	return ledger.Identity{Name: x.Name, UUID: x.UUID, Primaries: x.Primaries, Docs: x.Docs}
}

func writeBlocked(x *state.Index) bool {
	return slices.ContainsFunc(x.Blocks, func(b string) bool { return b == "write" || b == "read_only" })
}
