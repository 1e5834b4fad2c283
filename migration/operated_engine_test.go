//go:build engine

package migration_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/test/engine"
)

// operatedPrometheus is a Prometheus as users have it: with the operator's defaults, which would delete what is brought.
const operatedPrometheus = `apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s}
spec:
  version: 3.16.0
  replicas: 1
  ruleSelector: {}
  serviceMonitorSelector: {}
  externalLabels: {team: metrics}
  alerting: {alertmanagers: [{name: main, port: web, namespace: monitoring}]}
  remoteWrite: [{url: 'http://198.18.0.31/write'}]
  securityContext: {runAsUser: 1000, runAsGroup: 2000, runAsNonRoot: true, fsGroup: 2000}
  storage: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 50Gi}}}}}
`

const operatedRules = "groups: [{name: shop, rules: [{record: 'job:up:sum', expr: 'sum by (job) (up)'}]}]\n"

// operatedYard is a yard in which a real Prometheus Operator runs the target.
type operatedYard struct {
	*yard
	// late says that the controller of StatefulSets is slow: it makes no claim, and no pod before there is one.
	late atomic.Bool
}

// operatorOfPrometheus starts the real one for all yards.
func operatorOfPrometheus(t *testing.T) {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["a"] = &clientcmdapi.Cluster{Server: api.Host, CertificateAuthorityData: api.CAData, CertificateAuthority: api.CAFile}
	config.AuthInfos["a"] = &clientcmdapi.AuthInfo{ClientCertificateData: api.CertData, ClientKeyData: api.KeyData, ClientCertificate: api.CertFile, ClientKey: api.KeyFile, Token: api.BearerToken}
	config.Contexts["a"] = &clientcmdapi.Context{Cluster: "a", AuthInfo: "a"}
	config.CurrentContext = "a"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text, err := clientcmd.Write(*config)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t}
	y.client = kubetest.Client(t, api, nil)
	for name, text := range engine.OperatorCRDs(t, engine.Operator085) {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kubetest.Must(t, y.client, crd)
	}
	kubetest.Eventually(t, "the API server serves the operator's kinds", func(ctx context.Context) error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind("PrometheusList"))
		rules := list.DeepCopy()
		rules.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind("PrometheusRuleList"))
		return errors.Join(y.client.List(ctx, list), y.client.List(ctx, rules))
	})
	engine.StartOperator(t, engine.Operator085, file)
}

func newOperatedYard(t *testing.T) *operatedYard {
	t.Helper()
	y := &operatedYard{yard: newYard(t)}
	y.roll = y.follow
	y.told = func(ctx context.Context) string { text, _ := y.generated(ctx); return text }
	kubetest.Change(t, y.client, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "old-config"}}, func(m *corev1.ConfigMap) {
		m.Data["rules--shop.yml"] = operatedRules
	})
	return y
}

// follow makes the pod of another revision anew, and makes a claim of each template; done: look again later.
func (y *operatedYard) follow(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod, found error) (done bool, err error) {
	text, err := json.Marshal(set.Spec.Template)
	if err != nil {
		return false, err
	}
	revision := fmt.Sprintf("%x", sha256.Sum256(text))[:10]
	if set.Status.ObservedGeneration != set.Generation || set.Status.UpdateRevision != revision {
		set.Status.ObservedGeneration, set.Status.UpdateRevision, set.Status.Replicas = set.Generation, revision, 1
		return true, y.client.Status().Update(ctx, set)
	}
	if found == nil {
		if pod.Labels[appsv1.ControllerRevisionHashLabelKey] == revision {
			return false, nil
		}
		return true, y.client.Delete(ctx, pod, client.GracePeriodSeconds(0))
	}
	pod.ObjectMeta = metav1.ObjectMeta{Namespace: y.ns, Name: set.Name + "-0", Labels: maps.Clone(set.Spec.Template.Labels),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}}
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = revision
	pod.Spec = *set.Spec.Template.Spec.DeepCopy()
	for _, t := range set.Spec.VolumeClaimTemplates {
		claim := t.DeepCopy()
		claim.Namespace, claim.Name = y.ns, t.Name+"-"+pod.Name
		if y.late.Load() {
			if err := y.client.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
				return true, client.IgnoreNotFound(err)
			}
		} else if err := y.client.Create(ctx, claim); err != nil && !apierrors.IsAlreadyExists(err) {
			return false, err
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: t.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name}}})
	}
	if !apierrors.IsNotFound(found) {
		return false, found
	}
	return false, y.client.Create(ctx, pod)
}

// generated is the configuration that the operator has written.
func (y *operatedYard) generated(ctx context.Context) (string, error) {
	var secret corev1.Secret
	if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "prometheus-k8s"}, &secret); err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(secret.Data["prometheus.yaml.gz"]))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
}

// prometheus makes the Prometheus, and waits until its server runs as the operator has it by itself.
func (y *operatedYard) prometheus(oldnew ...string) map[string]any {
	y.t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.NewReplacer(oldnew...).Replace(operatedPrometheus)), u); err != nil {
		y.t.Fatal(err)
	}
	u.SetNamespace(y.ns)
	kubetest.Must(y.t, y.client, u)
	return y.live()["spec"].(map[string]any)
}

func (y *operatedYard) serverRuns() {
	y.t.Helper()
	kubetest.Eventually(y.t, "the operator's own server runs", func(ctx context.Context) error {
		if _, servers := y.counts(); servers == 0 {
			return errors.New("there is no pod")
		}
		return nil
	})
}

func (y *operatedYard) live() map[string]any {
	y.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind("Prometheus"))
	if err := y.client.Get(y.t.Context(), client.ObjectKey{Namespace: y.ns, Name: "k8s"}, u); err != nil {
		y.t.Fatal(err)
	}
	return u.Object
}

func (y *operatedYard) patch(text string) {
	y.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind("Prometheus"))
	u.SetNamespace(y.ns)
	u.SetName("k8s")
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = y.client.Patch(y.t.Context(), u, client.RawPatch(types.MergePatchType, data))
	}
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y *operatedYard) moves(change func(*v1alpha1.PrometheusMigration)) {
	y.migration(func(m *v1alpha1.PrometheusMigration) {
		m.Spec.Target = v1alpha1.Target{Prometheus: &v1alpha1.PrometheusTarget{Name: "k8s", ServiceName: "prometheus"}}
		if change != nil {
			change(m)
		}
	})
}

func byItself(m *v1alpha1.PrometheusMigration) {
	m.Spec.Gates = v1alpha1.Gates{Cutover: v1alpha1.GateAuto, Finalize: v1alpha1.GateAuto}
	m.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff}
}

// left are the objects of the move beside the Prometheus.
func (y *operatedYard) left() (names []string) {
	y.t.Helper()
	for _, o := range []client.Object{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "k8s-slipway-jobs"}}, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "prometheus-pod"}}} {
		err := y.client.Get(y.t.Context(), client.ObjectKey{Namespace: y.ns, Name: o.GetName()}, o)
		if err == nil {
			names = append(names, o.GetName())
		} else if !apierrors.IsNotFound(err) {
			y.t.Fatal(err)
		}
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind("PrometheusRuleList"))
	if err := y.client.List(y.t.Context(), list, client.InNamespace(y.ns)); err != nil {
		y.t.Fatal(err)
	}
	for _, rule := range list.Items {
		names = append(names, rule.GetName())
	}
	return names
}

// TestAMoveUnderARealOperator: the real Prometheus Operator writes what the target is; the test plays kubelet, StatefulSet and jobs.
func TestAMoveUnderARealOperator(t *testing.T) {
	operatorOfPrometheus(t)
	t.Run("begins only where it can", operatedHolds)
	t.Run("ends", func(t *testing.T) {
		t.Run("after the whole way", func(t *testing.T) { t.Parallel(); goesTheWholeWay(newOperatedYard(t)) })
		for _, phase := range []v1alpha1.Phase{v1alpha1.PhaseStage, v1alpha1.PhaseObserve} {
			t.Run("with all put back from "+string(phase), func(t *testing.T) { t.Parallel(); goesBack(newOperatedYard(t), phase) })
		}
	})
	t.Run("survives", func(t *testing.T) {
		for _, point := range []string{"migration.MakeClaim", "migration.beforeServer", "migration.MakeTarget", "migration.Configure"} {
			t.Run("an operator that is killed at "+point, func(t *testing.T) { t.Parallel(); survives(newOperatedYard(t), point) })
		}
	})
}

func goesTheWholeWay(y *operatedYard) {
	t := y.t
	y.prometheus()
	y.serverRuns()
	y.moves(nil)
	y.operator()
	m := y.until("the gate of the cutover", func(m *v1alpha1.PrometheusMigration) bool { return len(m.Status.NeedsApproval) > 0 })
	if p := m.Status.Proof; m.Status.Phase != v1alpha1.PhaseCutover || p == nil || p.AfterRestart != v1alpha1.AfterRestartDone {
		t.Errorf("at the gate: %s; proof %+v", describe(m), p)
	}
	if text := y.told(t.Context()); strings.Contains(text, "198.18.0.30") || strings.Contains(text, "remote_write") || strings.Contains(text, "remote_read") || !strings.Contains(text, "job_name: node") {
		t.Errorf("before the cutover the server has:\n%s", text)
	}
	// Somebody else's edit stays. One of a field that is the move's is put right: the operator's 24 hours would delete what was brought.
	y.patch("spec: {resources: {requests: {memory: 1Gi}}, retention: 24h}")
	kubetest.Eventually(t, "the retention is put right", func(context.Context) error {
		if spec := y.live()["spec"].(map[string]any); spec["retention"] != "180d" {
			return fmt.Errorf("it is %v", spec["retention"])
		}
		return nil
	})
	y.approve(v1alpha1.ApprovalCutover, v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff)
	y.until("the gate of the end", func(m *v1alpha1.PrometheusMigration) bool {
		return m.Status.CutOverAt != nil && len(m.Status.NeedsApproval) == 1 && m.Status.NeedsApproval[0] == v1alpha1.ApprovalFinalize
	})
	y.led("after the cutover", newServer)
	y.approve(v1alpha1.ApprovalFinalize)
	y.reaches(v1alpha1.PhaseFinalized)
	kubetest.Eventually(t, "the server has its last configuration, and the Service is its alone", func(ctx context.Context) error {
		live := y.live()
		stage := live["metadata"].(map[string]any)["annotations"].(map[string]any)["migration.slipway.dev/stage"]
		text, err := y.generated(ctx)
		if stage != "Final" || !strings.Contains(text, "198.18.0.30:9093") || !strings.Contains(text, "198.18.0.31/write") {
			return errors.Join(err, fmt.Errorf("stage %v:\n%s", stage, text))
		}
		var service corev1.Service
		if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "prometheus"}, &service); err != nil || service.Spec.Selector["operator.prometheus.io/name"] != "k8s" {
			return errors.Join(err, fmt.Errorf("the Service finds %v", service.Spec.Selector))
		}
		return nil
	})
	spec := y.live()["spec"].(map[string]any)
	if memory, _, _ := unstructured.NestedString(spec, "resources", "requests", "memory"); memory != "1Gi" {
		t.Errorf("what somebody else had set is %q", memory)
	}
}

// survives kills the operator of moves at a point; another one goes on, and nothing happens twice.
func survives(y *operatedYard, point string) {
	t := y.t
	own := 1
	if point == "migration.MakeClaim" {
		y.late.Store(true)
		y.prometheus()
		own = 0 // its first pod may be that of the move
	} else {
		y.prometheus()
		y.serverRuns()
	}
	y.life = kubetest.NewLife(point)
	y.moves(byItself)
	stop := y.operator()
	<-y.life.Ended()
	stop()
	y.life = nil
	y.operator()
	y.reaches(v1alpha1.PhaseFinalized)
	pods, servers := y.counts()
	want := map[role]int{"rehearse": 1, "preflight": 1, "move": 1, "proof": 1, "cutover": 1, "finalize": 1}
	if own == 0 && pods["rehearse"] == 2 { // the server's first pod came meanwhile, and whoever mounts its claim stands beside it
		want["rehearse"] = 2
	}
	// The operator's own one, that with the arguments of the move, and that after the one restart.
	if diff := cmp.Diff(want, pods); diff != "" || servers < own+2 || servers > 3 {
		t.Errorf("the target had %d pods, want 3; pods of jobs (-want +got):\n%s", servers, diff)
	}
}

// goesBack gives the Prometheus back as it was, also when the operator is killed between its two halves.
func goesBack(y *operatedYard, phase v1alpha1.Phase) {
	t := y.t
	before := y.prometheus()
	y.serverRuns()
	if phase == v1alpha1.PhaseStage {
		y.play("move", func(*yard, *corev1.Pod, int) ([]any, *int32) { return []any{progress("Stage", nil)}, nil })
	}
	y.moves(func(m *v1alpha1.PrometheusMigration) {
		byItself(m)
		m.Spec.Gates.Finalize = v1alpha1.GateManual
	})
	y.life = kubetest.NewLife("migration.takenBack")
	stop := y.operator()
	y.reaches(phase)
	y.change(func(m *v1alpha1.PrometheusMigration) { m.Spec.Goal = v1alpha1.GoalRolledBack })
	<-y.life.Ended()
	stop()
	y.life = nil
	y.operator()
	y.until("everything is put back", func(m *v1alpha1.PrometheusMigration) bool {
		return m.Status.Phase == v1alpha1.PhaseRolledBack && meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady)
	})
	live := y.live()
	if diff := cmp.Diff(before, live["spec"]); diff != "" {
		t.Errorf("the Prometheus is another one:\n%s", diff)
	}
	if text, err := json.Marshal(live["metadata"].(map[string]any)["annotations"]); err != nil || strings.Contains(string(text), "slipway.dev") {
		t.Errorf("its annotations are %s, %v", text, err)
	}
	if left := y.left(); len(left) > 0 {
		t.Errorf("what the move had made is there still: %q", left)
	}
	if err := y.client.Get(t.Context(), client.ObjectKey{Namespace: y.ns, Name: "prometheus-k8s-db-prometheus-k8s-0"}, &corev1.PersistentVolumeClaim{}); err != nil {
		t.Errorf("the claim: %v", err)
	}
	if to := y.leadsTo(t.Context()); to != oldServer {
		t.Errorf("users are led to %q", to)
	}
}

// operatedHolds: what cannot be moved into is refused by its name, and nothing is made.
func operatedHolds(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		change         func(*operatedYard, *v1alpha1.PrometheusMigration)
		says           string
	}{
		{name: "no such Prometheus", change: func(_ *operatedYard, m *v1alpha1.PrometheusMigration) { m.Spec.Target.Prometheus.Name = "other" }, says: "operator-prometheus: there is no Prometheus other"},
		{name: "a paused one", old: "replicas: 1", new: "paused: true", says: "operator-paused"},
		{name: "nobody who would write remotely", old: "  remoteWrite: [{url: 'http://198.18.0.31/write'}]\n", new: "", says: "operator-remote-write"},
		{name: "a Service of the users' name", change: func(y *operatedYard, _ *v1alpha1.PrometheusMigration) {
			kubetest.Must(y.t, y.client, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "prometheus"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 9090}}}})
		}, says: "operator-service: Service prometheus is there already"},
	} {
		t.Run("not with "+c.name, func(t *testing.T) {
			t.Parallel()
			y := newOperatedYard(t)
			y.prometheus(c.old, c.new)
			y.moves(func(m *v1alpha1.PrometheusMigration) {
				if c.change != nil {
					c.change(y, m)
				}
			})
			y.operator()
			y.until("a refusal that says "+c.says, func(m *v1alpha1.PrometheusMigration) bool {
				p := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionProgressing)
				return p != nil && p.Status == metav1.ConditionFalse && p.Reason == v1alpha1.ReasonRefused && strings.Contains(p.Message, c.says)
			})
			if left := y.left(); len(left) > 0 {
				t.Errorf("the move has made %q", left)
			}
		})
	}
}
