package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MachinePhase says where a Machine stands between the pool and a cluster.
// +kubebuilder:validation:Enum=Inspecting;Idle;Claimed;Deploying;Deployed;Ready;Draining;Removing;Cleaning;Quarantined
type MachinePhase string

// The phases of a Machine, in the order in which it meets them.
const (
	MachineInspecting  MachinePhase = "Inspecting"
	MachineIdle        MachinePhase = "Idle"
	MachineClaimed     MachinePhase = "Claimed"
	MachineDeploying   MachinePhase = "Deploying"
	MachineDeployed    MachinePhase = "Deployed"
	MachineReady       MachinePhase = "Ready"
	MachineDraining    MachinePhase = "Draining"
	MachineRemoving    MachinePhase = "Removing"
	MachineCleaning    MachinePhase = "Cleaning"
	MachineQuarantined MachinePhase = "Quarantined"
)

// Machine is one approved host: how to reach it, what it is, and which cluster holds it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mc,categories=slipway
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.claimRef.name`
// +kubebuilder:printcolumn:name="Set",type=string,JSONPath=`.spec.claimRef.machineSet`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.address`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="OS",type=string,priority=1,JSONPath=`.status.facts.os`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Machine struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata. Labels are matched by the selectors of machine sets.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says how to reach the host and who holds it.
	// +required
	Spec MachineSpec `json:"spec,omitzero"`
	// status is what was last seen of the host. Written by the operator; it can be rebuilt from the host.
	// +optional
	Status MachineStatus `json:"status,omitzero"`
}

// MachineSpec says how to reach a host. claimRef, hostKey and quarantine are written by the operator, because they must survive the loss of every status.
type MachineSpec struct {
	// address is the IP address or DNS name at which the host's SSH server answers.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$`
	Address string `json:"address,omitempty"`
	// port is the TCP port of the SSH server. Default 22.
	// +optional
	// +default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// user is root, or a user who may run sudo without a password. Default root.
	// +optional
	// +default="root"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z_][a-z0-9_-]*$`
	User string `json:"user,omitempty"`
	// sshKeySecretName names a Secret of type kubernetes.io/ssh-auth in the same namespace. Passwords are never accepted.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SSHKeySecretName string `json:"sshKeySecretName,omitempty"`
	// bastion is the host through which the machine is reached. Unset: reached directly.
	// +optional
	Bastion *Bastion `json:"bastion,omitempty"`
	// site names the place of the host; machines of one site pull from the same mirror.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Site string `json:"site,omitempty"`
	// failureDomain names what fails together (a rack, a room); machine sets spread over it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	FailureDomain string `json:"failureDomain,omitempty"`
	// claimRef says which cluster holds the machine. Written by the operator with resourceVersion; never by a person.
	// +optional
	ClaimRef *ClaimRef `json:"claimRef,omitempty"`
	// hostKey is the SSH host key in authorized_keys form. Pinned by the first inspection; cleared only by a person.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	HostKey string `json:"hostKey,omitempty"`
	// quarantine keeps the machine out of the pool. Written by the operator or a person; cleared by `slipway machine release`.
	// +optional
	Quarantine *Quarantine `json:"quarantine,omitempty"`
}

// Bastion is an SSH host that forwards connections to machines.
type Bastion struct {
	// address is the IP address or DNS name of the bastion.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?$`
	Address string `json:"address,omitempty"`
	// port is the TCP port of its SSH server. Default 22.
	// +optional
	// +default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// user logs in on the bastion; it needs no rights there but to forward. Default root.
	// +optional
	// +default="root"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z_][a-z0-9_-]*$`
	User string `json:"user,omitempty"`
	// hostKey is the bastion's SSH host key in authorized_keys form. Pinned at the first use; cleared only by a person.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	HostKey string `json:"hostKey,omitempty"`
}

// ClaimRef names the holder of a machine.
type ClaimRef struct {
	// name is the ClusterDeployment that holds the machine.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// uid is the uid of that ClusterDeployment's Cluster as it is stamped on the host.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// machineSet is the MachineSet that claimed the machine.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	MachineSet string `json:"machineSet,omitempty"`
	// release is set when the machine has to leave the cluster: drained, removed, cleaned, back to the pool.
	// +optional
	Release ReleaseReason `json:"release,omitempty"`
}

// ReleaseReason says why a machine leaves its cluster.
// +kubebuilder:validation:Enum=ScaleIn;Replaced;ClusterDeleted;MachineDeleted
type ReleaseReason string

// Why a machine leaves its cluster.
const (
	ReleaseScaleIn        ReleaseReason = "ScaleIn"
	ReleaseReplaced       ReleaseReason = "Replaced"
	ReleaseClusterDeleted ReleaseReason = "ClusterDeleted"
	ReleaseMachineDeleted ReleaseReason = "MachineDeleted"
)

// Quarantine says why a machine must not be used.
type Quarantine struct {
	// reason is one word for machines, such as OperationFailed, LeftoversFound, HostKeyChanged or ByHand.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// message says in words what was wrong and what to do.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// MachineStatus is what was last seen of a host.
// +kubebuilder:validation:MinProperties=1
type MachineStatus struct {
	// conditions are Ready, Reachable, Inspected, NodeReady.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of, after success only.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is where the machine stands between the pool and a cluster.
	// +optional
	Phase MachinePhase `json:"phase,omitempty"`
	// nodeName is the name of the Node that the machine is in its cluster.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// attempts counts the failed operations on the machine under its present claim.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempts *int32 `json:"attempts,omitempty"`
	// facts is what the last inspection found.
	// +optional
	Facts *MachineFacts `json:"facts,omitempty"`
}

// MachineFacts is what an inspection finds on a host.
// +kubebuilder:validation:MinProperties=1
type MachineFacts struct {
	// machineID is the host's machine-id; two Machines with the same one are the same host twice.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	MachineID string `json:"machineID,omitempty"`
	// os is the name of the distribution and its version, as in "Debian 12".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	OS string `json:"os,omitempty"`
	// architecture is the architecture in Go's words: amd64, arm64.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Architecture string `json:"architecture,omitempty"`
	// kernel is the kernel's release.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Kernel string `json:"kernel,omitempty"`
	// cgroupVersion is 1 or 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2
	CgroupVersion int32 `json:"cgroupVersion,omitempty"`
	// cpus is the number of processors.
	// +optional
	// +kubebuilder:validation:Minimum=1
	CPUs int32 `json:"cpus,omitempty"`
	// memoryBytes is the size of the memory in bytes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// diskBytes is the size in bytes of the file system that holds /var/lib.
	// +optional
	// +kubebuilder:validation:Minimum=1
	DiskBytes int64 `json:"diskBytes,omitempty"`
	// diskFreeBytes is the space in bytes that is free there.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DiskFreeBytes *int64 `json:"diskFreeBytes,omitempty"`
	// fsyncMicroseconds is the 99th percentile of a write with fsync there, in microseconds.
	// +optional
	// +kubebuilder:validation:Minimum=1
	FsyncMicroseconds int64 `json:"fsyncMicroseconds,omitempty"`
	// clockOffsetSeconds is the host's clock less the operator's, in seconds.
	// +optional
	ClockOffsetSeconds *int64 `json:"clockOffsetSeconds,omitempty"`
	// python is the version of Python 3, unset where there is none.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Python string `json:"python,omitempty"`
	// security lists what guards the host: SELinux, AppArmor, nftables rules that are active.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Security []string `json:"security,omitempty"`
	// portsInUse lists the TCP ports that something listens on and that Kubernetes needs.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	PortsInUse []int32 `json:"portsInUse,omitempty"`
	// leftovers lists what another cluster left on the host: files, mounts, processes, devices.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Leftovers []string `json:"leftovers,omitempty"`
}

// MachineList is a list of Machines.
// +kubebuilder:object:root=true
type MachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Machine `json:"items"`
}
