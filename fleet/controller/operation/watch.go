package operation

import (
	"context"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// concerns leaves out the writes of this controller, but for the end of an operation and a status that was lost.
func concerns() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*v1alpha1.Operation)
		after, ok2 := e.ObjectNew.(*v1alpha1.Operation)
		return ok1 && ok2 && (before.Generation != after.Generation || after.Status.Phase == "" ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() || !view.Finished(before) && view.Finished(after))
	}}
}

// ended lets through operations that came to their end or are gone.
func ended() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.Operation)
			after, ok2 := e.ObjectNew.(*v1alpha1.Operation)
			return ok1 && ok2 && !view.Finished(before) && view.Finished(after)
		},
	}
}

// machineLeft lets through machines that are gone or idle: deleted operations may wait for that.
func machineLeft() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.Machine)
			after, ok2 := e.ObjectNew.(*v1alpha1.Machine)
			return ok1 && ok2 && before.Status.Phase != after.Status.Phase && after.Status.Phase == v1alpha1.MachineIdle
		},
	}
}

// list reads operations in an event handler, where nothing may wait for the cache.
func (r *Reconciler) list(ctx context.Context, index, value string) []v1alpha1.Operation {
	var ops v1alpha1.OperationList
	err := r.Kit.List(ctx, &ops, client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return nil
	}
	return ops.Items
}

// waitingFor maps an operation that ended to those that wait for its machines.
func (r *Reconciler) waitingFor(ctx context.Context, o client.Object) []reconcile.Request {
	op, ok := o.(*v1alpha1.Operation)
	if !ok {
		return nil
	}
	r.free(op)
	seen := map[client.ObjectKey]bool{}
	var requests []reconcile.Request
	for _, name := range op.Spec.Machines {
		for _, other := range r.list(ctx, view.OperationActive, view.Key(view.Home(op), name)) {
			key := client.ObjectKeyFromObject(&other)
			if !seen[key] && other.UID != op.UID {
				seen[key] = true
				requests = append(requests, reconcile.Request{NamespacedName: key})
			}
		}
	}
	return requests
}

// heldBy maps a machine to the deleted operations that are kept for it.
func (r *Reconciler) heldBy(ctx context.Context, o client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, op := range r.list(ctx, view.OperationMachine, view.Key(o.GetNamespace(), o.GetName())) {
		if !op.DeletionTimestamp.IsZero() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&op)})
		}
	}
	return requests
}

// allPending lists the operations that have not started.
func (r *Reconciler) allPending(ctx context.Context, _ client.Object) []reconcile.Request {
	var ops v1alpha1.OperationList
	if err := r.Kit.List(ctx, &ops, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range ops.Items {
		if op := &ops.Items[i]; op.Status.Phase == "" || op.Status.Phase == v1alpha1.OperationPending {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(op)})
		}
	}
	return requests
}

// ofRun maps the name of a run to its operation.
func (r *Reconciler) ofRun(run string) (reconcile.Request, bool) {
	ops := r.list(context.Background(), view.OperationUID, view.OperationOfRun(run))
	if len(ops) == 0 {
		return reconcile.Request{}, false
	}
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&ops[0])}, true
}
