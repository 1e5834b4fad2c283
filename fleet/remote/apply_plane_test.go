//go:build plane

package remote

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

func definition() unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "boats.test.slipway.dev"},
		"spec": map[string]any{
			"group": "test.slipway.dev", "scope": "Namespaced", "names": map[string]any{"plural": "boats", "kind": "Boat"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
}

func boat(name string) unstructured.Unstructured {
	return unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "test.slipway.dev/v1", "kind": "Boat", "metadata": map[string]any{"name": name}, "spec": map[string]any{"sails": int64(2)},
	}}
}

func TestRealApplyBringsItsOwnKinds(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	boats := b.dynamic.Resource(schema.GroupVersionResource{Group: "test.slipway.dev", Version: "v1", Resource: "boats"}).Namespace("default")
	objects := []unstructured.Unstructured{boat("one"), definition()} // the definition has to come first by itself
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	first, err := boats.Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inventory := func() string {
		t.Helper()
		m, err := b.admin.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "slipway-set-boats", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m.ResourceVersion
	}
	before := inventory()
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	again, err := boats.Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil || again.GetResourceVersion() != first.GetResourceVersion() || inventory() != before {
		t.Errorf("applying the same again wrote again: %v", err)
	}
	if _, err := boats.Patch(t.Context(), "one", types.MergePatchType, []byte(`{"spec":{"sails":7}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	if again, err = boats.Get(t.Context(), "one", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if sails, _, _ := unstructured.NestedInt64(again.Object, "spec", "sails"); sails != 2 {
		t.Errorf("a change by hand stayed: %d sails", sails)
	}
	if err := c.Delete(t.Context(), "boats"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "waiting for the kind to go", func() error {
		if _, err := boats.Get(t.Context(), "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
	if err := c.Delete(t.Context(), "boats"); err != nil {
		t.Errorf("deleting again: %v", err)
	}
}

func TestRealApplyForgetsNothing(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	there := func(name string) bool {
		t.Helper()
		_, err := b.admin.CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	broken := configMap("broken", map[string]any{"k": int64(1)})
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{configMap("before", nil), broken, configMap("behind", nil)}); err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "broken") {
		t.Fatalf("Apply() of a broken object = %v", err)
	}
	if !there("before") || there("behind") {
		t.Error("the set is not half applied")
	}
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{configMap("behind", nil)}); err != nil {
		t.Fatal(err)
	}
	if there("before") || !there("behind") {
		t.Error("what a failed Apply made was not pruned by the next")
	}
	// Somebody takes an object over: it is theirs.
	if _, err := b.admin.CoreV1().ConfigMaps("default").Patch(t.Context(), "behind", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"slipway.dev/set":"theirs"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "half"); err != nil {
		t.Fatal(err)
	}
	if !there("behind") {
		t.Error("an object that another set has was deleted")
	}
	start := time.Now()
	unknown := boat("unknown")
	unknown.SetKind("Raft")
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{unknown}); err == nil || errors.Is(err, ErrUnreachable) {
		t.Errorf("Apply() of an unknown kind = %v", err)
	}
	if time.Since(start) > time.Minute {
		t.Error("it waited for a kind that nobody defines")
	}
	if err := c.Delete(t.Context(), "half"); err != nil {
		t.Errorf("deleting a set of an unknown kind: %v", err)
	}
}
