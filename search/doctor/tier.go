package doctor

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/state"
)

// tiers are groups of data nodes that indices move between.
type tiers struct {
	// by says what tells them apart: role, an attribute, or empty when all data nodes are one.
	by    string
	names []string
	nodes map[string][]*state.Node
}

const oneTier = "data"

// findTiers takes data roles where no node holds all data, else the attribute that most indices and templates are filtered by.
func findTiers(p *patient) *tiers {
	t := &tiers{nodes: map[string][]*state.Node{}}
	switch attribute := tierAttribute(p); {
	case attribute != "":
		t.by = attribute
		for _, n := range p.data {
			t.add(n.Attributes[attribute], n)
		}
	case dataRoles(p.data):
		t.by = "role"
		for _, n := range p.data {
			for _, r := range n.Roles {
				if tier, ok := strings.CutPrefix(r, "data_"); ok && tier != "content" {
					t.add(tier, n)
				}
			}
		}
	default:
		t.nodes[oneTier] = p.data
	}
	t.names = slices.Sorted(maps.Keys(t.nodes))
	slices.SortStableFunc(t.names, func(a, b string) int { return cmp.Compare(heat(a), heat(b)) })
	return t
}

func (t *tiers) add(name string, n *state.Node) {
	if name != "" {
		t.nodes[name] = append(t.nodes[name], n)
	}
}

// heat puts tiers in the order in which indices go through them.
func heat(name string) int {
	for i, word := range []string{"hot", "ssd", "new", "warm", "hdd", "old", "cold", "frozen"} {
		if strings.Contains(name, word) {
			return i
		}
	}
	return 3
}

func dataRoles(nodes []*state.Node) bool {
	some := false
	for _, n := range nodes {
		if n.HasRole("data") {
			return false
		}
		some = some || n.HasRole("data_hot")
	}
	return some
}

// tierAttribute is the attribute that indices are sent by, if nodes have two values of it or more.
func tierAttribute(p *patient) string {
	if p.o.TierAttribute != "" {
		return p.o.TierAttribute
	}
	count := map[string]int{}
	for i := range p.c.Indices {
		for key := range p.c.Indices[i].Filters {
			count[filterAttribute(key)]++
		}
	}
	for _, t := range p.c.Templates {
		for key := range t.Settings {
			if filter, ok := strings.CutPrefix(key, "index.routing.allocation."); ok {
				count[filterAttribute(filter)]++
			}
		}
	}
	delete(count, "")
	best := ""
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if count[name] > count[best] && values(p.data, name) > 1 {
			best = name
		}
	}
	return best
}

// filterAttribute is tier of require.tier and of include.tier; empty for what names nodes and for what is no filter.
func filterAttribute(key string) string {
	kind, name, ok := strings.Cut(key, ".")
	if !ok || kind != "require" && kind != "include" || strings.HasPrefix(name, "_") {
		return ""
	}
	return name
}

func values(nodes []*state.Node, attribute string) int {
	seen := map[string]bool{}
	for _, n := range nodes {
		if v := n.Attributes[attribute]; v != "" {
			seen[v] = true
		}
	}
	return len(seen)
}

// of is the tier that an index is sent to; empty when nothing sends it anywhere.
func (t *tiers) of(x *state.Index) string {
	if t.by == "" {
		return oneTier
	}
	if t.by == "role" {
		for _, want := range strings.Split(x.TierPreference, ",") {
			if tier := strings.TrimPrefix(want, "data_"); len(t.nodes[tier]) > 0 {
				return tier
			}
		}
		return ""
	}
	for _, kind := range []string{"require.", "include."} {
		if v := x.Filters[kind+t.by]; len(t.nodes[v]) > 0 {
			return v
		}
	}
	return ""
}

// hot is where new indices go: the tier of the newest members, else the first one.
func (p *patient) hot(s *series) (string, []*state.Node) {
	if t := p.tiers.of(p.byName[s.Newest().Name]); t != "" {
		return t, p.tiers.nodes[t]
	}
	if len(p.tiers.names) > 0 {
		return p.tiers.names[0], p.tiers.nodes[p.tiers.names[0]]
	}
	return oneTier, p.data
}
