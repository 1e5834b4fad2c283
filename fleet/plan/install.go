package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// installs builds the cluster, or lets machines join it.
func (p *planner) installs() {
	if p.Invalid != "" {
		p.allowed(RuleSpecValid, true, "%s", p.Invalid)
		return
	}
	var ready []*Machine
	for _, m := range p.machines {
		if p.wants(m) {
			ready = append(ready, m)
		}
	}
	if p.built {
		p.scale(ready)
		return
	}
	p.build(ready)
}

// wants says that a machine is to be installed now.
func (p *planner) wants(m *Machine) bool {
	r := p.history[m.Name]
	switch {
	case m.Release != "" || r.installed || r.active != nil:
		return false
	case m.Quarantined:
		p.add(Step{Kind: StepMarkLeaving, Machine: m.Name, Release: v1alpha1.ReleaseReplaced, Message: m.Name + " is replaced: it is in quarantine"})
		return false
	case r.installFailures >= p.Limits.Attempts:
		p.replace(m, r)
		return false
	case r.cancelled != nil:
		return p.allowed(RuleCancelled, true, "operation %s was cancelled; `slipway operation retry %s` goes on with %s",
			r.cancelled.Name, r.cancelled.Name, m.Name)
	case r.failed != nil && r.installFailures > 0:
		return !p.backoff(r.failed, p.retrySeconds(r.failure), fmt.Sprintf("%s failed in %s: %s", m.Name, r.failed.Name, r.failure.words()))
	}
	return !p.blamelessWaits(r)
}

// replace marks a machine that failed too often, unless all others fail as well.
func (p *planner) replace(m *Machine, r *record) {
	limit := max(5, len(p.machines)/5)
	if failed, last := failuresInARow(p.Operations); len(failed) >= limit {
		if !p.allowed(RuleReplaceHelps, true, "installing failed on %s in a row (%s) and succeeded on none: it is not the hosts. The last said: %s. Mend it and run `slipway operation retry %s`",
			count(len(failed), "machine"), list(failed), last.words(), r.failed.Name) {
			return
		}
	}
	p.add(Step{Kind: StepMarkLeaving, Machine: m.Name, Release: v1alpha1.ReleaseReplaced,
		Message: fmt.Sprintf("%s is replaced: installing failed %d times: %s", m.Name, r.installFailures, r.failure.words())})
}

// claimsComplete says that the sets of some roles hold all that they can get; full wants all that they should.
func (p *planner) claimsComplete(full bool, roles ...v1alpha1.Role) bool {
	held := map[string]int{}
	for _, m := range p.machines {
		if m.Release == "" {
			held[m.Set]++
		}
	}
	complete := true
	for _, s := range p.Sets {
		if !slices.Contains(roles, s.Role) || held[s.Name] >= s.Replicas || (s.Short && !full) {
			continue
		}
		complete = false
		if s.Short {
			p.wait(0, "%s holds %d of %d machines: %s", s.Name, held[s.Name], s.Replicas, s.ShortMessage)
			continue
		}
		p.wait(0, "%s holds %d of %d machines; the others are being claimed", s.Name, held[s.Name], s.Replicas)
	}
	return complete
}

// build makes the cluster in one operation: etcd, the control plane and the workers that are there.
func (p *planner) build(ready []*Machine) {
	first := p.claimsComplete(true, v1alpha1.RoleEtcd, v1alpha1.RoleControlPlane)
	rest := p.claimsComplete(false, v1alpha1.RoleCompute)
	if !first || !rest || p.resetMembers() {
		return
	}
	if !p.PKI {
		p.add(Step{Kind: StepMakePKI, Message: "the certificates of the cluster are being made"})
		return
	}
	names, previous := p.creation(ready)
	if len(names) > 0 {
		p.create(v1alpha1.EntryCreate, names, "build the cluster: "+p.roleCounts(names), only(previous))
	}
}

// creation names the machines that one create takes, etcd and the control plane first, and the operations that it takes
// up again. It is empty while one of etcd or the control plane is not ready: the others would wait for nothing.
func (p *planner) creation(ready []*Machine) (names []string, previous map[string]bool) {
	previous = map[string]bool{}
	isReady := make(map[*Machine]bool, len(ready))
	for _, m := range ready {
		isReady[m] = true
	}
	for _, role := range []v1alpha1.Role{v1alpha1.RoleEtcd, v1alpha1.RoleControlPlane, v1alpha1.RoleCompute} {
		for _, m := range p.machines {
			r := p.history[m.Name]
			if m.Role != role || m.Release != "" || r.installed {
				continue
			}
			if !isReady[m] && role != v1alpha1.RoleCompute {
				return nil, nil
			}
			if isReady[m] && len(names) < p.Limits.MachinesPerOperation {
				names = append(names, m.Name)
				previous[retryOf(r.lastInstall())] = true
			}
		}
	}
	return names, previous
}

// resetMembers cleans etcd and control plane machines that were set up together with etcd machines that have been
// replaced since: their data names members that are gone. It says whether it does.
func (p *planner) resetMembers() bool {
	var members []string
	for _, m := range p.machines {
		if m.Role == v1alpha1.RoleEtcd && m.Release == "" {
			members = append(members, m.Name)
		}
	}
	var stale []string
	waits := false
	for _, m := range p.machines {
		r := p.history[m.Name]
		if m.Role == v1alpha1.RoleCompute || m.Release != "" || r.joined == nil || m.Quarantined {
			continue
		}
		if !slices.ContainsFunc(members, func(name string) bool { return !r.joined[name] }) {
			continue
		}
		if r.active != nil {
			waits = true
			continue
		}
		stale = append(stale, m.Name)
	}
	if len(stale) > 0 {
		p.create(v1alpha1.EntryRemove, stale, "an etcd machine was replaced before the cluster was built", "")
	}
	return waits || len(stale) > 0
}

// scale lets machines join a cluster that is there.
func (p *planner) scale(ready []*Machine) {
	var joining []*Machine
	for _, m := range ready {
		if m.Role != v1alpha1.RoleCompute {
			p.allowed(RuleControlStays, true, "%s was claimed for %s of a running cluster: replacing a machine of it is not supported yet", m.Name, m.Role)
			continue
		}
		joining = append(joining, m)
	}
	complete := p.claimsComplete(false, v1alpha1.RoleCompute)
	switch {
	case len(joining) == 0 || !complete:
		return
	case !p.Reachable:
		p.allowed(RuleControlFirst, false, "%s to join when the API server answers; it does not", count(len(joining), "machine"))
		return
	}
	p.controlsShort()
	for _, group := range groupBy(joining, func(m *Machine) string { return retryOf(p.history[m.Name].lastInstall()) }) {
		for batch := range slices.Chunk(group, p.Limits.MachinesPerOperation) {
			names := make([]string, 0, len(batch))
			for _, m := range batch {
				names = append(names, m.Name)
			}
			p.create(v1alpha1.EntryScale, names, p.scaleReason(batch), retryOf(p.history[names[0]].lastInstall()))
		}
	}
}

// controlsShort says that a running cluster has lost machines of etcd or the control plane.
func (p *planner) controlsShort() {
	held := map[string]int{}
	for _, m := range p.machines {
		held[m.Set]++
	}
	for _, s := range p.Sets {
		if s.Role != v1alpha1.RoleCompute && held[s.Name] < s.Replicas {
			p.allowed(RuleControlStays, true, "%s holds %d of %d machines: replacing a machine of a running cluster is not supported yet", s.Name, held[s.Name], s.Replicas)
		}
	}
}

// lastInstall is the operation that an install of the machine takes up again.
func (r *record) lastInstall() *Operation {
	switch {
	case r.cancelled != nil:
		return r.cancelled
	case r.blameless > 0:
		return r.without
	case r.installFailures > 0:
		return r.failed
	}
	return nil
}

// only gives the one key of a set, or nothing.
func only(set map[string]bool) string {
	if len(set) != 1 {
		return ""
	}
	for key := range set {
		return key
	}
	return ""
}

func (p *planner) roleCounts(names []string) string {
	counts := map[v1alpha1.Role]int{}
	named := make(map[string]bool, len(names))
	for _, name := range names {
		named[name] = true
	}
	for _, m := range p.machines {
		if named[m.Name] {
			counts[m.Role]++
		}
	}
	var words []string
	for _, role := range []v1alpha1.Role{v1alpha1.RoleEtcd, v1alpha1.RoleControlPlane, v1alpha1.RoleCompute} {
		if counts[role] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[role], role))
		}
	}
	return strings.Join(words, ", ")
}

// scaleReason says from how many to how many each set grows.
func (p *planner) scaleReason(joining []*Machine) string {
	more, have := map[string]int{}, map[string]int{}
	for _, m := range joining {
		more[m.Set]++
	}
	for _, m := range p.machines {
		if m.Release == "" && p.history[m.Name].installed {
			have[m.Set]++
		}
	}
	var words []string
	for _, s := range p.Sets {
		if more[s.Name] > 0 {
			words = append(words, fmt.Sprintf("%s %d → %d", s.Name, have[s.Name], have[s.Name]+more[s.Name]))
		}
	}
	if r := p.history[joining[0].Name]; r.installFailures > 0 {
		words = append(words, fmt.Sprintf("attempt %d after: %s", r.installFailures+1, r.failure.words()))
	}
	return strings.Join(words, ", ")
}

// create adds an operation, if the rules let it.
func (p *planner) create(entry v1alpha1.EntryPoint, machines []string, reason, retryOf string) {
	for batch := range slices.Chunk(machines, p.Limits.MachinesPerOperation) {
		if !p.mayStart(entry, batch) {
			continue
		}
		s := Step{
			Kind: StepCreateOperation, EntryPoint: entry, Machines: slices.Sorted(slices.Values(batch)),
			Reason: cut(reason, 256), RetryOf: retryOf,
		}
		s.Operation = p.operationName(entry, s.Machines)
		p.add(s)
		p.running = append(p.running, &Operation{Name: s.Operation, EntryPoint: entry, Machines: s.Machines})
		for _, m := range s.Machines {
			p.busy[m] = s.Operation
			if p.Paused == "" && p.Frozen == "" {
				p.starting[m] = entry
			}
		}
	}
}

// mayStart asks the rules whether an operation may run beside those that run.
func (p *planner) mayStart(entry v1alpha1.EntryPoint, machines []string) bool {
	if !p.ContentCarried && !p.allowed(RuleContentKnown, true,
		"the cluster is built with content %s, which this operator does not carry; run a slipway that does (it is installed beside newer ones)", p.BuiltContent) {
		return false
	}
	for _, m := range machines {
		if op, busy := p.busy[m]; busy {
			return p.allowed(RuleOnePerMachine, false, "%s of %s waits until operation %s on it has ended", entry, m, op)
		}
	}
	wide := p.wide(entry, machines)
	for _, op := range p.running {
		if alone(op.EntryPoint) || alone(entry) || (!wide && !p.wide(op.EntryPoint, op.Machines)) {
			continue
		}
		return p.allowed(RuleOnePerCluster, false, "%s on %s waits until operation %s (%s) has ended", entry, list(machines), op.Name, op.EntryPoint)
	}
	return true
}

// wide says that an operation is on etcd or the control plane, and so may concern the whole cluster.
func (p *planner) wide(entry v1alpha1.EntryPoint, machines []string) bool {
	return !alone(entry) && slices.ContainsFunc(p.machines, func(m *Machine) bool {
		return m.Role != v1alpha1.RoleCompute && slices.Contains(machines, m.Name)
	})
}

// alone says that an entry point concerns nothing but its own hosts, whatever they are: it changes none, or it cleans
// what has no part in the cluster any more.
func alone(entry v1alpha1.EntryPoint) bool {
	return entry == v1alpha1.EntryVerify || entry == v1alpha1.EntryCheck || entry == v1alpha1.EntryRemove
}

// operationName is the same for the same observation: it is made from the machines and the newest operation of each,
// which is never collected. The number orders operations that were made within one second.
func (p *planner) operationName(entry v1alpha1.EntryPoint, machines []string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", p.UID, entry)
	for _, m := range machines {
		newest := ""
		if r := p.history[m]; r != nil && r.newest != nil {
			newest = r.newest.Name
		}
		fmt.Fprintf(h, "%s %s\n", m, newest)
	}
	number := 0
	for i := range p.Operations {
		number = max(number, Number(p.Operations[i].Name))
	}
	return fmt.Sprintf("%s-%s-%s-%d", p.Cluster, entry, hex.EncodeToString(h.Sum(nil))[:8], number+1)
}

// Number is the number at the end of the name of an operation that a plan made: later ones have higher numbers. It is 0
// for names of another form.
func Number(operation string) int {
	at := strings.LastIndexByte(operation, '-')
	number, err := strconv.Atoi(operation[at+1:])
	if err != nil || at < 0 || number < 0 {
		return 0
	}
	return number
}
