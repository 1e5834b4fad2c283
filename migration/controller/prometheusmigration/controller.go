// Package prometheusmigration drives a move of a Prometheus server into a cluster: it looks, asks migration/course what comes next, and
// does that. The work itself is done by pods; what they tell comes through their logs.
//
// Which objects does it own? Its Jobs, the shim, their Secrets and one ConfigMap with what the source was go with the migration. The
// target, its claim, its configuration and its certificates have no owner: they stay when the migration is deleted.
package prometheusmigration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
)

// Options are what the controller works with.
type Options struct {
	Kit    kube.Kit
	Freeze kube.Freeze
	// Clusters reaches the clusters of targets, Sources asks old servers what they are.
	Clusters *Clusters
	Sources  Sources
	// Pace is how often a migration that does something is looked at; 0 means 2 seconds.
	Pace time.Duration
	// Concurrency is how many migrations are worked on at once; 0 means 4.
	Concurrency int
}

// Reconciler reconciles PrometheusMigrations.
type Reconciler struct {
	Options
	issuer *certs.Issuer
	// ended keeps what jobs that ended told, by their UID: their logs do not change any more.
	ended sync.Map
}

// scope is one pass over one migration.
type scope struct {
	migration *v1alpha1.PrometheusMigration
	cluster   *Cluster
	source    *source
	// operated is the Prometheus that is the target; nil where the target is none, or it is not there.
	operated *operated
	world    *course.World
	decision *course.Decision
	patch    *kube.Patch
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Pace == 0 {
		o.Pace = 2 * time.Second
	}
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	r := &Reconciler{Options: o, issuer: certs.New(certs.Options{Now: o.Kit.Clock.Now})}
	err := ctrl.NewControllerManagedBy(mgr).Named("prometheusmigration").
		For(&v1alpha1.PrometheusMigration{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WithOptions(controller.Options{MaxConcurrentReconciles: o.Concurrency, RateLimiter: kube.RateLimiter()}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("adding the controller of migrations: %w", err)
	}
	return nil
}

// Reconcile looks at one migration.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	m := &v1alpha1.PrometheusMigration{}
	if err := r.Kit.Get(ctx, req.NamespacedName, m); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s := &scope{migration: m, patch: r.patch(m)}
	result, err := kube.Run(ctx, s, r.hold, r.observe, r.decide, r.record, r.act)
	if err != nil {
		r.failed(s, err)
	}
	if gone := !m.DeletionTimestamp.IsZero() && len(m.Finalizers) == 0; gone {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return kube.Finish(ctx, r.Kit, m, s.patch, result, err)
}

func (r *Reconciler) patch(m *v1alpha1.PrometheusMigration) *kube.Patch {
	return kube.NewPatch(r.Kit, m, func(m *v1alpha1.PrometheusMigration) any { return &m.Status })
}

// hold keeps the migration until what it does can be undone.
func (r *Reconciler) hold(ctx context.Context, s *scope) (kube.Result, error) {
	return kube.Result{}, kube.EnsureFinalizer(ctx, r.Kit, s.migration, v1alpha1.Finalizer)
}

func (r *Reconciler) decide(_ context.Context, s *scope) (kube.Result, error) {
	s.decision = course.Decide(s.world)
	if d := s.decision; d.Wake > 0 {
		return kube.Result{RequeueAfter: max(min(d.Wake, time.Minute), r.Pace)}, nil
	}
	if slices.Contains([]v1alpha1.Phase{v1alpha1.PhaseFinalized, v1alpha1.PhaseRolledBack}, s.decision.Phase) && len(s.decision.Actions) == 0 {
		return kube.Result{RequeueAfter: time.Minute}, nil
	}
	return kube.Result{RequeueAfter: r.Pace}, nil
}

// record writes the status before anything is done by it: the moment of the cutover must not be forgotten by a crash after an act.
func (r *Reconciler) record(ctx context.Context, s *scope) (kube.Result, error) {
	m, before := s.migration, s.migration.Status.DeepCopy()
	status := &m.Status
	s.decision.Write(status, r.Kit.Clock.Now())
	status.ObservedGeneration = m.Generation
	if f := s.source; f != nil && f.facts != nil {
		status.Source = &v1alpha1.SourceFacts{Version: kube.Limit(f.facts.Version, 64), DataDir: kube.Limit(f.facts.DataDir, 1024)}
	}
	for _, c := range s.decision.Conditions() {
		kube.Set(&status.Conditions, m.Generation, c.Type, c.Status, c.Reason, c.Message)
	}
	r.tell(s, before)
	_, err := s.patch.Status(ctx, m)
	s.patch = r.patch(m)
	r.Kit.Point("migration.recorded")
	return kube.Result{}, client.IgnoreNotFound(err)
}

// tell records what a person would want to know later.
func (r *Reconciler) tell(s *scope, before *v1alpha1.PrometheusMigrationStatus) {
	m, d := s.migration, s.decision
	if before.Phase != d.Phase {
		r.Kit.Event(m, corev1.EventTypeNormal, "Phase"+string(d.Phase), "Move", "the phase is "+string(d.Phase))
	}
	if d.Stop != nil && (before.Stop == nil || before.Stop.Rule != d.Stop.Rule) {
		r.Kit.Event(m, corev1.EventTypeWarning, v1alpha1.ReasonStopped, "Move", d.Stop.Rule+": "+d.Stop.Text)
	}
	for _, a := range d.NeedsApproval {
		if !slices.Contains(before.NeedsApproval, a) {
			r.Kit.Event(m, corev1.EventTypeNormal, v1alpha1.ReasonNeedsApproval, "Wait", "add "+string(a)+" to spec.approved")
		}
	}
	if p := d.Proof; p != nil && (before.Proof == nil || before.Proof.AfterRestart != p.AfterRestart || before.Proof.Verdict != p.Verdict) {
		r.Kit.Event(m, corev1.EventTypeNormal, "Compared", "Compare", p.Verdict+": "+p.Summary)
	}
	tellGrafana(r.Kit, m, before.Grafana)
	if len(before.Conditions) == 0 && len(m.Spec.Overrides) > 0 {
		r.Kit.Event(m, corev1.EventTypeWarning, "Overridden", "Override", "a person let pass: "+strings.Join(m.Spec.Overrides, ", "))
	}
}

// failed says in the status why a pass did not work.
func (r *Reconciler) failed(s *scope, err error) {
	var kind *kube.Error
	if errors.As(err, &kind) {
		kube.False(&s.migration.Status.Conditions, s.migration.Generation, v1alpha1.ConditionProgressing, kind.Reason, err.Error())
	}
}

func key(m *v1alpha1.PrometheusMigration, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: m.Namespace, Name: name}
}
