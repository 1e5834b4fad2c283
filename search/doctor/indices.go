package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

func indexChecks() []check {
	config := []state.Part{state.PartIndices, state.PartIndexConfig, state.PartNodes}
	return []check{
		{"filters_can_be_met", "every index may lie on nodes that exist", config, (*patient).deadFilters},
		{"no_index_is_pinned_to_one_node", "no index is bound to a single node", config, (*patient).pinned},
		{"one_filter_sends_an_index", "tiers and attributes do not contradict each other", config, (*patient).twoWays},
		{"written_indices_are_open", "indices of the newest slots take documents", []state.Part{state.PartIndices, state.PartIndexConfig}, (*patient).blocked},
	}
}

// can says whether a data node satisfies one filter of an index, such as require.tier = warm.
func (p *patient) can(key, value string) bool {
	_, attribute, _ := strings.Cut(key, ".")
	for _, one := range strings.Split(strings.ReplaceAll(value, " ", ""), ",") {
		if len(p.named(allocation+"exclude."+attribute, one)) > 0 {
			return true
		}
	}
	return false
}

func asks(key string) bool {
	return strings.HasPrefix(key, "require.") || strings.HasPrefix(key, "include.")
}

// byFilter lists open indices by a filter of theirs.
func (p *patient) byFilter(want func(key, value string) bool) map[[2]string][]string {
	judged := map[[2]string]bool{}
	found := map[[2]string][]string{}
	for i := range p.c.Indices {
		x := &p.c.Indices[i]
		for key, value := range x.Filters {
			of := [2]string{key, value}
			is, known := judged[of]
			if !known {
				is = want(key, value)
				judged[of] = is
			}
			if is && !x.Closed {
				found[of] = append(found[of], x.Name)
			}
		}
	}
	return found
}

func (p *patient) deadFilters() []Finding {
	dead := p.byFilter(func(key, value string) bool { return asks(key) && value != "" && !p.can(key, value) })
	var found []Finding
	for _, of := range keys(dead) {
		names := sortedNames(dead[of])
		found = append(found, Finding{Severity: Hurts, Says: fmt.Sprintf("%s for %s = %s, and no data node is that: a copy that is lost cannot be made again", many(len(names), "index asks", "indices ask"), of[0], of[1]),
			Fix: "take the filter away, after a look at what it was for (a shrink that was stopped leaves require._name)", Requests: releases(names, of[0])}.about(names))
	}
	return found
}

func keys(m map[[2]string][]string) [][2]string {
	var all [][2]string
	for k := range m {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return all
}

func sortedNames(names []string) []string {
	slices.Sort(names)
	return names
}

// releases takes a filter away from the indices that are shown.
func releases(names []string, filter string) []Request {
	return []Request{indexRequest(names, map[string]string{"index.routing.allocation." + filter: ""})}
}

func (p *patient) pinned() []Finding {
	one := p.byFilter(func(key, value string) bool {
		_, what, _ := strings.Cut(key, ".")
		named := slices.Contains([]string{"_name", "_id", "_ip", "_host"}, what)
		return asks(key) && named && !strings.Contains(value, ",") && p.can(key, value)
	})
	var found []Finding
	for _, of := range keys(one) {
		names := sortedNames(one[of])
		var bytes int64
		stuck := 0
		for _, name := range names {
			x := p.byName[name]
			bytes += max(x.Bytes, 0)
			if x.Replicas > 0 {
				stuck++
			}
		}
		says := fmt.Sprintf("%s (%s) bound to one node by %s = %s", many(len(names), "index", "indices"), capacity.Size(bytes), of[0], of[1])
		if stuck > 0 {
			says += fmt.Sprintf("; %d with replicas, which can never lie beside their primaries", stuck)
		}
		found = append(found, Finding{Severity: Change, Says: says, Fix: "take the filter away unless a shrink is under way right now", Requests: releases(names, of[0]),
			Source: "shrink copies require._name into the new index (elastic/curator#1494)"}.about(names))
	}
	return found
}

// twoWays finds indices whose tier preference names data roles and whose attribute filter names nodes of another role.
func (p *patient) twoWays() []Finding {
	var torn []string
	for i := range p.c.Indices {
		x := &p.c.Indices[i]
		if x.TierPreference == "" || x.Closed {
			continue
		}
		for key, value := range x.Filters {
			if asks(key) && p.can(key, value) && !p.meet(x.TierPreference, key, value) {
				torn = append(torn, x.Name)
			}
		}
	}
	if len(torn) == 0 {
		return nil
	}
	slices.Sort(torn)
	return []Finding{Finding{Severity: Hurts, Says: fmt.Sprintf("%s a tier preference and a filter that no node meets together: their shards cannot move, and a lost copy stays lost", many(len(torn), "index has", "indices have")),
		Fix: "take one of the two away", Requests: []Request{indexRequest(torn[:1], map[string]string{"index.routing.allocation.include._tier_preference": ""})}}.about(slices.Compact(torn))}
}

// meet says that a node is of the first tier that has nodes, and of the filter.
func (p *patient) meet(preference, key, value string) bool {
	_, attribute, _ := strings.Cut(key, ".")
	for _, role := range strings.Split(preference, ",") {
		of := slices.DeleteFunc(slices.Clone(p.data), func(n *state.Node) bool { return !n.HasRole(role) && !n.HasRole("data") })
		if len(of) == 0 {
			continue
		}
		for _, one := range strings.Split(value, ",") {
			if slices.ContainsFunc(p.named(allocation+"exclude."+attribute, one), func(n *state.Node) bool { return slices.Contains(of, n) }) {
				return true
			}
		}
		return false
	}
	return true
}

func (p *patient) blocked() []Finding {
	var found []Finding
	for _, s := range p.series {
		of := s.ahead
		if s.now != nil {
			of = append([]member{*s.now}, of...)
		}
		var names []string
		for _, m := range of {
			if slices.ContainsFunc(m.Blocks, func(b string) bool { return b == "write" || strings.HasPrefix(b, "read_only") }) {
				names = append(names, m.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		found = append(found, Finding{Severity: Hurts, Says: many(len(names), "index that is to be written now or soon takes", "indices that are to be written now or soon take") + " no documents",
			Fix:      "if a disk was full, make room first; then take the block away",
			Requests: []Request{indexRequest(names, map[string]string{"index.blocks.read_only_allow_delete": "", "index.blocks.write": ""})}}.about(names))
	}
	return found
}
