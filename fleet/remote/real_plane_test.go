//go:build plane

package remote

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/slipway-dev/slipway/plane/planetest"
)

var planeConfig *rest.Config

func TestMain(m *testing.M) {
	os.Exit(planetest.Main(m, func(c *rest.Config) { planeConfig = c }))
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
