// Package addons keeps the addons of clusters as their deployments want them: rendered here, applied in the cluster by
// server-side apply, taken away when they are wanted no more. It knows no addon by name.
package addons

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are what the controller works with.
type Options struct {
	Kit  kube.Kit
	View *view.View
	// Nodes tells of clusters whose connection changed, as namespace/name.
	Nodes *kube.Signal
	// Render makes the objects of an addon and their digest. Settings that it cannot use need a person.
	Render func(d *v1alpha1.ClusterDeployment, release view.Release, a v1alpha1.Addon) ([]unstructured.Unstructured, string, error)
	// Concurrency is how many clusters are worked on at once. 0 means 4.
	Concurrency int
}

// Events of this controller.
const (
	eventApplied = "AddonApplied"
	eventRemoved = "AddonRemoved"
)

// coalesce is how long events about one cluster are gathered.
const coalesce = time.Second

// retry is the wait after a cluster that does not answer.
const retry = 15 * time.Second

// Reconciler reconciles the addons of Clusters.
type Reconciler struct{ Options }

// scope is one pass over one cluster.
type scope struct {
	cluster *v1alpha1.Cluster
	// seen is set by observe; held, why nothing may be applied now, by wait.
	seen *view.Cluster
	held string
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	r := &Reconciler{Options: o}
	err := ctrl.NewControllerManagedBy(mgr).Named("addons").
		Watches(&v1alpha1.Cluster{}, kube.Coalesce(coalesce, byName), builder.WithPredicates(installed())).
		Watches(&v1alpha1.ClusterDeployment{}, kube.Coalesce(0, byName), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(o.Nodes.Source(2*time.Second, byKey)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the addons controller: %w", err)
	}
	return nil
}

func byName(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
}

func byKey(key string) (reconcile.Request, bool) {
	namespace, name, ok := strings.Cut(key, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, ok
}

// installed lets through what may make addons possible: a new cluster, its installation, its loss of status.
func installed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*v1alpha1.Cluster)
		after, ok2 := e.ObjectNew.(*v1alpha1.Cluster)
		return ok1 && ok2 && (before.Generation != after.Generation || state(before) != state(after))
	}}
}

// state is what of a cluster's conditions this controller waits for.
func state(c *v1alpha1.Cluster) [3]bool {
	return [3]bool{
		meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionInstalled),
		meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionAvailable),
		meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionAddonsApplied) != nil,
	}
}

// Reconcile looks at the addons of one cluster.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	c := &v1alpha1.Cluster{}
	if err := r.Kit.Get(ctx, req.NamespacedName, c); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, c, func(c *v1alpha1.Cluster) any { return &c.Status })
	s := &scope{cluster: c}
	result, err := kube.Run(ctx, s, r.observe, r.wait, r.apply, r.remove)
	r.status(s, err)
	return kube.Finish(ctx, r.Kit, c, patch, result, err)
}

// observe reads what there is.
func (r *Reconciler) observe(ctx context.Context, s *scope) (kube.Result, error) {
	var err error
	s.seen, err = r.View.Cluster(ctx, client.ObjectKeyFromObject(s.cluster))
	return kube.Result{}, err
}

// wait stops a pass that must not or cannot apply anything.
func (r *Reconciler) wait(_ context.Context, s *scope) (kube.Result, error) {
	o := &s.seen.Observed
	switch {
	case s.seen.Deployment == nil || o.Deleting || !s.cluster.DeletionTimestamp.IsZero():
		s.held = "the cluster is being deleted"
	case o.Frozen != "":
		s.held = "frozen: " + o.Frozen
	case o.Paused != "":
		s.held = "paused: " + o.Paused
	case o.Invalid != "":
		s.held = "the settings cannot be used: " + o.Invalid
	case s.seen.Remote == nil || !o.Reachable:
		s.held = "the API server does not answer yet"
	}
	return kube.Result{Stop: s.held != ""}, nil
}

// apply brings every wanted addon to its present form. One that cannot be applied does not hold the others.
func (r *Reconciler) apply(ctx context.Context, s *scope) (kube.Result, error) {
	release, ok := r.View.Content.Built(s.cluster.Spec.ContentVersion, s.cluster.Spec.BundleDigest)
	if !ok {
		return kube.Result{}, kube.Human(v1alpha1.ReasonUnknownContent,
			fmt.Errorf("this operator does not carry content %s, with which the cluster was built", s.cluster.Spec.ContentVersion))
	}
	var failed []error
	for _, a := range s.seen.Deployment.Spec.Addons {
		if err := r.applyOne(ctx, s, release, a); err != nil {
			failed = append(failed, fmt.Errorf("applying addon %s: %w", a.Name, err))
		}
	}
	return kube.Result{}, classify(errors.Join(failed...))
}

// classify waits for a cluster that does not answer; everything else keeps its kind.
func classify(err error) error {
	if errors.Is(err, remote.ErrUnreachable) {
		return kube.Wait(v1alpha1.ReasonClusterUnreachable, retry, err)
	}
	return err
}

func (r *Reconciler) applyOne(ctx context.Context, s *scope, release view.Release, a v1alpha1.Addon) error {
	objects, digest, err := r.Render(s.seen.Deployment, release, a)
	if err != nil {
		return kube.Human(v1alpha1.ReasonInvalidSpec, err)
	}
	if appliedDigest(s.cluster, a.Name) == digest {
		return nil
	}
	if err := s.seen.Remote.Apply(ctx, a.Name, objects); err != nil {
		return err
	}
	r.Kit.Point("addons.applied")
	remember(s.cluster, a.Name, digest)
	r.Kit.Event(s.cluster, "Normal", eventApplied, "Apply", fmt.Sprintf("Applied addon %s: %d objects", a.Name, len(objects)))
	return nil
}

// remove takes away addons that are wanted no more.
func (r *Reconciler) remove(ctx context.Context, s *scope) (kube.Result, error) {
	wanted := map[string]bool{}
	for _, a := range s.seen.Deployment.Spec.Addons {
		wanted[a.Name] = true
	}
	for _, a := range append([]v1alpha1.AddonStatus(nil), s.cluster.Status.Addons...) {
		if wanted[a.Name] {
			continue
		}
		if err := s.seen.Remote.Delete(ctx, a.Name); err != nil {
			return kube.Result{}, classify(fmt.Errorf("removing addon %s: %w", a.Name, err))
		}
		forget(s.cluster, a.Name)
		r.Kit.Event(s.cluster, "Normal", eventRemoved, "Remove", "Removed addon "+a.Name)
	}
	return kube.Result{}, nil
}
