// Package viewtest holds what unit tests of the controllers stand on: a management cluster out of the fake client with
// the indexes of the cache, and clusters out of remote.Fake. It knows nothing of what the CRDs refuse; the suite of
// package fleet runs on a real API server.
package viewtest

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
)

// The names of the one cluster of a World.
const (
	Namespace = "harbor"
	Cluster   = "shop"
	// Key is that of its connection.
	Key = Namespace + "/" + Cluster
	// ContentVersion and BundleDigest are what it was built with.
	ContentVersion = "1.0-abcd"
	BundleDigest   = "sha256:bundle"
)

// Now is the time of a World.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// World is a management cluster with one cluster in it.
type World struct {
	Kit      kube.Kit
	View     *view.View
	Clusters *remote.Fake
	Events   *events.FakeRecorder
	// Writes counts the writes since the start.
	Writes int
}

type indexer struct{ builder *fake.ClientBuilder }

// IndexField adds an index to the fake client, as to a cache.
func (i indexer) IndexField(_ context.Context, obj client.Object, field string, extract client.IndexerFunc) error {
	i.builder.WithIndex(obj, field, extract)
	return nil
}

// New makes a World of the objects, which need not name the Namespace.
func New(t testing.TB, objects ...client.Object) *World {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	w := &World{Clusters: remote.NewFake(nil), Events: events.NewFakeRecorder(100)}
	for _, o := range objects {
		if o.GetNamespace() == "" {
			o.SetNamespace(Namespace)
		}
	}
	builder := fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).WithInterceptorFuncs(w.counted()).
		WithStatusSubresource(&v1alpha1.ClusterDeployment{}, &v1alpha1.Cluster{}, &v1alpha1.MachineSet{}, &v1alpha1.Machine{}, &v1alpha1.Operation{})
	if err := view.Index(t.Context(), indexer{builder}); err != nil {
		t.Fatal(err)
	}
	c := builder.Build()
	w.Kit = kube.Kit{Client: c, Live: c, Recorder: w.Events, Clock: clocktesting.NewFakeClock(Now)}
	w.View = &view.View{
		Kit: w.Kit, Connections: view.NewConnections(c, w.Clusters),
		Content: view.Content{Version: ContentVersion, Releases: func() []view.Release {
			return []view.Release{{ContentVersion: ContentVersion, BundleDigest: BundleDigest, Manifest: &bundle.Manifest{}}}
		}},
		Freeze: kube.Freeze{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap},
	}
	return w
}

func (w *World) counted() interceptor.Funcs {
	return interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			w.Writes++
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			w.Writes++
			return c.Patch(ctx, obj, patch, opts...)
		},
	}
}

// Read reads an object of the Namespace anew.
func Read[T client.Object](t testing.TB, w *World, name string, obj T) T {
	t.Helper()
	if err := w.Kit.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: name}, obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// Called names the calls of one method on the cluster, with their nodes or sets.
func (w *World) Called(method string) []string {
	var names []string
	for _, c := range w.Clusters.Calls() {
		if c.Method == method {
			names = append(names, c.Name)
		}
	}
	return names
}

// Recorded gives the events since the last call.
func (w *World) Recorded() []string {
	var list []string
	for {
		select {
		case e := <-w.Events.Events:
			list = append(list, e)
		default:
			return list
		}
	}
}

// Deployment is the deployment of the cluster; its settings were checked.
func Deployment() *v1alpha1.ClusterDeployment {
	d := &v1alpha1.ClusterDeployment{ObjectMeta: metav1.ObjectMeta{Name: Cluster, Namespace: Namespace, Generation: 1}}
	d.Status.Conditions = []metav1.Condition{Condition(v1alpha1.ConditionSpecValid, metav1.ConditionTrue, v1alpha1.ReasonAsWanted, "")}
	return d
}

// Built is the cluster: installed, and with a kubeconfig, which KubeconfigSecret holds.
func Built() *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Name: Cluster, Namespace: Namespace, Generation: 1},
		Spec:       v1alpha1.ClusterSpec{UID: "u1", ContentVersion: ContentVersion, BundleDigest: BundleDigest},
		Status: v1alpha1.ClusterStatus{KubeconfigSecretName: view.KubeconfigSecret(Cluster), Conditions: []metav1.Condition{
			Condition(v1alpha1.ConditionInstalled, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, ""),
		}},
	}
}

// KubeconfigSecret is that of the cluster.
func KubeconfigSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: view.KubeconfigSecret(Cluster), Namespace: Namespace}, Data: map[string][]byte{view.KubeconfigKey: []byte("x")}}
}

// Condition is one that has stood for an hour.
func Condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(Now.Add(-time.Hour))}
}

// Words are what a condition says: "False Pending: it waits"; empty when there is none.
func Words(conditions []metav1.Condition, kind string) string {
	for _, c := range conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Reason + ": " + c.Message
		}
	}
	return ""
}
