package v1alpha1

// Types of conditions. All are positive: True is good.
const (
	// ConditionReady of a Machine: it does its work in its cluster, or waits healthy in the pool. Of a ClusterDeployment: everything is as wanted.
	ConditionReady = "Ready"
	// ConditionReachable of a Machine: its SSH server answered the last probe with the pinned key.
	ConditionReachable = "Reachable"
	// ConditionInspected of a Machine: the last inspection found nothing that speaks against its use.
	ConditionInspected = "Inspected"
	// ConditionNodeReady of a Machine: its Node is Ready as its own cluster says. Unknown when that cluster cannot be seen.
	ConditionNodeReady = "NodeReady"
	// ConditionAvailable of a Cluster or ClusterDeployment: its API server answers. Of a MachineSet: all wanted machines are ready.
	ConditionAvailable = "Available"
	// ConditionClaimed of a MachineSet: it holds as many machines as wanted.
	ConditionClaimed = "Claimed"
	// ConditionMachinesClaimed of a ClusterDeployment: all its sets hold as many machines as wanted.
	ConditionMachinesClaimed = "MachinesClaimed"
	// ConditionSpecValid of a ClusterDeployment: the settings were checked against the bundle and can be built.
	ConditionSpecValid = "SpecValid"
	// ConditionProgressing of a ClusterDeployment: the way to the wanted state is free; False names what holds it and who must act.
	ConditionProgressing = "Progressing"
	// ConditionUpToDate of a ClusterDeployment: its nodes have the settings that are written and the newest content. Nothing is rolled out by itself.
	ConditionUpToDate = "UpToDate"
	// ConditionInstalled of a Cluster: its control plane was built.
	ConditionInstalled = "Installed"
	// ConditionVerified of a Cluster: the last verify operation passed.
	ConditionVerified = "Verified"
	// ConditionAddonsApplied of a Cluster: all addons are applied as wanted.
	ConditionAddonsApplied = "AddonsApplied"
	// ConditionComplete of an Operation: it came to its end; the reason says how.
	ConditionComplete = "Complete"
)

// Reasons of conditions.
const (
	// ReasonAsWanted surfaces when nothing is left to do.
	ReasonAsWanted = "AsWanted"
	// ReasonPending surfaces when something has not begun.
	ReasonPending = "Pending"
	// ReasonRunning surfaces while an operation runs.
	ReasonRunning = "Running"
	// ReasonSucceeded surfaces when an operation succeeded on every host.
	ReasonSucceeded = "Succeeded"
	// ReasonFailed surfaces when an operation failed on at least one host.
	ReasonFailed = "Failed"
	// ReasonCancelled surfaces when an operation was cancelled.
	ReasonCancelled = "Cancelled"
	// ReasonPaused surfaces when a person paused the object.
	ReasonPaused = "Paused"
	// ReasonFrozen surfaces when `slipway freeze` stops every start.
	ReasonFrozen = "Frozen"
	// ReasonDeleting surfaces while the object is on its way out.
	ReasonDeleting = "Deleting"
	// ReasonInstalling surfaces while the cluster is built.
	ReasonInstalling = "Installing"
	// ReasonScaling surfaces while machines join or leave.
	ReasonScaling = "Scaling"
	// ReasonInvalidSpec surfaces when the settings cannot be built; the message holds the path of each field.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonSettingsChanged surfaces when settings of components were changed after the nodes had been built.
	ReasonSettingsChanged = "SettingsChanged"
	// ReasonContentBehind surfaces when the operator has newer content than the cluster was built with.
	ReasonContentBehind = "ContentBehind"
	// ReasonUnknownContent surfaces when the operator does not carry the wanted content version.
	ReasonUnknownContent = "UnknownContent"
	// ReasonTooFewMachines surfaces when the pool has too few machines that fit; the message says why the others do not.
	ReasonTooFewMachines = "TooFewMachines"
	// ReasonInspecting surfaces while a host is looked at.
	ReasonInspecting = "Inspecting"
	// ReasonIdle surfaces when a machine waits healthy in the pool.
	ReasonIdle = "Idle"
	// ReasonInUse surfaces when a machine is held by a cluster and not at work yet.
	ReasonInUse = "InUse"
	// ReasonNodeReady surfaces when the machine's Node is Ready.
	ReasonNodeReady = "NodeReady"
	// ReasonNodeNotReady surfaces when the machine's Node is not Ready.
	ReasonNodeNotReady = "NodeNotReady"
	// ReasonNodeMissing surfaces when the cluster has no Node for the machine.
	ReasonNodeMissing = "NodeMissing"
	// ReasonClusterUnreachable surfaces when the cluster's API server cannot be reached.
	ReasonClusterUnreachable = "ClusterUnreachable"
	// ReasonUnreachable surfaces when the host does not answer.
	ReasonUnreachable = "Unreachable"
	// ReasonHostKeyChanged surfaces when the host shows another key than the pinned one.
	ReasonHostKeyChanged = "HostKeyChanged"
	// ReasonAuthenticationFailed surfaces when the host refuses the SSH key.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonNoSudo surfaces when the user may not run sudo without a password.
	ReasonNoSudo = "NoSudo"
	// ReasonNoPython surfaces when the host has no Python 3.9 or newer.
	ReasonNoPython = "NoPython"
	// ReasonNoSpace surfaces when the host has too little free space.
	ReasonNoSpace = "NoSpace"
	// ReasonClockSkew surfaces when the host's clock is off.
	ReasonClockSkew = "ClockSkew"
	// ReasonLeftovers surfaces when the host holds remains of another cluster.
	ReasonLeftovers = "LeftoversFound"
	// ReasonUnsupportedHost surfaces when the host's system or architecture is not supported.
	ReasonUnsupportedHost = "UnsupportedHost"
	// ReasonDuplicate surfaces when two Machines are the same host: one address or one machine-id.
	ReasonDuplicate = "DuplicateHost"
	// ReasonTakenElsewhere surfaces when the stamp on the host names an operation that this operator does not know.
	ReasonTakenElsewhere = "TakenElsewhere"
	// ReasonKeySecretInvalid surfaces when the Secret with the SSH key is missing or unusable.
	ReasonKeySecretInvalid = "KeySecretInvalid"
	// ReasonOperationFailed surfaces when operations failed on the machine too often.
	ReasonOperationFailed = "OperationFailed"
	// ReasonByHand surfaces when a person put the machine into quarantine.
	ReasonByHand = "ByHand"
)
