package kube

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// EnsureFinalizer adds a finalizer to an object that is not being deleted. Call it before the first act that must be undone.
func EnsureFinalizer[T client.Object](ctx context.Context, c client.Client, obj T, name string) error {
	if !obj.GetDeletionTimestamp().IsZero() || controllerutil.ContainsFinalizer(obj, name) {
		return nil
	}
	return Spec(ctx, c, obj, func(o T) { controllerutil.AddFinalizer(o, name) })
}

// RemoveFinalizer takes a finalizer away. The object may be gone afterwards.
func RemoveFinalizer[T client.Object](ctx context.Context, c client.Client, obj T, name string) error {
	if !controllerutil.ContainsFinalizer(obj, name) {
		return nil
	}
	return client.IgnoreNotFound(Spec(ctx, c, obj, func(o T) { controllerutil.RemoveFinalizer(o, name) }))
}
