package clusterinstall

import (
	"context"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func requestFor(namespace, name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

func byName(_ context.Context, o client.Object) []reconcile.Request {
	return requestFor(o.GetNamespace(), o.GetName())
}

func bySet(_ context.Context, o client.Object) []reconcile.Request {
	if set, ok := o.(*v1alpha1.MachineSet); ok {
		return requestFor(set.Namespace, set.Spec.ClusterName)
	}
	return nil
}

func byClaim(_ context.Context, o client.Object) []reconcile.Request {
	if m, ok := o.(*v1alpha1.Machine); ok && m.Spec.ClaimRef != nil {
		return requestFor(m.Namespace, m.Spec.ClaimRef.Name)
	}
	return nil
}

func byOperation(_ context.Context, o client.Object) []reconcile.Request {
	if op, ok := o.(*v1alpha1.Operation); ok {
		return requestFor(view.Home(op), op.Spec.ClusterName)
	}
	return nil
}

func byKey(key string) (reconcile.Request, bool) {
	namespace, name, ok := strings.Cut(key, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, ok
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.ClusterList
	if err := r.Kit.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, requestFor(list.Items[i].Namespace, list.Items[i].Name)...)
	}
	return requests
}

// changed compares two versions of an object by what the plan reads of it.
func changed[T client.Object](differs func(before, after T) bool) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(T)
		after, ok2 := e.ObjectNew.(T)
		return ok1 && ok2 && (before.GetGeneration() != after.GetGeneration() || !before.GetDeletionTimestamp().Equal(after.GetDeletionTimestamp()) || differs(before, after))
	}}
}

func same(before, after []metav1.Condition, kinds ...string) bool {
	for _, kind := range kinds {
		a, b := meta.FindStatusCondition(before, kind), meta.FindStatusCondition(after, kind)
		if (a == nil) != (b == nil) || a != nil && (a.Status != b.Status || a.Reason != b.Reason || a.ObservedGeneration != b.ObservedGeneration) {
			return false
		}
	}
	return true
}

func clusterChanged() predicate.Predicate {
	return changed(func(before, after *v1alpha1.Cluster) bool {
		return !same(before.Status.Conditions, after.Status.Conditions, v1alpha1.ConditionAddonsApplied, v1alpha1.ConditionAvailable) ||
			len(after.Status.Conditions) == 0
	})
}

func deploymentChanged() predicate.Predicate {
	return changed(func(before, after *v1alpha1.ClusterDeployment) bool {
		return before.Annotations[v1alpha1.PausedAnnotation] != after.Annotations[v1alpha1.PausedAnnotation] ||
			before.Annotations[v1alpha1.OverrideAnnotation] != after.Annotations[v1alpha1.OverrideAnnotation] ||
			!same(before.Status.Conditions, after.Status.Conditions, v1alpha1.ConditionSpecValid)
	})
}

func setChanged() predicate.Predicate {
	return changed(func(before, after *v1alpha1.MachineSet) bool {
		return !same(before.Status.Conditions, after.Status.Conditions, v1alpha1.ConditionClaimed)
	})
}

func machineChanged() predicate.Predicate {
	return changed(func(before, after *v1alpha1.Machine) bool {
		return before.Status.Phase != after.Status.Phase && after.Status.Phase != v1alpha1.MachineReady ||
			!same(before.Status.Conditions, after.Status.Conditions, v1alpha1.ConditionReachable)
	})
}

func operationChanged() predicate.Predicate {
	return changed(func(before, after *v1alpha1.Operation) bool { return before.Status.Phase != after.Status.Phase })
}
