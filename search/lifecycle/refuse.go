package lifecycle

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/state"
)

// refusals are why the policy is not followed on this cluster.
func (w *world) refusals(others []v1alpha1.IndexLifecycle) []Refusal {
	var all []Refusal
	for _, find := range []func() []Refusal{
		func() []Refusal { return w.twoPolicies(others) }, w.names, w.order, w.finalForm, w.proofFirst, w.copiesKept, w.budgets, w.keepsUp,
	} {
		all = append(all, find()...)
	}
	for i := range all {
		all[i].Overridden = w.lets(all[i].Rule)
	}
	return all
}

func (w *world) twoPolicies(others []v1alpha1.IndexLifecycle) (all []Refusal) {
	next := w.slots.Name(w.slots.At(w.now))
	for i := range others {
		o := &others[i]
		if Name(o) == w.name || o.Spec.ClusterName != "" && o.Spec.ClusterName != w.clusterName() {
			continue
		}
		names := []string{next}
		for _, m := range w.members {
			names = append(names, m.name)
		}
		i := slices.IndexFunc(names, func(n string) bool { return takes(o.Spec.Indices.Pattern, n) })
		if i >= 0 {
			all = append(all, Refusal{Rule: RefuseTwoPolicies, Says: fmt.Sprintf("%s is taken by %q of this policy and by %q of %s", names[i], w.spec.Indices.Pattern, o.Spec.Indices.Pattern, Name(o)),
				Fix: "make one of the patterns narrower"})
		}
	}
	return all
}

func (w *world) clusterName() string { return w.spec.ClusterName }

func (w *world) names() (all []Refusal) {
	if p := w.spec.Indices.Pattern; len(w.system) > 0 || strings.HasPrefix(p, ".") || strings.HasPrefix(p, "*") {
		says := fmt.Sprintf("pattern %q would take every index, those of the servers too", p)
		if len(w.system) > 0 {
			says = fmt.Sprintf("pattern %q takes %d indices of the servers, such as %s", p, len(w.system), w.system[0])
		}
		all = append(all, Refusal{Rule: RefuseSystem, Says: says, Fix: "begin the pattern with the text before the time: " + w.slots.Wildcard()})
	}
	if name := w.slots.Name(w.slots.At(w.now)); !takes(w.spec.Indices.Pattern, name) {
		all = append(all, Refusal{Rule: RefuseSlot, Says: fmt.Sprintf("pattern %q does not match %s, which slot.format makes", w.spec.Indices.Pattern, name), Fix: "pattern: " + w.slots.Wildcard()})
	}
	if _, err := path.Match(w.spec.Indices.Pattern, ""); err != nil {
		all = append(all, Refusal{Rule: RefuseSlot, Says: fmt.Sprintf("pattern %q cannot be read: %v", w.spec.Indices.Pattern, err), Fix: "pattern: " + w.slots.Wildcard()})
	}
	if n := len(w.strangers); n > 0 {
		all = append(all, Refusal{Rule: RefuseSlot, Says: fmt.Sprintf("%d of %d indices that the pattern takes have no slot: %v", n, n+len(w.members), w.why),
			Fix: "make the pattern narrower; with this rule in overrides they are left alone"})
	}
	if w.spec.Write == v1alpha1.WriteByName && w.spec.Indices.Slot.Hours > 1 {
		all = append(all, Refusal{Rule: RefuseByName, Says: fmt.Sprintf("slots of %d hours and write: ByName: no pattern of dates in a writer makes such names", w.spec.Indices.Slot.Hours), Fix: "write: Alias"})
	}
	return all
}

// order refuses phases that undo or forbid what stands before them.
func (w *world) order() (all []Refusal) {
	say := func(p phase, format string, args ...any) {
		all = append(all, Refusal{Rule: RefuseOrder, Says: "phase " + p.Name + ": " + fmt.Sprintf(format, args...), Fix: "put it elsewhere, or leave it out"})
	}
	final := map[Kind]string{Mount: "a mounted index has no bytes of its own", Freeze: "a frozen index cannot be changed", Close: "a closed index cannot be changed"}
	var after *phase
	for i := range w.phases {
		p := w.phases[i]
		if after != nil && (after.kind == Delete || p.kind != Delete && p.kind != after.kind) {
			why := cmp.Or(final[after.kind], "the index is gone")
			say(p, "it comes after %s (%s): %s", after.Name, after.kind, why)
		}
		if _, ends := final[p.kind]; ends || p.kind == Delete {
			after = &w.phases[i]
		}
		if p.kind == Move && len(w.nodes(w.tier(p.Move.Tier))) == 0 {
			say(p, "tier %s has no node with data", p.Move.Tier)
		}
		if p.kind == Mount && p.Mount.Storage == v1alpha1.StorageFullCopy && w.c.Product == state.OpenSearch {
			say(p, "OpenSearch mounts with a cache alone (storage: SharedCache)")
		}
	}
	return all
}

// finalForm refuses a snapshot that is taken before the index has the form that it is proved and mounted in.
func (w *world) finalForm() (all []Refusal) {
	last := func(k Kind, before int) int {
		for i := before - 1; i >= 0; i-- {
			if w.phases[i].kind == k {
				return i
			}
		}
		return -1
	}
	for i, p := range w.phases {
		if p.kind != Mount && !w.needsProof(p) {
			continue
		}
		snapshot, shrink, merge := last(Snapshot, i), last(Shrink, i), last(ForceMerge, i)
		if snapshot < 0 {
			continue // proofFirst says so
		}
		says := ""
		switch {
		case shrink > snapshot:
			says = fmt.Sprintf("%s needs a snapshot of the shrunk index, and the last one (%s) is taken before %s: %s", p.Name, w.phases[snapshot].Name, w.phases[shrink].Name, w.unshrunk())
		case merge > snapshot && p.kind == Mount:
			says = fmt.Sprintf("%s would mount what %s holds, from before %s: a mounted index cannot be merged", p.Name, w.phases[snapshot].Name, w.phases[merge].Name)
		}
		if says != "" {
			all = append(all, Refusal{Rule: RefuseFinalForm, Says: says, Fix: "put a snapshot phase behind the shrink and the merge; the early one may stay"})
			return all
		}
	}
	return all
}

// unshrunk says what it means to hold on to the form before the shrink.
func (w *world) unshrunk() string {
	n, _ := w.autoShards()
	for _, p := range w.phases {
		if p.kind == Shrink {
			return fmt.Sprintf("%d shards an index where %d would be", n, Target(n, w.perSlot, 0, p.Shrink))
		}
	}
	return ""
}

func (w *world) needsProof(p phase) bool {
	switch p.kind {
	case Replicas:
		return int(value(p.Replicas.Count, 0)) < w.replicas && p.Replicas.Requires != v1alpha1.RequireNothing
	case Mount:
		return true
	case Close:
		return p.Close.Requires != v1alpha1.RequireNothing
	case Delete:
		return p.Delete.Snapshot != v1alpha1.SnapshotDelete
	case Shrink:
		return p.Shrink.Replica == v1alpha1.ReplicaDropProved
	}
	return false
}

// proofFirst refuses what takes data away where no phase proves a snapshot before.
func (w *world) proofFirst() (all []Refusal) {
	proved := false
	for _, p := range w.phases {
		proved = proved || p.kind == Snapshot
		if !proved && w.needsProof(p) {
			all = append(all, Refusal{Rule: RefuseProof, Says: fmt.Sprintf("phase %s (%s) takes data away, and no phase before it takes a snapshot", p.Name, p.kind), Fix: "put a snapshot phase before it"})
		}
	}
	return all
}

// copiesKept holds the phases against the owner's constraints.
func (w *world) copiesKept() (all []Refusal) {
	always, proved := w.cluster.Constraints.Searching != v1alpha1.SearchingInterruptible, 0
	for _, p := range w.phases {
		if p.kind == Snapshot && w.counted {
			proved = 1
		}
		if local := leaves(p); local >= 0 && local+proved < w.copies {
			all = append(all, Refusal{Rule: RefuseCopies, Says: fmt.Sprintf("phase %s leaves %d in the cluster + %d proved snapshot = %d copies; constraints.copies is %d", p.Name, local, proved, local+proved, w.copies),
				Fix: "keep more replicas, prove a snapshot before it, or change the constraint"})
		}
		if always && (p.kind == Close || p.kind == Freeze && w.cannot(Freeze) == "") {
			all = append(all, Refusal{Rule: RefuseSearching, Says: fmt.Sprintf("phase %s (%s) takes data from searches; constraints.searching is Always", p.Name, p.kind), Fix: "leave it out, or searching: Interruptible"})
		}
	}
	return all
}

// leaves is how many copies a phase leaves in the cluster; -1 where it changes nothing about them.
func leaves(p phase) int {
	switch {
	case p.kind == Replicas:
		return 1 + int(value(p.Replicas.Count, 0))
	case p.kind == Shrink && p.Shrink.Replica == v1alpha1.ReplicaDropProved:
		return 1
	case p.kind == Mount && p.Mount.Storage == v1alpha1.StorageFullCopy:
		return 1
	case p.kind == Mount:
		return 0
	}
	return -1
}

// cannot says why the product cannot do a phase, and which way is taken; empty when it can.
func (w *world) cannot(k Kind) string {
	about := fmt.Sprintf("%s %s", w.c.Product, w.c.Version)
	switch k {
	case Mount:
		what := state.SearchableSnapshots
		if w.c.Product == state.OpenSearch {
			what = state.RemoteSnapshots
		}
		switch w.c.Capabilities[what] {
		case state.Yes:
			return ""
		case state.No:
			if w.c.Product == state.OpenSearch {
				return about + " mounts nothing: it takes 2.4 and nodes with the role search or warm. The index stays on its nodes; the snapshot stands"
			}
			return about + " mounts nothing: it takes 7.10 and an Enterprise licence. The index stays on its nodes; the snapshot stands"
		}
		return "whether " + about + " can mount was not found out. The index stays on its nodes; the snapshot stands"
	case Freeze:
		if w.c.Can(state.Freeze) {
			return ""
		}
		return about + " cannot freeze: Elasticsearch 6.6 to 7 with x-pack can. The index stays open"
	}
	return ""
}

// ways lists what the product cannot do.
func (w *world) ways() (all []string) {
	for _, p := range w.phases {
		if why := w.cannot(p.kind); why != "" {
			all = append(all, p.Name+": "+why)
		}
	}
	if !w.c.Can(state.ConcurrentSnapshots) && slices.ContainsFunc(w.phases, func(p phase) bool { return p.kind == Snapshot }) {
		all = append(all, fmt.Sprintf("snapshots: %s %s takes one at a time, so they are queued", w.c.Product, w.c.Version))
	}
	return all
}
