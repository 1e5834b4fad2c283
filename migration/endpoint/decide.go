package endpoint

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Pod is the target's pod as the API server shows it. The zero value but for Port is a pod that is not there.
type Pod struct {
	// Addresses are those of the pod, none before it has a network.
	Addresses []netip.Addr
	// Port is where the server listens.
	Port uint16
	// Ready is the pod's condition, Ending says that it is being deleted.
	Ready, Ending bool
	// Probes are those of the server itself.
	Probes Streak
}

// Input is all that a decision follows from.
type Input struct {
	Now time.Time
	// Phase is that of the migration.
	Phase string
	Shape Shape
	// Source is the old server's address, as kube-proxy reaches it. An EndpointSlice holds no names.
	Source netip.AddrPort
	// SourceProbes are probes of the old server; the zero value when nobody can ask it from here.
	SourceProbes Streak
	Target       Pod
	// Missed says what the target lacks that the source has; empty: nothing that is known.
	Missed string
	// Slice is the EndpointSlice as it is now, nil when there is none.
	Slice *discoveryv1.EndpointSlice
	// SelectorServes says, after Finalize, that an EndpointSlice of Kubernetes' own leads to a ready pod.
	SelectorServes bool
	// Steady is for how long the target must have answered before it gets the users; default 10 seconds.
	Steady time.Duration
}

// Decision is where the Service leads from now on.
type Decision struct {
	To   Side
	Rule string
	// Says is the rule with its values, for people.
	Says string
	// Moved says that users are led elsewhere than until now.
	Moved bool
	// Service and Slice are the objects to be. No Slice means that ours is to be deleted: Kubernetes has its own.
	Service *corev1.Service
	Slice   *discoveryv1.EndpointSlice
	// Again is when to decide again though nothing changed; 0 means never.
	Again time.Duration
}

const defaultSteady = 10 * time.Second

// Decide says where the Service leads. It errs on an unknown phase and on a source without a usable address; then nothing is to be written.
func Decide(in Input) (*Decision, error) {
	if !in.Source.IsValid() || in.Source.Port() == 0 {
		return nil, fmt.Errorf("deciding where the users' Service leads: the old server's address is missing")
	}
	in.Source = netip.AddrPortFrom(in.Source.Addr().Unmap(), in.Source.Port())
	if in.Steady <= 0 {
		in.Steady = defaultSteady
	}
	want, rule, err := goalOf(in.Phase)
	if err != nil {
		return nil, err
	}
	switch want {
	case wantSource:
		return in.lead(Source, rule, "the phase is "+phaseName(in.Phase)), nil
	case wantTargetAlone:
		return in.alone()
	}
	return in.observed(), nil
}

func phaseName(phase string) string {
	if phase == "" {
		return "not known yet"
	}
	return phase
}

// alone leaves the Service to Kubernetes. Our slice goes only when there is another that serves.
func (in Input) alone() (*Decision, error) {
	if len(in.Shape.Selector) == 0 {
		return nil, fmt.Errorf("deciding where the users' Service leads: there is no selector for the target's pod")
	}
	d := &Decision{To: Target, Rule: RuleAlone, Says: "the migration is finalized; Kubernetes leads the Service to the pod", Service: in.Shape.alone(in.Target.Port)}
	if in.SelectorServes {
		return d, nil
	}
	d.Says, d.Again = "the migration is finalized; ours leads to the pod until Kubernetes has an EndpointSlice of its own with a ready pod", time.Second
	if to, ok := in.target(); ok {
		d.Slice = in.Shape.Slice(Target, to)
	} else {
		d.Slice = in.Slice
	}
	return d, nil
}

// target is the pod's address of the source's family.
func (in Input) target() (netip.AddrPort, bool) {
	i := slices.IndexFunc(in.Target.Addresses, func(a netip.Addr) bool { return a.Unmap().Is4() == in.Source.Addr().Is4() })
	if i < 0 || in.Target.Port == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(in.Target.Addresses[i].Unmap(), in.Target.Port), true
}

// observed decides between the cutover and Finalize.
func (in Input) observed() *Decision {
	at := SideOf(in.Slice, in.Source, in.Target)
	to, reachable := in.target()
	if !reachable && len(in.Target.Addresses) > 0 {
		return in.lead(Source, RuleFamily, fmt.Sprintf("the old server is %s, the new one's pod has %s", in.Source.Addr(), in.Target.Addresses[0]))
	}
	down, why := in.down(reachable)
	if at == Target {
		return in.stay(down, why)
	}
	return in.goOver(down, why, to)
}

// stay decides while the users are at the target.
func (in Input) stay(down bool, why string) *Decision {
	var d *Decision
	switch {
	case down && in.SourceProbes.Down():
		d = in.lead(Target, RuleSourceSilent, why+"; the old one does not answer either: "+in.SourceProbes.Last.Says)
	case down:
		d = in.lead(Source, RuleBack, why)
	case in.Missed != "" && !in.SourceProbes.Down():
		d = in.lead(Source, RuleMissed, in.Missed)
	case !in.Target.Probes.Asked():
		d = in.lead(Target, RuleLookFirst, "the new server was not asked yet")
	default:
		return in.lead(Target, RuleServes, "it answers")
	}
	d.Again = time.Second
	return d
}

// goOver decides while they are not.
func (in Input) goOver(down bool, why string, to netip.AddrPort) *Decision {
	probes := in.Target.Probes
	if !down && probes.Last.Answer != Ready {
		down, why = true, probes.Last.Says
	}
	up := probes.Up(in.Now)
	var d *Decision
	switch {
	case !probes.Asked() && why == "":
		d = in.lead(Source, RuleLookFirst, "the new server was not asked yet")
	case down:
		d = in.lead(Source, RuleBack, why)
	case in.Missed != "" && !in.SourceProbes.Down():
		d = in.lead(Source, RuleMissed, in.Missed)
	case up < in.Steady && !in.SourceProbes.Down():
		d = in.lead(Source, RuleSteady, fmt.Sprintf("it has answered for %s, wanted are %s", up.Round(time.Second), in.Steady))
		d.Again = in.Steady - up
		return d
	default:
		return in.lead(Target, RuleServes, "it answers at "+to.String())
	}
	d.Again = time.Second
	return d
}

// down says whether the target is not ready, by the first thing that says so.
func (in Input) down(reachable bool) (bool, string) {
	switch {
	case !reachable:
		return true, "the new server has no pod with an address"
	case in.Target.Ending:
		return true, "the new server's pod is being deleted"
	case in.Target.Probes.Down():
		return true, in.Target.Probes.Last.Says
	case !in.Target.Ready:
		return true, "the new server's pod is not ready"
	}
	return false, ""
}

// lead makes the objects for one side.
func (in Input) lead(side Side, rule, says string) *Decision {
	d := &Decision{To: side, Rule: rule, Says: says, Service: in.Shape.Service()}
	to := in.Source
	if side == Target {
		var ok bool
		if to, ok = in.target(); !ok { // its pod has gone, and there is nobody else: as it was
			d.Slice = in.Slice
			return d
		}
	}
	d.Slice = in.Shape.Slice(side, to)
	at := SideOf(in.Slice, in.Source, in.Target)
	d.Moved = at != None && at != side
	return d
}
