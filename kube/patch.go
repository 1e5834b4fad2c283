package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patch remembers an object as it was read, and writes what a pass changed in its status.
type Patch struct {
	client client.Client
	base   client.Object
	same   func(obj client.Object) bool
}

// NewPatch remembers obj as it is now. status gives the pointer to the status of an object.
func NewPatch[T client.Object](c client.Client, obj T, status func(T) any) *Patch {
	base := obj.DeepCopyObject().(T)
	return &Patch{client: c, base: base, same: func(o client.Object) bool {
		return equality.Semantic.DeepEqual(status(base), status(o.(T)))
	}}
}

// Changed says whether the status of obj differs from the remembered one.
func (p *Patch) Changed(obj client.Object) bool { return !p.same(obj) }

// Status writes the status of obj if it differs from the remembered one; it says whether it did. The write carries the
// resourceVersion, because lists of conditions are replaced as a whole and several controllers share them.
func (p *Patch) Status(ctx context.Context, obj client.Object) (bool, error) {
	if p.same(obj) {
		return false, nil
	}
	// A pass may have written metadata or spec in between: the newest version that it saw is the one to go on from.
	p.base.SetResourceVersion(obj.GetResourceVersion())
	patch := client.MergeFromWithOptions(p.base, client.MergeFromWithOptimisticLock{})
	if err := p.client.Status().Patch(ctx, obj, patch); err != nil {
		return false, fmt.Errorf("writing the status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	return true, nil
}

// Spec changes metadata and spec of obj through mutate and writes the difference with resourceVersion. obj keeps its
// status as it is in memory, so that a pass can go on with it.
func Spec[T client.Object](ctx context.Context, c client.Client, obj T, mutate func(T)) error {
	base := obj.DeepCopyObject().(client.Object)
	wanted := obj.DeepCopyObject().(T)
	mutate(wanted)
	if equality.Semantic.DeepEqual(base, client.Object(wanted)) {
		return nil
	}
	if err := c.Patch(ctx, wanted, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	mutate(obj)
	obj.SetResourceVersion(wanted.GetResourceVersion())
	obj.SetGeneration(wanted.GetGeneration())
	return nil
}
