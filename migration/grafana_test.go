//go:build plane

package migration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube/kubetest"
)

// withGrafana asks for one with the data of the old one, and lets all pass.
func withGrafana(m *v1alpha1.PrometheusMigration) {
	m.Spec.Grafana = &v1alpha1.GrafanaTarget{Name: "grafana", Image: "grafana/grafana:12.0.0", SettingsSecretName: "grafana-settings",
		From: &v1alpha1.GrafanaOrigin{URL: "http://198.18.0.21:3000", APISecretName: "grafana-admin"}}
	m.Spec.Gates = v1alpha1.Gates{Cutover: v1alpha1.GateAuto, Finalize: v1alpha1.GateAuto}
	m.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff}
}

// silent says whether its Deployment keeps it from evaluating alert rules.
func (y *yard) silent(ctx context.Context) (silent bool, err error) {
	var d appsv1.Deployment
	if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "grafana"}, &d); err != nil {
		return false, err
	}
	for _, e := range d.Spec.Template.Spec.Containers[0].Env {
		silent = silent || e.Name == "GF_UNIFIED_ALERTING_EXECUTE_ALERTS" && e.Value == "false"
	}
	return silent, nil
}

// TestAGrafanaComesAlong makes it before data moves, brings it anew where a person asks for that, and has it tell of alerts at the end.
func TestAGrafanaComesAlong(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.migration(func(m *v1alpha1.PrometheusMigration) {
		withGrafana(m)
		m.Spec.Gates.Cutover = v1alpha1.GateManual
	})
	y.operator()
	y.until("a Grafana that is ready", func(m *v1alpha1.PrometheusMigration) bool {
		return meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionGrafanaReady)
	})
	y.until("the first proof", func(m *v1alpha1.PrometheusMigration) bool { return m.Status.Proof != nil })
	m := y.until("the gate of the cutover", func(m *v1alpha1.PrometheusMigration) bool { return len(m.Status.NeedsApproval) > 0 })
	if g := m.Status.Grafana; g == nil || g.Summary != "12 dashboards on both" || g.URL != "http://grafana."+y.ns+".svc:3000" || g.BroughtAt == nil || !meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionGrafanaReady) {
		t.Errorf("at the gate: %+v; %s", g, describe(m))
	}
	if silent, err := y.silent(t.Context()); err != nil || !silent {
		t.Errorf("beside the old one it evaluates alert rules, too: %v", err)
	}
	for _, o := range []client.Object{&corev1.Service{}, &corev1.PersistentVolumeClaim{}} {
		name := map[bool]string{true: "grafana", false: "grafana-data"}[fmt.Sprintf("%T", o) == "*v1.Service"]
		if err := y.client.Get(t.Context(), client.ObjectKey{Namespace: y.ns, Name: name}, o); err != nil || o.GetLabels()[v1alpha1.NameLabel] != "ecs" || len(o.GetOwnerReferences()) > 0 {
			t.Errorf("%s: %v, labels %v, owners %v", name, err, o.GetLabels(), o.GetOwnerReferences())
		}
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "ecs-grafana"}}
	if err := y.client.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	y.approve(v1alpha1.ApprovalCutover)
	y.until("both are compared again", func(*v1alpha1.PrometheusMigration) bool { pods, _ := y.counts(); return pods["alike"] == 2 })
	y.until("the cutover", func(m *v1alpha1.PrometheusMigration) bool { return m.Status.CutOverAt != nil })
	m = y.reaches(v1alpha1.PhaseFinalized)
	if pods, _ := y.counts(); pods["grafana"] != 2 || pods["alike"] != 2 {
		t.Errorf("brought %d times and compared %d times, want 2 and 2", pods["grafana"], pods["alike"])
	}
	if notes := strings.Join(m.Status.Notes, " "); !strings.Contains(notes, "the old Grafana at http://198.18.0.21:3000") {
		t.Errorf("it is not told that the old one can be switched off: %s", notes)
	}
	kubetest.Eventually(t, "it evaluates its alert rules", func(ctx context.Context) error {
		if silent, err := y.silent(ctx); err != nil || silent {
			return fmt.Errorf("silent: %v %w", silent, err)
		}
		return nil
	})
	y.deleted()
	y.kept(true)
	if _, err := y.silent(t.Context()); err != nil {
		t.Errorf("it went with the migration: %v", err)
	}
}

// TestAGrafanaGoesBack stops by a rule, goes on when that is mended, and goes away with the move. Its claim stays.
func TestAGrafanaGoesBack(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.play("alike", func(*yard, *corev1.Pod, int) ([]any, *int32) {
		return ends(1, object{"verdict": "Refused", "findings": []any{object{"rule": "grafana_dashboards_equal", "verdict": "Refused", "says": "the new one lacks 1 of 12"}}})
	})
	y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
	y.migration(withGrafana)
	y.operator()
	m := y.until("a stop by its rule", func(m *v1alpha1.PrometheusMigration) bool {
		return m.Status.Stop != nil && m.Status.Stop.Rule == "grafana_dashboards_equal"
	})
	if pods, _ := y.counts(); pods["move"] > 0 {
		t.Errorf("data moves although it is not equal: %s", describe(m))
	}
	y.play("alike", scripts()["alike"])
	y.change(func(m *v1alpha1.PrometheusMigration) {
		m.Annotations = map[string]string{v1alpha1.RetryAnnotation: "now"}
	})
	y.reaches(v1alpha1.PhaseStage)
	y.change(func(m *v1alpha1.PrometheusMigration) { m.Spec.Goal = v1alpha1.GoalRolledBack })
	m = y.reaches(v1alpha1.PhaseRolledBack)
	if m.Status.Grafana != nil {
		t.Errorf("the status still tells of %+v", m.Status.Grafana)
	}
	y.grafanaIsGone()
}

// TestAGrafanaThatBeginsEmpty gets a data source for the users' Service, and nothing is brought to it.
func TestAGrafanaThatBeginsEmpty(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
	y.migration(func(m *v1alpha1.PrometheusMigration) {
		withGrafana(m)
		m.Spec.Grafana.From, m.Spec.Grafana.SettingsSecretName = nil, ""
	})
	y.operator()
	y.reaches(v1alpha1.PhaseStage)
	name := client.ObjectKey{Namespace: y.ns, Name: "grafana-datasources"}
	var config corev1.ConfigMap
	if err := y.client.Get(t.Context(), name, &config); err != nil || !strings.Contains(config.Data["datasources.yaml"], "http://prometheus."+y.ns+".svc:9090") {
		t.Errorf("%v %v", err, config.Data)
	}
	if silent, err := y.silent(t.Context()); err != nil || silent {
		t.Errorf("it does not evaluate alert rules, and nobody else has them: %v", err)
	}
	if pods, _ := y.counts(); pods["grafana"]+pods["alike"] > 0 {
		t.Errorf("something was brought: %v", pods)
	}
	y.change(func(m *v1alpha1.PrometheusMigration) { m.Spec.Goal = v1alpha1.GoalRolledBack })
	y.reaches(v1alpha1.PhaseRolledBack)
	y.grafanaIsGone()
	if err := y.client.Get(t.Context(), name, &config); !apierrors.IsNotFound(err) {
		t.Errorf("its ConfigMap is left: %v", err)
	}
}

// TestSomebodyElsesGrafanaIsLeftAlone refuses to write to a claim that another one has.
func TestSomebodyElsesGrafanaIsLeftAlone(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "grafana-data"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
	kubetest.Must(t, y.client, claim)
	y.migration(withGrafana)
	y.operator()
	y.until("a word about the claim", func(m *v1alpha1.PrometheusMigration) bool {
		c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionSpecValid)
		return c != nil && c.Reason == v1alpha1.ReasonInvalidSpec && strings.Contains(c.Message, "spec.grafana.name: there is a PersistentVolumeClaim grafana-data already")
	})
}

func (y *yard) grafanaIsGone() {
	y.t.Helper()
	kubetest.Eventually(y.t, "Grafana is gone and its claim stays", func(ctx context.Context) error {
		for _, o := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}} {
			if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "grafana"}, o); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%T: %w", o, errors.Join(err, errors.New("is there")))
			}
		}
		return y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "grafana-data"}, &corev1.PersistentVolumeClaim{})
	})
}

// TestAnOperatorKilledAtGrafanaRepeatsNothing kills it at each point of Grafana's steps; another one goes on.
func TestAnOperatorKilledAtGrafanaRepeatsNothing(t *testing.T) {
	for _, point := range []string{"migration.MakeGrafanaClaim", "migration.beforeGrafana", "migration.MakeGrafana"} {
		t.Run("at "+point, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.life = kubetest.NewLife(point)
			y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
			y.migration(withGrafana)
			stop := y.operator()
			<-y.life.Ended()
			stop()
			y.life = nil
			y.operator()
			y.reaches(v1alpha1.PhaseStage)
			pods, _ := y.counts()
			want := map[role]int{"rehearse": 1, "preflight": 1, "grafana": 1, "alike": 1, "move": 1}
			if diff := cmp.Diff(want, pods); diff != "" {
				t.Errorf("pods of jobs (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("at migration.StopGrafana", func(t *testing.T) {
		t.Parallel()
		y := newYard(t)
		y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
		y.migration(withGrafana)
		y.life = kubetest.NewLife("migration.StopGrafana")
		stop := y.operator()
		y.reaches(v1alpha1.PhaseStage)
		y.change(func(m *v1alpha1.PrometheusMigration) { m.Spec.Goal = v1alpha1.GoalRolledBack })
		<-y.life.Ended()
		stop()
		y.life = nil
		y.operator()
		y.reaches(v1alpha1.PhaseRolledBack)
		y.grafanaIsGone()
	})
}
