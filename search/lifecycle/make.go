package lifecycle

import (
	"cmp"
	"fmt"

	"github.com/slipway-dev/slipway/search/state"
)

// Make plans. The error is of a policy whose slots or windows cannot be read; a policy that is read and not followed is a plan with refusals.
func Make(in Input) (*Plan, error) {
	p, err := newPolicy(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name(in.Lifecycle), err)
	}
	w := newWorld(p, in)
	plan := &Plan{Lifecycle: p.name, Cluster: in.Cluster.Name, At: in.Now, Steps: []Step{}, Slots: []Standing{}, Ways: w.ways()}
	plan.Refusals = w.refusals(in.Others)
	for _, m := range w.members {
		plan.Slots = append(plan.Slots, w.standing(m))
	}
	plan.Backlog = w.backlog(plan.Slots)
	if !in.Short {
		plan.Sums, plan.Exposure = w.sums(), w.exposure()
		plan.Backlog.NaivePerHour, plan.Backlog.PerHour = w.peaks()
	}
	if plan.refusedBy(RefuseTwoPolicies, RefuseSystem, RefuseSlot, RefuseByName) {
		return plan, nil // not even slots are made: it is not sure whose they are
	}
	made, holds := w.create()
	plan.Steps, plan.ahead = append(plan.Steps, made...), holds
	if plan.Refused() {
		return plan, nil
	}
	if held := w.blind(); held != nil {
		plan.ahead = append(plan.ahead, *held)
		for i := range plan.Slots {
			if plan.Slots[i].Step != nil {
				plan.Slots[i].Step, plan.Slots[i].Hold = nil, held
			}
		}
		return plan, nil
	}
	plan.Steps = append(plan.Steps, w.admit(plan.Slots)...)
	return plan, nil
}

// blind is what must have been seen before anything is done to an index.
func (w *world) blind() *Hold {
	for _, part := range []state.Part{state.PartIndices, state.PartIndexConfig, state.PartNodes, state.PartNodeStats, state.PartAliases, state.PartTasks, state.PartPolicyState} {
		why, unseen := w.c.WhyUnseen(part)
		if !unseen || part == state.PartPolicyState && !w.c.Can(state.ILM) && !w.c.Can(state.ISM) {
			continue
		}
		_, held := hold(HoldUnseen, "%s could not be asked: %s", part, why)
		return held
	}
	return nil
}

func (p *Plan) refusedBy(rules ...Rule) bool {
	for _, r := range p.Refusals {
		for _, rule := range rules {
			if r.Rule == rule && !r.Overridden {
				return true
			}
		}
	}
	return false
}

// Of is where one index stands, by the slot's name or by that of a form of it.
func (p *Plan) Of(index string) (*Standing, bool) {
	name, _, _ := slotName(index)
	for i := range p.Slots {
		if p.Slots[i].Index == cmp.Or(name, index) || p.Slots[i].On == index {
			return &p.Slots[i], true
		}
	}
	return nil, false
}
