// Package v1alpha1 holds the kinds of the fleet domain: machines that become Kubernetes clusters.
// It holds types, their validation markers and their condition words alone; no behaviour.
// +kubebuilder:object:generate=true
// +groupName=fleet.slipway.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "fleet.slipway.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package in a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&ClusterDeployment{}, &ClusterDeploymentList{},
		&MachineSet{}, &MachineSetList{},
		&Machine{}, &MachineList{},
		&Cluster{}, &ClusterList{},
		&Operation{}, &OperationList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Labels, annotations and finalizers of the fleet domain.
const (
	// ClusterLabel names the ClusterDeployment that an object belongs to.
	ClusterLabel = "fleet.slipway.dev/cluster"
	// MachineSetLabel names the MachineSet that an object belongs to.
	MachineSetLabel = "fleet.slipway.dev/machine-set"
	// RoleLabel holds the role of a MachineSet: control-plane, compute or etcd.
	RoleLabel = "fleet.slipway.dev/role"
	// EntryPointLabel holds the entry point of an Operation.
	EntryPointLabel = "fleet.slipway.dev/entry-point"
	// HomeNamespaceLabel on an Operation names the namespace of its cluster and machines where it is not its own: operations that
	// clean up after a namespace that is being deleted are made in FreezeNamespace.
	HomeNamespaceLabel = "fleet.slipway.dev/namespace"
	// Finalizer keeps an object until its hosts are clean and its claims are free.
	Finalizer = "fleet.slipway.dev/clean"
	// DeleteFirstAnnotation on a Machine marks it as the first to leave when its set shrinks.
	DeleteFirstAnnotation = "fleet.slipway.dev/delete-first"
	// InspectAnnotation on a Machine asks for an inspection now; the value is any new text.
	InspectAnnotation = "fleet.slipway.dev/inspect"
	// PausedAnnotation on any object stops every start of anything for it. The value is the reason.
	PausedAnnotation = "fleet.slipway.dev/paused"
	// OverrideAnnotation switches off safety rules by name (comma separated); the override is recorded as an event.
	OverrideAnnotation = "fleet.slipway.dev/override"
	// FreezeConfigMap is the name of the ConfigMap in FreezeNamespace that stops every start of anything, everywhere.
	FreezeConfigMap = "slipway-freeze"
	// FreezeNamespace is the namespace of FreezeConfigMap.
	FreezeNamespace = "slipway-system"
)
