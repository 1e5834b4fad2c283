package addons

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/controller/view/viewtest"
	"github.com/slipway-dev/slipway/fleet/remote"
)

// start is what a case begins with; a case changes it.
type start struct {
	deployment *v1alpha1.ClusterDeployment
	cluster    *v1alpha1.Cluster
	others     []client.Object
	// silent: the API server does not answer; failing: applying or removing ends so.
	silent  bool
	failing error
}

type outcome struct {
	Condition string
	Addons    []string
	Applied   []string
	Deleted   []string
	Events    []string
	After     time.Duration
	Retried   bool
}

func addons(names ...string) []v1alpha1.Addon {
	var list []v1alpha1.Addon
	for _, n := range names {
		list = append(list, v1alpha1.Addon{Name: n})
	}
	return list
}

func applied(names ...string) []v1alpha1.AddonStatus {
	var list []v1alpha1.AddonStatus
	for _, n := range names {
		list = append(list, v1alpha1.AddonStatus{Name: n, Digest: "sha256:" + n})
	}
	return list
}

func TestReconcile(t *testing.T) {
	const was = "True AsWanted: applied: coredns"
	asWanted := viewtest.Condition(v1alpha1.ConditionAddonsApplied, metav1.ConditionTrue, v1alpha1.ReasonAsWanted, "applied: coredns")
	both := []string{"coredns sha256:coredns", "metrics-server sha256:metrics-server"}
	cases := map[string]struct {
		change func(*start)
		want   outcome
	}{
		"applies what is wanted": {func(*start) {}, outcome{
			Condition: "True AsWanted: applied: coredns, metrics-server", Addons: both, Applied: []string{"metrics-server", "coredns"},
			Events: []string{"Normal AddonApplied Applied addon metrics-server: 1 objects", "Normal AddonApplied Applied addon coredns: 1 objects"},
		}},
		"applies nothing twice": {func(s *start) { s.cluster.Status.Addons = applied("coredns", "metrics-server") }, outcome{
			Condition: "True AsWanted: applied: coredns, metrics-server", Addons: both,
		}},
		"applies what has changed": {func(s *start) {
			s.cluster.Status.Addons = applied("coredns", "metrics-server")
			s.cluster.Status.Addons[0].Digest = "sha256:old"
		}, outcome{
			Condition: "True AsWanted: applied: coredns, metrics-server", Addons: both, Applied: []string{"coredns"},
			Events: []string{"Normal AddonApplied Applied addon coredns: 1 objects"},
		}},
		"removes what is wanted no more": {func(s *start) {
			s.deployment.Spec.Addons = addons("coredns")
			s.cluster.Status.Addons = applied("coredns", "metrics-server")
		}, outcome{
			Condition: was, Addons: both[:1], Deleted: []string{"metrics-server"}, Events: []string{"Normal AddonRemoved Removed addon metrics-server"},
		}},
		"is content with none": {func(s *start) { s.deployment.Spec.Addons = nil }, outcome{Condition: "True AsWanted: no addons are wanted"}},
		"waits for the API server": {func(s *start) { s.silent = true }, outcome{
			Condition: "False Pending: the API server does not answer yet",
		}},
		"waits for a kubeconfig": {func(s *start) { s.cluster.Status.KubeconfigSecretName = "" }, outcome{
			Condition: "False Pending: the API server does not answer yet",
		}},
		"waits while everything is frozen": {func(s *start) {
			s.others = []client.Object{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}, Data: map[string]string{"reason": "network change"}}}
		}, outcome{Condition: "False Pending: frozen: network change"}},
		"waits while the deployment is paused": {func(s *start) { s.deployment.Spec.Management = v1alpha1.ManagementPaused }, outcome{
			Condition: "False Pending: paused: spec.management is Paused",
		}},
		"waits for settings that can be used": {func(s *start) {
			s.deployment.Status.Conditions[0] = viewtest.Condition(v1alpha1.ConditionSpecValid, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, "spec.addons[0].name: there is no addon \"x\"")
		}, outcome{Condition: "False Pending: the settings cannot be used: spec.addons[0].name: there is no addon \"x\""}},
		"says nothing new while it waits with everything applied": {func(s *start) {
			s.silent = true
			s.deployment.Spec.Addons = addons("coredns")
			s.cluster.Status.Addons = applied("coredns")
			s.cluster.Status.Conditions = append(s.cluster.Status.Conditions, asWanted)
		}, outcome{Condition: was, Addons: both[:1]}},
		"says nothing of a cluster whose deployment is gone": {func(s *start) { s.deployment = nil }, outcome{}},
		"needs a person for content that it does not carry": {func(s *start) { s.cluster.Spec.ContentVersion = "0.9" }, outcome{
			Condition: "False UnknownContent: this operator does not carry content 0.9, with which the cluster was built",
			Events:    []string{"Warning UnknownContent this operator does not carry content 0.9, with which the cluster was built"},
		}},
		"needs a person for values that it cannot use, and applies the others": {func(s *start) { s.deployment.Spec.Addons = addons("broken", "coredns") }, outcome{
			Condition: "False InvalidSpec: applying addon broken: replicas: must be a number", Addons: both[:1], Applied: []string{"coredns"},
			Events: []string{"Normal AddonApplied Applied addon coredns: 1 objects", "Warning InvalidSpec applying addon broken: replicas: must be a number"},
		}},
		"waits for a cluster that stops answering, and applies the others": {func(s *start) { s.failing = fmt.Errorf("applying: %w", remote.ErrUnreachable) }, outcome{
			Condition: "False ClusterUnreachable: applying addon metrics-server: applying: " + remote.ErrUnreachable.Error(), Addons: both[:1],
			Applied: []string{"metrics-server", "coredns"}, Events: []string{"Normal AddonApplied Applied addon coredns: 1 objects"}, After: retry,
		}},
		"tries again after any other error": {func(s *start) { s.failing = errors.New("admission webhook says no") }, outcome{
			Condition: "False Failed: applying addon metrics-server: admission webhook says no", Addons: both[:1],
			Applied: []string{"metrics-server", "coredns"}, Events: []string{"Normal AddonApplied Applied addon coredns: 1 objects"}, Retried: true,
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &start{deployment: viewtest.Deployment(), cluster: viewtest.Built()}
			s.deployment.Spec.Addons = addons("metrics-server", "coredns")
			c.change(s)
			r, w := reconciler(t, s)
			got := pass(t, r, w)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.Retried || got.After > 0 {
				return
			}
			before := w.Writes
			if pass(t, r, w); w.Writes != before {
				t.Error("a second pass writes, with nothing changed")
			}
		})
	}
}

func reconciler(t *testing.T, s *start) (*Reconciler, *viewtest.World) {
	t.Helper()
	objects := append(s.others, s.cluster, viewtest.KubeconfigSecret())
	if s.deployment != nil {
		objects = append(objects, s.deployment)
	}
	w := viewtest.New(t, objects...)
	if !s.silent {
		w.Clusters.SetNodes(viewtest.Key, remote.Node{Name: "cp1", Ready: true})
	}
	failing := s.failing
	return &Reconciler{Options: Options{Kit: w.Kit, View: w.View, Render: func(_ *v1alpha1.ClusterDeployment, release view.Release, a v1alpha1.Addon) ([]unstructured.Unstructured, string, error) {
		if release.BundleDigest != viewtest.BundleDigest {
			t.Errorf("rendered with bundle %q", release.BundleDigest)
		}
		if a.Name == "broken" {
			return nil, "", errors.New("replicas: must be a number")
		}
		if failing != nil {
			w.Clusters.NextErr(failing) // the next call is that which applies
			failing = nil
		}
		o := unstructured.Unstructured{}
		o.SetAPIVersion("v1")
		o.SetKind("ConfigMap")
		o.SetName(a.Name)
		return []unstructured.Unstructured{o}, "sha256:" + a.Name, nil
	}}}, w
}

func pass(t *testing.T, r *Reconciler, w *viewtest.World) outcome {
	t.Helper()
	result, err := r.Reconcile(t.Context(), request())
	c := viewtest.Read(t, w, viewtest.Cluster, &v1alpha1.Cluster{})
	got := outcome{
		Condition: viewtest.Words(c.Status.Conditions, v1alpha1.ConditionAddonsApplied), Applied: w.Called("Apply"), Deleted: w.Called("Delete"),
		Events: w.Recorded(), After: result.RequeueAfter, Retried: err != nil,
	}
	for _, a := range c.Status.Addons {
		got.Addons = append(got.Addons, a.Name+" "+a.Digest)
	}
	return got
}

func request() reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: viewtest.Namespace, Name: viewtest.Cluster}}
}

func TestAddonThatCannotBeRemovedStaysInTheStatus(t *testing.T) {
	w := viewtest.New(t)
	w.Clusters.SetNodes(viewtest.Key, remote.Node{Name: "cp1", Ready: true})
	cluster, err := w.Clusters.Connect(t.Context(), remote.Target{Key: viewtest.Key, UID: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Options: Options{Kit: w.Kit, View: w.View}}
	s := &scope{cluster: viewtest.Built(), seen: &view.Cluster{Deployment: viewtest.Deployment(), Remote: cluster}}
	s.cluster.Status.Addons = applied("coredns", "metrics-server")
	w.Clusters.NextErr(remote.ErrUnreachable)
	_, err = r.remove(t.Context(), s)
	if !errors.Is(err, remote.ErrUnreachable) || !strings.Contains(err.Error(), "removing addon coredns") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(applied("coredns", "metrics-server"), s.cluster.Status.Addons); diff != "" {
		t.Error(diff)
	}
	if _, err := r.remove(t.Context(), s); err != nil || len(s.cluster.Status.Addons) > 0 {
		t.Errorf("the second try: %v, left %v", err, s.cluster.Status.Addons)
	}
}

func TestClusterThatIsGoneIsNoError(t *testing.T) {
	w := viewtest.New(t)
	r := &Reconciler{Options: Options{Kit: w.Kit, View: w.View}}
	if result, err := r.Reconcile(t.Context(), request()); err != nil || result != (reconcile.Result{}) {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestInstalledLetsThroughWhatMakesAddonsPossible(t *testing.T) {
	cases := map[string]struct {
		change func(*v1alpha1.Cluster)
		want   bool
	}{
		"lets through another content": {func(c *v1alpha1.Cluster) { c.Generation++ }, true},
		"lets through an API server": {func(c *v1alpha1.Cluster) {
			c.Status.Conditions = append(c.Status.Conditions, viewtest.Condition(v1alpha1.ConditionAvailable, "True", "AsWanted", ""))
		}, true},
		"lets through the loss of a status": {func(c *v1alpha1.Cluster) { c.Status.Conditions = nil }, true},
		"keeps back new counts of nodes":    {func(c *v1alpha1.Cluster) { c.Status.Nodes = &v1alpha1.NodeSummary{} }, false},
		"keeps back what it wrote itself":   {func(c *v1alpha1.Cluster) { c.Status.Addons = applied("coredns") }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := viewtest.Built()
			after := before.DeepCopy()
			c.change(after)
			if got := installed().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestByKey(t *testing.T) {
	if got, ok := byKey(viewtest.Key); !ok || got != request() {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := byKey("shop"); ok {
		t.Error("took a key without a namespace")
	}
}
