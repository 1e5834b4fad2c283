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
	"k8s.io/client-go/dynamic"
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

// applyBoats applies a set of boats and gives the boat "one" and the version of the inventory.
func (b *bench) applyBoats(t *testing.T, c Cluster, objects []unstructured.Unstructured) (*unstructured.Unstructured, string) {
	t.Helper()
	if err := c.Apply(t.Context(), "boats", objects); err != nil {
		t.Fatal(err)
	}
	one, err := b.boats().Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := b.admin.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "slipway-set-boats", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return one, inventory.ResourceVersion
}

func (b *bench) boats() dynamic.ResourceInterface {
	return b.dynamic.Resource(schema.GroupVersionResource{Group: "test.slipway.dev", Version: "v1", Resource: "boats"}).Namespace("default")
}

func TestRealApplyBringsItsOwnKinds(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	objects := []unstructured.Unstructured{boat("one"), definition()} // the definition has to come first by itself
	first, before := b.applyBoats(t, c, objects)
	again, after := b.applyBoats(t, c, objects)
	if again.GetResourceVersion() != first.GetResourceVersion() || after != before {
		t.Error("applying the same again wrote again")
	}
	if _, err := b.boats().Patch(t.Context(), "one", types.MergePatchType, []byte(`{"spec":{"sails":7}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	again, _ = b.applyBoats(t, c, objects)
	if sails, _, _ := unstructured.NestedInt64(again.Object, "spec", "sails"); sails != 2 {
		t.Errorf("a change by hand stayed: %d sails", sails)
	}
	for range 2 {
		if err := c.Delete(t.Context(), "boats"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "waiting for the kind to go", func() error {
		if _, err := b.boats().Get(t.Context(), "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("still there: %w", err)
		}
		return nil
	})
}

// there says whether a ConfigMap exists in the namespace default.
func (b *bench) there(t *testing.T, name string) bool {
	t.Helper()
	_, err := b.admin.CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestRealApplyForgetsNothing(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	broken := configMap("broken", map[string]any{"k": int64(1)})
	err := c.Apply(t.Context(), "half", []unstructured.Unstructured{configMap("before", nil), broken, configMap("behind", nil)})
	if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "broken") {
		t.Fatalf("Apply() of a broken object = %v", err)
	}
	if !b.there(t, "before") || b.there(t, "behind") {
		t.Error("the set is not half applied")
	}
	if err := c.Apply(t.Context(), "half", []unstructured.Unstructured{configMap("behind", nil)}); err != nil {
		t.Fatal(err)
	}
	if b.there(t, "before") || !b.there(t, "behind") {
		t.Error("what a failed Apply made was not pruned by the next")
	}
}

func TestRealDeleteLetsBeWhatIsNotOurs(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	if err := c.Apply(t.Context(), "mine", []unstructured.Unstructured{configMap("taken", nil)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.admin.CoreV1().ConfigMaps("default").Patch(t.Context(), "taken", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"slipway.dev/set":"theirs"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	if !b.there(t, "taken") {
		t.Error("an object that another set has was deleted")
	}
}

func TestRealApplyOfAnUnknownKindFailsAtOnce(t *testing.T) {
	b := newBench(t)
	c := b.connect(t)
	unknown := boat("unknown")
	unknown.SetKind("Raft")
	start := time.Now()
	err := c.Apply(t.Context(), "rafts", []unstructured.Unstructured{unknown})
	if err == nil || errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "Raft") {
		t.Errorf("Apply() of an unknown kind = %v", err)
	}
	if time.Since(start) > applyTimeout/2 {
		t.Error("it waited for a kind that nobody defines")
	}
	if err := c.Delete(t.Context(), "rafts"); err != nil {
		t.Errorf("deleting a set of an unknown kind: %v", err)
	}
}
