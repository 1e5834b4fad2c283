package clusterdeployment

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/controller/view/viewtest"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
)

// start is a cluster of one control plane machine and two workers, with everything as wanted; a case changes it.
type start struct {
	deployment *v1alpha1.ClusterDeployment
	cluster    *v1alpha1.Cluster
	sets       []v1alpha1.MachineSet
	plan       plan.Plan
	invalid    string
	unseen     bool
	err        error
}

func wantedSet(name string, role v1alpha1.Role, wanted int32) v1alpha1.MachineSet {
	return v1alpha1.MachineSet{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1}, Spec: v1alpha1.MachineSetSpec{Role: role, Replicas: &wanted},
		Status: v1alpha1.MachineSetStatus{ObservedGeneration: 1, ClaimedReplicas: ptr.To(wanted), ReadyReplicas: ptr.To(wanted), Conditions: []metav1.Condition{
			viewtest.Condition(v1alpha1.ConditionClaimed, "True", v1alpha1.ReasonAsWanted, "all claimed"),
		}},
	}
}

func newStart() *start {
	s := &start{
		deployment: &v1alpha1.ClusterDeployment{ObjectMeta: metav1.ObjectMeta{Name: "shop", Generation: 4}}, cluster: viewtest.Built(),
		sets: []v1alpha1.MachineSet{wantedSet("shop-control-plane", v1alpha1.RoleControlPlane, 1), wantedSet("shop-general", v1alpha1.RoleCompute, 2)},
		plan: plan.Plan{Cluster: "shop", State: plan.StateAvailable, Reason: v1alpha1.ReasonAsWanted, Message: "everything is as wanted"},
	}
	s.cluster.Status.Conditions = append(s.cluster.Status.Conditions, viewtest.Condition(v1alpha1.ConditionAvailable, "True", v1alpha1.ReasonAsWanted, "the API server answers"))
	s.cluster.Spec.SettingsDigest = plan.SettingsDigest(s.deployment.Spec)
	return s
}

// outcome is the status in words; counts are desired, claimed and ready.
type outcome struct {
	State, Ready, Progressing, Available, Claimed, Valid, UpToDate string
	ControlPlane, Workers, Etcd                                    []int32
	Observed                                                       bool
}

func good() outcome {
	return outcome{
		State: "Available", Ready: "True AsWanted: everything is as wanted", Progressing: "True AsWanted: everything is as wanted",
		Available: "True AsWanted: the API server answers", Claimed: "True AsWanted: 2 machine sets hold what they want", Valid: "True AsWanted: the settings can be built",
		UpToDate: "True AsWanted: nodes have the settings that are written and the newest content", ControlPlane: []int32{1, 1, 1}, Workers: []int32{2, 2, 2}, Observed: true,
	}
}

func TestStatus(t *testing.T) {
	const unbuilt = "False Pending: the cluster is not built yet"
	claimed := func(s *start, reason, message string) {
		s.sets[1].Status.Conditions[0] = viewtest.Condition(v1alpha1.ConditionClaimed, "False", reason, message)
	}
	cases := map[string]struct {
		change func(*start)
		want   func(*outcome)
	}{
		"is ready when everything is as wanted": {func(*start) {}, func(*outcome) {}},
		"adds up the sets of workers, and etcd apart": {func(s *start) {
			s.sets = append(s.sets, wantedSet("shop-disks", v1alpha1.RoleCompute, 3), wantedSet("shop-etcd", v1alpha1.RoleEtcd, 3))
		}, func(o *outcome) {
			o.Workers, o.Etcd, o.Claimed = []int32{5, 5, 5}, []int32{3, 3, 3}, "True AsWanted: 4 machine sets hold what they want"
		}},
		"is not ready while machines are not at work": {func(s *start) { s.sets[1].Status.ReadyReplicas = ptr.To(int32(1)) }, func(o *outcome) {
			o.Ready, o.Workers, o.Observed = "False Scaling: shop-general: 1 of 2 ready", []int32{2, 2, 1}, false
		}},
		"is not ready before a changed set was looked at": {func(s *start) { s.sets[1].Generation = 2 }, func(o *outcome) {
			o.Claimed, o.Ready, o.Observed = "False Pending: shop-general: not looked at yet", "False Scaling: shop-general: 2 of 2 ready, not looked at yet", false
		}},
		"says which set lacks machines": {func(s *start) { claimed(s, v1alpha1.ReasonTooFewMachines, "1 of 2 claimed") }, func(o *outcome) {
			o.Claimed = "False TooFewMachines: shop-general: 1 of 2 claimed"
		}},
		"says which set nobody has looked at": {func(s *start) { s.sets[1].Status = v1alpha1.MachineSetStatus{} }, func(o *outcome) {
			o.Claimed, o.Workers = "False Pending: shop-general: not looked at yet", []int32{2, 0, 0}
			o.Ready, o.Observed = "False Scaling: shop-general: 0 of 2 ready, not looked at yet", false
		}},
		"has no sets yet": {func(s *start) {
			s.sets, s.cluster, s.plan = nil, nil, plan.Plan{State: plan.StatePending, Reason: v1alpha1.ReasonPending, Message: "waits for its sets"}
		}, func(o *outcome) {
			*o = outcome{State: "Pending", Ready: "False Pending: waits for its sets", Progressing: "True Pending: waits for its sets", Available: unbuilt,
				Claimed: "False Pending: no machine sets yet", Valid: o.Valid, ControlPlane: []int32{0, 0, 0}, Workers: []int32{0, 0, 0}}
		}},
		"repeats that the API server does not answer": {func(s *start) {
			s.cluster.Status.Conditions[1] = viewtest.Condition(v1alpha1.ConditionAvailable, "False", v1alpha1.ReasonClusterUnreachable, "the API server does not answer")
		}, func(o *outcome) {
			o.Available = "False ClusterUnreachable: the API server does not answer"
			o.Ready, o.Observed = o.Available, false
		}},
		"says in the words of the plan who must act": {func(s *start) {
			s.plan = plan.Plan{State: plan.StateFailing, Blocked: true, Reason: v1alpha1.ReasonOperationFailed, Message: "installing failed on 8 machines in a row"}
		}, func(o *outcome) {
			o.State, o.Ready, o.Observed = plan.StateFailing, "False OperationFailed: installing failed on 8 machines in a row", false
			o.Progressing = o.Ready
		}},
		"refuses settings that cannot be built": {func(s *start) { s.invalid = "spec.network.podCIDRs[0]: is too small" }, func(o *outcome) {
			o.Valid = "False InvalidSpec: spec.network.podCIDRs[0]: is too small"
		}},
		"is behind in content": {func(s *start) { s.cluster.Spec.ContentVersion = "0.9" }, func(o *outcome) {
			o.UpToDate = "False ContentBehind: content 0.9 (newest " + viewtest.ContentVersion + ")"
		}},
		"is behind in settings": {func(s *start) { s.cluster.Spec.SettingsDigest = "sha256:other" }, func(o *outcome) {
			o.UpToDate = "False SettingsChanged: settings of components were changed after the cluster was built: only machines that join from now on get them"
		}},
		"keeps what it knows when it could not look": {func(s *start) {
			s.unseen, s.err = true, errors.New("boom")
			s.deployment.Status.State = plan.StateAvailable
			s.deployment.Status.Conditions = []metav1.Condition{viewtest.Condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonAsWanted, "fine")}
		}, func(o *outcome) {
			const unknown = "Unknown Pending: boom"
			*o = outcome{State: "Available", Ready: "True AsWanted: fine", Progressing: unknown, Available: unknown, Claimed: unknown, Valid: o.Valid}
		}},
		"says why it could not look at first": {func(s *start) {
			s.unseen, s.err = true, kube.Human(v1alpha1.ReasonUnknownContent, errors.New("content 0.9 is not carried"))
		}, func(o *outcome) {
			const unknown = "Unknown UnknownContent: content 0.9 is not carried"
			*o = outcome{State: "Pending", Ready: unknown, Progressing: unknown, Available: unknown, Claimed: unknown, Valid: o.Valid}
		}},
		"says nothing when it stopped without an error": {func(s *start) { s.unseen = true }, func(o *outcome) { *o = outcome{Valid: o.Valid} }},
		"says nothing of settings while it is deleted": {func(s *start) {
			s.deployment.DeletionTimestamp = &metav1.Time{Time: viewtest.Now}
			s.plan = plan.Plan{State: plan.StateDeleting, Reason: v1alpha1.ReasonDeleting, Message: "remove on m1"}
		}, func(o *outcome) {
			o.State, o.Ready, o.Progressing, o.Valid, o.UpToDate, o.Observed = "Deleting", "False Deleting: remove on m1", "True Deleting: remove on m1", "", "", false
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, want := newStart(), good()
			c.change(s)
			c.want(&want)
			if diff := cmp.Diff(want, s.status(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func (s *start) status() outcome {
	r := &Reconciler{Options: Options{View: &view.View{Content: view.Content{Version: viewtest.ContentVersion}}}}
	p := &scope{deployment: s.deployment, invalid: s.invalid, plan: s.plan}
	if !s.unseen {
		p.seen = &view.Cluster{Deployment: s.deployment, Object: s.cluster, Sets: s.sets}
	}
	r.status(p, s.err)
	d := s.deployment
	words := func(kind string) string { return viewtest.Words(d.Status.Conditions, kind) }
	return outcome{
		State: d.Status.State, Ready: words(v1alpha1.ConditionReady), Progressing: words(v1alpha1.ConditionProgressing), Available: words(v1alpha1.ConditionAvailable),
		Claimed: words(v1alpha1.ConditionMachinesClaimed), Valid: words(v1alpha1.ConditionSpecValid), UpToDate: words(v1alpha1.ConditionUpToDate),
		ControlPlane: counts(d.Status.ControlPlane), Workers: counts(d.Status.Workers), Etcd: counts(d.Status.Etcd), Observed: d.Status.ObservedGeneration == d.Generation,
	}
}

func counts(s *v1alpha1.ReplicaSummary) []int32 {
	if s == nil {
		return nil
	}
	return []int32{*s.Desired, *s.Claimed, *s.Ready}
}
