//go:build lab && long

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/migration/workload"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	operatorImage = "lab.example/prometheus-operator:v0.85.0"
	reloaderImage = "lab.example/prometheus-config-reloader:v0.85.0"
	// operated is the Prometheus; its pod is that of newServer.
	operated = "rack"
)

// oldAlerting is of the configuration that the target follows; the Prometheus of tests has no discovery of Kubernetes, which spec.alerting asks for.
const oldAlerting = "alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: ['127.0.0.1:9093']\n"

// underOperator is a move into a Prometheus of Prometheus Operator; the test applies its objects.
type underOperator struct {
	*house
	work *workload.Workload
	told []string
	last move.Progress
}

// TestMoveUnderPrometheusOperator moves the old server into a Prometheus object: a real operator writes its pod and configuration, the
// real config-reloader has it read. The moving pod and the server are killed on the way. A user asks from start to end.
func TestMoveUnderPrometheusOperator(t *testing.T) {
	images := targetImages(t)
	images[operatorImage] = engine.Program(t, "prometheus-operator-"+engine.Operator085, "operator")
	images[reloaderImage] = engine.Program(t, "prometheus-operator-"+engine.Operator085, "prometheus-config-reloader")
	h := &underOperator{house: newHouse(t, "e2e-operator", 96<<20, images)}
	h.prepare(moveVolume)
	t.Cleanup(h.tell)
	h.startOperator()
	h.createPrometheus()
	h.targetReady()
	h.serviceOfUsers()
	m, err := h.lab.Machine(h.control)
	if err != nil {
		t.Fatal(err)
	}
	service := fmt.Sprintf("http://%s:%d", m.Address, usersPort)
	asking := h.askUsers(service)
	pod := h.bridge()
	job, err := h.work.Move()
	if err != nil {
		t.Fatal(err)
	}
	h.apply(job)
	h.follow("blocks travel", func(p *move.Progress) bool { return p.Transfer.BytesDone > 0 && p.Blocks.Staged < p.Blocks.Total })
	h.kill9(h.running(workload.RoleMove))
	h.follow("blocks are being installed", func(p *move.Progress) bool { return p.Blocks.Installed > 0 })
	h.kill9(server(h.target()))
	h.follow("the new server still asks the old one", func(p *move.Progress) bool {
		return slices.ContainsFunc(p.Waits, func(w string) bool { return strings.Contains(w, "remote_read") })
	})
	h.at(target.Verify)
	h.reads("without the bridge", func(config string) bool { return !strings.Contains(config, "remote_read") })
	h.follow("both were compared", func(p *move.Progress) bool { return p.Done })
	if p := h.last.Proof; p == nil || p.Verdict != proof.Proved {
		t.Fatalf("the proof: %+v\n%s", p, strings.Join(h.told, "\n"))
	}
	h.lead(h.target())
	h.sameHistory(service)
	h.at(target.CutOver)
	h.reads("with alerting", func(config string) bool { return strings.Contains(config, "alertmanagers") })
	h.at(target.Final)
	now := server(h.target())
	if now.UID != pod.UID || now.Status.ContainerStatuses[0].RestartCount != 1 {
		t.Errorf("the server's pod was made again, or restarted %d times; the test killed it once", now.Status.ContainerStatuses[0].RestartCount)
	}
	h.sameHistory(service)
	asked, failures := asking.result()
	t.Logf("users asked %d times", asked)
	if asked < 30 || len(failures) > 0 {
		t.Errorf("%d of %d questions of users went wrong:\n%s", len(failures), asked, strings.Join(failures, "\n"))
	}
}

// tell shows what the cluster says when the test has failed.
func (h *underOperator) tell() {
	if !h.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var events corev1.EventList
	var pods corev1.PodList
	if err := errors.Join(h.kube.List(ctx, &events, client.InNamespace(namespace)), h.kube.List(ctx, &pods, client.InNamespace(namespace))); err != nil {
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

// server is a pod with the server's container as its only one: kubelets list the reloader first.
func server(pod *corev1.Pod) *corev1.Pod {
	pod.Status.ContainerStatuses = slices.DeleteFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name != "prometheus" })
	return pod
}

// startOperator brings the operator with its CRDs into the cluster.
func (h *underOperator) startOperator() {
	h.t.Helper()
	if err := monitoringv1.AddToScheme(h.kube.Scheme()); err != nil {
		h.t.Fatal(err)
	}
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
func (h *underOperator) createPrometheus() {
	h.t.Helper()
	cr := &monitoringv1.Prometheus{}
	if err := yaml.UnmarshalStrict(fmt.Appendf(nil, `
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
`, operated, namespace, serverImage), cr); err != nil {
		h.t.Fatal(err)
	}
	// The operator leaves a Prometheus alone whose class does not exist, also where the volume does.
	h.apply(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "kubernetes.io/no-provisioner", VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer)}, cr)
}

// serviceOfUsers leads to the old server.
func (h *underOperator) serviceOfUsers() {
	h.t.Helper()
	host, err := h.lab.Machine(oldHost)
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: newServer, Namespace: namespace}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort,
			Ports: []corev1.ServicePort{{Name: "http", Port: 9090, NodePort: usersPort}}}},
		&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: newServer + "-slipway", Namespace: namespace, Labels: map[string]string{discoveryv1.LabelServiceName: newServer}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{host.Address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](9090), Protocol: ptr.To(corev1.ProtocolTCP)}}},
	)
}

// bridge brings the Prometheus to the first stage with the shim beside it, and gives the pod that then is.
func (h *underOperator) bridge() *corev1.Pod {
	h.t.Helper()
	issued, err := transfer.EnsureCredentials(transfer.Credentials{}, certs.New(certs.Options{}))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range workload.Secrets(moveName, namespace, nil, issued.Authority, issued.Source, issued.Target) {
		h.apply(s)
	}
	h.apply(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "rack-key", Namespace: namespace}, Type: corev1.SecretTypeSSHAuth,
		Data: map[string][]byte{corev1.SSHAuthPrivateKey: h.sshKey()}})
	host, err := h.lab.Machine(oldHost)
	if err != nil {
		h.t.Fatal(err)
	}
	cr := h.prometheus()
	v := target.VolumeOf(cr)
	h.work, err = workload.New(workload.Options{
		Name: moveName, Namespace: namespace, Image: toolsImage, PullPolicy: corev1.PullNever, Security: cr.Spec.SecurityContext,
		Volume: workload.Volume{ClaimName: v.Claim, SubPath: v.SubPath}, TargetPod: v.PodLabels, TargetURL: fmt.Sprintf("http://prometheus-operated.%s.svc:9090", namespace),
		Source: workload.Source{URL: h.old.serverURL(), Host: workload.Host{Address: host.Address, Port: int32(host.Port), User: "root", DataDir: oldData,
			KeySecret: "rack-key", HostKey: host.HostKey}},
		ShimSecret: workload.SourceSecret(moveName),
		Transfer:   workload.Transfer{CeilingBytes: 8 << 20, LongestScrape: time.Second, Samples: 60},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	d, s, err := h.work.Shim()
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(d, s)
	h.at(target.Bridge)
	h.eventually(3*shortTime, "the operator has given the pod the arguments of the move", func() error {
		pod := server(h.targetReady())
		for _, c := range pod.Spec.Containers {
			if c.Name == "prometheus" && slices.Contains(c.Args, "--storage.tsdb.retention.time=60d") {
				return nil
			}
		}
		return errors.New("not yet")
	})
	return h.targetReady()
}

func (h *underOperator) prometheus() *monitoringv1.Prometheus {
	h.t.Helper()
	cr := &monitoringv1.Prometheus{}
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: operated}, cr); err != nil {
		h.t.Fatal(err)
	}
	cr.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind))
	return cr
}

// at brings the Prometheus to a stage, as the operator of Slipway does.
func (h *underOperator) at(stage target.Stage) {
	h.t.Helper()
	host, err := h.lab.Machine(oldHost)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := target.ReadMigration(fmt.Appendf(nil, `
apiVersion: migration.slipway.dev/v1alpha1
kind: PrometheusMigration
metadata: {name: %s, namespace: %s}
spec:
  source: {url: %q, host: {address: %s}}
  target: {prometheus: {name: %s, shim: {url: 'https://%s-shim.%s.svc:%d/api/v1/read'}}}
  tools: {image: %s}
`, moveName, namespace, h.old.serverURL(), host.Address, operated, moveName, namespace, workload.ShimPort, toolsImage))
	if err != nil {
		h.t.Fatal(err)
	}
	file, err := config.Parse(oldConfig, []byte(h.oldConfiguration()+oldAlerting))
	if err != nil {
		h.t.Fatal(err)
	}
	secret := &corev1.Secret{}
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: target.JobsSecretName(operated)}, secret); client.IgnoreNotFound(err) != nil {
		h.t.Fatal(err)
	}
	cr := h.prometheus()
	original, err := target.Original(cr, secret)
	if err != nil {
		h.t.Fatal(err)
	}
	x, err := target.NewOperator(target.Options{Migration: m, Stage: stage, ShimSecret: workload.TargetSecret(moveName), Source: target.Source{
		Version: skew.Version{Major: 2, Minor: 42}, Flags: skew.ToldFlags(h.oldFlags()), WorkingDir: "/", Config: file,
		Files: map[string][]byte{"/etc/prometheus/rules/tickets.yml": []byte(oldRules)},
	}}, original)
	if err != nil {
		h.t.Fatal(err)
	}
	made, err := x.Manifests()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, o := range made.Objects {
		if err := write(h.t.Context(), h.kube, o.(client.Object)); err != nil {
			h.t.Fatal(err)
		}
	}
	patch, err := yaml.YAMLToJSON(x.Patch)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.kube.Patch(h.t.Context(), cr, client.RawPatch(types.MergePatchType, patch), client.FieldValidation("Strict")); err != nil {
		h.t.Fatalf("%v\n%s", err, patch)
	}
}

// write makes an object, or replaces it.
func write(ctx context.Context, c client.Client, o client.Object) error {
	err := c.Create(ctx, o)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	there := o.DeepCopyObject().(client.Object)
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), there); err != nil {
		return err
	}
	o.SetResourceVersion(there.GetResourceVersion())
	return c.Update(ctx, o)
}

// reads waits until the server has a configuration. Nobody posts to it but the reloader; the kubelet is hurried to bring the Secret.
func (h *underOperator) reads(what string, wanted func(string) bool) {
	h.t.Helper()
	hurry := h.target()
	before := hurry.DeepCopy()
	metav1.SetMetaDataAnnotation(&hurry.ObjectMeta, "stage", time.Now().Format(time.RFC3339Nano))
	if err := h.kube.Patch(h.t.Context(), hurry, client.MergeFrom(before)); err != nil {
		h.t.Fatal(err)
	}
	h.eventually(3*shortTime, "the reloader has had the server read its configuration "+what, func() error {
		text, err := h.set.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name(newServer + "-0:9090").SubResource("proxy").Suffix("api/v1/status/config").DoRaw(h.t.Context())
		if err == nil && !wanted(string(bytes.ReplaceAll(text, []byte(`\n`), []byte("\n")))) {
			err = errors.New("not yet")
		}
		return err
	})
}

// oldFlags are the flags of the old server as it tells them.
func (h *underOperator) oldFlags() map[string]string {
	h.t.Helper()
	resp, err := http.Get(h.old.serverURL() + "/api/v1/status/flags")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Data map[string]string }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		h.t.Fatal(err)
	}
	return a.Data
}

// targetReady waits until the new server's pod is ready.
func (h *underOperator) targetReady() *corev1.Pod {
	h.t.Helper()
	var pod corev1.Pod
	h.eventually(shortTime, "the new server is ready", func() error {
		if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: newServer + "-0"}, &pod); err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("%s %v %v", pod.Status.Phase, pod.Status.Conditions, pod.Status.ContainerStatuses)
	})
	return &pod
}

// follow reads what the moving pod tells until it is what is waited for.
func (h *underOperator) follow(what string, until func(*move.Progress) bool) {
	h.t.Helper()
	h.eventually(3*shortTime, what, func() error {
		if err := h.read(); err != nil {
			return err
		}
		if h.last.Stop != nil {
			h.t.Fatalf("%s: the move stopped: %+v\n%s", what, h.last.Stop, strings.Join(h.told, "\n"))
		}
		if until(&h.last) {
			return nil
		}
		return errors.New(strings.Join(h.told[max(0, len(h.told)-3):], "\n"))
	})
	h.t.Logf("%s: %s", time.Now().UTC().Format(time.TimeOnly), what)
}

// read takes the last line of the newest pod that told one.
func (h *underOperator) read() error {
	pods := h.pods(map[string]string{workload.LabelName: moveName, workload.LabelRole: string(workload.RoleMove)})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	if len(pods) == 0 {
		return errors.New("there is no pod yet")
	}
	pod := pods[len(pods)-1]
	log, err := h.set.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: ptr.To[int64](20)}).DoRaw(h.t.Context())
	if err != nil {
		return err
	}
	h.told = strings.Split(strings.TrimSpace(string(log)), "\n")
	for line := range bytes.Lines(log) {
		var p move.Progress
		if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &p) == nil {
			h.last = p
		}
	}
	return nil
}

// lead leads the users' Service to the new server.
func (h *underOperator) lead(pod *corev1.Pod) {
	h.t.Helper()
	var slice discoveryv1.EndpointSlice
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: newServer + "-slipway"}, &slice); err != nil {
		h.t.Fatal(err)
	}
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{pod.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}}
	slice.Ports = []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](9090), Protocol: ptr.To(corev1.ProtocolTCP)}}
	if err := h.kube.Update(h.t.Context(), &slice); err != nil {
		h.t.Fatal(err)
	}
}

// sameHistory counts the raw samples of the time before the seam on both servers.
func (h *underOperator) sameHistory(service string) {
	h.t.Helper()
	if h.last.Seam == nil {
		h.t.Fatal("nobody knows the seam")
	}
	query := fmt.Sprintf(`sum(count_over_time({job=~"shop|tickets"}[20d] @ %.3f))`, float64(h.last.Seam.UnixMilli()-1)/1000)
	h.eventually(shortTime, "users see the new server", func() error {
		version, err := value(h.t.Context(), service, `count(prometheus_build_info{version=~"3[.].*"})`)
		if err != nil || version == "0" {
			return fmt.Errorf("%s, %w", version, err)
		}
		return nil
	})
	old, err := value(h.t.Context(), h.old.serverURL(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	now, err := value(h.t.Context(), service, query)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.t.Logf("%s samples before the seam on the old server, %s on the new one", old, now); old != now {
		h.t.Error("samples are missing, or are there twice")
	}
}
