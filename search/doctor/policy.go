package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// Bounds of bursts.
const (
	burstHorizon = 14 * day
	// smallBurst is how many indices in one hour are no burst.
	smallBurst = 12
)

func policyChecks() []check {
	attached := []state.Part{state.PartIndices, state.PartIndexConfig, state.PartPolicies}
	return []check{
		{"policies_do_not_fire_at_once", "no hour brings many indices to the next step of their policy", attached, (*patient).bursts},
		{"policies_go_on", "no index stands on an error of its policy", []state.Part{state.PartPolicyState}, (*patient).stuckPolicies},
		{"policies_exist", "every policy that an index names exists", attached, (*patient).lostPolicies},
	}
}

// burst is what comes due in one hour.
type burst struct {
	hour    int64 // since 1970
	policy  string
	step    string
	indices int
	shards  int
	bytes   int64
	// spread is how many of these would be due in the busiest hour, were ages counted from the end of slots.
	slots map[int64]int
}

type burstKey struct {
	hour         int64
	policy, step string
}

// bursts finds hours in which one step of a policy comes due for many indices. ILM and ISM count from the creation of an index.
func (p *patient) bursts() []Finding {
	steps := map[[2]string][]state.PolicyStep{}
	for _, pol := range p.c.Policies {
		steps[[2]string{string(pol.Kind), pol.Name}] = pol.Steps
	}
	ends := map[string]time.Time{}
	for _, s := range p.series {
		for _, m := range s.Members {
			ends[m.Name] = m.End
		}
	}
	hours := map[burstKey]*burst{}
	for i := range p.c.Indices {
		x := &p.c.Indices[i]
		if x.Policy == nil || x.Closed {
			continue
		}
		from := time.UnixMilli(cmp.Or(x.Policy.OriginMillis, x.CreatedMillis))
		for _, step := range steps[[2]string{string(x.Policy.Kind), x.Policy.Policy}] {
			age := time.Duration(step.AfterMillis) * time.Millisecond
			due := from.Add(age)
			if step.AfterMillis <= 0 || due.Before(p.now) || due.After(p.now.Add(burstHorizon)) {
				continue
			}
			k := burstKey{due.Unix() / 3600, x.Policy.Policy, step.Name}
			b := hours[k]
			if b == nil {
				b = &burst{hour: k.hour, policy: k.policy, step: k.step, slots: map[int64]int{}}
				hours[k] = b
			}
			b.indices, b.shards, b.bytes = b.indices+1, b.shards+x.Shards(), b.bytes+max(x.Bytes, 0)
			end, ok := ends[x.Name]
			if !ok {
				end = from
			}
			b.slots[end.Add(age).Unix()/3600]++
		}
	}
	return p.worstBursts(hours)
}

// worstBursts tells the largest hour of each step of each policy.
func (p *patient) worstBursts(hours map[burstKey]*burst) []Finding {
	worst := map[[2]string]*burst{}
	for _, b := range hours {
		k := [2]string{b.policy, b.step}
		if w := worst[k]; w == nil || cmp.Or(cmp.Compare(b.indices, w.indices), cmp.Compare(w.hour, b.hour)) > 0 {
			worst[k] = b
		}
	}
	all := slices.Collect(maps.Values(worst))
	slices.SortFunc(all, func(a, b *burst) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.policy+a.step, b.policy+b.step))
	})
	var found []Finding
	rate := p.recoveryRate()
	for _, b := range all {
		most := slices.Max(slices.Collect(maps.Values(b.slots)))
		if b.indices < smallBurst || b.indices < 3*most {
			continue
		}
		at := time.Unix(b.hour*3600, 0).UTC()
		cap := capacity.Product(capacity.Size(0), capacity.Count(len(p.data), "nodes"), capacity.Size(rate), capacity.Count(3600, "s"))
		f := Finding{Severity: Change, HurtsAt: &at, Sums: []capacity.Sum{cap}, Source: "ages count from creation: indices that were made in one hour come due in one hour",
			Says: fmt.Sprintf("policy %s, %s: %d indices (%s shards, %s) come due in one hour; counted from the end of their slots it would be %d an hour",
				b.policy, b.step, b.indices, capacity.Grouped(float64(b.shards)), capacity.Size(b.bytes), most),
			Fix: "give these indices the start of their slot to count from (index.lifecycle.origination_date of ILM), or create indices hour by hour; another unit for the same age (360h, 15d) spreads nothing"}
		if rate > 0 && float64(b.bytes) > cap.Out.Value {
			f.Severity = Hurts
			f.Says += fmt.Sprintf(", more than recoveries at %s a second move in that hour", capacity.Size(rate))
		}
		found = append(found, f)
	}
	return found
}

func (p *patient) stuckPolicies() []Finding {
	type reason struct{ kind, policy, action, why string }
	by := map[reason][]string{}
	for i := range p.c.Indices {
		x := &p.c.Indices[i]
		if a := x.Policy; a != nil && a.Failed {
			r := reason{string(a.Kind), a.Policy, a.Action, a.Why}
			by[r] = append(by[r], x.Name)
		}
	}
	var found []Finding
	for r, names := range by {
		says := fmt.Sprintf("%s still in %s of policy %s (%s): %s", many(len(names), "index stands", "indices stand"), r.action, r.policy, r.kind, r.why)
		fix := "mend the reason, then let the step be tried again"
		if r.action == "shrink" {
			fix = "a shrink gathers one copy of every shard on one node, where replicas cannot follow: look at free disk, the replica count and the filters of the index, then try again"
		}
		found = append(found, Finding{Severity: Change, Says: says, Fix: fix}.about(sortedNames(names)))
	}
	slices.SortFunc(found, func(a, b Finding) int { return cmp.Compare(a.Says, b.Says) })
	return found
}

func (p *patient) lostPolicies() []Finding {
	exists := map[[2]string]bool{}
	for _, pol := range p.c.Policies {
		exists[[2]string{string(pol.Kind), pol.Name}] = true
	}
	lost := map[[2]string][]string{}
	for i := range p.c.Indices {
		if a := p.c.Indices[i].Policy; a != nil && !exists[[2]string{string(a.Kind), a.Policy}] {
			k := [2]string{string(a.Kind), a.Policy}
			lost[k] = append(lost[k], p.c.Indices[i].Name)
		}
	}
	var found []Finding
	for _, k := range keys(lost) {
		found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("%s the policy %s (%s), which does not exist: they are never moved or deleted", many(len(lost[k]), "index names", "indices name"), k[1], k[0]),
			Fix: "create the policy, or name another"}.about(sortedNames(lost[k])))
	}
	return found
}
