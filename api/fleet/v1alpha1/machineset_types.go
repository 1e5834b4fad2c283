package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Role is what a machine does in its cluster.
// +kubebuilder:validation:Enum=control-plane;compute;etcd
type Role string

// The roles of machines.
const (
	RoleControlPlane Role = "control-plane"
	RoleCompute      Role = "compute"
	RoleEtcd         Role = "etcd"
)

// MachineSet holds the machines of one role of one cluster. Made by the operator from a ClusterDeployment.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcs,categories=slipway
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name="Claimed",type=integer,JSONPath=`.status.claimedReplicas`
// +kubebuilder:printcolumn:name="Deployed",type=integer,JSONPath=`.status.deployedReplicas`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Available")].message`
type MachineSet struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says how many machines of which kind are wanted.
	// +required
	Spec MachineSetSpec `json:"spec,omitzero"`
	// status is what is there. Written by the operator.
	// +optional
	Status MachineSetStatus `json:"status,omitzero"`
}

// MachineSetSpec says how many machines of which kind are wanted.
type MachineSetSpec struct {
	// clusterName names the ClusterDeployment and its Cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterName string `json:"clusterName,omitempty"`
	// role is what the machines do in the cluster.
	// +required
	Role Role `json:"role,omitempty"`
	// replicas is how many machines are wanted.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	Replicas *int32 `json:"replicas,omitempty"`
	// selector picks machines of the pool by their labels. Unset: any machine fits.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// labels are put on the Nodes.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`
	// taints are put on the Nodes when they join.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Taints []corev1.Taint `json:"taints,omitempty"`
}

// MachineSetStatus counts the machines of a set.
// +kubebuilder:validation:MinProperties=1
type MachineSetStatus struct {
	// conditions are Available, Claimed.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// claimedReplicas counts the machines that the set holds and that are not on their way out.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ClaimedReplicas *int32 `json:"claimedReplicas,omitempty"`
	// deployedReplicas counts those whose installation succeeded.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeployedReplicas *int32 `json:"deployedReplicas,omitempty"`
	// readyReplicas counts those that were seen at work: their Node is Ready, or etcd answers.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReadyReplicas *int32 `json:"readyReplicas,omitempty"`
}

// MachineSetList is a list of MachineSets.
// +kubebuilder:object:root=true
type MachineSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MachineSet `json:"items"`
}
