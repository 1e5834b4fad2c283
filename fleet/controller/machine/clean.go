package machine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/start"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cleanLabel marks operations that the pool made.
const cleanLabel = "fleet.slipway.dev/pool"

// forgetUntouched lets a deleted machine go that no cluster ever held, or whose host is known to be clean.
func (r *Reconciler) forgetUntouched(ctx context.Context, s *scope) (kube.Result, error) {
	if s.machine.Status.Phase != v1alpha1.MachineIdle {
		return kube.Result{}, nil
	}
	return kube.Result{Stop: true}, kube.RemoveFinalizer(ctx, r.Kit, s.machine, v1alpha1.Finalizer)
}

// held says that the lease on the host names a holder.
func held(l host.Lease) bool { return l.Cluster != "" || l.Operation != "" }

// dirty says that an operation of ours left something on the host. Stamps of stages stay after a remove until the
// lease is released; they are no remains then.
func (s *scope) dirty() bool {
	removed := s.holder != nil && s.holder.Spec.EntryPoint == v1alpha1.EntryRemove && s.holder.Status.Phase == v1alpha1.OperationSucceeded
	return len(s.inspection.Facts.Leftovers) > 0 || len(s.inspection.Stages) > 0 && !removed
}

// clean lets an operation take everything off a host that a cluster of this operator left behind. A host that somebody
// else's operation holds is not touched.
func (r *Reconciler) clean(ctx context.Context, s *scope) (kube.Result, error) {
	m, lease := s.machine, s.inspection.Lease
	if s.failure != nil || !held(lease) {
		return kube.Result{}, nil
	}
	if s.holder == nil && view.Overridden(m, view.RuleKnownStamp) {
		return kube.Result{}, nil
	}
	if s.holder == nil {
		s.verdict = Verdict{v1alpha1.ReasonTakenElsewhere, fmt.Sprintf("the stamp on the host names operation %q of cluster %q, which this operator does not know: "+
			"another operator may be at work; if not, reinstall the host, or annotate the machine with %s=%s", lease.Operation, lease.Cluster, v1alpha1.OverrideAnnotation, view.RuleKnownStamp)}
		return kube.Result{RequeueAfter: r.noted(m, true), Stop: true}, nil
	}
	if m.Spec.Quarantine != nil || !s.dirty() {
		return kube.Result{}, nil
	}
	if r.gaveUp(s) {
		s.verdict = Verdict{v1alpha1.ReasonLeftovers, fmt.Sprintf("operation %s could not clean the host: look at its message, mend the host and annotate the machine with %s",
			s.holder.Name, v1alpha1.InspectAnnotation)}
		return kube.Result{RequeueAfter: r.noted(m, true), Stop: true}, nil
	}
	if _, frozen, err := r.View.Freeze.Frozen(ctx, r.Kit); err != nil || frozen {
		s.verdict = Verdict{v1alpha1.ReasonFrozen, "the host has to be cleaned, and everything is frozen"}
		return kube.Result{RequeueAfter: r.noted(m, true), Stop: true}, err
	}
	op := r.cleaner(s)
	made, err := start.Operation(ctx, r.Kit, op)
	if err != nil {
		return kube.Result{}, err
	}
	r.Kit.Point("machine.cleaner-made")
	s.cleaning = op.Name
	if made {
		r.Kit.Event(m, corev1.EventTypeNormal, "Cleaning", "Clean", fmt.Sprintf("operation %s takes off what cluster %s left on the host", op.Name, op.Spec.ClusterName))
	}
	return kube.Result{Stop: true}, nil
}

// gaveUp says that the last operation on the host was one of ours that failed to clean it, and that nobody asked since.
func (r *Reconciler) gaveUp(s *scope) bool {
	if s.holder.Labels[cleanLabel] == "" {
		return false
	}
	return view.Finished(s.holder) && s.holder.Annotations[v1alpha1.InspectAnnotation] == s.machine.Annotations[v1alpha1.InspectAnnotation]
}

// cleaner is the operation that cleans the host. Its name is made from what the lease says, so that a second one cannot
// come from the same state.
func (r *Reconciler) cleaner(s *scope) *v1alpha1.Operation {
	m := s.machine
	asked := m.Annotations[v1alpha1.InspectAnnotation]
	sum := sha256.Sum256([]byte(s.inspection.Lease.Operation + "\n" + asked + "\n" + m.Name))
	return &v1alpha1.Operation{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: m.Namespace, Name: kube.Limit("clean-"+m.Name, 200) + "-" + hex.EncodeToString(sum[:4]),
			Labels:      map[string]string{cleanLabel: "true"},
			Annotations: map[string]string{v1alpha1.InspectAnnotation: asked},
		},
		Spec: v1alpha1.OperationSpec{
			ClusterName: s.holder.Spec.ClusterName, EntryPoint: v1alpha1.EntryRemove, Machines: []string{m.Name},
			Reason: "clean " + m.Name + " for the pool",
		},
	}
}

// release gives the lease on a clean host back.
func (r *Reconciler) release(ctx context.Context, s *scope) (kube.Result, error) {
	lease := s.inspection.Lease
	foreign := s.holder == nil && !view.Overridden(s.machine, view.RuleKnownStamp)
	if s.failure != nil || foreign || !held(lease) || s.dirty() {
		return kube.Result{}, nil
	}
	if s.holder == nil {
		r.warn(s.machine, "Overridden", "Release", "rule "+view.RuleKnownStamp+" was switched off: a stamp that nobody knows is taken off the host")
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	err := r.Prober.Release(ctx, s.address, lease.Generation)
	if errors.Is(err, host.ErrLeaseChanged) {
		return kube.Result{}, kube.Wait(v1alpha1.ReasonInspecting, r.RetryInterval, err)
	}
	if err != nil {
		s.failure = err
		return kube.Result{RequeueAfter: r.noted(s.machine, true), Stop: true}, hostError(err)
	}
	r.Kit.Point("machine.released")
	return kube.Result{}, nil
}

// forget lets a deleted machine go once its host is clean, or once a person says that it never comes back.
func (r *Reconciler) forget(ctx context.Context, s *scope) (kube.Result, error) {
	m := s.machine
	if s.failure != nil || s.holder != nil && s.dirty() {
		if !view.Overridden(m, view.RuleCleanFirst) {
			return kube.Result{}, nil
		}
		r.warn(m, "Overridden", "Forget", "rule "+view.RuleCleanFirst+" was switched off: the host is forgotten and was not cleaned")
	}
	return kube.Result{Stop: true}, kube.RemoveFinalizer(ctx, r.Kit, m, v1alpha1.Finalizer)
}
