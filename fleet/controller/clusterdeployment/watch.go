package clusterdeployment

import (
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// deletionStarted lets through the update that marks an object for deletion.
func deletionStarted() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}

// phaseChanged leaves out the progress of operations.
func phaseChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.Operation)
			after, ok2 := e.ObjectNew.(*v1alpha1.Operation)
			return ok1 && ok2 && before.Status.Phase != after.Status.Phase
		},
	}
}

// freezeChanged lets through the beginning and the end of the freeze.
func freezeChanged(f kube.Freeze) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == f.Namespace && o.GetName() == f.Name
	})
}
