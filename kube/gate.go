package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// Paused says whether an object carries the annotation that stops every start for it, and with which words.
func Paused(obj client.Object, annotation string) (string, bool) {
	why, ok := obj.GetAnnotations()[annotation]
	return why, ok
}

// Freeze is the ConfigMap whose existence stops every start of anything.
type Freeze struct{ Namespace, Name string }

// Frozen says whether the ConfigMap exists, and what it says under the key reason.
func (f Freeze) Frozen(ctx context.Context, r client.Reader) (string, bool, error) {
	var cm corev1.ConfigMap
	err := r.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: f.Name}, &cm)
	switch {
	case apierrors.IsNotFound(err):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("looking for the freeze: %w", err)
	}
	return cm.Data["reason"], true, nil
}

// Lifted lets through the end of the freeze alone: that is when everything has to be looked at again.
func (f Freeze) Lifted() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		DeleteFunc: func(e event.DeleteEvent) bool {
			return e.Object.GetNamespace() == f.Namespace && e.Object.GetName() == f.Name
		},
	}
}
