// Package machineset claims machines of the pool for sets, marks those that have to leave, and counts. It installs
// nothing: what is claimed is installed by clusterinstall.
//
// How is it certain that no machine is claimed twice? The claim is a write of the Machine with its resourceVersion, so
// the API server refuses the second one. So that sets of one operator do not even try, each chooses under a lock of its
// namespace and reserves what it chose until its writes are done; the cache shows them to the next one that chooses.
package machineset

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are what the controller works with.
type Options struct {
	Kit  kube.Kit
	View *view.View
	// Concurrency is how many sets are worked on at once. 0 means 8.
	Concurrency int
}

// coalesce is how long changes of the machines of one set are gathered.
const coalesce = 500 * time.Millisecond

// Reconciler reconciles MachineSets.
type Reconciler struct {
	Options
	pools   pools
	waiting *waiting
}

// scope is one pass over one set.
type scope struct {
	set *v1alpha1.MachineSet
	// deployment and cluster are read by find; nil when gone.
	deployment *v1alpha1.ClusterDeployment
	cluster    *v1alpha1.Cluster
	// held are all machines that the set holds, staying those that have to stay; set by find, grown by claim.
	held, staying []*v1alpha1.Machine
	// held back is why nothing is claimed; set by gate.
	reason, message string
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	r := &Reconciler{Options: o, waiting: newWaiting()}
	err := ctrl.NewControllerManagedBy(mgr).Named("machineset").
		For(&v1alpha1.MachineSet{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Machine{}, kube.Coalesce(coalesce, r.setsOf)).
		Watches(&v1alpha1.Cluster{}, kube.Coalesce(0, r.setsOfCluster), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterDeployment{}, kube.Coalesce(0, r.setsOfCluster), builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&corev1.ConfigMap{}, kube.Coalesce(0, r.allWaiting), builder.WithPredicates(o.View.Freeze.Lifted())).
		WatchesRawSource(r.waiting.changed.Source(0, requestOf)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the machine set controller: %w", err)
	}
	return nil
}

// Reconcile looks at one set.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	set := &v1alpha1.MachineSet{}
	if err := r.Kit.Get(ctx, req.NamespacedName, set); err != nil {
		if apierrors.IsNotFound(err) {
			r.waiting.remove(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, set, func(s *v1alpha1.MachineSet) any { return &s.Status })
	s := &scope{set: set}
	phases := []kube.Phase[scope]{r.find, r.markLeaving, r.gate, r.claim, r.shrink}
	if !set.DeletionTimestamp.IsZero() {
		phases = []kube.Phase[scope]{r.find, r.markLeaving, r.letGo}
	}
	result, err := kube.Run(ctx, s, phases...)
	status(s, err)
	return kube.Finish(ctx, r.Kit, set, patch, result, err)
}

// find reads what the set holds and what it belongs to.
func (r *Reconciler) find(ctx context.Context, s *scope) (kube.Result, error) {
	machines, err := r.View.Machines(ctx, s.set.Namespace, view.MachineSet, s.set.Name)
	if err != nil {
		return kube.Result{}, err
	}
	for i := range machines {
		s.held = append(s.held, &machines[i])
		if stays(&machines[i]) {
			s.staying = append(s.staying, &machines[i])
		}
	}
	key := types.NamespacedName{Namespace: s.set.Namespace, Name: s.set.Spec.ClusterName}
	s.deployment, err = get(ctx, r.Kit, key, &v1alpha1.ClusterDeployment{})
	if err != nil {
		return kube.Result{}, err
	}
	s.cluster, err = get(ctx, r.Kit, key, &v1alpha1.Cluster{})
	return kube.Result{}, err
}

func get[T client.Object](ctx context.Context, c client.Reader, key types.NamespacedName, obj T) (T, error) {
	err := c.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) {
		var none T
		return none, nil
	}
	return obj, err
}

// stays says that a machine is not on its way out of its set.
func stays(m *v1alpha1.Machine) bool {
	return m.Spec.ClaimRef != nil && m.Spec.ClaimRef.Release == "" && m.DeletionTimestamp.IsZero() && m.Spec.Quarantine == nil
}

// clusterLeaves says that the whole cluster is on its way out: then nothing has to be marked one by one.
func (s *scope) clusterLeaves() bool {
	return s.deployment == nil || !s.deployment.DeletionTimestamp.IsZero()
}

// markLeaving marks machines that are being deleted, that a person put into quarantine, or whose set is deleted.
func (r *Reconciler) markLeaving(ctx context.Context, s *scope) (kube.Result, error) {
	if s.clusterLeaves() {
		return kube.Result{}, nil
	}
	for _, m := range s.held {
		reason := v1alpha1.ReleaseReason("")
		switch {
		case m.Spec.ClaimRef.Release != "":
		case !m.DeletionTimestamp.IsZero():
			reason = v1alpha1.ReleaseMachineDeleted
		case m.Spec.Quarantine != nil:
			reason = v1alpha1.ReleaseReplaced
		case !s.set.DeletionTimestamp.IsZero() && !s.wanted():
			reason = v1alpha1.ReleaseScaleIn
		}
		if reason == "" {
			continue
		}
		if err := r.mark(ctx, s, m, reason); err != nil {
			return kube.Result{}, err
		}
	}
	return kube.Result{}, nil
}

// mark tells a machine that it has to leave.
func (r *Reconciler) mark(ctx context.Context, s *scope, m *v1alpha1.Machine, reason v1alpha1.ReleaseReason) error {
	err := kube.Spec(ctx, r.Kit, m.DeepCopy(), func(m *v1alpha1.Machine) { m.Spec.ClaimRef.Release = reason })
	if err != nil {
		return fmt.Errorf("marking machine %s as leaving: %w", m.Name, err)
	}
	r.Kit.Point("machineset.marked")
	r.Kit.Event(s.set, corev1.EventTypeNormal, "MachineLeaving", "Release", fmt.Sprintf("machine %s leaves the set: %s", m.Name, reason))
	s.staying = slices.DeleteFunc(s.staying, func(o *v1alpha1.Machine) bool { return o.Name == m.Name })
	return nil
}

// gate says whether anything may be claimed now.
func (r *Reconciler) gate(ctx context.Context, s *scope) (kube.Result, error) {
	why, frozen, err := r.View.Freeze.Frozen(ctx, r.Kit)
	if err != nil {
		return kube.Result{}, err
	}
	switch {
	case s.clusterLeaves():
		s.reason, s.message = v1alpha1.ReasonDeleting, "the cluster is being deleted"
		return kube.Result{Stop: true}, nil
	case s.cluster == nil:
		s.reason, s.message = v1alpha1.ReasonPending, "waits for Cluster "+s.set.Spec.ClusterName
		return kube.Result{Stop: true}, nil
	case frozen:
		s.reason, s.message = v1alpha1.ReasonFrozen, "everything is frozen: "+why
	case s.deployment.Spec.Management == v1alpha1.ManagementPaused:
		s.reason, s.message = v1alpha1.ReasonPaused, "spec.management of the deployment is Paused"
	default:
		for _, o := range []client.Object{s.deployment, s.set} {
			if why, paused := kube.Paused(o, v1alpha1.PausedAnnotation); paused {
				s.reason, s.message = v1alpha1.ReasonPaused, "paused: "+why
			}
		}
	}
	if s.reason != "" {
		r.waiting.add(client.ObjectKeyFromObject(s.set))
	}
	return kube.Result{Stop: s.reason != ""}, nil
}

// wanted says that the deployment still has the set: then somebody deleted the object by mistake.
func (s *scope) wanted() bool {
	return s.deployment != nil && s.deployment.DeletionTimestamp.IsZero() && view.Wants(s.deployment, s.set.Name)
}

// letGo ends a deleted set once it holds nothing. One that is still wanted goes at once and is made anew: its machines
// know it by its name.
func (r *Reconciler) letGo(ctx context.Context, s *scope) (kube.Result, error) {
	s.reason, s.message = v1alpha1.ReasonDeleting, "waits until its machines have left the cluster"
	if len(s.held) > 0 && !s.wanted() {
		return kube.Result{}, nil
	}
	return kube.Result{Stop: true}, kube.RemoveFinalizer(ctx, r.Kit, s.set, v1alpha1.Finalizer)
}

// setsOf maps a machine to the set that holds it. One that became free wakes the sets that wait.
func (r *Reconciler) setsOf(_ context.Context, o client.Object) []reconcile.Request {
	m, ok := o.(*v1alpha1.Machine)
	switch {
	case !ok:
		return nil
	case m.Spec.ClaimRef != nil:
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.ClaimRef.MachineSet}}}
	case view.Free(m):
		r.waiting.poolChanged(m.Namespace)
	}
	return nil
}

func (r *Reconciler) setsOfCluster(ctx context.Context, o client.Object) []reconcile.Request {
	sets, err := r.View.Sets(ctx, client.ObjectKeyFromObject(o))
	if err != nil {
		return nil
	}
	requests := make([]reconcile.Request, 0, len(sets))
	for i := range sets {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&sets[i])})
	}
	return requests
}

func (r *Reconciler) allWaiting(context.Context, client.Object) []reconcile.Request {
	return r.waiting.requests("")
}
