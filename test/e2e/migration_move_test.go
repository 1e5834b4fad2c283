//go:build lab

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/migration/workload"
)

const (
	moveName   = "rack"
	newServer  = "prometheus-rack"
	usersPort  = 30090
	moveVolume = "rack-data"
)

// byHand is a move whose objects the test applies, as the operator does.
type byHand struct {
	*house
	work *workload.Workload
	told []string
	last move.Progress
}

// TestMoveIntoCluster moves the old server into a pod of the new one, with the objects that the operator applies. On the way the
// moving pod and the new server's pod are killed. A user asks from start to end.
func TestMoveIntoCluster(t *testing.T) {
	h := &byHand{house: newHouse(t, "e2e-into", 96<<20, targetImages(t))}
	h.prepare(moveVolume)
	h.begin()
	m, err := h.lab.Machine(h.control)
	if err != nil {
		t.Fatal(err)
	}
	service := fmt.Sprintf("http://%s:%d", m.Address, usersPort)
	asking := h.askUsers(service)
	pod := h.targetReady()
	job, err := h.work.Move()
	if err != nil {
		t.Fatal(err)
	}
	h.apply(job)

	h.follow("blocks travel", func(p *move.Progress) bool { return p.Transfer.BytesDone > 0 && p.Blocks.Staged < p.Blocks.Total })
	h.kill9(h.running(workload.RoleMove))
	h.follow("blocks are being installed", func(p *move.Progress) bool { return p.Blocks.Installed > 0 })
	h.kill9(h.target())
	h.follow("the new server still asks the old one", func(p *move.Progress) bool {
		return slices.ContainsFunc(p.Waits, func(w string) bool { return strings.Contains(w, "remote_read") })
	})
	h.configure(target.Verify, pod)
	h.follow("both were compared", func(p *move.Progress) bool { return p.Done })
	if p := h.last.Proof; p == nil || p.Verdict != proof.Proved {
		t.Fatalf("the proof: %+v\n%s", p, strings.Join(h.told, "\n"))
	}
	h.lead(h.target())
	h.sameHistory(service)
	asked, failures := asking.result()
	t.Logf("users asked %d times", asked)
	if asked < 30 || len(failures) > 0 {
		t.Errorf("%d of %d questions of users went wrong:\n%s", len(failures), asked, strings.Join(failures, "\n"))
	}
}

// begin applies everything up to the bridge.
func (h *byHand) begin() {
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
	objects := h.plan(target.Bridge)
	var claim *corev1.PersistentVolumeClaim
	var pod *corev1.PodTemplateSpec
	for _, o := range objects {
		h.apply(o)
		switch o := o.(type) {
		case *corev1.PersistentVolumeClaim:
			claim = o
		case *appsv1.StatefulSet:
			pod = &o.Spec.Template
		}
	}
	host, err := h.lab.Machine(oldHost)
	if err != nil {
		h.t.Fatal(err)
	}
	h.work, err = workload.New(workload.Options{
		Name: moveName, Namespace: namespace, Image: toolsImage, PullPolicy: corev1.PullNever, Security: pod.Spec.SecurityContext,
		Volume: workload.Volume{ClaimName: claim.Name}, TargetPod: pod.Labels, TargetURL: fmt.Sprintf("http://%s-pod.%s.svc:9090", newServer, namespace),
		Source: workload.Source{URL: h.old.serverURL(), Host: workload.Host{Address: host.Address, Port: int32(host.Port), User: "root", DataDir: oldData,
			KeySecret: "rack-key", HostKey: host.HostKey}},
		ShimSecret: workload.SourceSecret(moveName), Except: []string{"prometheus"}, // the old server's own metrics end with it
		Transfer: workload.Transfer{CeilingBytes: 8 << 20, LongestScrape: time.Second, Samples: 60},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	d, s, err := h.work.Shim()
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(d, s)
}

// plan gives the objects of the new server at a stage.
func (h *byHand) plan(stage target.Stage) []client.Object {
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
  target:
    statefulSet:
      name: %s
      image: %s
      storage: {className: local, volumeName: %s, size: 4Gi}
      securityContext: {runAsUser: 1000, fsGroup: 2000}
      service: {type: NodePort, nodePort: %d}
      shim: {url: 'https://%s-shim.%s.svc:%d/api/v1/read'}
  tools: {image: %s}
`, moveName, namespace, h.old.serverURL(), host.Address, newServer, serverImage, moveVolume, usersPort, moveName, namespace, workload.ShimPort, toolsImage))
	if err != nil {
		h.t.Fatal(err)
	}
	file, err := config.Parse(oldConfig, []byte(h.oldConfiguration()))
	if err != nil {
		h.t.Fatal(err)
	}
	plan, err := target.New(target.Options{Migration: m, Stage: stage, ShimSecret: workload.TargetSecret(moveName), Source: target.Source{
		Version: skew.Version{Major: 2, Minor: 42}, Flags: skew.ToldFlags(h.oldFlags()), WorkingDir: "/", Config: file,
		Files: map[string][]byte{"/etc/prometheus/rules/tickets.yml": []byte(oldRules)},
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	made, err := plan.Manifests("")
	if err != nil {
		h.t.Fatal(err)
	}
	var all []client.Object
	for _, o := range made.Objects {
		all = append(all, o.(client.Object))
	}
	return all
}

// oldFlags are the flags of the old server as it tells them.
func (h *house) oldFlags() map[string]string {
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

// target is the new server's pod.
func (h *house) target() *corev1.Pod {
	h.t.Helper()
	var pod corev1.Pod
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: newServer + "-0"}, &pod); err != nil {
		h.t.Fatal(err)
	}
	return &pod
}

// targetReady waits until the new server's pod is ready.
func (h *house) targetReady() *corev1.Pod {
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

// running is the pod of a role that runs.
func (h *house) running(role workload.Role) *corev1.Pod {
	h.t.Helper()
	for _, p := range h.pods(map[string]string{workload.LabelName: moveName, workload.LabelRole: string(role)}) {
		if p.Status.Phase == corev1.PodRunning {
			return &p
		}
	}
	h.t.Fatalf("no pod of role %s runs", role)
	return nil
}

// follow reads what the moving pod tells until it is what is waited for.
func (h *byHand) follow(what string, until func(*move.Progress) bool) {
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
func (h *byHand) read() error {
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

// configure writes the configuration of a stage, hurries the kubelet, and has the server read it.
func (h *byHand) configure(stage target.Stage, pod *corev1.Pod) {
	h.t.Helper()
	for _, o := range h.plan(stage) {
		kind, ok := o.(*corev1.ConfigMap)
		if !ok || kind.Name != newServer {
			continue
		}
		if err := h.kube.Update(h.t.Context(), kind); err != nil {
			h.t.Fatal(err)
		}
	}
	hurry := h.target()
	before := hurry.DeepCopy()
	metav1.SetMetaDataAnnotation(&hurry.ObjectMeta, "stage", string(stage))
	if err := h.kube.Patch(h.t.Context(), hurry, client.MergeFrom(before)); err != nil {
		h.t.Fatal(err)
	}
	h.eventually(2*shortTime, "the new server has its configuration of "+string(stage), func() error {
		at := h.set.CoreV1().RESTClient()
		if _, err := at.Post().Namespace(namespace).Resource("pods").Name(pod.Name + ":9090").SubResource("proxy").Suffix("-/reload").DoRaw(h.t.Context()); err != nil {
			return err
		}
		text, err := at.Get().Namespace(namespace).Resource("pods").Name(pod.Name + ":9090").SubResource("proxy").Suffix("api/v1/status/config").DoRaw(h.t.Context())
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("remote_read")) {
			return errors.New("it still has remote_read")
		}
		return nil
	})
}

// lead leads the users' Service to the new server.
func (h *byHand) lead(pod *corev1.Pod) {
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
func (h *byHand) sameHistory(service string) {
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
