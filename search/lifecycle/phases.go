package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/state"
)

// FreshFor is how old the last look at a snapshot may be when data goes because of it.
const FreshFor = time.Hour

// target is how many primaries a shrink leaves: the smallest divisor that keeps below the size.
func (k *walk) target(of *phase) int {
	return Target(k.x.Primaries, k.x.PrimaryBytes, k.x.Docs, of.Shrink)
}

// Target is how many primaries a shrink leaves of some with so many bytes and documents: the smallest number that divides them and keeps each below
// maxShardBytes and below Lucene's limit of documents. It is primaries where none does.
func Target(primaries int, bytes, docs int64, s *v1alpha1.Shrink) int {
	for n := 1; n < primaries; n++ {
		switch {
		case primaries%n != 0 || docs > 0 && docs/int64(n) >= capacity.LargestShardDocs:
		case s.Shards > 0 && n == int(s.Shards):
			return n
		case s.Shards == 0 && bytes >= 0 && float64(bytes)/float64(n) <= float64(quantity(s.MaxShardBytes)):
			return n
		}
	}
	return primaries
}

func (k *walk) shrink(of *phase, i int) (*Step, *Hold) {
	if k.m.source != nil && k.m.shrunk != nil {
		return k.finishShrink(of)
	}
	n := k.target(of)
	if x := k.x; of.Shrink.Replica == v1alpha1.ReplicaDropProved && x.Replicas > 0 {
		return k.reduce(&Step{Action: SetReplicas, Number: 0, Says: "its replica goes before the shrink; the shrunk index gets it back"}, 0)
	}
	tier := k.tierOf(k.x)
	if k.goesWithShrink(i - 1) {
		tier = k.tier(k.phases[i-1].Move.Tier)
	}
	node := k.x.Filters["require._name"]
	if node == "" || !k.has(node) {
		target, held := k.roomiest(tier)
		if held != nil {
			return nil, held
		}
		k.promised[target] += 2 * k.s.Bytes
		return &Step{Action: Gather, Node: target, Bytes: k.s.Bytes, Says: fmt.Sprintf("bring one copy of each of %d shards to %s, %s", k.x.Primaries, target, capacity.BytesText(float64(k.s.Bytes)))}, nil
	}
	if held := k.gathered(node); held != nil {
		return nil, held
	}
	step := &Step{Action: ShrinkIndex, Number: n, To: ShrunkName(n, k.m.name), Says: fmt.Sprintf("shrink %d → %d primaries on %s", k.x.Primaries, n, node)}
	if tier != nil {
		step.Tier = tier.Name
	}
	return step, nil
}

// gathered holds until a copy of each shard is on a node.
func (k *walk) gathered(node string) *Hold {
	var held *Hold
	here, seen := 0, false
	for _, g := range k.shards[k.x.Name] {
		seen = true
		if g.Node == node && g.State == state.Started {
			here += g.Primaries + g.Replicas
		}
	}
	switch {
	case !settled(k.x):
		_, held = hold(HoldUnderWay, "%d shards are on their way to %s", k.x.Counts.Relocating+k.x.Counts.Initializing, node)
	case !seen:
		_, held = hold(HoldShardsUnseen, "where the shards of %s lie was not asked", k.x.Name)
	case here < k.x.Primaries:
		_, held = hold(HoldUnderWay, "%d of %d shards have a copy on %s", here, k.x.Primaries, node)
	}
	return held
}

func (k *walk) has(node string) bool {
	return slices.ContainsFunc(k.c.Nodes, func(n state.Node) bool { return n.Name == node })
}

// finishShrink is what follows once both are there. The source goes last, when the shrunk one is whole.
func (k *walk) finishShrink(of *phase) (*Step, *Hold) {
	from, to := k.m.source, k.m.shrunk
	replicas := from.Replicas
	if of.Shrink.Replica == v1alpha1.ReplicaDropProved {
		replicas = k.replicas
	}
	switch {
	case to.Counts.Started+to.Counts.Relocating < to.Primaries:
		return hold(HoldUnderWay, "%d of %d primaries of %s are there", to.Counts.Started, to.Primaries, to.Name)
	case to.Docs != from.Docs:
		if from.Health != "green" {
			return hold(HoldHuman, "%s has %d documents, %s has %d, and %s is %s", to.Name, to.Docs, from.Name, from.Docs, from.Name, orUnknown(from.Health))
		}
		return &Step{Action: DiscardCopy, On: to.Name, UUID: to.UUID, Because: fmt.Sprintf("%s is green with all of its %d documents", from.Name, from.Docs),
			Says: fmt.Sprintf("%s has %d documents, %s has %d: away with the shrunk one, and again", to.Name, to.Docs, from.Name, from.Docs)}, nil
	case to.Replicas < replicas:
		bytes := max(to.PrimaryBytes, 0) * int64(replicas-to.Replicas)
		return &Step{Action: SetReplicas, On: to.Name, UUID: to.UUID, Number: replicas, Bytes: bytes, Says: fmt.Sprintf("give %s its replica", to.Name), begun: true}, nil
	case to.Health != "green" || !settled(to):
		return hold(HoldUnderWay, "%s is %s: %d shards on their way, %d unassigned", to.Name, orUnknown(to.Health), to.Counts.Initializing+to.Counts.Relocating, to.Counts.Unassigned)
	}
	return k.swap(from, to, fmt.Sprintf("%s is green with %d primaries, %d replicas and the same %d documents", to.Name, to.Primaries, to.Replicas, to.Docs))
}

func (k *walk) swap(from, to *state.Index, because string) (*Step, *Hold) {
	if held := k.snapshotRuns(); held != nil {
		return nil, held
	}
	return &Step{Action: Swap, On: from.Name, UUID: from.UUID, To: to.Name, Alias: k.read, Because: because, begun: true,
		Says: fmt.Sprintf("in one call: delete %s, and give its name and aliases to %s", from.Name, to.Name)}, nil
}

// roomiest is the node of a tier with the most room that a shrink fits on. The node of a try that went wrong comes last.
func (k *walk) roomiest(t *v1alpha1.Tier) (string, *Hold) {
	nodes := k.nodes(t)
	failed := ""
	if e := k.m.entry; e != nil && e.Try != nil && e.Try.Failures > 0 {
		failed = e.Try.Node
	}
	free := func(n *state.Node) int64 { return n.DiskFreeBytes - n.DiskTotalBytes/10 - k.promised[n.Name] }
	slices.SortFunc(nodes, func(a, b *state.Node) int {
		if (a.Name == failed) != (b.Name == failed) {
			if a.Name == failed {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(free(b), free(a)), cmp.Compare(a.Name, b.Name))
	})
	name := "the cluster"
	if t != nil {
		name = "tier " + t.Name
	}
	if len(nodes) == 0 {
		_, held := hold(HoldMissingFilter, "%s has no node with data", name)
		return "", held
	}
	if need := 2 * k.s.Bytes; free(nodes[0]) < need {
		_, held := hold(HoldNoNode, "it takes 2 × %s on one node; of %s %s has most room, %s above the high watermark", capacity.BytesText(float64(k.s.Bytes)), name, nodes[0].Name,
			capacity.BytesText(float64(max(free(nodes[0]), 0))))
		return "", held
	}
	return nodes[0].Name, nil
}

// SnapshotName is what a snapshot of an index is called: the same for every try, until one is found to be bad.
func SnapshotName(index, uuid string, e *ledger.Entry) string {
	bad := 0
	if e != nil {
		for _, p := range e.Proofs {
			if p.Void != "" && p.IndexUUID == uuid {
				bad++
			}
		}
	}
	short := uuid[:min(len(uuid), 8)]
	name := "slipway-" + index + "-" + lower(short)
	if bad > 0 {
		name += fmt.Sprintf("-%d", bad+1)
	}
	return name
}

// lower makes small letters and digits of a UUID, whose signs a name may not begin or end with.
func lower(text string) string {
	out := []byte(text)
	for i, c := range out {
		switch {
		case c >= 'A' && c <= 'Z':
			out[i] = c + 'a' - 'A'
		case c < '0' || c > '9' && c < 'a' || c > 'z':
			out[i] = 'x'
		}
	}
	return string(out)
}

func (k *walk) snapshot(of *phase) (*Step, *Hold) {
	if why, unseen := k.c.WhyUnseen(state.PartSnapshots); unseen {
		return hold(HoldUnseen, "snapshots could not be listed: %s", why)
	}
	name := SnapshotName(k.x.Name, k.x.UUID, k.m.entry)
	step := &Step{Action: TakeSnapshot, Repository: of.Snapshot.RepositoryName, Snapshot: name, Bytes: k.s.Bytes,
		Says: fmt.Sprintf("snapshot %s to %s, %s", name, of.Snapshot.RepositoryName, capacity.BytesText(float64(k.s.Bytes)))}
	for _, s := range k.c.Snapshots {
		if s.Repository != of.Snapshot.RepositoryName || s.Name != name {
			continue
		}
		switch s.State {
		case "SUCCESS":
			return &Step{Action: ProveSnapshot, Repository: s.Repository, Snapshot: s.Name, Says: fmt.Sprintf("prove %s: state, %d shards, UUID, %d documents, read-back %s", s.Name, k.x.Primaries, k.x.Docs,
				cmp.Or(string(of.Snapshot.ReadBack), "Sampled")), begun: true}, nil
		case "IN_PROGRESS":
			return hold(HoldUnderWay, "snapshot %s runs", s.Name)
		}
		step.Says = fmt.Sprintf("snapshot %s is %s: take it away and take it again, %s", s.Name, s.State, capacity.BytesText(float64(k.s.Bytes)))
	}
	if running := k.running(); running != "" && !k.c.Can(state.ConcurrentSnapshots) {
		return hold(HoldSnapshotRuns, "snapshot %s runs, and this server takes one at a time", running)
	}
	return step, nil
}

func (w *world) running() string {
	for _, s := range w.c.Snapshots {
		if s.State == "IN_PROGRESS" {
			return s.Name
		}
	}
	return ""
}

func (w *world) snapshotRuns() *Hold {
	if running := w.running(); running != "" {
		_, held := hold(HoldDuringBackup, "snapshot %s runs: servers of some versions lose repository data when an index goes meanwhile", running)
		return held
	}
	return nil
}

// proof is the standing proof of the live index whose snapshot was seen whole by this look.
func (k *walk) proof() (*ledger.Proof, error) { return k.proofOf(k.x) }

func (k *walk) proofOf(x *state.Index) (*ledger.Proof, error) {
	p, err := k.m.entry.Standing(identity(x))
	if err != nil {
		return nil, err
	}
	if why, unseen := k.c.WhyUnseen(state.PartSnapshots); unseen {
		return nil, fmt.Errorf("snapshots could not be listed: %s", why)
	}
	for _, s := range k.c.Snapshots {
		if s.Repository == p.Repository && s.Name == p.Snapshot && s.State == "SUCCESS" && (p.SnapshotUUID == "" || s.UUID == "" || s.UUID == p.SnapshotUUID) {
			return p, nil
		}
	}
	return nil, fmt.Errorf("snapshot %s was proved and is not in %s any more", p.Snapshot, p.Repository)
}

func (k *walk) provedAnywhere() bool { _, err := k.proof(); return err == nil }

// reduce lets a step take copies away when a proof stands and was looked at just now, and when enough copies stay.
func (k *walk) reduce(step *Step, localCopies int) (*Step, *Hold) {
	p, err := k.proof()
	if err != nil {
		return hold(HoldProof, "%v", err)
	}
	copies := localCopies
	if k.counted {
		copies++
	}
	if step.Action == SetReplicas {
		copies++ // the primary
	}
	if copies < k.copies && step.Action != DeleteIndex && !k.lets(RefuseCopies) {
		return hold(HoldCopies, "%d copies would stay, constraints.copies is %d", copies, k.copies)
	}
	if k.now.Sub(p.CheckedAt) > FreshFor {
		return &Step{Action: CheckProof, Repository: p.Repository, Snapshot: p.Snapshot, Says: fmt.Sprintf("look again at %s, seen whole %s ago", p.Snapshot, span(k.now.Sub(p.CheckedAt))), begun: true}, nil
	}
	step.Repository, step.Snapshot = p.Repository, p.Snapshot
	step.Because = fmt.Sprintf("%s in %s holds it: %d shards, UUID %s, %d documents, seen whole %s", p.Snapshot, p.Repository, p.Shards, p.IndexUUID, p.Docs, p.CheckedAt.UTC().Format("2006-01-02 15:04 MST"))
	return step, nil
}

func (k *walk) replicaCount(of *phase) (*Step, *Hold) {
	n := int(value(of.Replicas.Count, 0))
	step := &Step{Action: SetReplicas, Number: n, Says: fmt.Sprintf("replicas %d → %d", k.x.Replicas, n)}
	if n > k.x.Replicas {
		step.Bytes = k.s.Bytes * int64(n-k.x.Replicas)
		return step, nil
	}
	if of.Replicas.Requires == v1alpha1.RequireNothing {
		copies := n + 1
		if k.counted && k.provedAnywhere() {
			copies++
		}
		if copies < k.copies {
			return hold(HoldCopies, "%d copies would stay, constraints.copies is %d", copies, k.copies)
		}
		step.Because = fmt.Sprintf("the policy asks for no snapshot, and %d copies stay", copies)
		return step, nil
	}
	return k.reduce(step, n)
}

func (k *walk) moveTo(of *phase) (*Step, *Hold) {
	t := k.tier(of.Move.Tier)
	if len(k.nodes(t)) == 0 {
		return hold(HoldMissingFilter, "tier %s has no node with data", of.Move.Tier)
	}
	if bound(t, k.x) {
		return hold(HoldUnderWay, "%d of %d shards are on their way to tier %s", k.x.Counts.Relocating+k.x.Counts.Initializing, k.x.Shards(), t.Name)
	}
	bytes := k.s.Bytes * int64(1+k.x.Replicas)
	return &Step{Action: MoveTier, Tier: t.Name, Bytes: bytes, Says: fmt.Sprintf("move %d shards to tier %s, %s", k.x.Shards(), t.Name, capacity.BytesText(float64(bytes)))}, nil
}

func (k *walk) mount() (*Step, *Hold) {
	p, err := k.proof()
	if err != nil {
		return hold(HoldProof, "%v", err)
	}
	m := k.m.mounted
	if m == nil {
		return &Step{Action: MountSnapshot, To: MountedName(k.m.name), Repository: p.Repository, Snapshot: p.Snapshot, Says: fmt.Sprintf("mount %s of %s", k.x.Name, p.Snapshot)}, nil
	}
	switch {
	case m.Counts.Started < m.Primaries || m.Health != "green" || !settled(m):
		return hold(HoldUnderWay, "%d of %d shards of %s are there", m.Counts.Started, m.Primaries, m.Name)
	case m.Docs != k.x.Docs:
		return hold(HoldHuman, "%s has %d documents, %s has %d", m.Name, m.Docs, k.x.Name, k.x.Docs)
	}
	if held := k.snapshotRuns(); held != nil {
		return nil, held
	}
	return k.reduce(&Step{Action: Swap, To: m.Name, Alias: k.read, Says: fmt.Sprintf("in one call: delete %s, and give its name and aliases to %s", k.x.Name, m.Name), begun: true}, m.Replicas)
}

func (k *walk) closeIndex(of *phase) (*Step, *Hold) {
	if k.readers[k.x.Name] {
		return k.leave("before it is closed; it cannot be searched until it is opened"), nil
	}
	step := &Step{Action: CloseIndex, Says: "close"}
	if of.Close.Requires == v1alpha1.RequireNothing {
		step.Because = "the policy asks for no snapshot before closing"
		return step, nil
	}
	return k.reduce(step, k.x.Replicas+1)
}

func (k *walk) remove(of *phase) (*Step, *Hold) {
	if held := k.snapshotRuns(); held != nil {
		return nil, held
	}
	step := &Step{Action: DeleteIndex, Says: fmt.Sprintf("delete %s, the snapshot stays", k.x.Name)}
	if of.Delete.Snapshot == v1alpha1.SnapshotDelete {
		step.Says = fmt.Sprintf("delete %s, and what only its snapshots hold", k.x.Name)
		step.Because = fmt.Sprintf("its slot ended %s ago and phase %s deletes it with its snapshot", span(k.now.Sub(k.m.slot.End).Round(time.Hour)), of.Name)
		return step, nil
	}
	if k.x == k.m.mounted {
		step.Because = "it holds no bytes of its own: it is mounted from " + k.x.Mounted
		return step, nil
	}
	return k.reduce(step, 0)
}

// bytes is what a phase brings over the network.
func (k *walk) bytes(of *phase) int64 {
	switch of.kind {
	case Shrink:
		return k.s.Bytes * int64(1+k.x.Replicas)
	case Snapshot:
		return k.s.Bytes
	case Move:
		return k.s.Bytes * int64(1+k.x.Replicas)
	case Mount:
		if of.Mount.Storage == v1alpha1.StorageFullCopy {
			return k.s.Bytes
		}
	}
	return 0
}
