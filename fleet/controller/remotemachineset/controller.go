// Package remotemachineset looks into the clusters: it turns installed machines whose Node is at work into Ready ones,
// and says when a cluster or a Node stops answering. It changes nothing in a cluster but labels and taints of Nodes.
package remotemachineset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	"golang.org/x/sync/errgroup"
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
	// Nodes tells of clusters whose Nodes or connection changed, as namespace/name.
	Nodes *kube.Signal
	// Concurrency is how many clusters are looked into at once. 0 means 8.
	Concurrency int
}

const (
	// coalesce is how long events about one cluster are gathered.
	coalesce = 500 * time.Millisecond
	// patience is how long a cluster may be out of sight before its Nodes count as unknown.
	patience = 5 * time.Minute
	// again is the wait before a cluster that does not answer is asked again, should no signal come.
	again = time.Minute
	// writers is how many machines of one cluster are written at once.
	writers = 8
)

// Reconciler looks into Clusters.
type Reconciler struct {
	Options
	mu sync.Mutex
	// labelled remembers which labels and taints were put on the Node of a machine; after a restart they are put again.
	labelled map[types.UID]string
}

// scope is one pass over one cluster.
type scope struct {
	cluster *v1alpha1.Cluster
	// seen is set by observe; nodes, version and failure by look.
	seen    *view.Cluster
	nodes   map[string]remote.Node
	version string
	failure error
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	r := &Reconciler{Options: o, labelled: map[types.UID]string{}}
	err := ctrl.NewControllerManagedBy(mgr).Named("remotemachineset").
		Watches(&v1alpha1.Cluster{}, kube.Coalesce(coalesce, byName), builder.WithPredicates(connectable())).
		Watches(&v1alpha1.Machine{}, kube.Coalesce(coalesce, byClaim), builder.WithPredicates(deployed())).
		Watches(&v1alpha1.MachineSet{}, kube.Coalesce(coalesce, bySet), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(o.Nodes.Source(coalesce, byKey)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the remote machine set controller: %w", err)
	}
	return nil
}

// connectable lets through a new cluster, and one that can be connected to from now on.
func connectable() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*v1alpha1.Cluster)
		after, ok2 := e.ObjectNew.(*v1alpha1.Cluster)
		return ok1 && ok2 && (before.Status.KubeconfigSecretName != after.Status.KubeconfigSecretName || len(after.Status.Conditions) == 0)
	}}
}

// deployed lets through machines that have just been installed, and those whose status was lost.
func deployed() predicate.Predicate {
	wanted := func(m *v1alpha1.Machine) bool {
		return m.Spec.ClaimRef != nil && (m.Status.Phase == v1alpha1.MachineDeployed || m.Status.Phase == v1alpha1.MachineReady)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { m, ok := e.Object.(*v1alpha1.Machine); return ok && wanted(m) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.Machine)
			after, ok2 := e.ObjectNew.(*v1alpha1.Machine)
			return ok1 && ok2 && wanted(after) && after.Status.Phase == v1alpha1.MachineDeployed && before.Status.Phase != after.Status.Phase
		},
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

func requestFor(namespace, name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

func byName(_ context.Context, o client.Object) []reconcile.Request {
	return requestFor(o.GetNamespace(), o.GetName())
}

func byClaim(_ context.Context, o client.Object) []reconcile.Request {
	if m, ok := o.(*v1alpha1.Machine); ok && m.Spec.ClaimRef != nil {
		return requestFor(m.Namespace, m.Spec.ClaimRef.Name)
	}
	return nil
}

func bySet(_ context.Context, o client.Object) []reconcile.Request {
	if set, ok := o.(*v1alpha1.MachineSet); ok {
		return requestFor(set.Namespace, set.Spec.ClusterName)
	}
	return nil
}

func byKey(key string) (reconcile.Request, bool) {
	namespace, name, ok := strings.Cut(key, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, ok
}

// Reconcile looks into one cluster.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	c := &v1alpha1.Cluster{}
	if err := r.Kit.Get(ctx, req.NamespacedName, c); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, c, func(c *v1alpha1.Cluster) any { return &c.Status })
	s := &scope{cluster: c}
	result, err := kube.Run(ctx, s, r.observe, r.look, r.machines)
	status(s)
	return kube.Finish(ctx, r.Kit, c, patch, result, err)
}

// observe reads what there is.
func (r *Reconciler) observe(ctx context.Context, s *scope) (kube.Result, error) {
	var err error
	s.seen, err = r.View.Cluster(ctx, client.ObjectKeyFromObject(s.cluster))
	return kube.Result{Stop: err == nil && s.seen.Remote == nil}, err
}

// look asks the cluster. One that does not answer is an observation, not an error.
func (r *Reconciler) look(ctx context.Context, s *scope) (kube.Result, error) {
	s.version, s.failure = s.seen.Remote.Version(ctx)
	if s.failure == nil {
		s.nodes, s.failure = s.seen.Remote.Nodes(ctx)
	}
	if ctx.Err() != nil {
		return kube.Result{}, fmt.Errorf("looking into cluster %s: %w", s.cluster.Name, s.failure)
	}
	if s.failure != nil {
		return kube.Result{RequeueAfter: again}, nil
	}
	return kube.Result{}, nil
}

// machines says of every installed machine how its part of the cluster is. One that cannot be written does not hold the others.
func (r *Reconciler) machines(ctx context.Context, s *scope) (kube.Result, error) {
	if s.failure != nil && !lost(s.cluster, r.Kit.Clock.Now()) {
		return kube.Result{}, nil
	}
	var group errgroup.Group
	group.SetLimit(writers)
	failed := make([]error, len(s.seen.Machines))
	for i := range s.seen.Machines {
		m := &s.seen.Machines[i]
		if m.Status.Phase != v1alpha1.MachineDeployed && m.Status.Phase != v1alpha1.MachineReady {
			continue
		}
		group.Go(func() error {
			failed[i] = r.machine(ctx, s, m)
			return nil
		})
	}
	_ = group.Wait() // errors are gathered one by one
	return kube.Result{}, errors.Join(failed...)
}

func (r *Reconciler) machine(ctx context.Context, s *scope, found *v1alpha1.Machine) error {
	sight := s.sight(found)
	if node, ok := s.nodes[found.Name]; ok && sight.ready {
		if err := r.label(ctx, s, found, node); err != nil {
			return err
		}
	}
	if sight.shown(found) {
		return nil
	}
	m := found.DeepCopy()
	patch := kube.NewPatch(r.Kit, m, func(m *v1alpha1.Machine) any { return &m.Status })
	sight.show(m)
	if _, err := patch.Status(ctx, m); client.IgnoreNotFound(err) != nil {
		return err
	}
	r.Kit.Point("remotemachineset.machine-written")
	return nil
}

// label puts the labels and taints of the set on the Node, once for each wish.
func (r *Reconciler) label(ctx context.Context, s *scope, m *v1alpha1.Machine, node remote.Node) error {
	set := s.seen.Set(m.Spec.ClaimRef.MachineSet)
	if set == nil || len(set.Spec.Labels) == 0 && len(set.Spec.Taints) == 0 {
		return nil
	}
	wish := fmt.Sprint(set.UID, set.Generation)
	r.mu.Lock()
	done := r.labelled[m.UID] == wish
	r.mu.Unlock()
	if done {
		return nil
	}
	if err := s.seen.Remote.LabelNode(ctx, node.Name, set.Spec.Labels, set.Spec.Taints); err != nil {
		return fmt.Errorf("labelling node %s: %w", node.Name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.labelled[m.UID] = wish
	return nil
}
