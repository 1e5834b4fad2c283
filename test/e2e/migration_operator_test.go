//go:build lab && long

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	migration "github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/workload"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	operatorImage = "lab.example/prometheus-operator:v0.85.0"
	reloaderImage = "lab.example/prometheus-config-reloader:v0.85.0"
	// operated is the Prometheus; its pod is that of newServer.
	operated = "rack"
)

// TestMoveUnderPrometheusOperator asks the operator to move the old server into a Prometheus object: the real Prometheus Operator writes its pod
// and configuration, the real config-reloader has it read. The moving pod and the server are killed on the way. A user asks from start to end.
func TestMoveUnderPrometheusOperator(t *testing.T) {
	images := targetImages(t, engine.Prometheus316)
	images[operatorImage] = engine.Program(t, "prometheus-operator-"+engine.Operator085, "operator")
	images[reloaderImage] = engine.Program(t, "prometheus-operator-"+engine.Operator085, "prometheus-config-reloader")
	h := &kindMove{house: newHouse(t, "e2e-operator", 24<<20, images),
		into: fmt.Sprintf("prometheus: {name: %s, serviceName: users, service: {type: NodePort, nodePort: %d}}", operated, usersPort)}
	t.Cleanup(h.tellPods)
	h.prepare(moveVolume)
	h.startPrometheusOperator()
	h.createPrometheus()
	h.eventually(4*shortTime, "the server of Prometheus Operator is ready", h.targetIsReady)
	m, err := h.lab.Machine(h.control)
	if err != nil {
		t.Fatal(err)
	}
	h.service = fmt.Sprintf("http://%s:%d", m.Address, usersPort)
	h.ask()
	h.follow()
	h.reach("users have a Service", func(s *migration.PrometheusMigrationStatus) bool {
		return s.Endpoint != nil && s.Endpoint.LeadsTo == migration.SideSource
	})
	users := h.askUsers(h.service)
	h.reach("blocks are being installed", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseInstall })
	h.kill9(h.running(workload.RoleMove))
	h.reach("both were compared, before and after a restart, and a person is asked", func(s *migration.PrometheusMigrationStatus) bool {
		return conditionTrue(s.Conditions, migration.ConditionVerified) && slices.Contains(s.NeedsApproval, migration.ApprovalCutover)
	})
	h.sameHistory("after the restart")
	h.approveWord(migration.ApprovalCutover)
	h.leads(migration.SideTarget)
	h.sameHistory("after the cutover")
	h.reach("nothing but a person is waited for", func(s *migration.PrometheusMigrationStatus) bool {
		return slices.Contains(s.NeedsApproval, migration.ApprovalFinalize)
	})
	h.approveWord(migration.ApprovalFinalize)
	h.reach("the move is final", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseFinalized })
	h.sameHistory("in the end")
	asked, failures := users.result()
	t.Logf("users asked %d times", asked)
	if asked < 60 || len(failures) > 0 {
		t.Errorf("%d of %d questions of users went wrong:\n%s", len(failures), asked, strings.Join(failures, "\n"))
	}
}

// targetIsReady says what keeps the server's pod.
func (h *kindMove) targetIsReady() error {
	var pod corev1.Pod
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: newServer + "-0"}, &pod); err != nil {
		return err
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("%s %v %v", pod.Status.Phase, pod.Status.Conditions, pod.Status.ContainerStatuses)
}

// tellPods shows what the cluster says when the test has failed.
func (h *kindMove) tellPods() {
	if !h.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var pods corev1.PodList
	var events corev1.EventList
	if err := errors.Join(h.kube.List(ctx, &pods, client.InNamespace(namespace)), h.kube.List(ctx, &events, client.InNamespace(namespace))); err != nil {
		h.t.Log(err)
	}
	for _, e := range events.Items {
		h.t.Logf("%s %s %s: %s", e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	for _, p := range pods.Items {
		for _, c := range p.Spec.Containers {
			text, err := h.set.CoreV1().Pods(namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: c.Name, TailLines: ptr.To[int64](8)}).DoRaw(ctx)
			h.t.Logf("%s %s: %v\n%s", p.Name, c.Name, err, text)
		}
	}
}

// startPrometheusOperator brings it with its CRDs into the cluster.
func (h *kindMove) startPrometheusOperator() {
	h.t.Helper()
	for name, text := range engine.OperatorCRDs(h.t, engine.Operator085) {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			h.t.Fatalf("%s: %v", name, err)
		}
		h.apply(crd)
	}
	h.eventually(shortTime, "the API server serves the operator's kinds", func() error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind("PrometheusList"))
		return h.kube.List(h.t.Context(), list)
	})
	labels := map[string]string{"app": "prometheus-operator"}
	meta := metav1.ObjectMeta{Name: "prometheus-operator", Namespace: namespace}
	h.apply(
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: meta.Name, Namespace: namespace}}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{ServiceAccountName: meta.Name,
				SecurityContext: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](65532), RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
				Containers: []corev1.Container{{Name: "operator", Image: operatorImage, ImagePullPolicy: corev1.PullNever,
					Args:            []string{"--kubelet-endpoints=false", "--prometheus-config-reloader=" + reloaderImage},
					SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}}}}}},
	)
}

// createPrometheus makes the object as users have it: with the operator's defaults.
func (h *kindMove) createPrometheus() {
	h.t.Helper()
	cr := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(fmt.Appendf(nil, `
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: %s, namespace: %s}
spec:
  image: %s
  version: 3.16.0
  imagePullPolicy: Never
  replicas: 1
  ruleSelector: {}
  serviceMonitorSelector: {}
  securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 2000, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  storage: {volumeClaimTemplate: {spec: {storageClassName: local, accessModes: [ReadWriteOnce], resources: {requests: {storage: 4Gi}}}}}
`, operated, namespace, serverImage(engine.Prometheus316)), cr); err != nil {
		h.t.Fatal(err)
	}
	// The operator leaves a Prometheus alone whose class does not exist, also where the volume does.
	h.apply(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)}, cr)
}
