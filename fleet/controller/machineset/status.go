package machineset

import (
	"fmt"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/utils/ptr"
)

// status counts what a pass saw.
func status(s *scope, err error) {
	set, wanted := s.set, replicas(s.set)
	deployed, ready := 0, 0
	for _, m := range s.staying {
		switch m.Status.Phase {
		case v1alpha1.MachineReady:
			deployed, ready = deployed+1, ready+1
		case v1alpha1.MachineDeployed:
			deployed++
		}
	}
	set.Status.ClaimedReplicas = ptr.To(int32(len(s.staying)))
	set.Status.DeployedReplicas = ptr.To(int32(deployed))
	set.Status.ReadyReplicas = ptr.To(int32(ready))
	c := &set.Status.Conditions
	switch {
	case err != nil && len(s.staying) < wanted:
		kube.False(c, set.Generation, v1alpha1.ConditionClaimed, kube.Reason(err, v1alpha1.ReasonPending), fmt.Sprintf("%d of %d claimed", len(s.staying), wanted))
	case len(s.staying) >= wanted && s.reason != v1alpha1.ReasonDeleting:
		kube.True(c, set.Generation, v1alpha1.ConditionClaimed, v1alpha1.ReasonAsWanted, fmt.Sprintf("%d of %d claimed", len(s.staying), wanted))
	default:
		kube.False(c, set.Generation, v1alpha1.ConditionClaimed, worded(s.reason, v1alpha1.ReasonPending), worded(s.message, fmt.Sprintf("%d of %d claimed", len(s.staying), wanted)))
	}
	message := fmt.Sprintf("%d of %d ready", ready, wanted)
	switch {
	case s.reason == v1alpha1.ReasonDeleting:
		kube.False(c, set.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonDeleting, s.message)
	case ready >= wanted:
		kube.True(c, set.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonAsWanted, message)
	case s.reason == v1alpha1.ReasonTooFewMachines:
		kube.False(c, set.Generation, v1alpha1.ConditionAvailable, s.reason, message+"; "+s.message)
	default:
		kube.False(c, set.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonScaling, message)
	}
	if err == nil {
		set.Status.ObservedGeneration = set.Generation
	}
}

func worded(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
