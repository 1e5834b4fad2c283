package target

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/endpoint"
)

// ServiceName is the name of the users' Service of a target.
func ServiceName(t v1alpha1.Target) string {
	if t.Prometheus != nil {
		return cmp.Or(t.Prometheus.ServiceName, t.Prometheus.Name)
	}
	return t.StatefulSet.Name
}

// SetName is the name of the StatefulSet that runs a target; its one pod is of that name and -0. Prometheus Operator gives it a name of its own
// (prefixedName of its pkg/prometheus).
func SetName(t v1alpha1.Target) string {
	if t.Prometheus != nil {
		return "prometheus-" + t.Prometheus.Name
	}
	return t.StatefulSet.Name
}

// PodServiceName is the name of the Service that finds the target's pod and no other server.
func PodServiceName(t v1alpha1.Target) string { return ServiceName(t) + "-pod" }

// Endpoint is the users' Service, and the address of the old server.
func (x *Operator) Endpoint() (endpoint.Shape, netip.AddrPort, error) {
	shape, source, err := x.Plan.Endpoint()
	shape.Name, shape.Selector = ServiceName(x.target()), VolumeOf(x.before).PodLabels
	return shape, source, err
}

func (x *Operator) target() v1alpha1.Target { return v1alpha1.Target{Prometheus: x.spec} }

// PodService finds the pod, also before it is ready. The operator's own prometheus-operated finds every Prometheus of the namespace.
func (x *Operator) PodService() *corev1.Service {
	meta := x.meta(PodServiceName(x.target()))
	return &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta, Spec: corev1.ServiceSpec{
		ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true, Selector: VolumeOf(x.before).PodLabels,
		Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: operatorPort, TargetPort: intstr.FromInt32(operatorPort)}},
	}}
}

// Claim is the claim of the one replica as its StatefulSet would make it: one that is made before is taken.
func (x *Operator) Claim() (*corev1.PersistentVolumeClaim, error) {
	if x.before.Spec.Storage == nil {
		return nil, fmt.Errorf("planning the claim: Prometheus %s has no spec.storage.volumeClaimTemplate", x.before.Name)
	}
	t := x.before.Spec.Storage.VolumeClaimTemplate
	meta := x.meta(VolumeOf(x.before).Claim)
	labels := maps.Clone(t.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, meta.Labels)
	meta.Labels, meta.Annotations = labels, maps.Clone(t.Annotations)
	claim := &corev1.PersistentVolumeClaim{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: meta, Spec: *t.Spec.DeepCopy()}
	if len(claim.Spec.AccessModes) == 0 { // as makeStatefulSetSpec of the operator
		claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	}
	return claim, nil
}

// Shapes are the fields of the patch from which files are mounted: another list of them is another pod, and so a restart.
func Shapes() []string { return []string{"volumes", "volumeMounts"} }

// Holds says whether a spec, as the API server has it, is what the patch leads to; fields of except are not looked at.
func (x *Operator) Holds(spec map[string]any, except ...string) (bool, error) {
	wanted, err := x.PatchWithout(except...)
	return err == nil && covers(spec, wanted), err
}

// PatchWithout is the patch of spec without some fields.
func (x *Operator) PatchWithout(fields ...string) (map[string]any, error) {
	var patch struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(x.Patch, &patch); err != nil {
		return nil, fmt.Errorf("reading the patch: %w", err)
	}
	maps.DeleteFunc(patch.Spec, func(name string, _ any) bool { return slices.Contains(fields, name) })
	return patch.Spec, nil
}

// covers says that a value has all that is wanted; what the API server adds as defaults is beside. nil wants nothing there.
func covers(has, want any) bool {
	switch want := want.(type) {
	case nil:
		return has == nil
	case map[string]any:
		object, is := has.(map[string]any)
		if !is && len(want) > 0 && has != nil {
			return false
		}
		for name, v := range want {
			if !covers(object[name], v) {
				return false
			}
		}
		return true
	case []any:
		list, _ := has.([]any)
		if len(list) != len(want) {
			return false
		}
		for i := range want {
			if !covers(list[i], want[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(plain(has), plain(want))
}

// plain is a scalar as one type for all numbers: the API server's client reads whole ones as int64, YAML as float64.
func plain(v any) any {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case int:
		return float64(v)
	}
	return v
}

// Missing is an argument of the plan that a server does not run with, empty where it has them all: a pod from before the patch, or
// an operator that does not give them.
func (x *Operator) Missing(args []string) string {
	s := x.after.Spec
	for _, a := range s.AdditionalArgs {
		want := "--" + a.Name
		if a.Value != "" {
			want += "=" + a.Value
		}
		if !slices.Contains(args, want) {
			return want
		}
	}
	for name, v := range map[string]string{"storage.tsdb.retention.time": string(s.Retention), "storage.tsdb.retention.size": string(s.RetentionSize)} {
		i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--"+name+"=") })
		if want := "--" + name + "=" + v; i >= 0 && args[i] != want {
			return want
		}
	}
	return ""
}

// Seen says whether an operator has ever looked at the object.
func Seen(cr *monitoringv1.Prometheus) bool {
	return slices.ContainsFunc(cr.Status.Conditions, func(c monitoringv1.Condition) bool { return c.Type == monitoringv1.Reconciled })
}

// Lags says why the operator has not done what the object asks of it; empty where it has, or tells nothing of it.
func Lags(cr *monitoringv1.Prometheus) string {
	for _, c := range cr.Status.Conditions {
		switch {
		case c.Type != monitoringv1.Reconciled:
		case c.Status == monitoringv1.ConditionFalse:
			return "Prometheus Operator cannot follow Prometheus " + cr.Name + ": " + cmp.Or(c.Message, c.Reason)
		case c.ObservedGeneration < cr.Generation:
			return "Prometheus Operator has not seen the last change of Prometheus " + cr.Name + " yet"
		}
	}
	return ""
}

// TakeBack is a merge patch of spec that gives a Prometheus, as it is, what it would have without the move. It needs no plan: whatever became
// of the source, the way back is open.
func TakeBack(live, original *monitoringv1.Prometheus) (map[string]any, error) {
	var specs [2]map[string]any
	for i, cr := range []*monitoringv1.Prometheus{live, original} {
		all, err := tree(cr)
		if err != nil {
			return nil, err
		}
		specs[i] = object(all["spec"])
		maps.DeleteFunc(specs[i], func(name string, _ any) bool { return !slices.Contains(operatorFields(), name) })
	}
	return leading(specs[1], specs[:]), nil
}
