package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
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
// resourceVersion, because lists of conditions are replaced as a whole and several controllers share them. What another
// controller of this process wrote since obj was read is kept: this pass's changes are put on top of it.
func (p *Patch) Status(ctx context.Context, obj client.Object) (bool, error) {
	if p.same(obj) {
		return false, nil
	}
	key := client.ObjectKeyFromObject(obj)
	fresh := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
	if err := p.client.Get(ctx, key, fresh); err != nil {
		return false, fmt.Errorf("reading %s before its status is written: %w", key, err)
	}
	target := obj
	if fresh.GetUID() == obj.GetUID() && newer(fresh, obj) {
		merged, err := merge(p.base, obj, fresh)
		if err != nil {
			return false, fmt.Errorf("merging the status of %s: %w", key, err)
		}
		p.base, target = fresh, merged
	}
	p.base.SetResourceVersion(target.GetResourceVersion())
	patch := client.MergeFromWithOptions(p.base, client.MergeFromWithOptimisticLock{})
	if err := p.client.Status().Patch(ctx, target, patch); err != nil {
		return false, fmt.Errorf("writing the status of %s: %w", key, err)
	}
	return true, nil
}

func newer(a, b client.Object) bool {
	x, errX := strconv.ParseInt(a.GetResourceVersion(), 10, 64)
	y, errY := strconv.ParseInt(b.GetResourceVersion(), 10, 64)
	return errX == nil && errY == nil && x > y
}

// merge puts what changed in the status between before and after on top of fresh. Conditions are compared by their type.
func merge(before, after, fresh client.Object) (client.Object, error) {
	var documents [3][]byte
	for i, o := range []client.Object{before, after, fresh} {
		document, err := statusOf(o)
		if err != nil {
			return nil, err
		}
		if documents[i], err = json.Marshal(keyed(document)); err != nil {
			return nil, err
		}
	}
	change, err := jsonpatch.CreateMergePatch(documents[0], documents[1])
	if err != nil {
		return nil, err
	}
	merged, err := jsonpatch.MergePatch(documents[2], change)
	if err != nil {
		return nil, err
	}
	var status map[string]any
	if err := json.Unmarshal(merged, &status); err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(fresh)
	if err != nil {
		return nil, err
	}
	content["status"] = listed(status)
	out := reflect.New(reflect.TypeOf(fresh).Elem()).Interface().(client.Object)
	return out, runtime.DefaultUnstructuredConverter.FromUnstructured(content, out)
}

func statusOf(o client.Object) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	status, _ := content["status"].(map[string]any)
	return status, nil
}

// keyed turns the list of conditions into a map by type, so that each is merged by itself.
func keyed(status map[string]any) map[string]any {
	conditions, ok := status["conditions"].([]any)
	if !ok {
		return status
	}
	byType := map[string]any{}
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok {
			byType[fmt.Sprint(m["type"])] = m
		}
	}
	status["conditions"] = byType
	return status
}

// listed is the way back from keyed; conditions come out in the order of their types.
func listed(status map[string]any) map[string]any {
	byType, ok := status["conditions"].(map[string]any)
	if !ok {
		return status
	}
	list := make([]any, 0, len(byType))
	for _, kind := range slices.Sorted(maps.Keys(byType)) {
		list = append(list, byType[kind])
	}
	status["conditions"] = list
	return status
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
