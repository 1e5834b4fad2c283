package machine

import (
	"errors"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// status says what a pass found. Of a machine in use only Reachable, facts and doubles are this controller's to say.
func (r *Reconciler) status(s *scope, err error) {
	m := s.machine
	if s.visited {
		setReachable(m, s.failure)
		if s.failure == nil && s.inspection.Facts.MachineID != "" {
			m.Status.Facts = facts(s.inspection.Facts, m.Status.Facts)
		}
	}
	if m.Spec.ClaimRef != nil {
		r.statusInUse(s)
		return
	}
	m.Status.Phase = phase(s)
	m.Status.NodeName, m.Status.Attempts = "", nil
	meta.RemoveStatusCondition(&m.Status.Conditions, v1alpha1.ConditionNodeReady)
	setInspected(s, err)
	setReady(m)
	if s.visited && s.failure == nil && err == nil {
		m.Status.ObservedGeneration = m.Generation
	}
}

// statusInUse reports what is strange about a machine that a cluster holds.
func (r *Reconciler) statusInUse(s *scope) {
	m := s.machine
	lease := s.inspection.Lease
	switch {
	case s.verdict.Reason != "":
		if kube.False(&m.Status.Conditions, m.Generation, v1alpha1.ConditionInspected, s.verdict.Reason, s.verdict.Message) {
			r.warn(m, s.verdict.Reason, "Inspect", s.verdict.Message)
		}
	case !s.visited || s.failure != nil:
	case held(lease) && s.holder == nil && lease.Cluster != m.Spec.ClaimRef.UID:
		message := "the stamp on the host names an operation of another operator or cluster: " + lease.Cluster
		if kube.False(&m.Status.Conditions, m.Generation, v1alpha1.ConditionInspected, v1alpha1.ReasonTakenElsewhere, message) {
			r.warn(m, v1alpha1.ReasonTakenElsewhere, "Inspect", message)
		}
	case !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionInspected):
		kube.True(&m.Status.Conditions, m.Generation, v1alpha1.ConditionInspected, v1alpha1.ReasonInUse, "in use")
	}
}

// phase is where a machine of the pool stands.
func phase(s *scope) v1alpha1.MachinePhase {
	m := s.machine
	switch {
	case m.Spec.Quarantine != nil:
		return v1alpha1.MachineQuarantined
	case s.cleaning != "":
		return v1alpha1.MachineCleaning
	case s.verdict.Reason != "":
		return v1alpha1.MachineInspecting
	case s.visited && s.failure == nil:
		return v1alpha1.MachineIdle
	case m.Status.Phase == v1alpha1.MachineIdle:
		return v1alpha1.MachineIdle
	}
	return v1alpha1.MachineInspecting
}

// setReachable says whether the SSH server answered with the pinned key.
func setReachable(m *v1alpha1.Machine, failure error) {
	var problem *host.Error
	c := &m.Status.Conditions
	switch {
	case failure == nil:
		kube.True(c, m.Generation, v1alpha1.ConditionReachable, v1alpha1.ReasonAsWanted, "the host answers")
	case !errors.As(failure, &problem):
		kube.Unknown(c, m.Generation, v1alpha1.ConditionReachable, reasonOf(failure), failure.Error())
	case problem.Kind == host.NoSudo || problem.Kind == host.Faulty || problem.Kind == host.Busy:
		kube.True(c, m.Generation, v1alpha1.ConditionReachable, v1alpha1.ReasonAsWanted, "the host answers")
	default:
		kube.False(c, m.Generation, v1alpha1.ConditionReachable, reasonOf(failure), problem.Err.Error())
	}
}

// setInspected says what speaks against the use of a machine of the pool.
func setInspected(s *scope, err error) {
	m, c := s.machine, &s.machine.Status.Conditions
	var problem *host.Error
	switch {
	case s.verdict.Reason != "":
		kube.False(c, m.Generation, v1alpha1.ConditionInspected, s.verdict.Reason, s.verdict.Message)
	case s.cleaning != "":
		kube.False(c, m.Generation, v1alpha1.ConditionInspected, v1alpha1.ReasonRunning, "operation "+s.cleaning+" runs on the host")
	case s.visited && s.failure == nil && err == nil:
		kube.True(c, m.Generation, v1alpha1.ConditionInspected, v1alpha1.ReasonAsWanted, "nothing speaks against its use")
	case s.failure != nil && errors.As(s.failure, &problem) && problem.Kind == host.Unreachable:
		kube.Unknown(c, m.Generation, v1alpha1.ConditionInspected, v1alpha1.ReasonUnreachable, "the host does not answer")
	case s.failure != nil:
		message := s.failure.Error()
		if problem != nil {
			message = problem.Err.Error()
		}
		kube.False(c, m.Generation, v1alpha1.ConditionInspected, reasonOf(s.failure), message)
	case meta.FindStatusCondition(*c, v1alpha1.ConditionInspected) == nil:
		kube.Unknown(c, m.Generation, v1alpha1.ConditionInspected, v1alpha1.ReasonInspecting, "not inspected yet")
	}
}

// setReady sums the other conditions up for a machine of the pool.
func setReady(m *v1alpha1.Machine) {
	c := &m.Status.Conditions
	inspected := meta.FindStatusCondition(*c, v1alpha1.ConditionInspected)
	reachable := meta.FindStatusCondition(*c, v1alpha1.ConditionReachable)
	switch {
	case !m.DeletionTimestamp.IsZero():
		kube.False(c, m.Generation, v1alpha1.ConditionReady, v1alpha1.ReasonDeleting, deletingMessage(reachable))
	case m.Spec.Quarantine != nil:
		kube.False(c, m.Generation, v1alpha1.ConditionReady, m.Spec.Quarantine.Reason, "in quarantine: "+m.Spec.Quarantine.Message+"; `slipway machine release "+m.Name+"` ends it")
	case inspected.Status == "False":
		kube.False(c, m.Generation, v1alpha1.ConditionReady, inspected.Reason, inspected.Message)
	case reachable != nil && reachable.Status == "False":
		kube.False(c, m.Generation, v1alpha1.ConditionReady, reachable.Reason, reachable.Message)
	case m.Status.Phase == v1alpha1.MachineIdle:
		kube.True(c, m.Generation, v1alpha1.ConditionReady, v1alpha1.ReasonIdle, "waits in the pool")
	default:
		kube.False(c, m.Generation, v1alpha1.ConditionReady, v1alpha1.ReasonInspecting, "the host is looked at")
	}
}

func deletingMessage(reachable *metav1.Condition) string {
	if reachable != nil && reachable.Status == "False" {
		return "the host must be cleaned before it is forgotten, and it does not answer; if it never comes back: kubectl annotate machine NAME " +
			v1alpha1.OverrideAnnotation + "=" + view.RuleCleanFirst
	}
	return "the host is cleaned before it is forgotten"
}
