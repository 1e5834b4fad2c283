package plan

import (
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// Observed is everything that a plan is made from: the wishes and what was seen, of one cluster.
type Observed struct {
	// Cluster is the name of the ClusterDeployment; UID that of Cluster.spec.uid.
	Cluster string
	UID     string
	// Deleting is set when the deployment is on its way out.
	Deleting bool
	// Paused and Frozen hold the reason why nothing may start; empty: it may.
	Paused string
	Frozen string
	// Overrides are the names of the rules that a person switched off (OverrideAnnotation).
	Overrides []string
	// Invalid is the message of the condition SpecValid when it is not True; empty: the spec can be built.
	Invalid string
	// WantedContent is spec.contentVersion of the deployment (empty: no wish), BuiltContent that of the Cluster.
	WantedContent string
	BuiltContent  string
	// ContentCarried says that the operator has BuiltContent and its bundle.
	ContentCarried bool

	// PKI says that the Secret with the PKI is complete for the control plane and etcd machines that are claimed.
	PKI bool
	// Installed and Verified are what the conditions of the Cluster say; the operations may know better.
	Installed bool
	Verified  bool
	// AddonsApplied says that all addons are applied (verify needs DNS), or that there are none.
	AddonsApplied bool
	// Reachable says that the cluster's API server answers now.
	Reachable bool
	// Nodes are the Nodes of the cluster by name; nil: they cannot be seen now.
	Nodes map[string]Node

	// Sets are the machine sets of the deployment.
	Sets []Set
	// Machines are all Machines whose claimRef names this cluster.
	Machines []Machine
	// Operations are all Operations of this cluster that still exist, oldest first.
	Operations []Operation
	// Drains holds the results of remote.Drain by machine, for those where it was called in this pass.
	Drains map[string]Drain
	// Limits of the planner; the zero value means the defaults.
	Limits Limits
}

// Set is one machine set.
type Set struct {
	Name     string
	Role     v1alpha1.Role
	Replicas int
	// Short says that the set holds too few machines and the pool has no more that fit: the plan goes on without them.
	Short bool
	// ShortMessage says why, in the words of the set's condition Claimed.
	ShortMessage string
}

// Machine is one machine that is claimed by the cluster.
type Machine struct {
	Name  string
	Set   string
	Role  v1alpha1.Role
	Phase v1alpha1.MachinePhase
	// Attempts is status.attempts.
	Attempts int
	// Release is claimRef.release: set when the machine has to leave.
	Release v1alpha1.ReleaseReason
	// Quarantined is set when spec.quarantine is.
	Quarantined bool
	// Unreachable is set when the condition Reachable is False.
	Unreachable bool
}

// Node is what the plan needs of a Node.
type Node struct {
	Ready bool
}

// Drain is how far a drain is; see remote.Drain.
type Drain struct {
	Remaining int
	Message   string
}

// Operation is one Operation of the cluster, whoever made it.
type Operation struct {
	Name       string
	EntryPoint v1alpha1.EntryPoint
	Machines   []string
	RetryOf    string
	// Phase is status.phase; empty means Pending.
	Phase v1alpha1.OperationPhase
	// Cancelling is set when spec.cancel is.
	Cancelling bool
	// SecondsSinceEnd is how long ago it finished; 0 while it has not.
	SecondsSinceEnd int
	// Message is the message of its condition Complete.
	Message string
	// Results are the results per host as far as status.hosts holds them. In an operation that Succeeded, a machine
	// that is not here succeeded (beyond 500 hosts only the others are listed).
	Results map[string]Result
}

// Result is how an operation stands on one host.
type Result struct {
	Result  v1alpha1.HostResult
	Task    string
	Message string
}

// Limits are the numbers of the planner.
type Limits struct {
	// Attempts is how often an install or a remove is tried on a machine; 0 means 2: retried once.
	Attempts int
	// MachinesPerOperation is how many machines one operation has at most; 0 means 250.
	MachinesPerOperation int
	// RetrySeconds is the wait before a retry after a failure, UnreachableSeconds after the host was gone; 0 means 10 and 60.
	RetrySeconds       int
	UnreachableSeconds int
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.Attempts, 2)
	set(&l.MachinesPerOperation, 250)
	set(&l.RetrySeconds, 10)
	set(&l.UnreachableSeconds, 60)
	return l
}

// active says that an operation has not come to its end.
func (o *Operation) active() bool {
	switch o.Phase {
	case v1alpha1.OperationSucceeded, v1alpha1.OperationFailed, v1alpha1.OperationCancelled:
		return false
	}
	return true
}

// blockedBy begins the message of a host that failed because of another host (its API server, its etcd).
const blockedBy = "blocked: "

// on is how an operation stands on a machine of it.
func (o *Operation) on(machine string) Result {
	if r, ok := o.Results[machine]; ok && r.Result != "" {
		if r.Result == v1alpha1.HostFailed && strings.HasPrefix(r.Message, blockedBy) {
			r.Result = v1alpha1.HostPending
		}
		return r
	}
	if o.Phase == v1alpha1.OperationSucceeded {
		return Result{Result: v1alpha1.HostSucceeded}
	}
	return Result{Result: v1alpha1.HostPending}
}

// installs says that an operation makes its machines part of the cluster.
func (o *Operation) installs() bool {
	return o.EntryPoint == v1alpha1.EntryCreate || o.EntryPoint == v1alpha1.EntryScale
}

// removes says that an operation takes everything off its machines.
func (o *Operation) removes() bool { return o.EntryPoint == v1alpha1.EntryRemove }
