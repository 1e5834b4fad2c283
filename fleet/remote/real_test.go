package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
)

func TestUnreachable(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"a refused connection", &url.Error{Op: "Get", Err: errors.New("connection refused")}, true},
		{"a deadline", fmt.Errorf("waiting: %w", context.DeadlineExceeded), true},
		{"a connection that ended", io.ErrUnexpectedEOF, true},
		{"an API server that is shutting down", apierrors.NewServiceUnavailable("bye"), true},
		{"an etcd that is too slow", apierrors.NewTimeoutError("etcd", 1), true},
		{"an object that is not there", apierrors.NewNotFound(pods, "x"), false},
		{"a right that is missing", apierrors.NewForbidden(pods, "x", errors.New("no")), false},
		{"credentials that are refused", apierrors.NewUnauthorized("no"), false},
		{"an API server with another authority", &url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, false},
		{"a node that is not there", ErrNoNode, false},
		{"an object that makes no sense", errors.New("object 1 has no kind"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := unreachable(test.err); got != test.want {
				t.Errorf("unreachable(%v) = %v", test.err, got)
			}
		})
	}
}

func kubeconfig(cluster, user string) []byte {
	return []byte(`apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "https://api.shop.example:6443", ` + cluster + `}}]
users: [{name: x, user: {` + user + `}}]
`)
}

func TestClientConfigRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		kubeconfig []byte
		want       string
	}{
		"a program":               {kubeconfig("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true, interactiveMode: Never}"), "program"},
		"a token in a file":       {kubeconfig("", "tokenFile: /etc/token"), "files"},
		"an authority in a file":  {kubeconfig("certificate-authority: /etc/ca.crt", "token: x"), "files"},
		"an unchecked API server": {kubeconfig("insecure-skip-tls-verify: true", "token: x"), "turns off"},
		"nonsense":                {[]byte("{"), "reading the kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := clientConfig(test.kubeconfig); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("clientConfig() = %v, want an error with %q", err, test.want)
			}
		})
	}
	if _, err := clientConfig(kubeconfig("", "token: x")); err != nil {
		t.Errorf("a plain one: %v", err)
	}
}

func TestDialerTriesAllAddressesAndRemembers(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	good := server.Listener.Addr().String()
	d := &dialer{}
	d.set([]string{"127.0.0.1:1", good})
	conn, err := d.dial(t.Context(), "tcp", "api.shop.example:6443")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if diff := cmp.Diff([]string{good, "127.0.0.1:1"}, d.order()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	d.set([]string{"127.0.0.1:1"})
	if _, err := d.dial(t.Context(), "tcp", "api.shop.example:6443"); err == nil {
		t.Error("an address that is not there answered")
	}
}

func TestMustLeave(t *testing.T) {
	now := time.Now()
	yes := true
	pod := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		change(p)
		return p
	}
	owned := func(apiVersion, kind string) *corev1.Pod {
		return pod(func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Controller: &yes}}
		})
	}
	leaving := func(since time.Duration) *corev1.Pod {
		return pod(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now.Add(-since)} })
	}
	tests := []struct {
		name  string
		pod   *corev1.Pod
		ready bool
		want  bool
	}{
		{"a pod without a controller leaves", pod(func(*corev1.Pod) {}), true, true},
		{"a pod of a replica set leaves", owned("apps/v1", "ReplicaSet"), true, true},
		{"a pod of a daemon set stays", owned("apps/v1", "DaemonSet"), true, false},
		{"a pod of somebody else's daemon set leaves", owned("example.com/v1", "DaemonSet"), true, true},
		{"a mirror pod stays", pod(func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }), true, false},
		{"a finished pod stays", pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), true, false},
		{"a failed pod stays", pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), true, false},
		{"a pod that takes long to end counts", leaving(time.Hour), true, true},
		{"a pod within its grace period counts on a silent node", leaving(time.Second), false, true},
		{"a pod beyond it does not", leaving(time.Hour), false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := mustLeave(test.pod, test.ready, now); got != test.want {
				t.Errorf("mustLeave() = %v", got)
			}
		})
	}
}

func TestDrainOfNamesFirstWhatIsHeldUp(t *testing.T) {
	left := []remaining{{"a/1", "is leaving"}, {"b/2", "is held by a budget: x"}, {"a/9", "is leaving"}}
	for i := range 4 {
		left = append(left, remaining{fmt.Sprintf("c/%d", 4-i), "is leaving"})
	}
	want := Drain{Remaining: 7, Message: "b/2 is held by a budget: x; a/1 is leaving; a/9 is leaving; c/1 is leaving; c/2 is leaving; and 2 more"}
	if diff := cmp.Diff(want, drainOf(left)); diff != "" {
		t.Error(diff)
	}
}

func TestBudgetOf(t *testing.T) {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget web needs 2 healthy pods and has 2 currently",
	})
	if got, want := budgetOf(err), "is held by a budget: The disruption budget web needs 2 healthy pods and has 2 currently"; got != want {
		t.Errorf("budgetOf() = %q", got)
	}
}

func TestNodePatch(t *testing.T) {
	taint := func(key, value string) corev1.Taint {
		return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffectNoSchedule}
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7", Labels: map[string]string{"a": "1", "b": "2"}}}
	node.Spec.Taints = []corev1.Taint{taint("theirs", "x"), taint("ours", "old")}
	tests := []struct {
		name   string
		labels map[string]string
		taints []corev1.Taint
		want   string
	}{
		{"says nothing when all is there", map[string]string{"a": "1"}, []corev1.Taint{taint("theirs", "x")}, ""},
		{"names only what is missing", map[string]string{"a": "1", "b": "3"}, nil, `{"metadata":{"labels":{"b":"3"},"resourceVersion":"7"}}`},
		{
			"keeps the taints of others", nil, []corev1.Taint{taint("ours", "new")},
			`{"metadata":{"resourceVersion":"7"},"spec":{"taints":[{"key":"theirs","value":"x","effect":"NoSchedule"},{"key":"ours","value":"new","effect":"NoSchedule"}]}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := nodePatch(node, test.labels, test.taints)
			if err != nil || string(got) != test.want {
				t.Errorf("nodePatch() = %s, %v", got, err)
			}
		})
	}
}

func TestGoodToken(t *testing.T) {
	until := time.Now().Add(10 * time.Minute)
	good := tokenSecret("abcdef", "0123456789abcdef", until.Add(time.Minute))
	if !goodToken(good, "0123456789abcdef", until) {
		t.Error("a good token is refused")
	}
	for name, change := range map[string]func(*corev1.Secret){
		"ends too early":    func(s *corev1.Secret) { s.Data["expiration"] = []byte(until.Add(-time.Minute).Format(time.RFC3339)) },
		"has no end":        func(s *corev1.Secret) { delete(s.Data, "expiration") },
		"has other secret":  func(s *corev1.Secret) { s.Data["token-secret"] = []byte("x") },
		"may not sign":      func(s *corev1.Secret) { delete(s.Data, "usage-bootstrap-signing") },
		"may not log in":    func(s *corev1.Secret) { s.Data["usage-bootstrap-authentication"] = []byte("false") },
		"is of other group": func(s *corev1.Secret) { s.Data["auth-extra-groups"] = []byte("system:bootstrappers:x") },
	} {
		s := good.DeepCopy()
		change(s)
		if goodToken(s, "0123456789abcdef", until) {
			t.Errorf("a token that %s is taken for good", name)
		}
	}
}

func TestTrimKeepsWhatNodesNeed(t *testing.T) {
	full := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "m1", UID: "u", ResourceVersion: "3", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
	}}
	full.Spec.Unschedulable, full.Spec.PodCIDR = true, "10.244.0.0/24"
	full.Status.NodeInfo.KubeletVersion = "v1.36.3"
	full.Status.Images = []corev1.ContainerImage{{Names: []string{"x"}}}
	full.Status.Conditions = []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse},
		{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "no network", LastHeartbeatTime: metav1.Now()},
	}
	got, err := trim(full)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "m1", UID: "u", ResourceVersion: "3"}}
	want.Spec.Unschedulable = true
	want.Status.NodeInfo.KubeletVersion = "v1.36.3"
	want.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: "no network"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Node{Name: "m1", Unschedulable: true, Message: "no network", KubeletVersion: "v1.36.3"}, nodeOf(got)); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkTrimmedNodes prints what a Node in the watch's store costs in memory.
func BenchmarkTrimmedNodes(b *testing.B) {
	for b.Loop() {
		store := cache.NewStore(cache.MetaNamespaceKeyFunc)
		before := heap()
		for i := range 5000 {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("rack-%05d", i), Labels: map[string]string{"a": strings.Repeat("x", 4096)}}}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Message: "kubelet is posting ready status"}}
			small, err := trim(n)
			if err != nil {
				b.Fatal(err)
			}
			if err := store.Add(small); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/5000, "bytes/node")
		runtime.KeepAlive(store)
	}
}

// A kubeconfig comes from a Secret: whatever stands in it, it leads to an API server that is checked, with nothing of this host.
func FuzzClientConfig(f *testing.F) {
	f.Add(kubeconfig("", "token: x"))
	f.Add(kubeconfig("certificate-authority-data: YQ==", "client-certificate-data: YQ==, client-key-data: YQ=="))
	f.Add(kubeconfig("insecure-skip-tls-verify: true", "token: x"))
	f.Add(kubeconfig("proxy-url: \"http://198.18.0.9\"", "tokenFile: /etc/token"))
	f.Add(kubeconfig("", "exec: {command: a}, as: root"))
	f.Add([]byte("{"))
	f.Add([]byte(""))
	f.Add([]byte("apiVersion: v1\nkind: Config\nclusters: [{name: x, cluster: {server: \"http://a\"}}, {name: x, cluster: {server: \"https://b\"}}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := clientConfig(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(config.Host, "https://") || config.Insecure || config.ExecProvider != nil || config.AuthProvider != nil ||
			config.BearerTokenFile != "" || config.CAFile != "" || config.CertFile != "" || config.KeyFile != "" {
			t.Errorf("took %q: %v", text, config)
		}
	})
}
