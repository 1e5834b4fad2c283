package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// planner makes one plan.
type planner struct {
	Observed
	out      Plan
	machines []*Machine // by name
	history  map[string]*record
	// busy holds the machines with an operation that has not ended, and those that got one in this plan; starting says
	// which entry point the latter got.
	busy     map[string]string
	starting map[string]v1alpha1.EntryPoint
	// given holds the machines whose claim ends in this plan.
	given map[string]bool
	// running are the operations that have not ended and those of this plan.
	running []*Operation
	// built says that etcd and the control plane are there.
	built bool
	// holds counts the steps that paused or frozen kept back.
	holds int
}

// Make turns an observation into a plan.
func Make(o Observed) Plan {
	o.Limits = o.Limits.withDefaults()
	p := &planner{Observed: o, busy: map[string]string{}, starting: map[string]v1alpha1.EntryPoint{}, given: map[string]bool{}}
	p.out.Cluster = o.Cluster
	for i := range o.Machines {
		p.machines = append(p.machines, &o.Machines[i])
	}
	slices.SortFunc(p.machines, func(a, b *Machine) int { return cmp.Compare(a.Name, b.Name) })
	p.history = readHistory(&p.Observed)
	for i := range p.Operations {
		if op := &p.Operations[i]; op.active() {
			p.running = append(p.running, op)
			for _, m := range op.Machines {
				p.busy[m] = op.Name
			}
		}
	}
	p.built = p.isBuilt()
	p.out.Installed, p.out.Verified = p.built, p.isVerified()
	p.contentStays()
	if p.Deleting {
		p.deletion()
	} else {
		p.leaving()
		p.orphans()
		p.installs()
		p.verify()
	}
	p.phases()
	p.finish()
	return p.out
}

// isBuilt says that etcd and the control plane are there, all of them.
func (p *planner) isBuilt() bool {
	if p.Installed {
		return true
	}
	want := 0
	for _, s := range p.Sets {
		if s.Role != v1alpha1.RoleCompute {
			want += s.Replicas
		}
	}
	have := 0
	for _, m := range p.machines {
		if m.Role != v1alpha1.RoleCompute && m.Release == "" && p.history[m.Name].installed {
			have++
		}
	}
	return want > 0 && have >= want
}

// isVerified says that a verify passed, by the condition or by the newest verify that ended.
func (p *planner) isVerified() bool {
	verified := p.Verified
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.EntryPoint == v1alpha1.EntryVerify && op.Phase == v1alpha1.OperationSucceeded {
			verified = true
		}
	}
	return verified && p.built
}

// contentStays says that a wish for other content is not followed.
func (p *planner) contentStays() {
	if p.Deleting || p.WantedContent == "" || p.BuiltContent == "" || p.WantedContent == p.BuiltContent {
		return
	}
	p.allowed(RuleContentStays, false, "the deployment asks for content %s and the cluster is built with %s; moving a cluster to other content is not supported yet: everything goes on with %s",
		p.WantedContent, p.BuiltContent, p.BuiltContent)
}

// add appends a step, unless nothing may start.
func (p *planner) add(s Step) {
	if s.Kind != StepSetPhase && s.Kind != StepWait && (p.Paused != "" || p.Frozen != "") {
		p.holds++
		return
	}
	p.out.Steps = append(p.out.Steps, s)
}

// wait adds a Wait; afterSeconds 0: something will change by itself.
func (p *planner) wait(afterSeconds int, format string, args ...any) {
	s := Step{Kind: StepWait, Message: fmt.Sprintf(format, args...), AfterSeconds: max(afterSeconds, 0)}
	if !slices.ContainsFunc(p.out.Steps, func(o Step) bool { return o.Kind == StepWait && o.Message == s.Message }) {
		p.out.Steps = append(p.out.Steps, s)
	}
}

// phases brings the phases of the machines in line with what was done to them.
func (p *planner) phases() {
	for _, m := range p.machines {
		if m.Quarantined {
			continue // the pool writes its phase
		}
		r := p.history[m.Name]
		if p.given[m.Name] {
			continue // its claim ends in this very plan
		}
		phase := p.phaseOf(m, r)
		if phase != m.Phase || r.installFailures != m.Attempts {
			p.add(Step{Kind: StepSetPhase, Machine: m.Name, Phase: phase, Attempts: r.installFailures})
		}
	}
}

func (p *planner) phaseOf(m *Machine, r *record) v1alpha1.MachinePhase {
	entry := p.starting[m.Name]
	if r.active != nil {
		entry = r.active.EntryPoint
	}
	installs := entry == v1alpha1.EntryCreate || entry == v1alpha1.EntryScale
	switch {
	case entry == v1alpha1.EntryRemove:
		return v1alpha1.MachineRemoving
	case m.Release != "" || p.Deleting:
		return p.phaseOfLeaving(m, r)
	case r.installed && m.Phase == v1alpha1.MachineReady:
		return v1alpha1.MachineReady
	case r.installed:
		return v1alpha1.MachineDeployed
	case installs:
		return v1alpha1.MachineDeploying
	}
	return v1alpha1.MachineClaimed
}

func (p *planner) phaseOfLeaving(m *Machine, r *record) v1alpha1.MachinePhase {
	if r.installed && !r.lastRemoves && m.Role == v1alpha1.RoleCompute && !p.Deleting {
		return v1alpha1.MachineDraining
	}
	return v1alpha1.MachineRemoving
}

// orphans deletes Nodes of machines that have left the cluster: only of those that an operation of ours joined.
func (p *planner) orphans() {
	if len(p.Nodes) == 0 {
		return
	}
	ours := map[string]bool{}
	for i := range p.Operations {
		if op := &p.Operations[i]; op.installs() {
			for _, m := range op.Machines {
				ours[m] = true
			}
		}
	}
	var gone []string
	for name := range p.Nodes {
		if ours[name] && p.history[name] == nil {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		p.add(Step{Kind: StepDeleteNode, Machine: name, Message: "its machine has left the cluster"})
	}
}

// verify proves the cluster once, after it was built.
func (p *planner) verify() {
	if !p.built || p.out.Verified || p.verifyTooEarly() {
		return
	}
	var control, kept []string
	for _, m := range p.machines {
		if m.Release != "" || m.Role != v1alpha1.RoleControlPlane || !p.history[m.Name].installed {
			continue
		}
		if m.Quarantined {
			kept = append(kept, m.Name)
			continue
		}
		control = append(control, m.Name)
	}
	switch {
	case len(control) > 0:
		p.runVerify(control[:1])
	case len(kept) > 0:
		p.allowed(RuleNoQuarantined, true, "verify needs a control plane machine, and %s is in quarantine; `slipway machine release %s`", list(kept), kept[0])
	default:
		p.wait(0, "verify waits for a control plane machine")
	}
}

// verifyTooEarly waits for what verify looks at: the API server, the addons, every Node.
func (p *planner) verifyTooEarly() bool {
	switch {
	case !p.Reachable:
		p.wait(0, "verify waits until the API server answers")
		return true
	case !p.AddonsApplied:
		p.wait(0, "verify waits until the addons are applied")
		return true
	}
	for _, m := range p.machines {
		r := p.history[m.Name]
		if m.Release != "" || m.Role == v1alpha1.RoleEtcd {
			continue
		}
		if r.active != nil && r.active.installs() {
			p.wait(0, "verify waits until operation %s has ended", r.active.Name)
			return true
		}
		if r.installed && !p.Nodes[m.Name].Ready {
			p.wait(0, "verify waits until Node %s is Ready", m.Name)
			return true
		}
	}
	return false
}

// verifies counts the verifies that ended, and says whether one runs. last is the newest.
func (p *planner) verifies() (ended int, last *Operation, runs bool) {
	for i := range p.Operations {
		op := &p.Operations[i]
		if op.EntryPoint != v1alpha1.EntryVerify {
			continue
		}
		last = op
		if op.active() {
			runs = true
			continue
		}
		ended++
	}
	return ended, last, runs
}

func (p *planner) runVerify(control []string) {
	ended, last, runs := p.verifies()
	switch {
	case runs:
		return
	case ended == 0:
		p.create(v1alpha1.EntryVerify, control, "prove that the new cluster works", "")
		return
	case last.Phase == v1alpha1.OperationCancelled:
		if !p.allowed(RuleCancelled, true, "verify %s was cancelled; `slipway operation retry %s` goes on", last.Name, last.Name) {
			return
		}
	case ended >= p.Limits.Attempts:
		if !p.allowed(RuleVerifyRepeated, true, "verify failed %d times, last in %s: %s. Mend it and run `slipway operation retry %s`",
			ended, last.Name, last.verdict().words(), last.Name) {
			return
		}
	}
	if !p.backoff(last, p.Limits.RetrySeconds, "verify failed in "+last.Name) {
		p.create(v1alpha1.EntryVerify, control, "prove that the new cluster works", last.Name)
	}
}

// backoff waits until an operation has ended for some seconds; it says whether it waits.
func (p *planner) backoff(op *Operation, seconds int, why string) bool {
	left := seconds - op.SecondsSinceEnd
	if left <= 0 {
		return false
	}
	p.wait(left, "%s; the next attempt comes after %d s", why, seconds)
	return true
}
