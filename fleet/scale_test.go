//go:build plane

package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube/kubetest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (s *sim) replicas(name string, workers int32) {
	d := &v1alpha1.ClusterDeployment{}
	d.Namespace, d.Name = s.ns, name
	kubetest.Change(s.t, s.client, d, func(d *v1alpha1.ClusterDeployment) { d.Spec.Workers[0].Replicas = ptr.To(workers) })
}

// newShop is a world of machines of which some are the cluster shop: Ready, one control plane, one etcd and these workers.
func newShop(t *testing.T, machines int, workers int32) *sim {
	t.Helper()
	s := newSim(t)
	s.machines(machines)
	s.operator()
	s.idles(machines)
	kubetest.Must(t, s.client, s.deployment("shop", workers))
	s.ready("shop", int(workers)+2)
	return s
}

// operations are those of an entry point, or all of them.
func (s *sim) operations(entry ...v1alpha1.EntryPoint) []v1alpha1.Operation {
	s.t.Helper()
	options := []client.ListOption{client.InNamespace(s.ns)}
	for _, e := range entry {
		options = append(options, client.MatchingLabels{v1alpha1.EntryPointLabel: string(e)})
	}
	var ops v1alpha1.OperationList
	if err := s.client.List(s.t.Context(), &ops, options...); err != nil {
		s.t.Fatal(err)
	}
	return ops.Items
}

func TestScaleOutTouchesTheJoiningMachinesOnly(t *testing.T) {
	t.Parallel()
	s := newShop(t, 6, 1)
	s.replicas("shop", 3)
	s.ready("shop", 5)
	joined := map[string]bool{}
	for _, op := range s.operations(v1alpha1.EntryScale) {
		for _, m := range op.Spec.Machines {
			joined[m] = true
		}
	}
	if len(joined) != 2 {
		t.Errorf("scale ran on %v, want two machines", joined)
	}
	if n := len(s.operations(v1alpha1.EntryCreate)); n != 1 {
		t.Errorf("%d create operations, want 1", n)
	}
}

func TestScaleInGivesCleanMachinesBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, 5, 3)
	var marked *v1alpha1.Machine
	for _, m := range s.all(t.Context()) {
		if strings.HasSuffix(m.Spec.ClaimRef.MachineSet, "-general") {
			marked = m.DeepCopy()
			break
		}
	}
	kubetest.Change(t, s.client, marked, func(m *v1alpha1.Machine) { m.Annotations = map[string]string{v1alpha1.DeleteFirstAnnotation: ""} })
	s.replicas("shop", 2)
	s.ready("shop", 4)
	s.idles(1)
	for _, m := range s.all(t.Context()) {
		if idle(&m) && m.Name != marked.Name {
			t.Errorf("machine %s left, want the one that was marked: %s", m.Name, marked.Name)
		}
	}
	s.replicas("shop", 3)
	s.ready("shop", 5)
}

func TestTwoDeploymentsOnOnePoolShareNoMachine(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(12)
	s.operator()
	s.idles(12)
	for i := range 4 {
		kubetest.Must(t, s.client, s.deployment(fmt.Sprintf("c%d", i), 1))
	}
	for i := range 4 {
		s.ready(fmt.Sprintf("c%d", i), 3)
	}
	ran := map[string]string{}
	for _, op := range s.operations(v1alpha1.EntryCreate) {
		for _, m := range op.Spec.Machines {
			if other, ok := ran[m]; ok {
				t.Errorf("machine %s was installed for %s and for %s", m, other, op.Spec.ClusterName)
			}
			ran[m] = op.Spec.ClusterName
		}
	}
}

func TestTooFewMachinesAreNamedWithTheirReasons(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(3)
	s.operator()
	s.idles(3)
	quarantined := s.machine(3)
	kubetest.Change(t, s.client, quarantined, func(m *v1alpha1.Machine) {
		m.Spec.Quarantine = &v1alpha1.Quarantine{Reason: v1alpha1.ReasonByHand, Message: "fan"}
	})
	s.idles(2)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	kubetest.Eventually(t, "the shortage is reported", func(ctx context.Context) error {
		d := &v1alpha1.ClusterDeployment{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: "shop"}, d); err != nil {
			return err
		}
		i := slices.IndexFunc(d.Status.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionMachinesClaimed })
		if i < 0 || !strings.Contains(d.Status.Conditions[i].Message, "1 quarantined") || d.Status.Conditions[i].Reason != v1alpha1.ReasonTooFewMachines {
			return fmt.Errorf("conditions: %s", s.describe(ctx, d))
		}
		return nil
	})
	kubetest.Change(t, s.client, quarantined, func(m *v1alpha1.Machine) { m.Spec.Quarantine = nil })
	s.ready("shop", 3)
}
