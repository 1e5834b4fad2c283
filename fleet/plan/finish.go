package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// The words for the state of a deployment.
const (
	StatePending    = "Pending"
	StateInstalling = "Installing"
	StateScaling    = "Scaling"
	StateAvailable  = "Available"
	StateDeleting   = "Deleting"
	StateInvalid    = "Invalid"
	StatePaused     = "Paused"
	StateFailing    = "Failing"
)

// finish orders the plan and finds the words for it.
func (p *planner) finish() {
	if p.Frozen != "" {
		p.allowed(RuleFrozen, true, "the fleet is frozen (%s): %s held back; `slipway freeze --off` goes on", p.Frozen, count(p.holds, "step"))
	}
	if p.Paused != "" {
		p.allowed(RulePaused, true, "the cluster is paused (%s): %s held back", p.Paused, count(p.holds, "step"))
	}
	slices.SortFunc(p.out.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	slices.Sort(p.out.Overridden)
	slices.SortStableFunc(p.out.Steps, func(a, b Step) int { return cmp.Compare(order(a.Kind), order(b.Kind)) })
	p.out.State, p.out.Reason = p.state()
	refusal, blocked := p.human()
	if p.out.Blocked = blocked; blocked {
		p.out.Message = refusal.Rule + ": " + refusal.Message
		return
	}
	p.out.Message = p.words()
	if short := p.shortWords(); short != "" && !p.Deleting {
		p.out.Blocked, p.out.Reason = true, v1alpha1.ReasonTooFewMachines
		p.out.Message = short
	}
}

// order is the place of a kind of step in a plan. A Node goes before the claim of its machine does.
func order(k Kind) int {
	return slices.Index([]Kind{
		StepSetPhase, StepMakePKI, StepCancelOperation, StepMarkLeaving, StepDrain, StepDeleteNode, StepFreeClaim,
		StepQuarantine, StepCreateOperation, StepWait,
	}, k)
}

func (p *planner) state() (state, reason string) {
	if state, reason = p.stopped(); state != "" {
		return state, reason
	}
	_, blocked := p.human()
	switch {
	case blocked && p.refused(RuleContentKnown):
		return StateFailing, v1alpha1.ReasonUnknownContent
	case blocked:
		return StateFailing, v1alpha1.ReasonOperationFailed
	case !p.built && !p.begun():
		return StatePending, v1alpha1.ReasonPending
	case !p.built || !p.out.Verified:
		return StateInstalling, v1alpha1.ReasonInstalling
	case p.moving():
		return StateScaling, v1alpha1.ReasonScaling
	}
	return StateAvailable, v1alpha1.ReasonAsWanted
}

// stopped is the state of a cluster at which a person stopped the work, or ended it; empty: nobody did.
func (p *planner) stopped() (state, reason string) {
	switch {
	case p.Deleting:
		return StateDeleting, v1alpha1.ReasonDeleting
	case p.Frozen != "":
		return StatePaused, v1alpha1.ReasonFrozen
	case p.Paused != "":
		return StatePaused, v1alpha1.ReasonPaused
	case p.Invalid != "":
		return StateInvalid, v1alpha1.ReasonInvalidSpec
	}
	return "", ""
}

func (p *planner) refused(rule string) bool {
	return slices.ContainsFunc(p.out.Refusals, func(r Refusal) bool { return r.Rule == rule })
}

// begun says that something was or is being done to a host, or will be by this plan.
func (p *planner) begun() bool {
	return len(p.Operations) > 0 || slices.ContainsFunc(p.out.Steps, func(s Step) bool { return s.Kind == StepCreateOperation })
}

// moving says that machines join or leave, or should.
func (p *planner) moving() bool {
	held := map[string]int{}
	for _, m := range p.machines {
		if m.Release != "" || !p.history[m.Name].installed {
			return true
		}
		held[m.Set]++
	}
	return slices.ContainsFunc(p.Sets, func(s Set) bool { return held[s.Name] != s.Replicas })
}

// words say in one sentence what goes on.
func (p *planner) words() string {
	var parts []string
	for i := range p.Operations {
		if op := &p.Operations[i]; op.active() {
			parts = append(parts, fmt.Sprintf("operation %s runs on %s", op.Name, count(len(op.Machines), "machine")))
		}
	}
	for _, s := range p.out.Steps {
		if sentence := s.sentence(); sentence != "" {
			parts = append(parts, sentence)
		}
	}
	for _, r := range p.out.Refusals {
		if at := slices.Index(parts, r.Message); at >= 0 {
			parts = slices.Delete(parts, at, at+1)
		}
		parts = append(parts, r.Rule+": "+r.Message)
	}
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	switch {
	case len(parts) > 0:
		return cut(strings.Join(parts, "; "), 1024)
	case p.Deleting:
		return fmt.Sprintf("%s held", count(len(p.machines), "machine"))
	}
	return p.calmWords()
}

// sentence says what a step does; empty for bookkeeping.
func (s Step) sentence() string {
	switch s.Kind {
	case StepCreateOperation:
		return fmt.Sprintf("%s on %s: %s", s.EntryPoint, list(s.Machines), s.Reason)
	case StepDrain:
		return fmt.Sprintf("draining %s", s.Machine)
	case StepQuarantine:
		return fmt.Sprintf("%s goes into quarantine: %s", s.Machine, s.Message)
	case StepFreeClaim:
		return fmt.Sprintf("%s goes back to the pool", s.Machine)
	case StepWait, StepMakePKI, StepMarkLeaving:
		return s.Message
	}
	return ""
}

// calmWords describe a cluster at which nothing is done.
func (p *planner) calmWords() string {
	if p.moving() {
		return "claims are being freed or made"
	}
	return fmt.Sprintf("%s as wanted", count(len(p.machines), "machine"))
}

// shortWords name the sets for which the pool has too few machines.
func (p *planner) shortWords() string {
	held := map[string]int{}
	for _, m := range p.machines {
		if m.Release == "" {
			held[m.Set]++
		}
	}
	var parts []string
	for _, s := range p.Sets {
		if s.Short && held[s.Name] < s.Replicas {
			parts = append(parts, fmt.Sprintf("%s: %s", s.Name, s.ShortMessage))
		}
	}
	return strings.Join(parts, "; ")
}
