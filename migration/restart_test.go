//go:build plane

package migration_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube/kubetest"
)

// TestAKilledOperatorRepeatsNothing kills it at each named point; another one goes on to the end.
func TestAKilledOperatorRepeatsNothing(t *testing.T) {
	for i, point := range []string{"migration.facts", "migration.recorded", "migration.MakeClaim", "migration.beforeServer", "migration.MakeTarget", "migration.MakeShim",
		"migration.Run", "migration.Configure", "migration.Restart", "migration.RemoveShim"} {
		t.Run("at "+point, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.life = kubetest.NewLife(point)
			y.migration(func(m *v1alpha1.PrometheusMigration) {
				m.Spec.Target.StatefulSet.Service = v1alpha1.Service{Type: corev1.ServiceTypeNodePort, NodePort: 30100 + int32(i)}
				m.Spec.Gates = v1alpha1.Gates{Cutover: v1alpha1.GateAuto, Finalize: v1alpha1.GateAuto}
				m.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff}
			})
			stop := y.operator()
			<-y.life.Ended()
			stop()
			y.life = nil
			y.operator()
			y.reaches(v1alpha1.PhaseFinalized)
			pods, servers := y.counts()
			want := map[role]int{"rehearse": 1, "preflight": 1, "move": 1, "proof": 1, "cutover": 1, "finalize": 1}
			if diff := cmp.Diff(want, pods); diff != "" || servers != 2 {
				t.Errorf("the target had %d pods, want 2; pods of jobs (-want +got):\n%s", servers, diff)
			}
		})
	}
}
