// Package v1alpha1 holds the kinds of the search domain: clusters of Elasticsearch and OpenSearch, and the lives of their indices.
// It holds types, their validation markers and their condition words alone; no behaviour. The same kinds stand in a plain file where there is no Kubernetes.
// +kubebuilder:object:generate=true
// +groupName=search.slipway.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "search.slipway.dev", Version: "v1alpha1"}

// Names of the kinds, as manifests have them.
const (
	KindSearchCluster  = "SearchCluster"
	KindIndexLifecycle = "IndexLifecycle"
)

// AddToScheme registers the kinds of this package in a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &SearchCluster{}, &SearchClusterList{}, &IndexLifecycle{}, &IndexLifecycleList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// PausedAnnotation stops every new step of an IndexLifecycle, or of all those of a SearchCluster; the making of the next slots goes on, and so
// does what was begun. The value is the reason.
const PausedAnnotation = "search.slipway.dev/paused"
