package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/restmapper"
)

// How does a set know what to prune? By an inventory, ConfigMap kube-system/slipway-set-<name>. Before anything is
// applied it lists what was there and what comes, so that a crash in between forgets nothing; afterwards only what is
// there. Each object carries the label slipway.dev/set: one that lost it, or belongs to another set by now, is let be.

const (
	// SetLabel is on every object of a set; its value is the set's name.
	SetLabel        = "slipway.dev/set"
	inventoryPrefix = "slipway-set-"
	inventoryKey    = "objects"
	// applyTimeout limits Apply and Delete as a whole.
	applyTimeout = 2 * time.Minute
	// kindWait is how long an object waits for a kind that a definition of the same set has just made.
	kindWait = 500 * time.Millisecond
)

var setForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// member identifies an object of a set.
type member struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (m member) String() string {
	return fmt.Sprintf("%s %s/%s", schema.GroupKind{Group: m.Group, Kind: m.Kind}, m.Namespace, m.Name)
}

// same ignores the version: an object is the same in all versions of its kind.
func (m member) same(o member) bool {
	return m.Group == o.Group && m.Kind == o.Kind && m.Namespace == o.Namespace && m.Name == o.Name
}

func memberOf(o *unstructured.Unstructured) member {
	gvk := o.GroupVersionKind()
	return member{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// applier is one Apply or Delete.
type applier struct {
	connection *connection
	set        string
	mapper     meta.RESTMapperWithContext
	// defines holds the kinds of the definitions in the set, and whether they have namespaces.
	defines map[schema.GroupKind]bool
}

// Apply applies a set: definitions and namespaces first, then the rest in the order given, then it prunes.
func (c *connection) Apply(ctx context.Context, set string, objects []unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	a := &applier{connection: c, set: set}
	return c.explain("applying set "+set, a.apply(ctx, objects))
}

// Delete deletes the objects of a set, last applied first, and then its inventory.
func (c *connection) Delete(ctx context.Context, set string) error {
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	a := &applier{connection: c, set: set}
	return c.explain("deleting set "+set, a.delete(ctx))
}

func (a *applier) apply(ctx context.Context, objects []unstructured.Unstructured) error {
	wanted, err := a.prepare(objects)
	if err != nil {
		return err
	}
	inventory, before, err := a.read(ctx)
	if err != nil {
		return err
	}
	if err := a.discover(ctx); err != nil {
		return err
	}
	for i := range wanted {
		a.place(ctx, &wanted[i])
	}
	after := make([]member, 0, len(wanted))
	for i := range wanted {
		after = append(after, memberOf(&wanted[i]))
	}
	union := slices.Clone(after)
	var gone []member
	for _, m := range before {
		if !slices.ContainsFunc(after, m.same) {
			union, gone = append(union, m), append(gone, m)
		}
	}
	if inventory, err = a.write(ctx, inventory, before, union); err != nil {
		return err
	}
	for i := range wanted {
		if err := a.one(ctx, &wanted[i]); err != nil {
			return fmt.Errorf("applying %s: %w", after[i], err)
		}
	}
	if err := a.remove(ctx, gone); err != nil {
		return err
	}
	_, err = a.write(ctx, inventory, union, after)
	return err
}

func (a *applier) delete(ctx context.Context) error {
	if !setForm.MatchString(a.set) {
		return fmt.Errorf("%q is not a name for a set", a.set)
	}
	inventory, members, err := a.read(ctx)
	if err != nil || inventory == nil {
		return err
	}
	if err := a.discover(ctx); err != nil {
		return err
	}
	if err := a.remove(ctx, members); err != nil {
		return err
	}
	uid := inventory.UID
	err = a.inventories().Delete(ctx, inventory.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// prepare copies, checks, labels and sorts the objects.
func (a *applier) prepare(objects []unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	if !setForm.MatchString(a.set) {
		return nil, fmt.Errorf("%q is not a name for a set", a.set)
	}
	wanted := make([]unstructured.Unstructured, 0, len(objects))
	a.defines = map[schema.GroupKind]bool{}
	for i := range objects {
		o := *objects[i].DeepCopy()
		m := memberOf(&o)
		if m.Kind == "" || m.Version == "" || m.Name == "" {
			return nil, fmt.Errorf("object %d has no apiVersion, kind or name", i)
		}
		if slices.ContainsFunc(wanted, func(w unstructured.Unstructured) bool { return memberOf(&w).same(m) }) {
			return nil, fmt.Errorf("it has %s twice", m)
		}
		if m.Kind == "CustomResourceDefinition" {
			kind, namespaced := defined(&o)
			a.defines[kind] = namespaced
		}
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[SetLabel] = a.set
		o.SetLabels(labels)
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		wanted = append(wanted, o)
	}
	slices.SortStableFunc(wanted, func(x, y unstructured.Unstructured) int { return cmp.Compare(rank(&x), rank(&y)) })
	return wanted, nil
}

func defined(o *unstructured.Unstructured) (kind schema.GroupKind, namespaced bool) {
	group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
	name, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
	scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
	return schema.GroupKind{Group: group, Kind: name}, scope == "Namespaced"
}

// rank puts first what the other objects need.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	case "PriorityClass", "StorageClass", "RuntimeClass", "ServiceAccount", "ClusterRole", "Role":
		return 2
	}
	return 3
}

// discover asks the API server for its kinds. They are not kept: sets are applied seldom, and a cluster's list is large.
func (a *applier) discover(ctx context.Context) error {
	groups, err := restmapper.GetAPIGroupResourcesWithContext(ctx, discovery.ToDiscoveryInterfaceWithContext(a.connection.client.Discovery()))
	if err != nil {
		return fmt.Errorf("reading the kinds of the API: %w", err)
	}
	a.mapper = restmapper.NewDiscoveryRESTMapperWithContext(groups)
	return nil
}

// place gives an object a namespace when it wants one, and takes it away when not. An object of an unknown kind stays
// as it is; applying it fails by name.
func (a *applier) place(ctx context.Context, o *unstructured.Unstructured) {
	gvk := o.GroupVersionKind()
	namespaced, known := a.defines[gvk.GroupKind()]
	if !known {
		mapping, err := a.mapper.RESTMappingWithContext(ctx, gvk.GroupKind(), gvk.Version)
		if err != nil {
			return
		}
		namespaced = mapping.Scope.Name() == meta.RESTScopeNameNamespace
	}
	switch {
	case !namespaced:
		o.SetNamespace("")
	case o.GetNamespace() == "":
		o.SetNamespace(metav1.NamespaceDefault)
	}
}

func (a *applier) resource(ctx context.Context, m member) (dynamic.ResourceInterface, error) {
	mapping, err := a.mapper.RESTMappingWithContext(ctx, schema.GroupKind{Group: m.Group, Kind: m.Kind}, m.Version)
	if err != nil {
		return nil, err
	}
	resource := a.connection.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return resource, nil
	}
	return resource.Namespace(m.Namespace), nil
}

// one applies an object, waiting for its kind when the set has just made that.
func (a *applier) one(ctx context.Context, o *unstructured.Unstructured) error {
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	for {
		resource, err := a.resource(ctx, memberOf(o))
		if err == nil {
			_, err = resource.Apply(ctx, o.GetName(), o, options)
		}
		if err == nil || !a.young(memberOf(o), err) {
			return err
		}
		if pause(ctx, kindWait) != nil {
			return err
		}
		if err := a.discover(ctx); err != nil {
			return err
		}
	}
}

// young says that a kind is not served yet, though this set has its definition.
func (a *applier) young(m member, err error) bool {
	if _, ours := a.defines[schema.GroupKind{Group: m.Group, Kind: m.Kind}]; !ours {
		return false
	}
	// Between the definition and its handler the API server answers 404 without a word on any object.
	return meta.IsNoMatchError(err) || apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// remove deletes members, last first, if they still belong to the set.
func (a *applier) remove(ctx context.Context, members []member) error {
	for _, m := range slices.Backward(members) {
		if err := a.removeOne(ctx, m); err != nil {
			return fmt.Errorf("deleting %s: %w", m, err)
		}
	}
	return nil
}

func (a *applier) removeOne(ctx context.Context, m member) error {
	resource, err := a.resource(ctx, m)
	if meta.IsNoMatchError(err) {
		return nil // its kind is gone, and it with that
	}
	if err != nil {
		return err
	}
	found, err := resource.Get(ctx, m.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.GetLabels()[SetLabel] != a.set {
		return nil
	}
	uid, background := found.GetUID(), metav1.DeletePropagationBackground
	err = resource.Delete(ctx, m.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func (a *applier) inventories() typedcorev1.ConfigMapInterface {
	return a.connection.client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
}

// read gives the inventory; nil when the set was never applied.
func (a *applier) read(ctx context.Context) (*corev1.ConfigMap, []member, error) {
	found, err := a.inventories().Get(ctx, inventoryPrefix+a.set, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var members []member
	if err := json.Unmarshal([]byte(found.Data[inventoryKey]), &members); err != nil {
		return nil, nil, fmt.Errorf("reading ConfigMap kube-system/%s: %w", found.Name, err)
	}
	return found, members, nil
}

// write makes the inventory say now instead of before. Two appliers at once: the second gets a conflict.
func (a *applier) write(ctx context.Context, inventory *corev1.ConfigMap, before, now []member) (*corev1.ConfigMap, error) {
	if inventory != nil && slices.Equal(before, now) {
		return inventory, nil
	}
	b, err := json.Marshal(now)
	if err != nil {
		return nil, fmt.Errorf("encoding the inventory: %w", err)
	}
	if inventory == nil {
		return a.inventories().Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: inventoryPrefix + a.set, Namespace: metav1.NamespaceSystem, Labels: map[string]string{SetLabel: a.set}},
			Data:       map[string]string{inventoryKey: string(b)},
		}, metav1.CreateOptions{FieldManager: fieldManager})
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": inventory.ResourceVersion},
		"data":     map[string]string{inventoryKey: string(b)},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the inventory: %w", err)
	}
	return a.inventories().Patch(ctx, inventory.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
}
