package target

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// known are the kinds that a template may give.
func known(kind metav1.TypeMeta) runtime.Object {
	objects := map[metav1.TypeMeta]runtime.Object{
		{APIVersion: "v1", Kind: "ConfigMap"}:                                    &corev1.ConfigMap{},
		{APIVersion: "v1", Kind: "Secret"}:                                       &corev1.Secret{},
		{APIVersion: "v1", Kind: "PersistentVolumeClaim"}:                        &corev1.PersistentVolumeClaim{},
		{APIVersion: "v1", Kind: "PersistentVolume"}:                             &corev1.PersistentVolume{},
		{APIVersion: "v1", Kind: "Service"}:                                      &corev1.Service{},
		{APIVersion: "v1", Kind: "ServiceAccount"}:                               &corev1.ServiceAccount{},
		{APIVersion: "apps/v1", Kind: "Deployment"}:                              &appsv1.Deployment{},
		{APIVersion: "apps/v1", Kind: "StatefulSet"}:                             &appsv1.StatefulSet{},
		{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}:               &discoveryv1.EndpointSlice{},
		{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}:              &networkingv1.NetworkPolicy{},
		{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}:                    &networkingv1.Ingress{},
		{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:                   &policyv1.PodDisruptionBudget{},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"}:               &rbacv1.Role{},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"}:        &rbacv1.RoleBinding{},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}:        &rbacv1.ClusterRole{},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"}: &rbacv1.ClusterRoleBinding{},
	}
	return objects[kind]
}

// Decode reads manifests strictly: a field that a kind does not have is an error, and so is a kind that is not known here.
func Decode(data []byte) ([]runtime.Object, error) {
	var objects []runtime.Object
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &kind); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if kind == (metav1.TypeMeta{}) {
			continue // comments alone
		}
		o := known(kind)
		if o == nil {
			return nil, fmt.Errorf("document %d: %s of %s is not known here; create it beside", n, orNone(kind.Kind), orNone(kind.APIVersion))
		}
		if err := yaml.UnmarshalStrict(doc, o); err != nil {
			return nil, fmt.Errorf("document %d, a %s: %w", n, kind.Kind, err)
		}
		objects = append(objects, o)
	}
}

// find is the one object of a type and name, nil where there is none.
func find[T runtime.Object](objects []runtime.Object, name string) (found T) {
	for _, o := range objects {
		if t, ok := o.(T); ok {
			if m, ok := o.(metav1.Object); ok && m.GetName() == name {
				return t
			}
		}
	}
	return found
}

// check holds what a template gave against what the move stands on.
func (p *Plan) check(m *Manifests, v *values) error {
	set := find[*appsv1.StatefulSet](m.Objects, v.Name)
	claim := find[*corev1.PersistentVolumeClaim](m.Objects, v.ClaimName)
	switch {
	case set == nil:
		return fmt.Errorf("checking the manifests: there is no StatefulSet %s", v.Name)
	case set.Spec.Replicas == nil || *set.Spec.Replicas != 1:
		return fmt.Errorf("checking the manifests: StatefulSet %s has not one replica: the others would have none of the data", v.Name)
	case claim == nil:
		return fmt.Errorf("checking the manifests: there is no PersistentVolumeClaim %s", v.ClaimName)
	}
	users, source, err := p.Endpoint()
	if err == nil {
		err = users.Check(find[*corev1.Service](m.Objects, v.Name), find[*discoveryv1.EndpointSlice](m.Objects, v.SliceName), source)
	}
	if err != nil {
		return fmt.Errorf("checking the manifests: %w", err)
	}
	if got, there := stored(m.Objects, v); !there || got != v.Config {
		return fmt.Errorf("checking the manifests: %s %s does not hold the planned configuration as %s", v.ConfigKind, v.ConfigName, v.ConfigKey)
	}
	for _, o := range m.Objects {
		if n := o.(metav1.Object).GetNamespace(); n != "" && n != v.Namespace {
			return fmt.Errorf("checking the manifests: %T %s is in namespace %s, not in %s", o, o.(metav1.Object).GetName(), n, v.Namespace)
		}
	}
	return checkPod(set.Spec.Template.Spec, v)
}

// stored is the configuration as the manifests have it.
func stored(objects []runtime.Object, v *values) (text string, there bool) {
	if v.ConfigKind == "Secret" {
		if s := find[*corev1.Secret](objects, v.ConfigName); s != nil {
			text, there = s.StringData[v.ConfigKey]
		}
		return text, there
	}
	if m := find[*corev1.ConfigMap](objects, v.ConfigName); m != nil {
		text, there = m.Data[v.ConfigKey]
	}
	return text, there
}

func checkPod(pod corev1.PodSpec, v *values) error {
	i := slices.IndexFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == "prometheus" })
	if i < 0 {
		return fmt.Errorf("checking the manifests: there is no container prometheus")
	}
	c := pod.Containers[i]
	for _, arg := range v.Args {
		if !slices.Contains(c.Args, arg) {
			return fmt.Errorf("checking the manifests: container prometheus lacks the argument %s", arg)
		}
	}
	data := slices.IndexFunc(pod.Volumes, func(o corev1.Volume) bool {
		return o.PersistentVolumeClaim != nil && o.PersistentVolumeClaim.ClaimName == v.ClaimName
	})
	if data < 0 || !mounted(c, pod.Volumes[data].Name, v.DataDir) {
		return fmt.Errorf("checking the manifests: claim %s is not mounted at %s", v.ClaimName, v.DataDir)
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == v.ConfigDir }) {
		return fmt.Errorf("checking the manifests: nothing is mounted at %s, where the configuration has to be", v.ConfigDir)
	}
	has := mountsOf(&appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Template: corev1.PodTemplateSpec{Spec: pod}}})
	for _, f := range v.Folders {
		if has[f.Path+"/"] != f.Name {
			return fmt.Errorf("checking the manifests: ConfigMap %s is not mounted whole at %s", f.Name, f.Path)
		}
	}
	return nil
}

func mounted(c corev1.Container, volume, at string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume && m.MountPath == at && !m.ReadOnly })
}
