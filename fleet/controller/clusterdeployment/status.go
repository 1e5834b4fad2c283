package clusterdeployment

import (
	"fmt"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// status sums up what a pass saw.
func (r *Reconciler) status(s *scope, err error) {
	d := s.deployment
	setSpecValid(s)
	if s.seen == nil {
		setUnseen(d, err)
		return
	}
	setCounts(s)
	setAvailable(s)
	setMachinesClaimed(s)
	setProgressing(s)
	setUpToDate(s, r.View.Content.Version)
	setReady(s)
	d.Status.State = s.plan.State
	if d.Status.State == plan.StateAvailable && meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) {
		d.Status.ObservedGeneration = d.Generation
	}
}

func setSpecValid(s *scope) {
	d := s.deployment
	if !d.DeletionTimestamp.IsZero() {
		return
	}
	if s.invalid != "" {
		kube.False(&d.Status.Conditions, d.Generation, v1alpha1.ConditionSpecValid, v1alpha1.ReasonInvalidSpec, s.invalid)
		return
	}
	kube.True(&d.Status.Conditions, d.Generation, v1alpha1.ConditionSpecValid, v1alpha1.ReasonAsWanted, "the settings can be built")
}

// setUnseen keeps the conditions honest in a pass that could not look.
func setUnseen(d *v1alpha1.ClusterDeployment, err error) {
	if err == nil {
		return
	}
	reason := kube.Reason(err, v1alpha1.ReasonPending)
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionAvailable, v1alpha1.ConditionMachinesClaimed, v1alpha1.ConditionProgressing} {
		if meta.FindStatusCondition(d.Status.Conditions, kind) == nil {
			kube.Unknown(&d.Status.Conditions, d.Generation, kind, reason, err.Error())
		}
	}
	if d.Status.State == "" {
		d.Status.State = plan.StatePending
	}
}

// setCounts adds up the machine sets by role.
func setCounts(s *scope) {
	status := &s.deployment.Status
	status.ControlPlane, status.Workers, status.Etcd = &v1alpha1.ReplicaSummary{}, &v1alpha1.ReplicaSummary{}, nil
	for i := range s.seen.Sets {
		set := &s.seen.Sets[i]
		target := status.Workers
		switch set.Spec.Role {
		case v1alpha1.RoleControlPlane:
			target = status.ControlPlane
		case v1alpha1.RoleEtcd:
			if status.Etcd == nil {
				status.Etcd = &v1alpha1.ReplicaSummary{}
			}
			target = status.Etcd
		}
		add(&target.Desired, set.Spec.Replicas)
		add(&target.Claimed, set.Status.ClaimedReplicas)
		add(&target.Ready, set.Status.ReadyReplicas)
	}
	for _, summary := range []*v1alpha1.ReplicaSummary{status.ControlPlane, status.Workers} {
		add(&summary.Desired, nil)
		add(&summary.Claimed, nil)
		add(&summary.Ready, nil)
	}
}

func add(sum **int32, n *int32) {
	*sum = ptr.To(ptr.Deref(*sum, 0) + ptr.Deref(n, 0))
}

// setAvailable repeats what the Cluster says.
func setAvailable(s *scope) {
	d := s.deployment
	if s.seen.Object != nil {
		if c := meta.FindStatusCondition(s.seen.Object.Status.Conditions, v1alpha1.ConditionAvailable); c != nil {
			kube.Set(&d.Status.Conditions, d.Generation, v1alpha1.ConditionAvailable, c.Status, c.Reason, c.Message)
			return
		}
	}
	kube.False(&d.Status.Conditions, d.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonPending, "the cluster is not built yet")
}

func setMachinesClaimed(s *scope) {
	d := s.deployment
	var missing []string
	reason := v1alpha1.ReasonPending
	for i := range s.seen.Sets {
		set := &s.seen.Sets[i]
		c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionClaimed)
		switch {
		case c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == set.Generation:
			continue
		case c == nil || c.Status == metav1.ConditionTrue:
			missing = append(missing, set.Name+": not looked at yet")
		default:
			missing = append(missing, set.Name+": "+c.Message)
			reason = c.Reason
		}
	}
	if len(missing) == 0 && len(s.seen.Sets) > 0 {
		kube.True(&d.Status.Conditions, d.Generation, v1alpha1.ConditionMachinesClaimed, v1alpha1.ReasonAsWanted, fmt.Sprintf("%d machine sets hold what they want", len(s.seen.Sets)))
		return
	}
	if len(missing) == 0 {
		missing = []string{"no machine sets yet"}
	}
	kube.False(&d.Status.Conditions, d.Generation, v1alpha1.ConditionMachinesClaimed, reason, kube.Sentence(missing))
}

// setProgressing says in the words of the plan what goes on and what holds it.
func setProgressing(s *scope) {
	d := s.deployment
	status := metav1.ConditionTrue
	if s.plan.Blocked {
		status = metav1.ConditionFalse
	}
	kube.Set(&d.Status.Conditions, d.Generation, v1alpha1.ConditionProgressing, status, s.plan.Reason, s.plan.Message)
}

// setUpToDate says whether the nodes have what is written and what the operator has. It changes nothing: rolling out is
// for a person to start.
func setUpToDate(s *scope, newest string) {
	d, c := s.deployment, s.seen.Object
	if c == nil || !d.DeletionTimestamp.IsZero() {
		return
	}
	var behind []string
	reason := v1alpha1.ReasonAsWanted
	if newest != "" && c.Spec.ContentVersion != newest {
		reason = v1alpha1.ReasonContentBehind
		behind = append(behind, fmt.Sprintf("content %s (newest %s)", c.Spec.ContentVersion, newest))
	}
	if c.Spec.SettingsDigest != "" && c.Spec.SettingsDigest != plan.SettingsDigest(d.Spec) && meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionInstalled) {
		reason = v1alpha1.ReasonSettingsChanged
		behind = append(behind, "settings of components were changed after the cluster was built: only machines that join from now on get them")
	}
	if len(behind) == 0 {
		kube.True(&d.Status.Conditions, d.Generation, v1alpha1.ConditionUpToDate, reason, "nodes have the settings that are written and the newest content")
		return
	}
	kube.False(&d.Status.Conditions, d.Generation, v1alpha1.ConditionUpToDate, reason, strings.Join(behind, "; "))
}

func setReady(s *scope) {
	d := s.deployment
	c := &d.Status.Conditions
	switch {
	case s.plan.State != plan.StateAvailable:
		kube.False(c, d.Generation, v1alpha1.ConditionReady, s.plan.Reason, s.plan.Message)
	case !meta.IsStatusConditionTrue(*c, v1alpha1.ConditionAvailable):
		available := meta.FindStatusCondition(*c, v1alpha1.ConditionAvailable)
		kube.False(c, d.Generation, v1alpha1.ConditionReady, available.Reason, available.Message)
	default:
		if short := notReady(s); short != "" {
			kube.False(c, d.Generation, v1alpha1.ConditionReady, v1alpha1.ReasonScaling, short)
			return
		}
		kube.True(c, d.Generation, v1alpha1.ConditionReady, v1alpha1.ReasonAsWanted, s.plan.Message)
	}
}

// notReady names the sets that lack machines at work.
func notReady(s *scope) string {
	var parts []string
	for i := range s.seen.Sets {
		set := &s.seen.Sets[i]
		ready, wanted := ptr.Deref(set.Status.ReadyReplicas, 0), ptr.Deref(set.Spec.Replicas, 0)
		switch words := fmt.Sprintf("%s: %d of %d ready", set.Name, ready, wanted); {
		case set.Status.ObservedGeneration != set.Generation:
			parts = append(parts, words+", not looked at yet")
		case ready < wanted:
			parts = append(parts, words)
		}
	}
	return kube.Sentence(parts)
}
