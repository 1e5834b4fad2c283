// Package operation runs Operations: it takes the hosts, starts a run in the executor and copies its results into the
// status. It decides nothing about what has to be run.
//
// What happens when the operator dies? The name of a run is made from the uid of its Operation and the number of the
// attempt, and the executor keeps it: the next operator looks for that run before it starts one. Taking a host again
// for the same run changes nothing. A run that nobody can say anything about is lost: its hosts are taken for the next
// attempt, which ends whatever may still work on them.
package operation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are what the controller works with.
type Options struct {
	Kit      kube.Kit
	View     *view.View
	Executor executor.Executor
	Prober   host.Prober
	// Runs tells of runs in which something happened, by name.
	Runs *kube.Signal
	// Mirrors gives URLs from which hosts pull bundles, MirrorCA the PEM of the authority of their certificates.
	Mirrors  func() []string
	MirrorCA func() []byte
	// Metrics may be nil.
	Metrics *Metrics
	// Tasks is how many tasks an entry point has on a host of a role; nil, or 0: not known.
	Tasks func(entry v1alpha1.EntryPoint, role v1alpha1.Role) int
	// Attempts is how often a lost run is started again. 0 means 3.
	Attempts int32
	// Keep is how many operations of a cluster are kept at least as long as MaxAge. 0 means 20 and 7 days.
	Keep   int
	MaxAge time.Duration
	// TakeTimeout ends the taking of one host. 0 means 2 minutes.
	TakeTimeout time.Duration
	// Concurrency is how many operations are worked on at once. 0 means 16.
	Concurrency int
}

// Times of the controller.
const (
	// coalesce is how long words of one run are gathered.
	coalesce = 200 * time.Millisecond
	// lookAgain is when a run is looked at although nothing was heard of it.
	lookAgain = 30 * time.Second
	// waitAgain is when an operation that waits for others looks again.
	waitAgain = 30 * time.Second
	// giveUp is how long a start that fails is tried before the operation fails.
	giveUp = 15 * time.Minute
)

// Reconciler reconciles Operations.
type Reconciler struct {
	Options
	mu sync.Mutex
	// busy holds the operation that works on each machine, by Key: it closes the gap until the cache shows it.
	busy map[string]types.UID
	// wrote remembers when the progress of each operation was written.
	wrote map[types.UID]time.Time
}

// scope is one pass over one operation.
type scope struct {
	op *v1alpha1.Operation
	// was is the status as it was read.
	was *v1alpha1.OperationStatus
	// attempt is the number of the run that counts; set by look.
	attempt int32
	// run is what the executor says of it; nil: it was not started. Set by look and start.
	run *executor.Observation
	// deployment, cluster, sets and machines are read by find.
	deployment *v1alpha1.ClusterDeployment
	cluster    *v1alpha1.Cluster
	seen       *view.Cluster
	machines   map[string]*v1alpha1.Machine
	// refused are hosts that could not be taken; set by take.
	refused map[string]v1alpha1.HostStatus
	// leases are those of the hosts that were taken; set by take.
	leases map[string]host.Lease
	// waits is why the operation has not started; set by the gates.
	waitReason, waitMessage string
	// end is set when the operation ended without a run: how and why.
	end        v1alpha1.OperationPhase
	endMessage string
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	set(&o.Attempts, 3)
	set(&o.Keep, 20)
	set(&o.MaxAge, 7*24*time.Hour)
	set(&o.TakeTimeout, 2*time.Minute)
	set(&o.Concurrency, 16)
	r := &Reconciler{Options: o, busy: map[string]types.UID{}, wrote: map[types.UID]time.Time{}}
	err := ctrl.NewControllerManagedBy(mgr).Named("operation").
		For(&v1alpha1.Operation{}, builder.WithPredicates(concerns())).
		Watches(&v1alpha1.Operation{}, handler.EnqueueRequestsFromMapFunc(r.waitingFor), builder.WithPredicates(ended())).
		Watches(&v1alpha1.Machine{}, handler.EnqueueRequestsFromMapFunc(r.heldBy), builder.WithPredicates(machineLeft())).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.allPending), builder.WithPredicates(o.View.Freeze.Lifted())).
		WatchesRawSource(o.Runs.Source(coalesce, r.ofRun)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the operation controller: %w", err)
	}
	return nil
}

// Reconcile looks at one operation.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	op := &v1alpha1.Operation{}
	if err := r.Kit.Get(ctx, req.NamespacedName, op); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, op, func(op *v1alpha1.Operation) any { return &op.Status })
	s := &scope{op: op, was: op.Status.DeepCopy()}
	result, err := kube.Run(ctx, s, r.phases(op)...)
	result.RequeueAfter = kube.Sooner(result.RequeueAfter, r.status(s, err))
	changed := patch.Changed(op)
	out, err := kube.Finish(ctx, r.Kit, op, patch, result, err)
	if changed && err == nil {
		r.noted(s)
	}
	return out, err
}

func (r *Reconciler) phases(op *v1alpha1.Operation) []kube.Phase[scope] {
	switch {
	case !op.DeletionTimestamp.IsZero():
		return []kube.Phase[scope]{r.look, r.cancel, r.letGo}
	case view.Finished(op):
		return []kube.Phase[scope]{r.collect}
	}
	return []kube.Phase[scope]{r.hold, r.look, r.cancel, r.find, r.gate, r.reserve, r.take, r.start}
}

// hold keeps the operation until its runs are removed from the executor.
func (r *Reconciler) hold(ctx context.Context, s *scope) (kube.Result, error) {
	return kube.Result{}, kube.EnsureFinalizer(ctx, r.Kit, s.op, v1alpha1.Finalizer)
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
