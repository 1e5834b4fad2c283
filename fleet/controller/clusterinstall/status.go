package clusterinstall

import (
	"slices"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/api/meta"
)

// maxHistory is how many operations the history of a cluster names.
const maxHistory = 20

// status says what the plan made of what was seen.
func status(s *scope, err error) {
	c := s.cluster
	if s.seen == nil || s.plan.Cluster == "" {
		return
	}
	conditions := &c.Status.Conditions
	reason, message := s.plan.Reason, s.plan.Message
	switch {
	case s.plan.Installed:
		kube.True(conditions, c.Generation, v1alpha1.ConditionInstalled, v1alpha1.ReasonSucceeded, "etcd and the control plane are installed")
	case err != nil:
		kube.False(conditions, c.Generation, v1alpha1.ConditionInstalled, kube.Reason(err, v1alpha1.ReasonInstalling), err.Error())
	default:
		kube.False(conditions, c.Generation, v1alpha1.ConditionInstalled, installReason(s, reason), installMessage(s, message))
	}
	if s.plan.Verified {
		kube.True(conditions, c.Generation, v1alpha1.ConditionVerified, v1alpha1.ReasonSucceeded, "verify passed")
	} else {
		kube.False(conditions, c.Generation, v1alpha1.ConditionVerified, v1alpha1.ReasonPending, "verify has not passed yet")
	}
	for kind, message := range map[string]string{v1alpha1.ConditionAvailable: "the cluster is not built yet", v1alpha1.ConditionAddonsApplied: "the API server does not answer yet"} {
		if meta.FindStatusCondition(*conditions, kind) == nil {
			kube.False(conditions, c.Generation, kind, v1alpha1.ReasonPending, message)
		}
	}
	c.Status.History = history(s.seen)
	if err == nil {
		c.Status.ObservedGeneration = c.Generation
	}
}

// installMessage keeps short-lived details out: the deployment carries them.
func installMessage(s *scope, message string) string {
	if s.plan.Blocked {
		return message
	}
	return "etcd and the control plane are not installed yet"
}

// installReason is that of the plan only where a person has to act.
func installReason(s *scope, reason string) string {
	if s.plan.Blocked {
		return reason
	}
	return v1alpha1.ReasonInstalling
}

// history names the operations that ended, newest first.
func history(seen *view.Cluster) []v1alpha1.OperationRecord {
	var out []v1alpha1.OperationRecord
	for _, op := range slices.Backward(seen.Operations) {
		if !view.Finished(&op) || len(out) == maxHistory {
			continue
		}
		out = append(out, v1alpha1.OperationRecord{
			Name: op.Name, EntryPoint: op.Spec.EntryPoint, Phase: op.Status.Phase, Reason: op.Spec.Reason, FinishedAt: op.Status.FinishedAt,
		})
	}
	return out
}
