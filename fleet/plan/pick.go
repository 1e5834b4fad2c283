package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// Requirements are what a machine must have at least for a role; 0 asks for nothing. What is not known is not missed.
type Requirements struct {
	CPUs          int32
	MemoryBytes   int64
	DiskFreeBytes int64
	// FsyncMicroseconds is the slowest write with fsync that still will do.
	FsyncMicroseconds int64
}

// RequirementsOf are the requirements of a role: those of kubeadm's preflight for the control plane, and for etcd a
// disk on which a write does not take longer than half an election (1 s by default).
func RequirementsOf(role v1alpha1.Role) Requirements {
	const mib = 1 << 20
	switch role {
	case v1alpha1.RoleControlPlane:
		return Requirements{CPUs: 2, MemoryBytes: 1700 * mib, DiskFreeBytes: 2048 * mib, FsyncMicroseconds: 500_000}
	case v1alpha1.RoleEtcd:
		return Requirements{CPUs: 1, MemoryBytes: 512 * mib, DiskFreeBytes: 1024 * mib, FsyncMicroseconds: 500_000}
	}
	return Requirements{CPUs: 1, MemoryBytes: 512 * mib, DiskFreeBytes: 1024 * mib}
}

// PickInput is what machines are chosen from.
type PickInput struct {
	// Role and Selector are those of the set.
	Role     v1alpha1.Role
	Selector *metav1.LabelSelector
	// Held are the machines that the set has and that stay.
	Held []*v1alpha1.Machine
	// Pool are the machines of the namespace; those of Held may be among them.
	Pool []*v1alpha1.Machine
	// Want is how many more are wanted.
	Want int
	// Reserved says that another set is about to claim the machine; nil: none.
	Reserved func(name string) bool
	// Requirements of the set; nil: those of its role.
	Requirements *Requirements
}

// PickResult is what was chosen and why the others were not.
type PickResult struct {
	Picked []*v1alpha1.Machine
	// Held and Wanted are how many the set has without and with all that it wants.
	Held, Wanted int
	// Unfit groups the machines that cannot be taken by reason, the most frequent first.
	Unfit []Unfit
}

// Unfit is one reason and how many machines it keeps out.
type Unfit struct {
	Reason string
	Count  int
}

// The reasons that do not depend on the set; "machines that …".
const (
	unfitDeleted     = "being deleted"
	unfitInUse       = "in use"
	unfitQuarantined = "quarantined"
	unfitPaused      = "paused"
	unfitNotIdle     = "not inspected yet"
	unfitSilent      = "unreachable"
)

// Pick chooses idle machines that fit: spread over failure domains, by name within one. The same input gives the same
// choice. It looks at each machine of the pool once.
func Pick(in PickInput) (PickResult, error) {
	f, err := newFilter(in)
	if err != nil {
		return PickResult{}, err
	}
	domains := map[string]*domain{}
	get := func(m *v1alpha1.Machine) *domain {
		d := domains[m.Spec.FailureDomain]
		if d == nil {
			d = &domain{name: m.Spec.FailureDomain}
			domains[m.Spec.FailureDomain] = d
		}
		return d
	}
	held := make(map[string]bool, len(in.Held))
	for _, m := range in.Held {
		held[m.Name] = true
		get(m).held++
	}
	unfit := map[string]int{}
	for _, m := range in.Pool {
		if held[m.Name] {
			continue
		}
		if reason := f.unfit(m); reason != "" {
			unfit[reason]++
			continue
		}
		get(m).offer(m, in.Want)
	}
	out := PickResult{Picked: spread(domains, in.Want), Held: len(in.Held), Wanted: len(in.Held) + max(in.Want, 0)}
	for reason, n := range unfit {
		out.Unfit = append(out.Unfit, Unfit{Reason: reason, Count: n})
	}
	slices.SortFunc(out.Unfit, func(a, b Unfit) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}

// Short says that fewer machines were found than wanted.
func (r PickResult) Short() bool { return r.Held+len(r.Picked) < r.Wanted }

// Message says how many there are and why the others do not fit, as in
// "2 of 3 claimed; 5 machines do not fit: 3 lack label disk=nvme, 2 quarantined".
func (r PickResult) Message() string {
	message := fmt.Sprintf("%d of %d claimed", r.Held+len(r.Picked), r.Wanted)
	if !r.Short() {
		return message
	}
	total := 0
	var parts []string
	for _, u := range r.Unfit {
		total += u.Count
		parts = append(parts, fmt.Sprintf("%d %s", u.Count, u.Reason))
	}
	switch total {
	case 0:
		return message + "; the pool has no other machines: add some with `slipway machine add`"
	case 1:
		return message + "; 1 machine does not fit: " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("%s; %d machines do not fit: %s", message, total, strings.Join(parts, ", "))
}

// domain is what is known of one failure domain.
type domain struct {
	name string
	held int
	// fit are the first machines by name, at most as many as are wanted.
	fit []*v1alpha1.Machine
}

// offer keeps a machine if it is among the first most by name.
func (d *domain) offer(m *v1alpha1.Machine, most int) {
	if most <= 0 || (len(d.fit) == most && m.Name > d.fit[most-1].Name) {
		return
	}
	at, _ := slices.BinarySearchFunc(d.fit, m, func(a, b *v1alpha1.Machine) int { return cmp.Compare(a.Name, b.Name) })
	if len(d.fit) == most {
		d.fit = d.fit[:most-1]
	}
	d.fit = slices.Insert(d.fit, at, m)
}

// spread takes one machine after the other from the domain that has the fewest.
func spread(domains map[string]*domain, want int) []*v1alpha1.Machine {
	var open []*domain
	for _, d := range domains {
		if len(d.fit) > 0 {
			open = append(open, d)
		}
	}
	order := func(a, b *domain) int { return cmp.Or(cmp.Compare(a.held, b.held), cmp.Compare(a.name, b.name)) }
	slices.SortFunc(open, order)
	var picked []*v1alpha1.Machine
	for len(picked) < want && len(open) > 0 {
		d := open[0]
		picked, d.fit, d.held = append(picked, d.fit[0]), d.fit[1:], d.held+1
		open = open[1:]
		if len(d.fit) > 0 {
			at, _ := slices.BinarySearchFunc(open, d, order)
			open = slices.Insert(open, at, d)
		}
	}
	return picked
}

// filter tells why a machine does not fit.
type filter struct {
	requirements labels.Requirements
	lacks        []string // text for each of requirements
	reserved     func(string) bool
	need         Requirements
	needText     [4]string
}

func newFilter(in PickInput) (*filter, error) {
	f := &filter{reserved: in.Reserved, need: RequirementsOf(in.Role)}
	if in.Requirements != nil {
		f.need = *in.Requirements
	}
	if in.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(in.Selector)
		if err != nil {
			return nil, fmt.Errorf("reading selector: %w", err)
		}
		f.requirements, _ = selector.Requirements()
	}
	for _, r := range f.requirements {
		verb := "lack label "
		if r.Operator() == selection.NotIn || r.Operator() == selection.DoesNotExist {
			verb = "do not match "
		}
		f.lacks = append(f.lacks, verb+strings.TrimPrefix(r.String(), "!"))
		if r.Operator() == selection.DoesNotExist {
			f.lacks[len(f.lacks)-1] = "have label " + r.Key()
		}
	}
	f.needText = [4]string{
		fmt.Sprintf("have less than %s", count(int(f.need.CPUs), "CPU")),
		fmt.Sprintf("have less than %d MiB of memory", f.need.MemoryBytes>>20),
		fmt.Sprintf("have less than %d MiB of free disk", f.need.DiskFreeBytes>>20),
		fmt.Sprintf("have a disk that needs more than %d ms for a write", f.need.FsyncMicroseconds/1000),
	}
	return f, nil
}

// unfit is why a machine cannot be taken; empty: it can.
func (f *filter) unfit(m *v1alpha1.Machine) string {
	switch {
	case m.DeletionTimestamp != nil:
		return unfitDeleted
	case m.Spec.Quarantine != nil || m.Status.Phase == v1alpha1.MachineQuarantined:
		return unfitQuarantined
	case m.Spec.ClaimRef != nil || (f.reserved != nil && f.reserved(m.Name)):
		return unfitInUse
	}
	for i, r := range f.requirements {
		if !r.Matches(labels.Set(m.Labels)) {
			return f.lacks[i]
		}
	}
	switch {
	case m.Annotations[v1alpha1.PausedAnnotation] != "":
		return unfitPaused
	case m.Status.Phase != v1alpha1.MachineIdle:
		return unfitNotIdle
	case conditionFalse(m, v1alpha1.ConditionReachable):
		return unfitSilent
	}
	return f.weak(m.Status.Facts)
}

// weak is what a machine has too little of.
func (f *filter) weak(facts *v1alpha1.MachineFacts) string {
	switch {
	case facts == nil:
		return ""
	case facts.CPUs > 0 && facts.CPUs < f.need.CPUs:
		return f.needText[0]
	case facts.MemoryBytes > 0 && facts.MemoryBytes < f.need.MemoryBytes:
		return f.needText[1]
	case facts.DiskFreeBytes != nil && *facts.DiskFreeBytes < f.need.DiskFreeBytes:
		return f.needText[2]
	case f.need.FsyncMicroseconds > 0 && facts.FsyncMicroseconds > f.need.FsyncMicroseconds:
		return f.needText[3]
	}
	return ""
}

func conditionFalse(m *v1alpha1.Machine, kind string) bool {
	for i := range m.Status.Conditions {
		if c := &m.Status.Conditions[i]; c.Type == kind {
			return c.Status == metav1.ConditionFalse
		}
	}
	return false
}

// Leave chooses the machines that go when a set shrinks by n: those that a person marked first, then those that are
// not healthy, then the newest. healthy says that a machine is at work.
func Leave(held []*v1alpha1.Machine, n int, healthy func(*v1alpha1.Machine) bool) []*v1alpha1.Machine {
	rank := func(m *v1alpha1.Machine) int {
		_, marked := m.Annotations[v1alpha1.DeleteFirstAnnotation]
		switch {
		case marked:
			return 0
		case m.Spec.Quarantine != nil || !healthy(m):
			return 1
		}
		return 2
	}
	out := slices.Clone(held)
	slices.SortFunc(out, func(a, b *v1alpha1.Machine) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
			cmp.Compare(b.Name, a.Name))
	})
	return out[:min(max(n, 0), len(out))]
}
