package machineset

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view/viewtest"
	"github.com/slipway-dev/slipway/kube"
)

func TestStatus(t *testing.T) {
	type want struct {
		Claimed, Available string
		// Counts are claimed, deployed and ready machines.
		Counts   [3]int32
		Observed bool
	}
	phases := func(list ...v1alpha1.MachinePhase) []*v1alpha1.Machine {
		var machines []*v1alpha1.Machine
		for _, p := range list {
			machines = append(machines, &v1alpha1.Machine{Status: v1alpha1.MachineStatus{Phase: p}})
		}
		return machines
	}
	ready := v1alpha1.MachineReady
	cases := map[string]struct {
		wanted          int32
		staying         []*v1alpha1.Machine
		reason, message string
		err             error
		want            want
	}{
		"is available when all are ready": {2, phases(ready, ready), "", "", nil,
			want{"True AsWanted: 2 of 2 claimed", "True AsWanted: 2 of 2 ready", [3]int32{2, 2, 2}, true}},
		"is available with nothing wanted": {0, nil, "", "", nil,
			want{"True AsWanted: 0 of 0 claimed", "True AsWanted: 0 of 0 ready", [3]int32{}, true}},
		"counts what is installed and not seen at work": {3, phases(ready, v1alpha1.MachineDeployed, v1alpha1.MachineDeploying), "", "", nil,
			want{"True AsWanted: 3 of 3 claimed", "False Scaling: 1 of 3 ready", [3]int32{3, 2, 1}, true}},
		"stays available while one too many leaves": {1, phases(ready, ready), "", "", nil,
			want{"True AsWanted: 2 of 1 claimed", "True AsWanted: 2 of 1 ready", [3]int32{2, 2, 2}, true}},
		"says why the pool has too few": {3, phases(ready), v1alpha1.ReasonTooFewMachines, "1 of 3 claimed; the pool has no other machines", nil,
			want{"False TooFewMachines: 1 of 3 claimed; the pool has no other machines", "False TooFewMachines: 1 of 3 ready; 1 of 3 claimed; the pool has no other machines", [3]int32{1, 1, 1}, true}},
		"says why nothing is claimed": {3, nil, v1alpha1.ReasonFrozen, "everything is frozen: noon", nil,
			want{"False Frozen: everything is frozen: noon", "False Scaling: 0 of 3 ready", [3]int32{}, true}},
		"is content with what it holds while everything is frozen": {1, phases(ready), v1alpha1.ReasonFrozen, "everything is frozen: noon", nil,
			want{"True AsWanted: 1 of 1 claimed", "True AsWanted: 1 of 1 ready", [3]int32{1, 1, 1}, true}},
		"is not available while the cluster is deleted": {1, phases(ready), v1alpha1.ReasonDeleting, "the cluster is being deleted", nil,
			want{"False Deleting: the cluster is being deleted", "False Deleting: the cluster is being deleted", [3]int32{1, 1, 1}, true}},
		"does not claim to have looked after an error": {2, phases(ready), "", "", kube.Wait(v1alpha1.ReasonTooFewMachines, time.Second, errors.New("conflict")),
			want{"False TooFewMachines: 1 of 2 claimed", "False Scaling: 1 of 2 ready", [3]int32{1, 1, 1}, false}},
		"has the claims after an error elsewhere": {1, phases(ready), "", "", errors.New("conflict"),
			want{"True AsWanted: 1 of 1 claimed", "True AsWanted: 1 of 1 ready", [3]int32{1, 1, 1}, false}},
		"is pending before anything was said": {1, nil, "", "", nil,
			want{"False Pending: 0 of 1 claimed", "False Scaling: 0 of 1 ready", [3]int32{}, true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			set := &v1alpha1.MachineSet{ObjectMeta: metav1.ObjectMeta{Generation: 7}, Spec: v1alpha1.MachineSetSpec{Replicas: ptr.To(c.wanted)}}
			status(&scope{set: set, staying: c.staying, reason: c.reason, message: c.message}, c.err)
			got := want{
				viewtest.Words(set.Status.Conditions, v1alpha1.ConditionClaimed), viewtest.Words(set.Status.Conditions, v1alpha1.ConditionAvailable),
				[3]int32{*set.Status.ClaimedReplicas, *set.Status.DeployedReplicas, *set.Status.ReadyReplicas}, set.Status.ObservedGeneration == 7,
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
