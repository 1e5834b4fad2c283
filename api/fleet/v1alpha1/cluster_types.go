package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Cluster is the running cluster behind a ClusterDeployment of the same name. Made and written by the operator.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cl,categories=slipway
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.kubernetesVersion`
// +kubebuilder:printcolumn:name="Content",type=string,JSONPath=`.spec.contentVersion`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.total`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.nodes.ready`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.spec.endpoint.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Cluster struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the cluster was built with: facts that cannot be read from anywhere else.
	// +required
	Spec ClusterSpec `json:"spec,omitzero"`
	// status is what was last seen of the cluster.
	// +optional
	Status ClusterStatus `json:"status,omitzero"`
}

// ClusterSpec is what a cluster was built with.
type ClusterSpec struct {
	// contentVersion is the version of playbooks and bundle that the cluster is built with. A newer operator does not change it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ContentVersion string `json:"contentVersion,omitempty"`
	// bundleDigest is the digest of the manifest of the bundle that its nodes pull from.
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	BundleDigest string `json:"bundleDigest,omitempty"`
	// settingsDigest is the digest of the settings of components that the nodes were built with. Later changes of them show in UpToDate of the deployment.
	// +optional
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MinLength=71
	// +kubebuilder:validation:MaxLength=71
	SettingsDigest string `json:"settingsDigest,omitempty"`
	// uid identifies the cluster on its hosts. It stays when the object is restored from a backup.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// endpoint is the stable name under which the API server is reached.
	// +required
	Endpoint Endpoint `json:"endpoint,omitzero"`
}

// Endpoint is where an API server is reached.
type Endpoint struct {
	// name is the DNS name, in certificates and kubeconfigs from the first day.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// port is the TCP port.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// ClusterStatus is what was last seen of a cluster.
// +kubebuilder:validation:MinProperties=1
type ClusterStatus struct {
	// conditions are Available, Installed, Verified, AddonsApplied.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// kubernetesVersion is the version that the API server answered with.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// kubeconfigSecretName names the Secret that holds an administrator's kubeconfig under the key value.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	KubeconfigSecretName string `json:"kubeconfigSecretName,omitempty"`
	// nodes counts the Nodes of the cluster.
	// +optional
	Nodes *NodeSummary `json:"nodes,omitempty"`
	// addons are the addons that are applied, with the digest of what was applied.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Addons []AddonStatus `json:"addons,omitempty"`
	// history names the last operations, newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	History []OperationRecord `json:"history,omitempty"`
}

// NodeSummary counts Nodes.
type NodeSummary struct {
	// total is the number of Nodes.
	// +required
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// ready is the number of Nodes that are Ready.
	// +required
	// +kubebuilder:validation:Minimum=0
	Ready *int32 `json:"ready,omitempty"`
}

// AddonStatus is one applied addon.
type AddonStatus struct {
	// name is the addon.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// digest is the digest of the objects that were applied.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`
}

// OperationRecord is one line of a cluster's history.
type OperationRecord struct {
	// name is the Operation.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// entryPoint is what it ran.
	// +required
	EntryPoint EntryPoint `json:"entryPoint,omitempty"`
	// phase is how it ended.
	// +required
	Phase OperationPhase `json:"phase,omitempty"`
	// reason is why it ran.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// finishedAt is when it ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// ClusterList is a list of Clusters.
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}
