// Package clusterinstall brings clusters to what their deployments want: it reads what there is, lets the plan decide,
// and does the steps of the plan. Each step can be done twice; what was done before is read from the operations.
package clusterinstall

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are what the controller works with.
type Options struct {
	Kit  kube.Kit
	View *view.View
	// Nodes tells of clusters whose Nodes changed, as namespace/name.
	Nodes *kube.Signal
	// Concurrency is how many clusters are worked on at once. 0 means 8.
	Concurrency int
}

// coalesce is how long events about one cluster are gathered.
const coalesce = 300 * time.Millisecond

// Reconciler reconciles Clusters.
type Reconciler struct {
	Options
	issuer *certs.Issuer
	mu     sync.Mutex
	// complete remembers for which members the PKI of a cluster was seen to be complete.
	complete map[types.UID]string
}

// scope is one pass over one cluster.
type scope struct {
	cluster *v1alpha1.Cluster
	// seen is set by observe; plan by decide.
	seen *view.Cluster
	plan plan.Plan
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	r := &Reconciler{Options: o, issuer: certs.New(certs.Options{Now: o.Kit.Clock.Now}), complete: map[types.UID]string{}}
	err := ctrl.NewControllerManagedBy(mgr).Named("clusterinstall").
		Watches(&v1alpha1.Cluster{}, kube.Coalesce(coalesce, byName), builder.WithPredicates(clusterChanged())).
		Watches(&v1alpha1.ClusterDeployment{}, kube.Coalesce(0, byName), builder.WithPredicates(deploymentChanged())).
		Watches(&v1alpha1.MachineSet{}, kube.Coalesce(coalesce, bySet), builder.WithPredicates(setChanged())).
		Watches(&v1alpha1.Machine{}, kube.Coalesce(coalesce, byClaim), builder.WithPredicates(machineChanged())).
		Watches(&v1alpha1.Operation{}, kube.Coalesce(coalesce/3, byOperation), builder.WithPredicates(operationChanged())).
		Watches(&corev1.ConfigMap{}, kube.Coalesce(coalesce, r.all), builder.WithPredicates(o.View.Freeze.Lifted())).
		WatchesRawSource(o.Nodes.Source(coalesce, byKey)).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the cluster install controller: %w", err)
	}
	return nil
}

// Reconcile looks at one cluster.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	c := &v1alpha1.Cluster{}
	if err := r.Kit.Get(ctx, req.NamespacedName, c); err != nil {
		if apierrors.IsNotFound(err) {
			r.View.Connections.Forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	patch := kube.NewPatch(r.Kit, c, func(c *v1alpha1.Cluster) any { return &c.Status })
	s := &scope{cluster: c}
	result, err := kube.Run(ctx, s, r.observe, r.letGo, r.recollect, r.keys, r.decide, r.act)
	status(s, err)
	return kube.Finish(ctx, r.Kit, c, patch, result, err)
}

// observe reads what there is.
func (r *Reconciler) observe(ctx context.Context, s *scope) (kube.Result, error) {
	var err error
	s.seen, err = r.View.Cluster(ctx, client.ObjectKeyFromObject(s.cluster))
	return kube.Result{}, err
}

// letGo ends a Cluster that is being deleted once it holds no machine. The deletion of a Cluster alone is held: its
// deployment decides.
func (r *Reconciler) letGo(ctx context.Context, s *scope) (kube.Result, error) {
	c := s.cluster
	if c.DeletionTimestamp.IsZero() || len(s.seen.Machines) > 0 {
		return kube.Result{}, nil
	}
	if d := s.seen.Deployment; d != nil && d.DeletionTimestamp.IsZero() && s.seen.Observed.Installed {
		return kube.Result{}, nil
	}
	for _, name := range []string{view.PKISecret(c.Name), view.KubeconfigSecret(c.Name)} {
		secret := &corev1.Secret{}
		secret.Namespace, secret.Name = c.Namespace, name
		if err := client.IgnoreNotFound(r.Kit.Live.Delete(ctx, secret)); err != nil {
			return kube.Result{}, fmt.Errorf("deleting secret %s: %w", name, err)
		}
	}
	r.View.Connections.Forget(client.ObjectKeyFromObject(c))
	return kube.Result{Stop: true}, kube.RemoveFinalizer(ctx, r.Kit, c, v1alpha1.Finalizer)
}

// recollect waits for the API server of a cluster whose machines lost their status: without it, what is installed on
// them cannot be told from what is not.
func (r *Reconciler) recollect(_ context.Context, s *scope) (kube.Result, error) {
	lost := s.seen.Lost()
	if len(lost) == 0 || s.seen.Remote == nil || s.seen.Observed.Reachable || s.seen.Observed.Deleting {
		return kube.Result{}, nil
	}
	return kube.Result{}, kube.Wait(v1alpha1.ReasonClusterUnreachable, lostAgain,
		fmt.Errorf("the status of %s was lost and no operation tells what is on them: waiting until the API server of the cluster answers", kube.Names(lost, 5)))
}

// decide lets the plan decide. Keys are made and drains asked for here, because what may follow depends on them.
func (r *Reconciler) decide(ctx context.Context, s *scope) (kube.Result, error) {
	s.plan = plan.Make(s.seen.Observed)
	drains := map[string]plan.Drain{}
	again := false
	for _, step := range s.plan.Steps {
		switch step.Kind {
		case plan.StepMakePKI:
			if err := r.makeKeys(ctx, s); err != nil {
				return kube.Result{}, err
			}
			again = true
		case plan.StepDrain:
			d, err := s.seen.Remote.Drain(ctx, step.Machine)
			if err != nil {
				return kube.Result{}, kube.Wait(v1alpha1.ReasonClusterUnreachable, drainRetry, fmt.Errorf("draining %s: %w", step.Machine, err))
			}
			drains[step.Machine] = plan.Drain{Remaining: d.Remaining, Message: d.Message}
			again = true
		}
	}
	if again {
		s.seen.Observed.Drains = drains
		s.plan = plan.Make(s.seen.Observed)
	}
	s.plan.Steps = append(recollected(s), s.plan.Steps...)
	return kube.Result{RequeueAfter: time.Duration(s.plan.AfterSeconds()) * time.Second}, nil
}

// recollected are the phases of machines whose status was lost, as the cluster itself shows them: to the plan they look
// as if they had been written already.
func recollected(s *scope) []plan.Step {
	var steps []plan.Step
	for _, m := range s.seen.Observed.Machines {
		planned := func(step plan.Step) bool { return step.Kind == plan.StepSetPhase && step.Machine == m.Name }
		if found := s.seen.Machine(m.Name); found != nil && found.Status.Phase != m.Phase && !slices.ContainsFunc(s.plan.Steps, planned) {
			steps = append(steps, plan.Step{Kind: plan.StepSetPhase, Machine: m.Name, Phase: m.Phase, Attempts: m.Attempts})
		}
	}
	return steps
}

// lostAgain is the wait before a cluster is asked again what is installed.
const lostAgain = 15 * time.Second

// drainRetry is the wait after a drain that could not be asked for.
const drainRetry = 10 * time.Second
