// Package start makes Operations. It decides nothing: names and contents come from those who plan.
package start

import (
	"context"
	"fmt"
	"maps"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// Operation makes an operation for the namespace that it names. One of that name is adopted: names are made from what
// the operation is for. Nothing can be made in a namespace that is being deleted; operations that clean up after one
// are made in the operator's own namespace and labelled with their home. It says whether it made one.
func Operation(ctx context.Context, kit kube.Kit, op *v1alpha1.Operation) (bool, error) {
	controllerutil.AddFinalizer(op, v1alpha1.Finalizer)
	labels := map[string]string{v1alpha1.EntryPointLabel: string(op.Spec.EntryPoint)}
	if len(validation.IsValidLabelValue(op.Spec.ClusterName)) == 0 {
		labels[v1alpha1.ClusterLabel] = op.Spec.ClusterName
	}
	maps.Copy(labels, op.Labels)
	op.Labels = labels
	err := kit.Create(ctx, op)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		err = elsewhere(ctx, kit, op)
	}
	switch {
	case apierrors.IsAlreadyExists(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("making operation %s: %w", op.Name, err)
	}
	return true, nil
}

// elsewhere makes the operation in the operator's namespace.
func elsewhere(ctx context.Context, kit kube.Kit, op *v1alpha1.Operation) error {
	home := op.Namespace
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.FreezeNamespace}}
	if err := kit.Live.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making namespace %s: %w", v1alpha1.FreezeNamespace, err)
	}
	op.ResourceVersion = ""
	op.Labels[v1alpha1.HomeNamespaceLabel] = home
	op.Namespace = v1alpha1.FreezeNamespace
	op.Name = home + "-" + op.Name
	return kit.Create(ctx, op)
}
