package plan

import (
	"fmt"
	"slices"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// removal is a machine from which everything is to be removed.
type removal struct {
	machine *Machine
	retryOf string
}

// leaving takes the machines that are marked through drain, remove and the deletion of their Node to the pool.
func (p *planner) leaving() {
	var removals []removal
	for _, m := range p.machines {
		r := p.history[m.Name]
		if m.Release != "" && p.mayBeCleaned(m, r) {
			removals = append(removals, removal{m, retryOf(r.removing)})
		}
	}
	p.remove(removals)
}

// mayBeCleaned brings a machine that leaves one step on and says whether that step is to clean its host.
func (p *planner) mayBeCleaned(m *Machine, r *record) bool {
	switch {
	case r.active != nil:
		p.wait(0, "%s leaves the cluster when operation %s has ended", m.Name, r.active.Name)
	case !r.touched:
		p.giveBack(m, r)
	case m.Role != v1alpha1.RoleCompute && p.built:
		p.allowed(RuleControlStays, true, "%s is %s of a running cluster and cannot leave it (%s): replacing it is not supported yet; take the mark back, or delete the deployment",
			m.Name, m.Role, m.Release)
	case m.Quarantined:
		if p.drained(m, r) {
			p.giveBack(m, r)
		}
	case p.removeGivenUp(m, r):
		p.giveBack(m, r)
	default:
		return p.drained(m, r) && !p.removeWaits(m, r)
	}
	return false
}

// drained says that nothing that counts runs on the Node any more; until then it drains.
func (p *planner) drained(m *Machine, r *record) bool {
	if m.Role != v1alpha1.RoleCompute || !p.built {
		return true
	}
	if p.Nodes == nil {
		return !r.installed || p.allowed(RuleDrainFirst, false,
			"%s is not drained: the API server of the cluster does not answer", m.Name)
	}
	node, ok := p.Nodes[m.Name]
	if !ok {
		return true
	}
	drain, called := p.Drains[m.Name]
	if !called {
		p.add(Step{Kind: StepDrain, Machine: m.Name, Message: p.releaseWords(m)})
		return false
	}
	if drain.Remaining == 0 || (m.Unreachable && !node.Ready) {
		return true // on a dead host nobody ends the pods; their owners start others
	}
	words := fmt.Sprintf("%s is being drained: %s left: %s", m.Name, count(drain.Remaining, "pod"), drain.Message)
	if p.allowed(RuleDrainFirst, false, "%s", words) {
		return true
	}
	p.wait(5, "%s", words)
	return false
}

// removeGivenUp says that a host will not be cleaned by more attempts: it failed too often, or it is dead.
func (p *planner) removeGivenUp(m *Machine, r *record) bool {
	return r.removeFailures >= p.Limits.Attempts || (r.removeFailures > 0 && m.Unreachable)
}

func (p *planner) removeWaits(m *Machine, r *record) bool {
	if r.removing != nil {
		return p.backoff(r.removing, p.retrySeconds(r.removeFailure), fmt.Sprintf("removing from %s failed: %s", m.Name, r.removeFailure.words()))
	}
	return p.blamelessWaits(r)
}

// retrySeconds is the wait before the next attempt after a failure.
func (p *planner) retrySeconds(failure Result) int {
	if failure.Result == v1alpha1.HostUnreachable {
		return p.Limits.UnreachableSeconds
	}
	return p.Limits.RetrySeconds
}

// blamelessWaits holds back after operations that failed before they reached their hosts: longer each time.
func (p *planner) blamelessWaits(r *record) bool {
	if r.blameless == 0 {
		return false
	}
	seconds := min(p.Limits.RetrySeconds<<min(r.blameless-1, 5), 300)
	return p.backoff(r.without, seconds, fmt.Sprintf("operation %s failed through no fault of its hosts: %s", r.without.Name, r.without.Message))
}

// giveBack ends the claim of a machine: its Node is deleted first; a host that failed goes into quarantine.
func (p *planner) giveBack(m *Machine, r *record) {
	if !p.Deleting && p.built && m.Role == v1alpha1.RoleCompute {
		_, there := p.Nodes[m.Name]
		if p.Nodes == nil && r.touched && !p.allowed(RuleNodeFirst, false,
			"the Node of %s may still exist: the API server of the cluster does not answer", m.Name) {
			return
		}
		if there {
			p.add(Step{Kind: StepDeleteNode, Machine: m.Name, Message: p.releaseWords(m)})
		}
	}
	p.given[m.Name] = true
	reason, message := p.quarantineWords(m, r)
	if reason == "" {
		p.add(Step{Kind: StepFreeClaim, Machine: m.Name, Message: p.releaseWords(m)})
		return
	}
	p.add(Step{Kind: StepQuarantine, Machine: m.Name, Reason: reason, Message: cut(message, 1024)})
}

// quarantineWords say why a host is not fit for the pool; empty: it is, or a person has it in quarantine already.
func (p *planner) quarantineWords(m *Machine, r *record) (reason, message string) {
	if m.Quarantined {
		return "", ""
	}
	if r.removeFailures > 0 && !r.removed {
		reason = v1alpha1.ReasonOperationFailed
		if r.removeFailure.Result == v1alpha1.HostUnreachable || m.Unreachable {
			reason = v1alpha1.ReasonUnreachable
		}
		message = fmt.Sprintf("it left cluster %s and could not be cleaned (%s): %s", p.Cluster, r.removing.Name, r.removeFailure.words())
		if r.failure.Result != "" {
			message += fmt.Sprintf("; before that its installation failed: %s", r.failure.words())
		}
		return reason, message + ". Clean or reinstall the host, then `slipway machine release " + m.Name + "`"
	}
	if m.Release == v1alpha1.ReleaseReplaced && r.failure.Result != "" {
		return v1alpha1.ReasonOperationFailed, fmt.Sprintf("its installation for cluster %s failed: %s. The host was cleaned; mend it, then `slipway machine release %s`",
			p.Cluster, r.failure.words(), m.Name)
	}
	return "", ""
}

// remove makes the operations that clean hosts.
func (p *planner) remove(removals []removal) {
	for _, group := range groupBy(removals, func(r removal) string { return r.retryOf }) {
		machines := make([]*Machine, 0, len(group))
		names := make([]string, 0, len(group))
		for _, r := range group {
			machines, names = append(machines, r.machine), append(names, r.machine.Name)
		}
		p.create(v1alpha1.EntryRemove, names, p.removeReason(machines), group[0].retryOf)
	}
}

func (p *planner) removeReason(machines []*Machine) string {
	if p.Deleting {
		return "the cluster is deleted"
	}
	words := make([]string, 0, 2)
	for _, m := range machines {
		if w := p.releaseWords(m); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return list(words)
}

func (p *planner) releaseWords(m *Machine) string {
	if p.Deleting {
		return "the cluster is deleted"
	}
	switch m.Release {
	case v1alpha1.ReleaseReplaced:
		return m.Name + " is replaced"
	case v1alpha1.ReleaseMachineDeleted:
		return "Machine " + m.Name + " is deleted"
	case v1alpha1.ReleaseClusterDeleted:
		return "the cluster is deleted"
	case "":
		return ""
	}
	for _, s := range p.Sets {
		if s.Name == m.Set {
			return fmt.Sprintf("%s shrinks to %d", s.Name, s.Replicas)
		}
	}
	return m.Set + " is gone"
}

// deletion cancels what runs, then cleans every host in one operation, then frees the claims.
func (p *planner) deletion() {
	running := false
	for i := range p.Operations {
		op := &p.Operations[i]
		if !op.active() || op.removes() {
			continue
		}
		running = true
		if !op.Cancelling {
			p.add(Step{Kind: StepCancelOperation, Operation: op.Name, Message: "the cluster is deleted"})
		}
		p.wait(0, "operation %s is being cancelled, because the cluster is deleted", op.Name)
	}
	var removals []removal
	for _, m := range p.machines {
		r := p.history[m.Name]
		switch {
		case r.active != nil && r.active.removes():
			p.wait(0, "operation %s cleans %s", r.active.Name, count(len(r.active.Machines), "machine"))
		case r.active != nil:
		case !r.touched, m.Quarantined, p.removeGivenUp(m, r):
			p.giveBack(m, r)
		case !running && !p.removeWaits(m, r):
			removals = append(removals, removal{m, retryOf(r.removing)})
		}
	}
	p.remove(removals)
	p.out.Finished = !running && len(p.machines) == 0
}

func retryOf(op *Operation) string {
	if op == nil {
		return ""
	}
	return op.Name
}

// groupBy splits a list by a key and keeps the order.
func groupBy[T any](in []T, key func(T) string) [][]T {
	var keys []string
	groups := map[string][]T{}
	for _, item := range in {
		k := key(item)
		if _, ok := groups[k]; !ok {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], item)
	}
	slices.Sort(keys)
	out := make([][]T, 0, len(keys))
	for _, k := range keys {
		out = append(out, groups[k])
	}
	return out
}
