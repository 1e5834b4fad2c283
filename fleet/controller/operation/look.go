package operation

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
)

// noEvents asks the executor for the state alone.
const noEvents = math.MaxInt32

// look finds the run that counts: the first attempt that is not lost. It stops the pass while that run goes on or when
// it has ended; otherwise the attempt has to be started.
func (r *Reconciler) look(ctx context.Context, s *scope) (kube.Result, error) {
	if view.Finished(s.op) {
		return kube.Result{}, nil
	}
	for s.attempt = max(1, s.op.Status.Attempt); ; s.attempt++ {
		o, err := r.Executor.Observe(ctx, view.Run(s.op, s.attempt), noEvents)
		switch {
		case errors.Is(err, executor.ErrNotFound):
			if s.op.Status.Phase != v1alpha1.OperationRunning || s.op.Status.Attempt != s.attempt {
				return kube.Result{}, nil // not started yet
			}
			o = executor.Observation{Phase: executor.Lost, Message: "the executor does not know the run any more"}
		case err != nil:
			return kube.Result{}, fmt.Errorf("looking at run %s: %w", view.Run(s.op, s.attempt), err)
		}
		if o.Phase != executor.Lost {
			s.run = &o
			if o.Phase.Finished() || s.op.Spec.Cancel == "" && s.op.DeletionTimestamp.IsZero() {
				return kube.Result{RequeueAfter: lookAgain, Stop: s.op.DeletionTimestamp.IsZero()}, nil
			}
			return kube.Result{RequeueAfter: lookAgain}, nil
		}
		if s.attempt >= r.Attempts {
			s.end, s.endMessage = v1alpha1.OperationFailed, fmt.Sprintf("its run was lost %d times, last: %s", s.attempt, o.Message)
			return kube.Result{Stop: s.op.DeletionTimestamp.IsZero()}, nil
		}
		if s.op.Status.Phase == v1alpha1.OperationRunning {
			r.Kit.Event(s.op, corev1.EventTypeWarning, "RunLost", "Retry", fmt.Sprintf("attempt %d was lost: %s; its hosts are taken for the next one", s.attempt, o.Message))
		}
	}
}

// cancel ends an operation on request. One that has not started ends at once; a run ends when nothing of it runs.
func (r *Reconciler) cancel(ctx context.Context, s *scope) (kube.Result, error) {
	if view.Finished(s.op) || s.op.Spec.Cancel == "" && s.op.DeletionTimestamp.IsZero() {
		return kube.Result{}, nil
	}
	stop := s.op.DeletionTimestamp.IsZero()
	switch {
	case s.end != "" || s.run != nil && s.run.Phase.Finished():
		return kube.Result{Stop: stop}, nil
	case s.run == nil:
		s.end, s.endMessage = v1alpha1.OperationCancelled, "cancelled before it started"
		return kube.Result{Stop: stop}, nil
	}
	name := view.Run(s.op, s.attempt)
	if err := r.Executor.Cancel(ctx, name); err != nil && !errors.Is(err, executor.ErrNotFound) {
		return kube.Result{}, fmt.Errorf("cancelling run %s: %w", name, err)
	}
	r.Kit.Point("operation.cancelled")
	o, err := r.Executor.Observe(ctx, name, noEvents)
	if err != nil && !errors.Is(err, executor.ErrNotFound) {
		return kube.Result{}, fmt.Errorf("looking at run %s: %w", name, err)
	}
	if err == nil {
		s.run = &o
	}
	return kube.Result{RequeueAfter: lookAgain, Stop: true}, nil
}
