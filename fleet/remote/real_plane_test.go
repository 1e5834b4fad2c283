//go:build plane

package remote

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/slipway-dev/slipway/plane/planetest"
)

var planeConfig *rest.Config

func TestMain(m *testing.M) {
	os.Exit(planetest.Main(m, func(c *rest.Config) { planeConfig = c }))
}

// relay stands between a connection and the API server; it can be closed and opened again.
type relay struct {
	target   string
	address  string
	mutex    sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{target: strings.TrimPrefix(planeConfig.Host, "https://"), address: l.Addr().String(), open: map[net.Conn]struct{}{}}
	l.Close()
	t.Cleanup(r.close)
	return r
}

func (r *relay) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.mutex.Lock()
	r.listener = l
	r.mutex.Unlock()
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", r.target)
			if err != nil {
				near.Close()
				continue
			}
			r.mutex.Lock()
			r.open[near], r.open[far] = struct{}{}, struct{}{}
			r.mutex.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				}()
			}
		}
	}()
}

func (r *relay) close() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.listener != nil {
		r.listener.Close()
		r.listener = nil
	}
	for c := range r.open {
		c.Close()
	}
	clear(r.open)
}

// bench is the plane with a relay before it and an admin's clients behind it.
type bench struct {
	relay   *relay
	admin   kubernetes.Interface
	dynamic dynamic.Interface
	changes *changes
	real    *Real
	target  Target
}

// endpointKubeconfig names a server that resolves nowhere but is in the API server's certificate.
func endpointKubeconfig(t *testing.T) []byte {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(planeConfig.Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(data []byte, file string) string {
		if len(data) == 0 {
			if data, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		return base64.StdEncoding.EncodeToString(data)
	}
	c := planeConfig.TLSClientConfig
	return []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "https://kubernetes.default.svc:%s", certificate-authority-data: %s}}]
users: [{name: x, user: {client-certificate-data: %s, client-key-data: %s}}]
`, port, read(c.CAData, c.CAFile), read(c.CertData, c.CertFile), read(c.KeyData, c.KeyFile)))
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{relay: newRelay(t), changes: &changes{}}
	var err error
	if b.admin, err = kubernetes.NewForConfig(planeConfig); err != nil {
		t.Fatal(err)
	}
	if b.dynamic, err = dynamic.NewForConfig(planeConfig); err != nil {
		t.Fatal(err)
	}
	b.real = NewReal(RealOptions{
		OnChange: b.changes.note, ProbeInterval: 200 * time.Millisecond, DownInterval: 50 * time.Millisecond, CallTimeout: 10 * time.Second,
	})
	t.Cleanup(b.real.Close)
	b.target = Target{Key: "harbor/" + t.Name(), UID: "uid-1", Kubeconfig: endpointKubeconfig(t), Addresses: []string{"127.0.0.1:1", b.relay.address}}
	t.Cleanup(func() { b.clean(t) })
	return b
}

// clean leaves the plane as it was for the next test.
func (b *bench) clean(t *testing.T) {
	ctx := context.Background()
	zero := int64(0)
	now := metav1.DeleteOptions{GracePeriodSeconds: &zero}
	if err := b.admin.CoreV1().Nodes().DeleteCollection(ctx, now, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	pods, err := b.admin.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	for _, p := range pods.Items {
		_ = b.admin.CoreV1().Pods("default").Delete(ctx, p.Name, now)
	}
	_ = b.admin.PolicyV1().PodDisruptionBudgets("default").DeleteCollection(ctx, now, metav1.ListOptions{})
	_ = b.admin.CoreV1().ConfigMaps("default").DeleteCollection(ctx, now, metav1.ListOptions{LabelSelector: SetLabel})
	_ = b.admin.CoreV1().ConfigMaps("kube-system").DeleteCollection(ctx, now, metav1.ListOptions{LabelSelector: SetLabel})
}

// connect opens the relay and waits until the nodes are known.
func (b *bench) connect(t *testing.T) Cluster {
	t.Helper()
	b.relay.start(t)
	c, err := b.real.Connect(t.Context(), b.target)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "connecting", func() error { _, err := c.Nodes(t.Context()); return err })
	return c
}

func (b *bench) node(t *testing.T, name string, status corev1.ConditionStatus) *corev1.Node {
	t.Helper()
	n, err := b.admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.NodeInfo.KubeletVersion = "v1.36.3"
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Message: "as told"}}
	if n, err = b.admin.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The API server's admission taints a new Node; nothing here takes that away.
	return n
}

func (b *bench) pod(t *testing.T, name, node string, change func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "x"}}},
	}
	if change != nil {
		change(p)
	}
	phase := p.Status.Phase
	p, err := b.admin.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Status.Phase = corev1.PodRunning
	if phase != "" {
		p.Status.Phase = phase
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if p, err = b.admin.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// end does what the kubelet does last.
func (b *bench) end(t *testing.T, name string) {
	t.Helper()
	zero := int64(0)
	if err := b.admin.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
}

func TestRealContract(t *testing.T) {
	b := newBench(t)
	testConnector(t, subject{
		connector: b.real, changes: b.changes, target: b.target,
		join: func(t *testing.T, names ...string) {
			b.relay.start(t)
			for _, name := range names {
				b.node(t, name, corev1.ConditionTrue)
			}
		},
		objects: func(t *testing.T, set string) []string {
			list, err := b.admin.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{LabelSelector: SetLabel + "=" + set})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, o := range list.Items {
				names = append(names, "ConfigMap default/"+o.Name)
			}
			return names
		},
	})
}

func TestRealToken(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	get := func() *corev1.Secret {
		t.Helper()
		s, err := b.admin.CoreV1().Secrets("kube-system").Get(t.Context(), "bootstrap-token-fedcba", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ensure := func(seconds int) *corev1.Secret {
		t.Helper()
		if err := c.EnsureBootstrapToken(t.Context(), "fedcba.0123456789abcdef", seconds); err != nil {
			t.Fatal(err)
		}
		return get()
	}
	first := ensure(600)
	if again := ensure(600); again.ResourceVersion != first.ResourceVersion {
		t.Error("asking again wrote again")
	}
	longer := ensure(3600)
	end, err := time.Parse(time.RFC3339, string(longer.Data["expiration"]))
	if err != nil || time.Until(end) < time.Hour-time.Minute {
		t.Errorf("it ends at %s, %v", end, err)
	}
	data := map[string]string{}
	for k, v := range longer.Data {
		data[k] = string(v)
	}
	delete(data, "expiration")
	want := map[string]string{
		"token-id": "fedcba", "token-secret": "0123456789abcdef", "description": "Joins machines of Slipway",
		"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
		"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
	}
	if diff := cmp.Diff(want, data); diff != "" || longer.Type != corev1.SecretTypeBootstrapToken {
		t.Errorf("type %s\n%s", longer.Type, diff)
	}
}

func TestRealLabels(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	n := b.node(t, "m1", corev1.ConditionTrue)
	if _, err := b.admin.CoreV1().Nodes().Patch(t.Context(), "m1", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"theirs":"x"}},"spec":{"taints":[{"key":"theirs","effect":"NoExecute"}]}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	taints := []corev1.Taint{{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}}
	var versions []string
	for range 2 {
		if err := c.LabelNode(t.Context(), "m1", map[string]string{"tier": "app"}, taints); err != nil {
			t.Fatal(err)
		}
		var err error
		if n, err = b.admin.CoreV1().Nodes().Get(t.Context(), "m1", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		versions = append(versions, n.ResourceVersion)
	}
	if versions[0] != versions[1] {
		t.Error("labelling again wrote again")
	}
	if n.Labels["theirs"] != "x" || n.Labels["tier"] != "app" || len(n.Spec.Taints) != 2 {
		t.Errorf("labels %v, taints %v", n.Labels, n.Spec.Taints)
	}
}

func TestRealDrainRespectsBudgets(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	b.node(t, "m1", corev1.ConditionTrue)
	b.pod(t, "web", "m1", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	})
	b.pod(t, "bare", "m1", func(p *corev1.Pod) { p.Labels = nil })
	b.pod(t, "done", "m1", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	b.pod(t, "elsewhere", "m2", nil)
	one := intstr.FromInt32(1)
	budget, err := b.admin.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	allow := func(n int32) {
		t.Helper()
		budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: budget.Generation, DisruptionsAllowed: n, CurrentHealthy: 1 + n, DesiredHealthy: 1, ExpectedPods: 1 + n}
		if budget, err = b.admin.PolicyV1().PodDisruptionBudgets("default").UpdateStatus(t.Context(), budget, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	allow(0)
	drain := func(remaining int, words ...string) {
		t.Helper()
		d, err := c.Drain(t.Context(), "m1")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(d.Message, w) {
				t.Errorf("%q does not say %q", d.Message, w)
			}
		}
		if d.Remaining != remaining {
			t.Errorf("%d remain, want %d: %s", d.Remaining, remaining, d.Message)
		}
	}
	drain(2, "default/web is held by a budget: The disruption budget web needs 1 healthy pods and has 1 currently", "default/bare is leaving")
	b.end(t, "bare")
	drain(1, "default/web is held")
	allow(1)
	drain(1, "default/web is leaving")
	b.end(t, "web")
	drain(0)
	for _, name := range []string{"done", "elsewhere"} {
		p, err := b.admin.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || p.DeletionTimestamp != nil {
			t.Errorf("pod %s was touched: %v", name, err)
		}
	}
}

func definition() unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "boats.test.slipway.dev"},
		"spec": map[string]any{
			"group": "test.slipway.dev", "scope": "Namespaced", "names": map[string]any{"plural": "boats", "kind": "Boat"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
}

func boat(name string) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "test.slipway.dev/v1", "kind": "Boat", "metadata": map[string]any{"name": name}, "spec": map[string]any{"sails": int64(2)},
	}}
}

func TestRealApplyBringsItsOwnKinds(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	boats := b.dynamic.Resource(schema.GroupVersionResource{Group: "test.slipway.dev", Version: "v1", Resource: "boats"}).Namespace("default")
	objects := []unstructured.Unstructured{boat("one"), definition()} // the definition has to come first by itself
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	first, err := boats.Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inventory := func() string {
		t.Helper()
		m, err := b.admin.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "slipway-set-boats", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m.ResourceVersion
	}
	before := inventory()
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	again, err := boats.Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil || again.GetResourceVersion() != first.GetResourceVersion() || inventory() != before {
		t.Errorf("applying the same again wrote again: %v", err)
	}
	if _, err := boats.Patch(t.Context(), "one", types.MergePatchType, []byte(`{"spec":{"sails":7}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	if again, err = boats.Get(t.Context(), "one", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if sails, _, _ := unstructured.NestedInt64(again.Object, "spec", "sails"); sails != 2 {
		t.Errorf("a change by hand stayed: %d sails", sails)
	}
	if err := c.Delete(t.Context(), "boats"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for the kind to go", func() error {
		if _, err := boats.Get(t.Context(), "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	if err := c.Delete(t.Context(), "boats"); err != nil {
		t.Errorf("deleting again: %v", err)
	}
}

func TestRealApplyForgetsNothing(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	there := func(name string) bool {
		t.Helper()
		_, err := b.admin.CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	broken := configMap("broken", map[string]any{"k": int64(1)})
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{configMap("before", nil), broken, configMap("behind", nil)}); err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "broken") {
		t.Fatalf("Apply() of a broken object = %v", err)
	}
	if !there("before") || there("behind") {
		t.Error("the set is not half applied")
	}
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{configMap("behind", nil)}); err != nil {
		t.Fatal(err)
	}
	if there("before") || !there("behind") {
		t.Error("what a failed Apply made was not pruned by the next")
	}
	// Somebody takes an object over: it is theirs.
	if _, err := b.admin.CoreV1().ConfigMaps("default").Patch(t.Context(), "behind", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"slipway.dev/set":"theirs"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "half"); err != nil {
		t.Fatal(err)
	}
	if !there("behind") {
		t.Error("an object that another set has was deleted")
	}
	start := time.Now()
	unknown := boat("unknown")
	unknown.SetKind("Raft")
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{unknown}); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("Apply() of an unknown kind = %v", err)
	}
	if time.Since(start) > time.Minute {
		t.Error("it waited for a kind that nobody defines")
	}
	if err := c.Delete(t.Context(), "half"); err != nil {
		t.Errorf("deleting a set of an unknown kind: %v", err)
	}
}

func TestRealLossAndReturn(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	b.node(t, "m1", corev1.ConditionTrue)
	nodes := func(want int) func() error {
		return func() error {
			nodes, err := c.Nodes(t.Context())
			if err != nil || len(nodes) != want {
				return fmt.Errorf("%d nodes, %w", len(nodes), err)
			}
			return nil
		}
	}
	eventually(t, "waiting for the node", nodes(1))
	before := b.changes.of(b.target.Key)
	b.relay.close()
	if _, err := c.Version(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Version() = %v", err)
	}
	eventually(t, "noticing the loss", func() error {
		if _, err := c.Nodes(t.Context()); !errors.Is(err, ErrUnreachable) || b.changes.of(b.target.Key) == before {
			return fmt.Errorf("Nodes() = %w, %d changes", err, b.changes.of(b.target.Key)-before)
		}
		return nil
	})
	b.node(t, "m2", corev1.ConditionFalse)
	before = b.changes.of(b.target.Key)
	b.relay.start(t)
	eventually(t, "seeing what changed meanwhile", nodes(2))
	if b.changes.of(b.target.Key) == before {
		t.Error("nobody was told of the return")
	}
	list, err := c.Nodes(t.Context())
	if err != nil || list["m2"].Ready || list["m2"].Message != "as told" {
		t.Errorf("%+v, %v", list["m2"], err)
	}
}

func TestRealTellsOnlyWhatMatters(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	n := b.node(t, "m1", corev1.ConditionTrue)
	eventually(t, "waiting for the node", func() error {
		if list, err := c.Nodes(t.Context()); err != nil || !list["m1"].Ready {
			return fmt.Errorf("%v, %w", list, err)
		}
		return nil
	})
	before := b.changes.of(b.target.Key)
	for i := range 3 {
		n.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(time.Now().Add(time.Duration(i) * time.Minute))
		var err error
		if n, err = b.admin.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.node(t, "m2", corev1.ConditionTrue) // comes after the heartbeats in the watch
	eventually(t, "waiting for the second node", func() error {
		if list, err := c.Nodes(t.Context()); err != nil || !list["m2"].Ready {
			return fmt.Errorf("%v, %w", list, err)
		}
		return nil
	})
	// The new node and its status; the heartbeats are not worth a word.
	if got := b.changes.of(b.target.Key) - before; got < 1 || got > 2 {
		t.Errorf("told %d times, want 1 or 2", got)
	}
}

func TestRealAnotherKubeconfig(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	other := b.target
	foreign := base64.StdEncoding.EncodeToString(foreignAuthority(t))
	lines := bytes.Split(b.target.Kubeconfig, []byte("certificate-authority-data: "))
	_, rest, _ := bytes.Cut(lines[1], []byte("}"))
	other.Kubeconfig = append(append(append([]byte{}, lines[0]...), []byte("certificate-authority-data: "+foreign+"}")...), rest...)
	wrong, err := b.real.Connect(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if wrong == c {
		t.Fatal("another kubeconfig gave the same connection")
	}
	if _, err := wrong.Version(t.Context()); err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Version() with another authority = %v", err)
	}
	back, err := b.real.Connect(t.Context(), b.target)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "connecting again", func() error { _, err := back.Nodes(t.Context()); return err })
	same := b.target
	same.Addresses = []string{b.relay.address}
	if again, err := b.real.Connect(t.Context(), same); err != nil || again != back {
		t.Errorf("other addresses gave another connection, %v", err)
	}
	if diff := cmp.Diff([]string{b.target.Key}, b.real.Keys()); diff != "" {
		t.Error(diff)
	}
}

// foreignAuthority is the certificate of an authority that nobody knows.
func foreignAuthority(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestRealForgetStopsAll(t *testing.T) {
	b := newBench(t)
	b.relay.start(t)
	// The first connection warms up what the libraries keep for the process.
	b.connectAndForget(t, "warm")
	before := runtime.NumGoroutine()
	for i := range 5 {
		b.connectAndForget(t, fmt.Sprintf("uid-%d", i))
	}
	eventually(t, "waiting for the goroutines to end", func() error {
		if n := runtime.NumGoroutine(); n > before {
			stacks := make([]byte, 1<<17)
			return fmt.Errorf("%d goroutines, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
}

func (b *bench) connectAndForget(t *testing.T, uid string) {
	t.Helper()
	target := b.target
	target.UID = uid
	c, err := b.real.Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "connecting", func() error { _, err := c.Nodes(t.Context()); return err })
	b.real.Forget(target.Key)
}
