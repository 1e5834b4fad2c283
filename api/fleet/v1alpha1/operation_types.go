package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// EntryPoint names one playbook of the shipped content.
// +kubebuilder:validation:Enum=create;os;container-runtime;etcd;kubernetes;network;addons;scale;remove;check;verify
type EntryPoint string

// The entry points that can be run. create is os, container-runtime, etcd, kubernetes and network in one run.
const (
	EntryCreate           EntryPoint = "create"
	EntryOS               EntryPoint = "os"
	EntryContainerRuntime EntryPoint = "container-runtime"
	EntryEtcd             EntryPoint = "etcd"
	EntryKubernetes       EntryPoint = "kubernetes"
	EntryNetwork          EntryPoint = "network"
	EntryAddons           EntryPoint = "addons"
	EntryScale            EntryPoint = "scale"
	EntryRemove           EntryPoint = "remove"
	EntryCheck            EntryPoint = "check"
	EntryVerify           EntryPoint = "verify"
)

// OperationPhase is where an operation stands.
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed;Cancelled
type OperationPhase string

// The phases of an Operation.
const (
	OperationPending   OperationPhase = "Pending"
	OperationRunning   OperationPhase = "Running"
	OperationSucceeded OperationPhase = "Succeeded"
	OperationFailed    OperationPhase = "Failed"
	OperationCancelled OperationPhase = "Cancelled"
)

// Operation is one run of one entry point over named machines.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=op,categories=slipway
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="Entry Point",type=string,JSONPath=`.spec.entryPoint`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Complete")].message`
type Operation struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says what to run, where and why. Immutable but for cancel.
	// +required
	Spec OperationSpec `json:"spec,omitzero"`
	// status is how the run goes. Written by the operator.
	// +optional
	Status OperationStatus `json:"status,omitzero"`
}

// OperationSpec says what to run, where and why.
// +kubebuilder:validation:XValidation:rule="self.clusterName == oldSelf.clusterName && self.entryPoint == oldSelf.entryPoint && self.machines == oldSelf.machines && has(self.retryOf) == has(oldSelf.retryOf) && (!has(self.retryOf) || self.retryOf == oldSelf.retryOf)",message="an operation cannot be changed once it is made; cancel it and make another"
type OperationSpec struct {
	// clusterName names the ClusterDeployment and its Cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ClusterName string `json:"clusterName,omitempty"`
	// entryPoint is the playbook to run.
	// +required
	EntryPoint EntryPoint `json:"entryPoint,omitempty"`
	// machines are the names of the Machines to run on, in the same namespace.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Machines []string `json:"machines,omitempty"`
	// reason says why, as in "workers/general 20 → 21".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// retryOf names the failed operation that this one takes up again.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	RetryOf string `json:"retryOf,omitempty"`
	// timeoutSeconds ends the run. Default 3600.
	// +optional
	// +default=3600
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=86400
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// cancel ends the run when it is Requested; hosts keep the stages that they finished.
	// +optional
	// +kubebuilder:validation:Enum=Requested
	Cancel CancelRequest `json:"cancel,omitempty"`
}

// CancelRequest asks for the end of an operation.
type CancelRequest string

// CancelRequested ends an operation.
const CancelRequested CancelRequest = "Requested"

// OperationStatus is how a run goes.
// +kubebuilder:validation:MinProperties=1
type OperationStatus struct {
	// conditions are Complete.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// phase is where the operation stands.
	// +optional
	Phase OperationPhase `json:"phase,omitempty"`
	// executor is the kind of executor that runs it: Process, Job, Simulated or Fake.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Executor string `json:"executor,omitempty"`
	// attempt counts how often the run was started; more than one after its process or Job was lost.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt,omitempty"`
	// startedAt is when the first attempt started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is when the operation came to its end.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// hosts is the state per host; beyond 500 hosts only those that failed or run.
	// +optional
	// +listType=map
	// +listMapKey=machine
	// +kubebuilder:validation:MaxItems=1000
	Hosts []HostStatus `json:"hosts,omitempty"`
	// summary counts the hosts by result.
	// +optional
	Summary *HostSummary `json:"summary,omitempty"`
	// outputs are the facts that the run reported, without secrets.
	// +optional
	Outputs *runtime.RawExtension `json:"outputs,omitempty"`
}

// HostResult is how a run ended on one host.
// +kubebuilder:validation:Enum=Pending;Running;Succeeded;Failed;Unreachable
type HostResult string

// The results of a run on one host.
const (
	HostPending     HostResult = "Pending"
	HostRunning     HostResult = "Running"
	HostSucceeded   HostResult = "Succeeded"
	HostFailed      HostResult = "Failed"
	HostUnreachable HostResult = "Unreachable"
)

// HostStatus is how a run goes on one host.
type HostStatus struct {
	// machine is the name of the Machine.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Machine string `json:"machine,omitempty"`
	// result is how the run stands on the host.
	// +optional
	Result HostResult `json:"result,omitempty"`
	// done counts the tasks that are finished on the host.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Done *int32 `json:"done,omitempty"`
	// total is the number of tasks of the entry point, where it is known.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// task is the task that runs now or that failed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Task string `json:"task,omitempty"`
	// message says what failed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// HostSummary counts hosts by result.
// +kubebuilder:validation:MinProperties=1
type HostSummary struct {
	// total is the number of hosts of the run.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// succeeded counts the hosts on which the run succeeded.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Succeeded *int32 `json:"succeeded,omitempty"`
	// failed counts the hosts on which it failed or that could not be reached.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failed *int32 `json:"failed,omitempty"`
}

// OperationList is a list of Operations.
// +kubebuilder:object:root=true
type OperationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Operation `json:"items"`
}
