package operation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// collect deletes operations that ended when they are too many or too old. The newest operation of each machine stays:
// it is what the stamp on the host is compared with. So do failed installs of machines that are not installed yet.
func (r *Reconciler) collect(ctx context.Context, s *scope) (kube.Result, error) {
	ops, err := r.View.Operations(ctx, view.OperationCluster, view.Key(view.Home(s.op), s.op.Spec.ClusterName))
	if err != nil {
		return kube.Result{}, err
	}
	for i := range ops {
		op := &ops[i]
		if !view.Finished(op) || !op.DeletionTimestamp.IsZero() || op.Status.FinishedAt == nil {
			continue
		}
		surplus := len(ops)-i > r.Keep
		if !surplus && r.Kit.Clock.Since(op.Status.FinishedAt.Time) < r.MaxAge {
			continue
		}
		needed, err := r.needed(ctx, op)
		if err != nil {
			return kube.Result{}, err
		}
		if needed {
			continue
		}
		if err := client.IgnoreNotFound(r.Kit.Delete(ctx, op.DeepCopy())); err != nil {
			return kube.Result{}, fmt.Errorf("deleting operation %s: %w", op.Name, err)
		}
	}
	if s.op.Status.FinishedAt == nil {
		return kube.Result{}, nil
	}
	return kube.Result{RequeueAfter: max(time.Hour, r.MaxAge-r.Kit.Clock.Since(s.op.Status.FinishedAt.Time)+time.Minute)}, nil
}

// needed says that an operation is the newest one of a machine, or that it counts as an attempt on one.
func (r *Reconciler) needed(ctx context.Context, op *v1alpha1.Operation) (bool, error) {
	home := view.Home(op)
	for _, name := range op.Spec.Machines {
		m := &v1alpha1.Machine{}
		err := r.Kit.Get(ctx, types.NamespacedName{Namespace: home, Name: name}, m)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("reading machine %s: %w", name, err)
		}
		if op.Status.Phase != v1alpha1.OperationSucceeded && m.Spec.ClaimRef != nil && m.Spec.ClaimRef.Name == op.Spec.ClusterName &&
			m.Status.Phase != v1alpha1.MachineDeployed && m.Status.Phase != v1alpha1.MachineReady {
			return true, nil
		}
		newest, err := r.newest(ctx, op, home, name)
		if err != nil || newest {
			return newest, err
		}
	}
	return false, nil
}

func (r *Reconciler) newest(ctx context.Context, op *v1alpha1.Operation, home, machine string) (bool, error) {
	ops, err := r.View.Operations(ctx, view.OperationMachine, view.Key(home, machine))
	if err != nil || len(ops) == 0 {
		return false, err
	}
	return ops[len(ops)-1].UID == op.UID, nil
}

// letGo ends a deleted operation: first nothing of it runs any more, then no host's stamp names it, then its runs are
// removed from the executor.
func (r *Reconciler) letGo(ctx context.Context, s *scope) (kube.Result, error) {
	op := s.op
	if !controllerutil.ContainsFinalizer(op, v1alpha1.Finalizer) {
		return kube.Result{Stop: true}, nil
	}
	for _, name := range op.Spec.Machines {
		m := &v1alpha1.Machine{}
		err := r.Kit.Get(ctx, types.NamespacedName{Namespace: view.Home(op), Name: name}, m)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return kube.Result{}, fmt.Errorf("reading machine %s: %w", name, err)
		}
		if m.Spec.ClaimRef == nil && m.Status.Phase == v1alpha1.MachineIdle {
			continue
		}
		newest, err := r.newest(ctx, op, view.Home(op), name)
		if err != nil {
			return kube.Result{}, err
		}
		if newest {
			return kube.Result{RequeueAfter: time.Minute, Stop: true}, nil
		}
	}
	for attempt := int32(1); attempt <= max(s.attempt, op.Status.Attempt)+1; attempt++ {
		err := r.Executor.Remove(ctx, view.Run(op, attempt))
		if errors.Is(err, executor.ErrNotFinished) {
			return kube.Result{RequeueAfter: lookAgain, Stop: true}, nil
		}
		if err != nil {
			return kube.Result{}, fmt.Errorf("removing run %s: %w", view.Run(op, attempt), err)
		}
	}
	r.Kit.Point("operation.removed")
	r.free(op)
	return kube.Result{Stop: true}, kube.RemoveFinalizer(ctx, r.Kit, op, v1alpha1.Finalizer)
}
