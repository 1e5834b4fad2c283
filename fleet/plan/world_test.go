package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// world applies plans as the controllers do and lets operations end as a test wants.
type world struct {
	Observed
	free int // machines left in the pool
	next int // number of the next machine that is claimed
	// claimedElsewhere are machines that left, by how they left.
	left map[string]string
	// pods left on a node by machine.
	pods map[string]int
}

func newWorld(free, workers int) *world {
	return &world{
		Observed: Observed{
			Cluster: "shop", UID: "u1", ContentCarried: true, BuiltContent: "1.0-abc", AddonsApplied: true,
			Sets: []Set{
				{Name: "shop-etcd", Role: v1alpha1.RoleEtcd, Replicas: 1},
				{Name: "shop-control-plane", Role: v1alpha1.RoleControlPlane, Replicas: 1},
				{Name: "shop-general", Role: v1alpha1.RoleCompute, Replicas: workers},
			},
		},
		free: free, left: map[string]string{}, pods: map[string]int{},
	}
}

// claim does what the machineset controller does.
func (w *world) claim() {
	if w.Deleting {
		return
	}
	for i := range w.Sets {
		s := &w.Sets[i]
		var held []*Machine
		for j := range w.Machines {
			if m := &w.Machines[j]; m.Set == s.Name && m.Release == "" {
				held = append(held, m)
			}
		}
		for _, m := range held[min(s.Replicas, len(held)):] {
			m.Release = v1alpha1.ReleaseScaleIn
		}
		n := len(held)
		for ; n < s.Replicas && w.free > 0; n++ {
			w.Machines = append(w.Machines, Machine{Name: fmt.Sprintf("m%02d", w.next), Set: s.Name, Role: s.Role, Phase: v1alpha1.MachineIdle})
			w.next, w.free = w.next+1, w.free-1
		}
		s.Short, s.ShortMessage = n < s.Replicas, ""
		if s.Short {
			s.ShortMessage = fmt.Sprintf("%d of %d claimed", n, s.Replicas)
		}
	}
}

func (w *world) machine(name string) *Machine {
	i := slices.IndexFunc(w.Machines, func(m Machine) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &w.Machines[i]
}

func (w *world) drop(name, how string) {
	w.Machines = slices.DeleteFunc(w.Machines, func(m Machine) bool { return m.Name == name })
	w.left[name] = how
}

// plan makes a plan with the drains that it asks for called, as a controller does.
func (w *world) plan() Plan {
	w.Drains = nil
	p := Make(w.Observed)
	drains := map[string]Drain{}
	for _, s := range p.Steps {
		if s.Kind == StepDrain {
			drains[s.Machine] = Drain{Remaining: w.pods[s.Machine], Message: "default/web-0"}
			w.pods[s.Machine] = max(0, w.pods[s.Machine]-1)
		}
	}
	if len(drains) > 0 {
		w.Drains = drains
		p = Make(w.Observed)
	}
	return p
}

// apply does the steps of a plan. It fails on what must never be in one.
func (w *world) apply(p Plan) error {
	for _, s := range p.Steps {
		switch s.Kind {
		case StepSetPhase:
			if m := w.machine(s.Machine); m != nil {
				m.Phase, m.Attempts = s.Phase, s.Attempts
			}
		case StepMakePKI:
			w.PKI = true
		case StepCancelOperation:
			w.operation(s.Operation).Cancelling = true
		case StepMarkLeaving:
			w.machine(s.Machine).Release = s.Release
		case StepDeleteNode:
			delete(w.Nodes, s.Machine)
		case StepFreeClaim:
			w.drop(s.Machine, "free")
			w.free++
		case StepQuarantine:
			w.drop(s.Machine, s.Reason+": "+s.Message)
		case StepCreateOperation:
			if err := w.start(s); err != nil {
				return err
			}
		case StepDrain, StepWait:
		}
	}
	return nil
}

func (w *world) operation(name string) *Operation {
	i := slices.IndexFunc(w.Operations, func(o Operation) bool { return o.Name == name })
	return &w.Operations[i]
}

func (w *world) start(s Step) error {
	for i := range w.Operations {
		op := &w.Operations[i]
		if op.Name == s.Operation {
			return fmt.Errorf("operation %s is made twice", s.Operation)
		}
		for _, m := range s.Machines {
			if op.active() && slices.Contains(op.Machines, m) {
				return fmt.Errorf("operation %s on %s while %s runs on it", s.Operation, m, op.Name)
			}
		}
	}
	for _, name := range s.Machines {
		if err := w.mayStart(s, name); err != nil {
			return err
		}
	}
	w.Operations = append(w.Operations, Operation{Name: s.Operation, EntryPoint: s.EntryPoint, Machines: s.Machines, RetryOf: s.RetryOf})
	return nil
}

// mayStart says what must never be: an operation on a machine that is not held, is in quarantine, leaves or is not drained.
func (w *world) mayStart(s Step, name string) error {
	m := w.machine(name)
	if m == nil {
		return fmt.Errorf("operation %s on %s, which the cluster does not hold", s.Operation, name)
	}
	if m.Quarantined {
		return fmt.Errorf("operation %s on %s, which is in quarantine", s.Operation, name)
	}
	if s.EntryPoint == v1alpha1.EntryScale && (m.Role != v1alpha1.RoleCompute || m.Release != "") {
		return fmt.Errorf("operation %s joins %s, a %s that leaves for %q", s.Operation, name, m.Role, m.Release)
	}
	undrained := w.isWorker(name) && w.Nodes[name].Ready && w.pods[name] > 0
	if s.EntryPoint == v1alpha1.EntryRemove && undrained && !w.Deleting && len(w.Overrides) == 0 {
		return fmt.Errorf("operation %s removes %s, which is not drained", s.Operation, name)
	}
	return nil
}

// end ends an operation: outcome gives the result per host.
func (w *world) end(op *Operation, outcome func(machine string) Result) {
	op.Results = map[string]Result{}
	op.Phase = v1alpha1.OperationSucceeded
	op.SecondsSinceEnd = 1000
	if op.Cancelling {
		op.Phase = v1alpha1.OperationCancelled
	}
	for _, m := range slices.SortedFunc(slices.Values(op.Machines), w.controlFirst) {
		r := outcome(m)
		if w.isWorker(m) && op.installs() && w.Nodes == nil && r.Result == v1alpha1.HostSucceeded {
			r = Result{Result: v1alpha1.HostFailed, Task: "join", Message: "the API server does not answer"}
		}
		if op.Cancelling && r.Result != v1alpha1.HostSucceeded {
			r = Result{Result: v1alpha1.HostPending}
		}
		op.Results[m] = r
		if r.Result != v1alpha1.HostSucceeded && !op.Cancelling {
			op.Phase = v1alpha1.OperationFailed
		}
		if machine := w.machine(m); machine != nil && machine.Role != v1alpha1.RoleEtcd {
			w.joined(op, machine, r)
		}
	}
}

func (w *world) isWorker(name string) bool {
	m := w.machine(name)
	return m != nil && m.Role == v1alpha1.RoleCompute
}

// controlFirst orders machines as an operation works on them.
func (w *world) controlFirst(a, b string) int {
	if w.isWorker(a) != w.isWorker(b) {
		if w.isWorker(a) {
			return 1
		}
		return -1
	}
	return strings.Compare(a, b)
}

// joined brings Nodes in line with a result.
func (w *world) joined(op *Operation, m *Machine, r Result) {
	if r.Result != v1alpha1.HostSucceeded {
		return
	}
	switch {
	case op.installs():
		if m.Role == v1alpha1.RoleControlPlane && w.Nodes == nil {
			w.Nodes, w.Reachable = map[string]Node{}, true
		}
		if w.Nodes != nil {
			w.Nodes[m.Name] = Node{Ready: true}
		}
	case op.removes() && w.Nodes != nil:
		if _, ok := w.Nodes[m.Name]; ok {
			w.Nodes[m.Name] = Node{}
		}
	}
}

// endAll ends everything that runs.
func (w *world) endAll(outcome func(machine string) Result) {
	for i := range w.Operations {
		if w.Operations[i].active() {
			w.end(&w.Operations[i], outcome)
		}
	}
}

func succeeds(string) Result { return Result{Result: v1alpha1.HostSucceeded} }

// fails makes some machines fail and all others succeed.
func fails(names ...string) func(string) Result {
	return func(m string) Result {
		if slices.Contains(names, m) {
			return Result{Result: v1alpha1.HostFailed, Task: "containerd : unpack", Message: "no space left on device"}
		}
		return succeeds(m)
	}
}

// settle plans, acts and lets operations end until nothing is left to do; it gives the last plan.
func (w *world) settle(outcome func(string) Result) (Plan, error) {
	for range 100 {
		w.claim()
		p := w.plan()
		if err := w.apply(p); err != nil {
			return p, err
		}
		active := slices.ContainsFunc(w.Operations, func(o Operation) bool { return o.active() })
		if idlePlan(p) && !active {
			return p, nil
		}
		w.endAll(outcome)
	}
	return w.plan(), fmt.Errorf("it does not come to rest:\n%s", w.plan())
}

// idlePlan says that a plan does nothing.
func idlePlan(p Plan) bool {
	return !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind != StepWait && s.Kind != StepDrain })
}

// outcomes draws results at random.
func outcomes(random *rand.Rand) func(string) Result {
	return func(string) Result {
		switch random.IntN(10) {
		case 0:
			return Result{Result: v1alpha1.HostFailed, Task: "t", Message: "m"}
		case 1:
			return Result{Result: v1alpha1.HostUnreachable}
		case 2:
			return Result{Result: v1alpha1.HostPending}
		}
		return succeeds("")
	}
}
