package clusterinstall

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/controller/view/viewtest"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
)

func TestStatus(t *testing.T) {
	type want struct {
		Installed, Verified, Available, Addons string
		Observed                               bool
	}
	const unverified, unbuilt, silent = "False Pending: verify has not passed yet", "False Pending: the cluster is not built yet", "False Pending: the API server does not answer yet"
	const building = "False Installing: etcd and the control plane are not installed yet"
	known := []metav1.Condition{
		viewtest.Condition(v1alpha1.ConditionAvailable, "True", v1alpha1.ReasonAsWanted, "it answers"),
		viewtest.Condition(v1alpha1.ConditionAddonsApplied, "True", v1alpha1.ReasonAsWanted, "applied: coredns"),
	}
	cases := map[string]struct {
		before []metav1.Condition
		plan   plan.Plan
		err    error
		want   want
	}{
		"says nothing before there is a plan": {nil, plan.Plan{}, errors.New("boom"), want{}},
		"is installing": {nil, plan.Plan{Cluster: "shop", Reason: v1alpha1.ReasonScaling, Message: "create on m1: 31 of 48 tasks"}, nil,
			want{building, unverified, unbuilt, silent, true}},
		"says what holds the installation": {nil, plan.Plan{Cluster: "shop", Blocked: true, Reason: v1alpha1.ReasonTooFewMachines, Message: "0 of 1 claimed"}, nil,
			want{"False TooFewMachines: 0 of 1 claimed", unverified, unbuilt, silent, true}},
		"says what went wrong": {nil, plan.Plan{Cluster: "shop"}, kube.Human(v1alpha1.ReasonUnknownContent, errors.New("content 0.9 is not carried")),
			want{"False UnknownContent: content 0.9 is not carried", unverified, unbuilt, silent, false}},
		"has no word for an error without a kind": {nil, plan.Plan{Cluster: "shop"}, errors.New("boom"),
			want{"False Installing: boom", unverified, unbuilt, silent, false}},
		"stays installed through an error": {known, plan.Plan{Cluster: "shop", Installed: true}, errors.New("boom"),
			want{"True Succeeded: etcd and the control plane are installed", unverified, "True AsWanted: it answers", "True AsWanted: applied: coredns", false}},
		"is verified, and leaves the words of others alone": {known, plan.Plan{Cluster: "shop", Installed: true, Verified: true, Blocked: true, Message: "scaling waits"}, nil,
			want{"True Succeeded: etcd and the control plane are installed", "True Succeeded: verify passed", "True AsWanted: it answers", "True AsWanted: applied: coredns", true}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Status: v1alpha1.ClusterStatus{Conditions: c.before}}
			status(&scope{cluster: cluster, seen: &view.Cluster{}, plan: c.plan}, c.err)
			words := func(kind string) string { return viewtest.Words(cluster.Status.Conditions, kind) }
			got := want{words(v1alpha1.ConditionInstalled), words(v1alpha1.ConditionVerified), words(v1alpha1.ConditionAvailable), words(v1alpha1.ConditionAddonsApplied), cluster.Status.ObservedGeneration == 3}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestHistoryNamesWhatEndedNewestFirst(t *testing.T) {
	seen := &view.Cluster{}
	for i := range maxHistory + 5 {
		o := v1alpha1.Operation{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("shop-scale-%d", i)}, Spec: v1alpha1.OperationSpec{EntryPoint: v1alpha1.EntryScale, Reason: "why"}}
		o.Status.Phase = v1alpha1.OperationSucceeded
		if i == maxHistory+3 {
			o.Status.Phase = v1alpha1.OperationRunning
		}
		seen.Operations = append(seen.Operations, o)
	}
	got := history(seen)
	if len(got) != maxHistory {
		t.Fatalf("it names %d operations, want %d", len(got), maxHistory)
	}
	want := v1alpha1.OperationRecord{Name: "shop-scale-24", EntryPoint: v1alpha1.EntryScale, Phase: v1alpha1.OperationSucceeded, Reason: "why"}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	if got[1].Name != "shop-scale-22" || got[maxHistory-1].Name != "shop-scale-4" {
		t.Errorf("it goes from %s, %s to %s", got[0].Name, got[1].Name, got[maxHistory-1].Name)
	}
}
