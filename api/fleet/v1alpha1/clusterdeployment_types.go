package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ClusterDeployment is everything an administrator writes about one cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cd,categories=slipway
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="the name can have 40 characters at most: names of machine sets and operations are made from it"
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`
// +kubebuilder:printcolumn:name="CP Desired",type=integer,JSONPath=`.status.controlPlane.desired`
// +kubebuilder:printcolumn:name="CP Ready",type=integer,JSONPath=`.status.controlPlane.ready`
// +kubebuilder:printcolumn:name="W Desired",type=integer,JSONPath=`.status.workers.desired`
// +kubebuilder:printcolumn:name="W Ready",type=integer,JSONPath=`.status.workers.ready`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.kubernetes.version`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type ClusterDeployment struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is every setting of the cluster.
	// +required
	Spec ClusterDeploymentSpec `json:"spec,omitzero"`
	// status is how far the cluster is from it. Written by the operator.
	// +optional
	Status ClusterDeploymentStatus `json:"status,omitzero"`
}

// ClusterDeploymentSpec is every setting of a cluster.
// +kubebuilder:validation:XValidation:rule="self.etcd.topology == 'External' ? has(self.etcd.machines) : !has(self.etcd.machines)",message="etcd.machines goes with etcd.topology External, and only with it"
// +kubebuilder:validation:XValidation:rule="self.etcd.topology == oldSelf.etcd.topology",message="etcd.topology cannot be changed"
// +kubebuilder:validation:XValidation:rule="self.network == oldSelf.network",message="network cannot be changed"
// +kubebuilder:validation:XValidation:rule="self.apiEndpoint == oldSelf.apiEndpoint",message="apiEndpoint cannot be changed"
type ClusterDeploymentSpec struct {
	// contentVersion is the version of playbooks and bundle. Unset: the operator's newest at the first sight of the deployment, recorded in the Cluster; raised only by a person.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ContentVersion string `json:"contentVersion,omitempty"`
	// management says whether the operator acts: Paused stops every start of anything for this cluster. Default Active.
	// +optional
	// +default="Active"
	// +kubebuilder:validation:Enum=Active;Paused
	Management Management `json:"management,omitempty"`
	// kubernetes is the version and the settings of the components.
	// +required
	Kubernetes Kubernetes `json:"kubernetes,omitzero"`
	// etcd says where etcd runs.
	// +required
	Etcd Etcd `json:"etcd,omitzero"`
	// containerRuntime is the runtime of the nodes. Default containerd.
	// +optional
	ContainerRuntime *ContainerRuntime `json:"containerRuntime,omitempty"`
	// network is the network plugin and the addresses of pods and services.
	// +required
	Network Network `json:"network,omitzero"`
	// apiEndpoint is the stable name of the API server.
	// +required
	APIEndpoint APIEndpoint `json:"apiEndpoint,omitzero"`
	// os is the settings of the operating system.
	// +optional
	OS *OperatingSystem `json:"os,omitempty"`
	// addons are applied to the cluster once it answers, and kept as they are here.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Addons []Addon `json:"addons,omitempty"`
	// controlPlane is the machines of the control plane.
	// +required
	ControlPlane ControlPlane `json:"controlPlane,omitzero"`
	// workers are the sets of machines that run pods.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Workers []WorkerSet `json:"workers,omitempty"`
}

// Management says whether the operator acts.
type Management string

// Whether the operator acts.
const (
	ManagementActive Management = "Active"
	ManagementPaused Management = "Paused"
)

// Kubernetes is the version and the settings of the components.
type Kubernetes struct {
	// version is the version of Kubernetes, as in v1.36.3. There must be a bundle of it.
	// +required
	// +kubebuilder:validation:Pattern=`^v1\.[0-9]{1,3}\.[0-9]{1,3}$`
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=16
	Version string `json:"version,omitempty"`
	// componentConfigs are parts of the upstream kinds, merged over the defaults and checked against the schemas of this version.
	// +optional
	ComponentConfigs *ComponentConfigs `json:"componentConfigs,omitempty"`
}

// ComponentConfigs are parts of upstream kinds; each may have 64 KiB.
// +kubebuilder:validation:MinProperties=1
type ComponentConfigs struct {
	// kubelet is a part of KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Kubelet *runtime.RawExtension `json:"kubelet,omitempty"`
	// kubeProxy is a part of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	KubeProxy *runtime.RawExtension `json:"kubeProxy,omitempty"`
	// clusterConfiguration is a part of kubeadm's ClusterConfiguration (kubeadm.k8s.io/v1beta4).
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	ClusterConfiguration *runtime.RawExtension `json:"clusterConfiguration,omitempty"`
}

// EtcdTopology says where etcd runs.
// +kubebuilder:validation:Enum=External;Colocated
type EtcdTopology string

// Where etcd runs: on machines of its own, or on those of the control plane.
const (
	EtcdExternal  EtcdTopology = "External"
	EtcdColocated EtcdTopology = "Colocated"
)

// Etcd says where etcd runs.
type Etcd struct {
	// topology is External (machines of its own) or Colocated (on the control planes).
	// +required
	Topology EtcdTopology `json:"topology,omitempty"`
	// machines are the machines of an external etcd.
	// +optional
	Machines *EtcdMachines `json:"machines,omitempty"`
}

// EtcdMachines are the machines of an external etcd.
// +kubebuilder:validation:XValidation:rule="self.replicas == oldSelf.replicas",message="the number of etcd members cannot be changed yet"
type EtcdMachines struct {
	// replicas is 1, 3 or 5: an even count tolerates no more failures than the odd one below it.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	// +kubebuilder:validation:XValidation:rule="self in [1, 3, 5]",message="must be 1, 3 or 5: an even count of etcd members tolerates no more failures than the odd one below it"
	Replicas int32 `json:"replicas,omitempty"`
	// selector picks machines of the pool by their labels. Unset: any machine fits.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// ContainerRuntime is the runtime of the nodes.
type ContainerRuntime struct {
	// name is containerd.
	// +required
	// +kubebuilder:validation:Enum=containerd
	Name string `json:"name,omitempty"`
	// registries say where images of a registry are pulled from instead.
	// +optional
	// +listType=map
	// +listMapKey=host
	// +kubebuilder:validation:MaxItems=32
	Registries []Registry `json:"registries,omitempty"`
}

// Registry sends pulls of one registry to mirrors.
type Registry struct {
	// host is the registry as it is written in image names.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9.:-]*$`
	Host string `json:"host,omitempty"`
	// mirrors are tried in this order, as in https://mirror.example.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=8
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^https://[^\s"]+$`
	Mirrors []string `json:"mirrors,omitempty"`
}

// NetworkPlugin names a network plugin.
// +kubebuilder:validation:Enum=flannel;None
type NetworkPlugin string

// The network plugins. None: bring your own.
const (
	NetworkFlannel NetworkPlugin = "flannel"
	NetworkNone    NetworkPlugin = "None"
)

// Network is the network plugin and the addresses.
type Network struct {
	// plugin is flannel, or None for those who bring their own.
	// +required
	Plugin NetworkPlugin `json:"plugin,omitempty"`
	// podCIDRs are the ranges of pod addresses; one today.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1
	// +kubebuilder:validation:items:MinLength=9
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="self.all(c, isCIDR(c))",message="must be ranges of addresses such as 10.244.0.0/16"
	PodCIDRs []string `json:"podCIDRs,omitempty"`
	// serviceCIDRs are the ranges of service addresses; one today.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1
	// +kubebuilder:validation:items:MinLength=9
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:XValidation:rule="self.all(c, isCIDR(c))",message="must be ranges of addresses such as 10.96.0.0/16"
	ServiceCIDRs []string `json:"serviceCIDRs,omitempty"`
}

// EndpointType says how the endpoint's name leads to an API server.
// +kubebuilder:validation:Enum=Direct;External
type EndpointType string

// How the endpoint's name leads to an API server: to the first control plane, or to what the site set up.
const (
	EndpointDirect   EndpointType = "Direct"
	EndpointExternal EndpointType = "External"
)

// APIEndpoint is the stable name of the API server.
type APIEndpoint struct {
	// type is Direct (the name leads to the control plane machine) or External (the site's own load balancer or DNS).
	// +required
	Type EndpointType `json:"type,omitempty"`
	// name is the DNS name, in certificates and kubeconfigs from the first day.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// port is the TCP port of the API server. Default 6443.
	// +optional
	// +default=6443
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// OSProfile names a set of defaults for the operating system.
// +kubebuilder:validation:Enum=server;lab
type OSProfile string

// The profiles: server for machines, lab for nspawn hosts of `slipway lab`.
const (
	OSServer OSProfile = "server"
	OSLab    OSProfile = "lab"
)

// OperatingSystem is the settings of the operating system.
// +kubebuilder:validation:MinProperties=1
type OperatingSystem struct {
	// profile is server, or lab for the practice machines of `slipway lab`. Default server.
	// +optional
	// +default="server"
	Profile OSProfile `json:"profile,omitempty"`
	// sysctls are kernel settings to keep on every node.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

// Addon is one addon.
type Addon struct {
	// name is one of the shipped addons: coredns, metrics-server.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// values are merged over the defaults of the addon's chart.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	Values *runtime.RawExtension `json:"values,omitempty"`
}

// ControlPlane is the machines of the control plane.
// +kubebuilder:validation:XValidation:rule="self.replicas == oldSelf.replicas",message="the number of control planes cannot be changed yet"
type ControlPlane struct {
	// replicas is the number of control planes: 1 today.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1
	Replicas int32 `json:"replicas,omitempty"`
	// selector picks machines of the pool by their labels. Unset: any machine fits.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// WorkerSet is one set of machines that run pods.
type WorkerSet struct {
	// name of the set, unique in the deployment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self != 'control-plane' && self != 'etcd'",message="control-plane and etcd are taken"
	Name string `json:"name,omitempty"`
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

// ClusterDeploymentStatus is how far a cluster is from its deployment.
// +kubebuilder:validation:MinProperties=1
type ClusterDeploymentStatus struct {
	// conditions are Ready, Available, SpecValid, MachinesClaimed, Progressing.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that was reached.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state is one word for people: Pending, Installing, Scaling, Available, Deleting, Invalid, Paused, Failing.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	State string `json:"state,omitempty"`
	// controlPlane counts the machines of the control plane.
	// +optional
	ControlPlane *ReplicaSummary `json:"controlPlane,omitempty"`
	// workers counts the machines of all worker sets.
	// +optional
	Workers *ReplicaSummary `json:"workers,omitempty"`
	// etcd counts the machines of an external etcd.
	// +optional
	Etcd *ReplicaSummary `json:"etcd,omitempty"`
}

// ReplicaSummary counts machines.
// +kubebuilder:validation:MinProperties=1
type ReplicaSummary struct {
	// desired is how many are wanted.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Desired *int32 `json:"desired,omitempty"`
	// claimed is how many are held.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Claimed *int32 `json:"claimed,omitempty"`
	// ready is how many are at work.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ready *int32 `json:"ready,omitempty"`
}

// ClusterDeploymentList is a list of ClusterDeployments.
// +kubebuilder:object:root=true
type ClusterDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterDeployment `json:"items"`
}
