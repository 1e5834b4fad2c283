//go:build plane

package migration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube/kubetest"
)

// TestTheWholeWay goes from the first look to the end, with every word of a person asked for in its place.
func TestTheWholeWay(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.migration(nil)
	y.operator()
	m := y.until("the gate of the cutover", func(m *v1alpha1.PrometheusMigration) bool { return len(m.Status.NeedsApproval) > 0 })
	if p := m.Status.Proof; m.Status.Phase != v1alpha1.PhaseCutover || p == nil || p.AfterRestart != v1alpha1.AfterRestartDone || m.Status.Blocks.Text != "12/3/31" {
		t.Errorf("at the gate: %s; proof %+v", describe(m), p)
	}
	if to := y.leadsTo(t.Context()); to != oldServer {
		t.Errorf("before the cutover users are led to %q", to)
	}
	y.approve(v1alpha1.ApprovalCutover)
	m = y.until("the edit of the source", func(m *v1alpha1.PrometheusMigration) bool {
		return len(m.Status.NeedsApproval) == 1 && m.Status.NeedsApproval[0] == v1alpha1.ApprovalSourceAlertingOff
	})
	if text := y.config(t.Context()); m.Status.Diff == "" || !strings.Contains(text, "alerting:") || strings.Contains(text, "remote_write:") {
		t.Errorf("the diff is %q; the target runs with:\n%s", m.Status.Diff, text)
	}
	y.approve(v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff)
	y.until("the gate of the end", func(m *v1alpha1.PrometheusMigration) bool {
		return m.Status.CutOverAt != nil && len(m.Status.NeedsApproval) == 1 && m.Status.NeedsApproval[0] == v1alpha1.ApprovalFinalize
	})
	y.led("after the cutover", newServer)
	y.ready.Store(false)
	y.led("while the target is not ready", oldServer)
	hole := make(chan struct{})
	y.play("proof", func(y *yard, pod *corev1.Pod, tick int) ([]any, *int32) {
		select {
		case <-hole:
			return looksAgain(y, pod, tick)
		default:
			return []any{progress("Seam", object{"waits": []string{"its head is cut"}})}, nil
		}
	})
	y.ready.Store(true)
	y.approve(v1alpha1.ApprovalFinalize)
	y.until("what the target missed is brought", func(m *v1alpha1.PrometheusMigration) bool {
		p := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionProgressing)
		pods, _ := y.counts()
		return pods["proof"] == 2 && p.Reason == v1alpha1.ReasonFilling && strings.Contains(p.Message, "missed_samples_are_brought_first: the target did not answer at") &&
			strings.Contains(m.Status.Endpoint.Reason, "back_while_target_lacks_samples")
	})
	if to := y.leadsTo(t.Context()); to != oldServer {
		t.Errorf("while the target lacks samples users are led to %q", to)
	}
	close(hole)
	y.led("when it lacks nothing", newServer)
	m = y.reaches(v1alpha1.PhaseFinalized)
	if !strings.Contains(strings.Join(m.Status.Notes, " "), "systemctl disable") {
		t.Errorf("what can be switched off is not told: %q", m.Status.Notes)
	}
	kubetest.Eventually(t, "the shim is gone, and the Service is the target's alone", func(ctx context.Context) error {
		var service corev1.Service
		if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "prometheus"}, &service); err != nil || len(service.Spec.Selector) == 0 {
			return fmt.Errorf("%w %v", err, service.Spec.Selector)
		}
		err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "ecs-shim"}, &appsv1.Deployment{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the shim: %w", errors.Join(err, errors.New("is there")))
		}
		return nil
	})
	y.deleted()
	y.kept(true)
}

// TestRulesThatComeDuringAMove are seen by the pod that runs; a folder that it does not have stops with a word.
func TestRulesThatComeDuringAMove(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
	y.migration(nil)
	y.operator()
	y.reaches(v1alpha1.PhaseStage)
	var before appsv1.StatefulSet
	name := client.ObjectKey{Namespace: y.ns, Name: "prometheus"}
	if err := y.client.Get(t.Context(), name, &before); err != nil {
		t.Fatal(err)
	}
	add := func(key string) {
		kubetest.Change(t, y.home, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "old-config"}}, func(cm *corev1.ConfigMap) { cm.Data[key] = "groups: []\n" })
	}
	add("rules--new.yml")
	kubetest.Eventually(t, "the new rule file is in the folder that the pod has", func(ctx context.Context) error {
		var cm corev1.ConfigMap
		if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "prometheus-folder-rules"}, &cm); err != nil || len(cm.Data) != 2 || cm.Data["new.yml"] == "" {
			return fmt.Errorf("%w %v", err, cm.Data)
		}
		return nil
	})
	kubetest.Change(t, y.home, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "old-config"}}, func(cm *corev1.ConfigMap) {
		cm.Data["prometheus.yml"] = strings.Replace(cm.Data["prometheus.yml"], "[rules/*.yml]", "[rules/*.yml, more/*.yml]", 1)
	})
	y.until("a word about the folder that the pod does not have", func(m *v1alpha1.PrometheusMigration) bool {
		p := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionProgressing)
		return p != nil && p.Reason == v1alpha1.ReasonInvalidSpec && strings.Contains(p.Message, "no mount for /etc/prometheus/more/, and is not restarted for it")
	})
	var after appsv1.StatefulSet
	if err := y.client.Get(t.Context(), name, &after); err != nil || after.Generation != before.Generation {
		t.Errorf("%v; the StatefulSet is of generation %d, was of %d", err, after.Generation, before.Generation)
	}
}

// deleted deletes the migration and waits until it is gone.
func (y *yard) deleted() {
	y.t.Helper()
	m := &v1alpha1.PrometheusMigration{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "ecs"}}
	if err := y.home.Delete(y.t.Context(), m); err != nil {
		y.t.Fatal(err)
	}
	kubetest.Within(y.t, time.Minute, "the migration is gone", func(ctx context.Context) error {
		if err := y.home.Get(ctx, client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
			return errors.New(describe(m))
		}
		return nil
	})
}

// kept says whether claim, and server, are there.
func (y *yard) kept(server bool) {
	y.t.Helper()
	if err := y.client.Get(y.t.Context(), client.ObjectKey{Namespace: y.ns, Name: "prometheus-data"}, &corev1.PersistentVolumeClaim{}); err != nil {
		y.t.Errorf("the claim: %v", err)
	}
	err := y.client.Get(y.t.Context(), client.ObjectKey{Namespace: y.ns, Name: "prometheus"}, &appsv1.StatefulSet{})
	if (err == nil) != server {
		y.t.Errorf("the server: %v, want it there: %t", err, server)
	}
}

func TestARollbackWorksFromEachPhase(t *testing.T) {
	forever := func(line object) script {
		return func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{line}, nil }
	}
	for _, c := range []struct {
		phase     v1alpha1.Phase
		role      role
		stays     script
		cutOver   bool
		backJobs  []role
		notBefore bool
	}{
		{phase: v1alpha1.PhaseRehearse, role: "rehearse", stays: forever(object{})},
		{phase: v1alpha1.PhaseStartTarget, role: "preflight", stays: forever(object{})},
		{phase: v1alpha1.PhaseStage, role: "move", stays: forever(progress("Stage", nil)), backJobs: []role{"undo"}},
		{phase: v1alpha1.PhaseVerify, role: "proof", stays: forever(object{}), backJobs: []role{"undo"}},
		{phase: v1alpha1.PhaseCutover, role: "cutover", stays: nil, backJobs: []role{"rollback", "undo"}},
		{phase: v1alpha1.PhaseObserve, cutOver: true, backJobs: []role{"rollback", "undo"}},
		{phase: v1alpha1.PhaseFinalize, role: "finalize", stays: forever(object{"state": "Done"}), cutOver: true, backJobs: []role{"rollback", "undo"}},
	} {
		t.Run("from "+string(c.phase), func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			if c.stays != nil {
				y.play(c.role, c.stays)
			}
			y.migration(func(m *v1alpha1.PrometheusMigration) {
				m.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalCutover}
				if c.cutOver {
					m.Spec.Approved = append(m.Spec.Approved, v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff)
				}
				if c.phase == v1alpha1.PhaseFinalize {
					m.Spec.Gates.Finalize = v1alpha1.GateAuto
				}
			})
			y.operator()
			y.until("phase "+string(c.phase)+" with its job", func(m *v1alpha1.PrometheusMigration) bool {
				pods, _ := y.counts()
				return m.Status.Phase == c.phase && (c.role == "" || pods[c.role] > 0)
			})
			y.change(func(m *v1alpha1.PrometheusMigration) { m.Spec.Goal = v1alpha1.GoalRolledBack })
			m := y.until("everything is put back", func(m *v1alpha1.PrometheusMigration) bool {
				return m.Status.Phase == v1alpha1.PhaseRolledBack && meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady)
			})
			pods, _ := y.counts()
			for _, r := range c.backJobs {
				if pods[r] == 0 {
					t.Errorf("no job %s ran; %s", r, describe(m))
				}
			}
			if len(c.backJobs) == 0 && pods["undo"]+pods["rollback"] > 0 {
				t.Errorf("something was undone that had not begun: %v", pods)
			}
			if to := y.leadsTo(t.Context()); to != oldServer && to != "" {
				t.Errorf("users are led to %q", to)
			}
			y.kept(false)
			y.deleted()
		})
	}
}

func TestWhatHolds(t *testing.T) {
	in := func(hours int) string { return time.Now().UTC().Add(time.Duration(hours) * time.Hour).Format("15:04") }
	for _, c := range []struct {
		name   string
		change func(*yard, *v1alpha1.PrometheusMigration)
		reason string
		phase  v1alpha1.Phase
		says   string
	}{
		{"a window that is closed", func(_ *yard, m *v1alpha1.PrometheusMigration) {
			m.Spec.Approved, m.Spec.Cutover.Window = []v1alpha1.Approval{v1alpha1.ApprovalCutover}, &v1alpha1.Window{From: in(2), To: in(3)}
		}, v1alpha1.ReasonOutsideWindow, v1alpha1.PhaseCutover, "cutover_within_window: the window opens at"},
		{"a pause", func(_ *yard, m *v1alpha1.PrometheusMigration) {
			m.Annotations = map[string]string{v1alpha1.PausedAnnotation: "the network team works"}
		}, v1alpha1.ReasonPaused, v1alpha1.PhaseRehearse, "the network team works"},
		{"a source that answers nobody", func(y *yard, _ *v1alpha1.PrometheusMigration) { y.deaf.Store(true) },
			v1alpha1.ReasonSourceUnreachable, v1alpha1.PhasePreflight, "connection refused"},
		{"a configuration that is not there", func(_ *yard, m *v1alpha1.PrometheusMigration) { m.Spec.Source.Config.ConfigMapName = "gone" },
			v1alpha1.ReasonInvalidSpec, v1alpha1.PhasePreflight, "spec.source.config: ConfigMap gone does not exist"},
		{"alerts that nobody could take over", func(_ *yard, m *v1alpha1.PrometheusMigration) { m.Spec.Source.Host.SSHKeySecretName = "" },
			v1alpha1.ReasonInvalidSpec, v1alpha1.PhasePreflight, "spec.source.host: the source sends alerts or samples"},
		{"a time zone that nobody knows", func(_ *yard, m *v1alpha1.PrometheusMigration) {
			m.Spec.Cutover.Window = &v1alpha1.Window{From: "02:00", To: "05:00", TimeZone: "Mars/Olympus"}
		}, v1alpha1.ReasonInvalidSpec, v1alpha1.PhasePreflight, "spec.cutover.window: timeZone"},
		{"a retention that would delete what is brought", func(_ *yard, m *v1alpha1.PrometheusMigration) { m.Spec.Target.StatefulSet.Retention = "1d" },
			v1alpha1.ReasonRefused, v1alpha1.PhasePreflight, "retention: 1d is shorter than the source's 180d"},
		{"a class that the cluster does not have", func(_ *yard, m *v1alpha1.PrometheusMigration) { m.Spec.Target.StatefulSet.Storage.ClassName = "gold" },
			v1alpha1.ReasonRefused, v1alpha1.PhasePreflight, "storage-class: there is no StorageClass gold, and no volume of it: the claim would wait for ever (say one that is there in className:"},
		{"a volume that the cluster does not have", func(_ *yard, m *v1alpha1.PrometheusMigration) { m.Spec.Target.StatefulSet.Storage.VolumeName = "pv7" },
			v1alpha1.ReasonRefused, v1alpha1.PhasePreflight, "volume: it is not there, and the claim waits for it for ever"},
		{"a rehearsal that refuses", func(y *yard, _ *v1alpha1.PrometheusMigration) {
			y.play("rehearse", func(*yard, *corev1.Pod, int) ([]any, *int32) {
				return ends(1, object{"verdict": "Refused", "findings": []any{object{"rule": "local_file_system", "verdict": "Refused", "says": "it is nfs4", "fix": "take a local disk"}}})
			})
		}, v1alpha1.ReasonStopped, v1alpha1.PhaseRehearse, "local_file_system: it is nfs4 (take a local disk)"},
		{"a proof that finds a difference", func(y *yard, _ *v1alpha1.PrometheusMigration) {
			y.play("proof", func(*yard, *corev1.Pod, int) ([]any, *int32) {
				return ends(1, progress("Verify", object{"stop": object{"rule": "not_proved", "text": "3 samples differ"}}))
			})
		}, v1alpha1.ReasonStopped, v1alpha1.PhaseVerify, "3 samples differ"},
		{"a move that stops", func(y *yard, _ *v1alpha1.PrometheusMigration) {
			y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) {
				return ends(1, progress("Stage", object{"stop": object{"rule": "target_has_no_room", "text": "3 GiB are missing"}}))
			})
		}, v1alpha1.ReasonStopped, v1alpha1.PhaseStage, "target_has_no_room: 3 GiB are missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.migration(func(m *v1alpha1.PrometheusMigration) { c.change(y, m) })
			y.operator()
			y.until("a hold by "+c.reason, func(m *v1alpha1.PrometheusMigration) bool {
				p := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionProgressing)
				return m.Status.Phase == c.phase && p != nil && p.Status == metav1.ConditionFalse && p.Reason == c.reason && strings.Contains(p.Message, c.says)
			})
			if to := y.leadsTo(t.Context()); to != oldServer && to != "" {
				t.Errorf("users are led to %q", to)
			}
		})
	}
}

// TestTheAPIServerRefuses looks at what the schema refuses by itself.
func TestTheAPIServerRefuses(t *testing.T) {
	y := newYard(t)
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.PrometheusMigration)
		says   string
	}{
		{"two targets", func(m *v1alpha1.PrometheusMigration) {
			m.Spec.Target.Prometheus = &v1alpha1.PrometheusTarget{Name: "k8s"}
		}, "name either statefulSet or prometheus"},
		{"no way to the blocks", func(m *v1alpha1.PrometheusMigration) { m.Spec.Source.Agent = nil }, "name an agent that runs already"},
		{"a name that no Service can have", func(m *v1alpha1.PrometheusMigration) { m.Name = "1ecs" }, "begin with a letter"},
		{"a password in an address", func(m *v1alpha1.PrometheusMigration) { m.Spec.Source.URL = "http://u:p@monitor" }, "spec.source.url"},
		{"a time that is none", func(m *v1alpha1.PrometheusMigration) {
			m.Spec.Cutover.Window = &v1alpha1.Window{From: "25:00", To: "05:00"}
		}, "spec.cutover.window.from"},
		{"a word that nobody knows", func(m *v1alpha1.PrometheusMigration) { m.Spec.Approved = []v1alpha1.Approval{"Everything"} }, "spec.approved[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &v1alpha1.PrometheusMigration{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "ecs"}, Spec: v1alpha1.PrometheusMigrationSpec{
				Source: v1alpha1.Source{URL: "http://198.18.0.21:9090", Agent: &v1alpha1.Agent{Address: "a:1", CredentialsSecretName: "a"}},
				Target: v1alpha1.Target{StatefulSet: &v1alpha1.StatefulSetTarget{Name: "p", Image: "prom/prometheus:v3.16.0"}}, Tools: v1alpha1.Tools{Image: "x"}}}
			c.change(m)
			if err := y.home.Create(t.Context(), m, client.DryRunAll); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
