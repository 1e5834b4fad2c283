// Package clusterdeployment turns what an administrator wrote into a Cluster and its MachineSets, and sums up how far
// they are. It claims no machine and starts no operation.
package clusterdeployment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
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
	// Concurrency is how many deployments are worked on at once. 0 means 4.
	Concurrency int
}

// coalesce is how long events about one deployment are gathered.
const coalesce = 500 * time.Millisecond

// Reconciler reconciles ClusterDeployments.
type Reconciler struct {
	Options
	mu      sync.Mutex
	checked map[types.UID]verdict
}

// scope is one pass over one deployment.
type scope struct {
	deployment *v1alpha1.ClusterDeployment
	// invalid is why the spec cannot be built; set by validate.
	invalid string
	// release is what the cluster is built with; set by validate.
	release view.Release
	// seen and plan are set by observe.
	seen *view.Cluster
	plan plan.Plan
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	r := &Reconciler{Options: o, checked: map[types.UID]verdict{}}
	err := ctrl.NewControllerManagedBy(mgr).Named("clusterdeployment").
		For(&v1alpha1.ClusterDeployment{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, deletionStarted()))).
		Watches(&v1alpha1.Cluster{}, kube.Coalesce(coalesce, byName)).
		Watches(&v1alpha1.MachineSet{}, kube.Coalesce(coalesce, bySpec)).
		Watches(&v1alpha1.Operation{}, kube.Coalesce(coalesce, byOperation), builder.WithPredicates(phaseChanged())).
		Watches(&corev1.ConfigMap{}, kube.Coalesce(coalesce, r.all), builder.WithPredicates(freezeChanged(o.View.Freeze))).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the cluster deployment controller: %w", err)
	}
	return nil
}

// Reconcile looks at one deployment.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	d := &v1alpha1.ClusterDeployment{}
	if err := r.Kit.Get(ctx, req.NamespacedName, d); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, d, func(d *v1alpha1.ClusterDeployment) any { return &d.Status })
	s := &scope{deployment: d}
	phases := []kube.Phase[scope]{r.hold, r.validate, r.ensureCluster, r.ensureSets, r.observe, r.record}
	if !d.DeletionTimestamp.IsZero() {
		phases = []kube.Phase[scope]{r.observe, r.takeDown}
	}
	result, err := kube.Run(ctx, s, phases...)
	r.status(s, err)
	return kube.Finish(ctx, r.Kit, d, patch, result, err)
}

// hold keeps the deployment until its hosts are clean.
func (r *Reconciler) hold(ctx context.Context, s *scope) (kube.Result, error) {
	return kube.Result{}, kube.EnsureFinalizer(ctx, r.Kit, s.deployment, v1alpha1.Finalizer)
}

// validate checks the settings. Settings that cannot be built change nothing further down.
func (r *Reconciler) validate(ctx context.Context, s *scope) (kube.Result, error) {
	d := s.deployment
	s.release, _ = r.View.Content.ForVersion(d.Spec.ContentVersion, d.Spec.Kubernetes.Version)
	findings, err := r.check(ctx, s)
	if err != nil {
		return kube.Result{}, err
	}
	if findings == "" {
		return kube.Result{}, nil
	}
	s.invalid = findings
	if _, err := r.observe(ctx, s); err != nil {
		return kube.Result{}, err
	}
	return kube.Result{RequeueAfter: checkAgain, Stop: true}, kube.Human(v1alpha1.ReasonInvalidSpec, errors.New(findings))
}

// checkAgain is when settings that could not be built are checked again: a bundle may have come.
const checkAgain = 2 * time.Minute

// observe reads the cluster and lets the plan find the words for it.
func (r *Reconciler) observe(ctx context.Context, s *scope) (kube.Result, error) {
	key := client.ObjectKeyFromObject(s.deployment)
	seen, err := r.View.Cluster(ctx, key)
	if err != nil {
		return kube.Result{}, err
	}
	seen.Observed.PKI = true
	if s.deployment.DeletionTimestamp.IsZero() {
		seen.Observed.Invalid = s.invalid
	}
	s.seen, s.plan = seen, plan.Make(seen.Observed)
	return kube.Result{RequeueAfter: time.Duration(s.plan.AfterSeconds()) * time.Second}, nil
}

// takeDown ends a deployment whose machines have left: sets and Cluster first, itself last.
func (r *Reconciler) takeDown(ctx context.Context, s *scope) (kube.Result, error) {
	if !s.plan.Finished {
		return kube.Result{}, nil
	}
	if len(s.seen.Sets) == 0 && s.seen.Object == nil {
		return kube.Result{Stop: true}, kube.RemoveFinalizer(ctx, r.Kit, s.deployment, v1alpha1.Finalizer)
	}
	var objects []client.Object
	for i := range s.seen.Sets {
		objects = append(objects, s.seen.Sets[i].DeepCopy())
	}
	if s.seen.Object != nil {
		objects = append(objects, s.seen.Object)
	}
	for _, o := range objects {
		if !o.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := client.IgnoreNotFound(r.Kit.Delete(ctx, o)); err != nil {
			return kube.Result{}, fmt.Errorf("deleting %s: %w", client.ObjectKeyFromObject(o), err)
		}
	}
	r.Kit.Point("clusterdeployment.taken-down")
	return kube.Result{}, nil
}

func byName(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
}

func bySpec(_ context.Context, o client.Object) []reconcile.Request {
	set, ok := o.(*v1alpha1.MachineSet)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: set.Namespace, Name: set.Spec.ClusterName}}}
}

func byOperation(_ context.Context, o client.Object) []reconcile.Request {
	op, ok := o.(*v1alpha1.Operation)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: view.Home(op), Name: op.Spec.ClusterName}}}
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.ClusterDeploymentList
	if err := r.Kit.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
