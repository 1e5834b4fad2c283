package plan

import (
	"slices"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// record is what the operations say of one machine of the cluster.
type record struct {
	// newest is the newest operation of any kind on the machine; active one that has not ended.
	newest *Operation
	active *Operation
	// decided is set when an install or a remove was seen: then the phase is not asked.
	decided   bool
	touched   bool // something may be on the host
	installed bool
	removed   bool // the last thing that was done to the host was to clean it
	// joined are the machines that took part in installs of this machine since it was clean; nil for workers.
	joined   map[string]bool
	isWorker bool
	// installFailures counts installs that failed on this host since it was clean or installed; failure is the last one.
	installFailures int
	failure         Result
	failed          *Operation
	// removeFailures counts removes that failed on this host since the last install.
	removeFailures int
	removeFailure  Result
	removing       *Operation
	// blameless counts operations in a row that ended without a verdict on this host; without is the last one.
	blameless int
	without   *Operation
	// cancelled is the install that a person cancelled before the machine was done.
	cancelled *Operation
	// lastRemoves is set when a remove is newer than every install.
	lastRemoves bool
}

// readHistory walks through the operations, oldest first.
func readHistory(o *Observed) map[string]*record {
	roles := make(map[string]v1alpha1.Role, len(o.Machines))
	records := make(map[string]*record, len(o.Machines))
	for i := range o.Machines {
		roles[o.Machines[i].Name] = o.Machines[i].Role
		records[o.Machines[i].Name] = &record{isWorker: o.Machines[i].Role == v1alpha1.RoleCompute}
	}
	for i := range o.Operations {
		op := &o.Operations[i]
		excused := controlFailed(op, roles)
		for _, name := range op.Machines {
			if r := records[name]; r != nil {
				r.add(op, name, excused && roles[name] == v1alpha1.RoleCompute)
			}
		}
	}
	for i := range o.Machines {
		records[o.Machines[i].Name].settle(&o.Machines[i], o)
	}
	return records
}

// controlFailed says that a create did not finish on etcd or the control plane, so that its workers are not at fault.
// A machine that has left the cluster since is not known any more: it left because it failed.
func controlFailed(op *Operation, roles map[string]v1alpha1.Role) bool {
	if op.EntryPoint != v1alpha1.EntryCreate || op.Phase == v1alpha1.OperationSucceeded {
		return false
	}
	return slices.ContainsFunc(op.Machines, func(name string) bool {
		role, known := roles[name]
		return (!known || role != v1alpha1.RoleCompute) && op.on(name).Result != v1alpha1.HostSucceeded
	})
}

func (r *record) add(op *Operation, name string, excused bool) {
	r.newest = op
	switch {
	case op.installs():
		r.decided, r.touched, r.removed, r.lastRemoves = true, true, false, false
		r.removeFailures = 0
		r.addInstall(op, name, excused)
	case op.removes():
		r.decided, r.touched, r.lastRemoves = true, true, true
		r.addRemove(op, name)
	case op.EntryPoint != v1alpha1.EntryVerify && op.EntryPoint != v1alpha1.EntryCheck:
		r.touched, r.removed = true, false
	}
	if op.active() {
		r.active = op
	}
}

func (r *record) addInstall(op *Operation, name string, excused bool) {
	if !r.isWorker {
		r.join(op.Machines)
	}
	result := op.on(name)
	switch {
	case result.Result == v1alpha1.HostSucceeded:
		r.installed, r.installFailures, r.blameless, r.cancelled = true, 0, 0, nil
		r.failure = Result{}
	case op.active():
	case op.Phase == v1alpha1.OperationCancelled:
		r.cancelled = op
	case excused || result.Result == v1alpha1.HostPending:
		r.blameless, r.without, r.cancelled = r.blameless+1, op, nil
	default:
		r.installFailures, r.failed, r.failure = r.installFailures+1, op, verdict(result)
		r.blameless, r.cancelled = 0, nil
	}
}

func (r *record) join(machines []string) {
	if r.joined == nil {
		r.joined = make(map[string]bool, len(machines))
	}
	for _, m := range machines {
		r.joined[m] = true
	}
}

func (r *record) addRemove(op *Operation, name string) {
	result := op.on(name)
	switch {
	case result.Result == v1alpha1.HostSucceeded && !op.active():
		*r = record{newest: op, decided: true, removed: true, failure: r.failure, lastRemoves: true, isWorker: r.isWorker}
	case op.active() || op.Phase == v1alpha1.OperationCancelled:
	case result.Result == v1alpha1.HostPending:
		r.blameless, r.without = r.blameless+1, op
	default:
		r.removeFailures, r.removing, r.removeFailure = r.removeFailures+1, op, verdict(result)
		r.blameless = 0
	}
}

// settle brings in what is known besides the operations.
func (r *record) settle(m *Machine, o *Observed) {
	if m.Release == "" && !o.Deleting && r.lastRemoves && r.active == nil {
		// It was on its way out and is not any more: this is another claim, of a host that was found clean since.
		*r = record{newest: r.newest, decided: true, removed: true, isWorker: r.isWorker}
	}
	if r.decided {
		return
	}
	switch m.Phase {
	case v1alpha1.MachineDeployed, v1alpha1.MachineReady:
		r.touched, r.installed = true, true
	case v1alpha1.MachineDeploying, v1alpha1.MachineDraining, v1alpha1.MachineRemoving:
		r.touched = true
	}
	if node, ok := o.Nodes[m.Name]; ok {
		r.touched, r.installed = true, r.installed || node.Ready
	}
}

// verdict makes a result that still ran when its operation ended a failure.
func verdict(result Result) Result {
	if result.Result == v1alpha1.HostRunning {
		result.Result = v1alpha1.HostFailed
		if result.Message == "" {
			result.Message = "it had not finished when the operation ended"
		}
	}
	return result
}

// verdict is the result on the last host that has one, or the message of the operation.
func (o *Operation) verdict() Result {
	out := Result{Message: o.Message}
	for _, m := range o.Machines {
		if r := verdict(o.on(m)); r.Result != v1alpha1.HostPending {
			out = r
		}
	}
	return out
}

// words is a failure in words: task and message.
func (r Result) words() string {
	switch {
	case r.Task != "" && r.Message != "":
		return r.Task + ": " + r.Message
	case r.Message != "":
		return r.Message
	case r.Task != "":
		return r.Task
	case r.Result == v1alpha1.HostUnreachable:
		return "the host did not answer"
	}
	return "no message"
}

// failuresInARow names the machines of the installs that failed on every host, one after the other, since the last that
// succeeded on one. Machines that left the cluster since count too.
func failuresInARow(operations []Operation) (machines []string, last Result) {
	for i := range operations {
		op := &operations[i]
		if !op.installs() || op.active() {
			continue
		}
		if slices.ContainsFunc(op.Machines, func(m string) bool { return op.on(m).Result == v1alpha1.HostSucceeded }) {
			machines = nil
			continue
		}
		for _, name := range op.Machines {
			result := verdict(op.on(name))
			if result.Result == v1alpha1.HostPending || slices.Contains(machines, name) {
				continue
			}
			machines, last = append(machines, name), result
		}
	}
	return machines, last
}
