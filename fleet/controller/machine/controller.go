// Package machine keeps the pool: it inspects hosts, pins their keys, finds doubles, cleans what comes back from a
// cluster and says which machines may be claimed. Of machines that a cluster holds it only says whether they answer.
// It claims nothing and installs nothing.
package machine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are what the controller works with.
type Options struct {
	Kit    kube.Kit
	View   *view.View
	Prober host.Prober
	// Requirements are what a host must have before it may be claimed.
	Requirements Requirements
	// ProbeInterval is the time between visits to a host where nothing happens. 0 means 10 minutes.
	ProbeInterval time.Duration
	// RetryInterval is the time between visits to a host with which something is wrong. 0 means 1 minute.
	RetryInterval time.Duration
	// Timeout ends one visit. 0 means 1 minute.
	Timeout time.Duration
	// Concurrency is how many hosts are visited at once. 0 means 64.
	Concurrency int
}

// Reconciler reconciles Machines.
type Reconciler struct {
	Options
	visits visits
	again  kube.Signal
}

// scope is one pass over one machine.
type scope struct {
	machine *v1alpha1.Machine
	// address is set by the first visit.
	address host.Address
	// visited is set by inspect and ping when they went to the host; failure is what came out of it, nil when it answered.
	visited bool
	failure error
	// inspection is what inspect found.
	inspection host.Inspection
	// holder is the operation that the lease on the host names, and that this operator knows; set by inspect.
	holder *v1alpha1.Operation
	// verdict is what speaks against the use of the host; set by refuseDoubles, judge and clean.
	verdict Verdict
	// cleaning names the operation that cleans the host; set by inspect and clean.
	cleaning string
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	set(&o.ProbeInterval, 10*time.Minute)
	set(&o.RetryInterval, time.Minute)
	set(&o.Timeout, time.Minute)
	set(&o.Concurrency, 64)
	o.Requirements = o.Requirements.withDefaults()
	r := &Reconciler{Options: o}
	r.visits.at = map[types.NamespacedName]visit{}
	err := ctrl.NewControllerManagedBy(mgr).Named("machine").
		For(&v1alpha1.Machine{}, builder.WithPredicates(concernsPool())).
		Watches(&v1alpha1.Operation{}, handler.EnqueueRequestsFromMapFunc(cleaned)).
		WatchesRawSource(r.again.Source(0, request)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the machine controller: %w", err)
	}
	return setupKeys(mgr, o)
}

// Reconcile looks at one machine.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	m := &v1alpha1.Machine{}
	if err := r.Kit.Get(ctx, req.NamespacedName, m); err != nil {
		if apierrors.IsNotFound(err) {
			r.visits.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, m, func(m *v1alpha1.Machine) any { return &m.Status })
	s := &scope{machine: m}
	result, err := kube.Run(ctx, s, r.phases(m)...)
	r.status(s, err)
	return kube.Finish(ctx, r.Kit, m, patch, result, err)
}

func (r *Reconciler) phases(m *v1alpha1.Machine) []kube.Phase[scope] {
	switch {
	case m.Spec.ClaimRef != nil:
		return []kube.Phase[scope]{r.reportDoubles, r.ping}
	case !m.DeletionTimestamp.IsZero():
		return []kube.Phase[scope]{r.forgetUntouched, r.inspect, r.clean, r.release, r.forget}
	default:
		return []kube.Phase[scope]{r.refuseDoubles, r.inspect, r.clean, r.release, r.judge}
	}
}

// due says how long a machine can wait for its next visit; 0: visit it now. A settled machine is one whose status says
// all that there is to say.
func (r *Reconciler) due(m *v1alpha1.Machine, settled bool) time.Duration {
	key := client.ObjectKeyFromObject(m)
	last, known := r.visits.last(key)
	switch {
	case known && last.print != fingerprint(m), !settled && !last.failed:
		return 0
	case !known:
		// After a start of the operator the visits are spread over the interval.
		last = visit{at: r.Kit.Clock.Now(), wait: rand.N(r.ProbeInterval), print: fingerprint(m)}
		r.visits.note(key, last)
	}
	return max(0, last.wait-r.Kit.Clock.Since(last.at))
}

// noted remembers a visit and says when the next one is due.
func (r *Reconciler) noted(m *v1alpha1.Machine, failed bool) time.Duration {
	wait := jitter(r.ProbeInterval)
	if failed {
		wait = jitter(min(r.RetryInterval, r.ProbeInterval))
	}
	r.visits.note(client.ObjectKeyFromObject(m), visit{at: r.Kit.Clock.Now(), wait: wait, failed: failed, print: fingerprint(m)})
	return wait
}

// jitter spreads a time by a tenth to both sides.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// concernsPool lets through what concerns the pool: the status of machines in use changes often and says nothing to it.
func concernsPool() predicate.Predicate {
	return predicate.Or(
		predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{},
		predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return true },
			UpdateFunc: func(e event.UpdateEvent) bool {
				m, ok := e.ObjectNew.(*v1alpha1.Machine)
				return ok && (m.Status.Phase == "" || m.Status.Facts == nil || !m.DeletionTimestamp.Equal(e.ObjectOld.GetDeletionTimestamp()))
			},
			DeleteFunc: func(event.DeleteEvent) bool { return true },
		})
}

// cleaned maps the end of an operation that the pool made to the machine that it cleaned.
func cleaned(_ context.Context, o client.Object) []reconcile.Request {
	op, ok := o.(*v1alpha1.Operation)
	if !ok || op.Labels[cleanLabel] == "" || !view.Finished(op) {
		return nil
	}
	var requests []reconcile.Request
	for _, m := range op.Spec.Machines {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: view.Home(op), Name: m}})
	}
	return requests
}

func request(word string) (reconcile.Request, bool) {
	namespace, name, ok := strings.Cut(word, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, ok
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
