//go:build plane

package migration_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/plane/planetest"
)

// TestIntoAnotherCluster goes the whole way into a cluster that a Secret has the kubeconfig of, and nothing of it lands in the cluster of the
// migration. Then that cluster is lost: a migration that is deleted waits for a word of a person.
func TestIntoAnotherCluster(t *testing.T) {
	t.Parallel()
	other := planetest.Start(t)
	kubeconfig, err := os.ReadFile(other.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	y := newYardIn(t, other.Config())
	kubetest.Must(t, y.home, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "other"}, Data: map[string][]byte{"value": kubeconfig}})
	y.migration(func(m *v1alpha1.PrometheusMigration) {
		m.Spec.Target.KubeconfigSecretName = "other"
		m.Spec.Gates = v1alpha1.Gates{Cutover: v1alpha1.GateAuto, Finalize: v1alpha1.GateManual}
		m.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff}
	})
	y.operator()
	y.until("the gate of the end", func(m *v1alpha1.PrometheusMigration) bool {
		return m.Status.CutOverAt != nil && len(m.Status.NeedsApproval) == 1
	})
	y.led("after the cutover", newServer)
	y.ready.Store(false)
	y.led("while the target is not ready", oldServer)
	y.ready.Store(true)
	y.led("when it is again", newServer)
	y.approve(v1alpha1.ApprovalFinalize)
	y.reaches(v1alpha1.PhaseFinalized)
	for _, list := range []client.ObjectList{&batchv1.JobList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.PersistentVolumeClaimList{}} {
		if err := y.home.List(t.Context(), list, client.InNamespace(y.ns)); err != nil || meta.LenList(list) > 0 {
			t.Errorf("in the cluster of the migration: %v, %d of %T", err, meta.LenList(list), list)
		}
	}
	y.kept(true)

	if err := other.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.PrometheusMigration{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "ecs"}}
	if err := y.home.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	y.until("what is to be done", func(m *v1alpha1.PrometheusMigration) bool {
		p := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionProgressing)
		return p != nil && strings.Contains(p.Message, v1alpha1.AbandonAnnotation) && strings.Contains(p.Message, "stays behind: in that cluster")
	})
	y.change(func(m *v1alpha1.PrometheusMigration) {
		m.Annotations = map[string]string{v1alpha1.AbandonAnnotation: "the rack burnt"}
	})
	kubetest.Eventually(t, "the migration is let go of", func(ctx context.Context) error {
		if err := y.home.Get(ctx, client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
			return errors.New(describe(m))
		}
		return nil
	})
}

// TestASpecThatBecameWrongForgetsNothing deletes a migration whose spec cannot be followed any more while its blocks travel.
func TestASpecThatBecameWrongForgetsNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
	y.migration(nil)
	y.operator()
	y.reaches(v1alpha1.PhaseStage)
	y.change(func(m *v1alpha1.PrometheusMigration) {
		m.Spec.Cutover.Window = &v1alpha1.Window{From: "02:00", To: "05:00", TimeZone: "Mars/Olympus"}
	})
	y.until("a word about the spec", func(m *v1alpha1.PrometheusMigration) bool {
		return meta.IsStatusConditionFalse(m.Status.Conditions, v1alpha1.ConditionProgressing)
	})
	y.deleted()
	y.kept(false)
	if pods, _ := y.counts(); pods["undo"] == 0 {
		t.Errorf("nothing was undone: %v", pods)
	}
}
