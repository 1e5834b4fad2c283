//go:build plane

package remote

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

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
	_ = l.Close()
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
		_ = r.listener.Close()
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
