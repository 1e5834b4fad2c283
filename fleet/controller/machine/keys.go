package machine

import (
	"context"
	"fmt"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// keys lets Secrets with SSH keys go once no host has to be cleaned with them any more. Machine sets put the finalizer
// on when they claim.
type keys struct{ Options }

func setupKeys(mgr ctrl.Manager, o Options) error {
	k := &keys{Options: o}
	err := ctrl.NewControllerManagedBy(mgr).Named("machine-keys").
		For(&corev1.Secret{}, builder.WithPredicates(predicate.NewPredicateFuncs(leaving))).
		Watches(&v1alpha1.Machine{}, handler.EnqueueRequestsFromMapFunc(k.keyOf), builder.WithPredicates(freed())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1, RateLimiter: kube.RateLimiter()}).
		Complete(k)
	if err != nil {
		return fmt.Errorf("adding the controller of SSH keys: %w", err)
	}
	return nil
}

func leaving(o client.Object) bool { return !o.GetDeletionTimestamp().IsZero() }

// freed lets through machines that may not need their key any more.
func freed() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.Machine)
			after, ok2 := e.ObjectNew.(*v1alpha1.Machine)
			return ok1 && ok2 && needsKey(before) && !needsKey(after)
		},
	}
}

// keyOf maps a machine to its Secret when that is being deleted.
func (k *keys) keyOf(ctx context.Context, o client.Object) []reconcile.Request {
	m, ok := o.(*v1alpha1.Machine)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.SSHKeySecretName}}}
}

// needsKey says that the host of a machine is in use or has to be cleaned.
func needsKey(m *v1alpha1.Machine) bool {
	return m.Spec.ClaimRef != nil ||
		controllerutil.ContainsFinalizer(m, v1alpha1.Finalizer) && m.Status.Phase != v1alpha1.MachineIdle
}

// Reconcile looks at one Secret.
func (k *keys) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	secret := &corev1.Secret{}
	if err := k.Kit.Get(ctx, req.NamespacedName, secret); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !leaving(secret) {
		return ctrl.Result{}, nil
	}
	machines, err := k.View.Machines(ctx, req.Namespace, view.MachineSecret, req.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	for i := range machines {
		if needsKey(&machines[i]) {
			return ctrl.Result{}, nil
		}
	}
	return ctrl.Result{}, kube.RemoveFinalizer(ctx, k.Kit, secret, v1alpha1.Finalizer)
}
