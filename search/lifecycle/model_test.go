package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/state"
)

// model is a cluster without servers: it does what a step says, and knows the truth about every document.
type model struct {
	rng    *rand.Rand
	in     Input
	ledger map[string]*ledger.Entry
	// held is what the snapshots really hold, by repository/name.
	held map[string]held
	// truth is how many documents a slot has; deleted are those that the policy took away with their snapshot.
	truth   map[string]int64
	uuids   int
	deleted map[string]bool
	// tried counts steps by their action; nil counts none.
	tried map[Action]int
}

type held struct {
	uuid      string
	docs      int64
	primaries int
	slot      string
}

func (m *model) uuid() string { m.uuids++; return fmt.Sprintf("Uuid-%08d", m.uuids) }

func (m *model) index(name string) *state.Index {
	i := slices.IndexFunc(m.in.State.Indices, func(x state.Index) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	return &m.in.State.Indices[i]
}

func (m *model) remove(name string) {
	m.in.State.Indices = slices.DeleteFunc(m.in.State.Indices, func(x state.Index) bool { return x.Name == name })
	m.in.State.Aliases = slices.DeleteFunc(m.in.State.Aliases, func(a state.Alias) bool { return a.Index == name })
	m.in.State.Shards = slices.DeleteFunc(m.in.State.Shards, func(g state.ShardGroup) bool { return g.Index == name })
}

func (m *model) entry(index string) *ledger.Entry {
	if m.ledger[index] == nil {
		m.ledger[index] = &ledger.Entry{Schema: ledger.Schema, Lifecycle: Name(m.in.Lifecycle), Index: index}
	}
	return m.ledger[index]
}

// copies is in how many places the documents of a slot truly are: copies of the fullest form that has them all, and one for snapshots that have.
func (m *model) copies(index string) int {
	local, snapshot := 0, 0
	for _, name := range []string{index, ShrunkName(1, index), ShrunkName(2, index), ShrunkName(3, index)} {
		if x := m.index(name); x != nil && x.Docs == m.truth[index] && x.Health != "red" {
			local = max(local, x.Counts.Started/max(x.Primaries, 1))
		}
	}
	for key, h := range m.held {
		if h.slot == index && h.docs == m.truth[index] && m.snapshot(key) != nil && m.snapshot(key).State == "SUCCESS" {
			snapshot = 1
		}
	}
	return local + snapshot
}

func (m *model) snapshot(key string) *state.Snapshot {
	i := slices.IndexFunc(m.in.State.Snapshots, func(s state.Snapshot) bool { return s.Repository+"/"+s.Name == key })
	if i < 0 {
		return nil
	}
	return &m.in.State.Snapshots[i]
}

// do does a step, or half of it: effect false loses it, note false loses what the ledger should say.
func (m *model) do(s *Step, effect, note bool) error {
	e := m.entry(s.Index)
	if s.Action == CreateIndex || s.Action == FlipAlias {
		m.make(s)
		return nil
	}
	if note {
		failures := 0
		if e.Try != nil && e.Try.Phase == s.Phase {
			failures = e.Try.Failures
		}
		e.Try = &ledger.Try{Phase: s.Phase, Action: string(s.Action), Node: s.Node, At: m.in.Now, Bytes: s.Bytes}
		if !effect {
			e.Try.Failures, e.Try.Why = failures+1, "503"
		}
	}
	if !effect {
		return nil
	}
	x := m.index(s.On)
	if x == nil || x.UUID != s.UUID {
		return fmt.Errorf("%s of %s, which is not there as %s", s.Action, s.On, s.UUID)
	}
	finished, err := m.effect(s, x, e)
	if err != nil || !note || !finished {
		return err
	}
	done := ledger.Done{Phase: s.Phase, Kind: "x", Hash: s.Hash, At: m.in.Now, Bytes: s.Bytes}
	for _, name := range []string{s.To, s.On} {
		if x := m.index(name); x != nil && done.UUID == "" {
			done.Index, done.UUID = x.Name, x.UUID
		}
	}
	e.Done, e.Try = append(e.Done, done), nil
	return nil
}

func (m *model) make(s *Step) {
	if s.Action == FlipAlias {
		m.in.State.Aliases = slices.DeleteFunc(m.in.State.Aliases, func(a state.Alias) bool { return a.Name == s.Alias })
		m.in.State.Aliases = append(m.in.State.Aliases, state.Alias{Name: s.Alias, Index: s.On, WriteIndex: true})
		return
	}
	x := state.Index{Name: s.On, UUID: m.uuid(), Health: "green", Primaries: s.Number, Replicas: 1, CreatedMillis: m.in.Now.UnixMilli(), Filters: map[string]string{"require.tier": s.Tier}}
	x.Counts.Started = x.Shards()
	m.in.State.Indices = append(m.in.State.Indices, x)
	m.in.State.Aliases = append(m.in.State.Aliases, state.Alias{Name: s.Alias, Index: s.On})
}

// effect changes the world; it says whether the phase is finished by it.
func (m *model) effect(s *Step, x *state.Index, e *ledger.Entry) (bool, error) {
	switch s.Action {
	case WatchForWriters:
		if e.Quiet == nil || e.Quiet.Docs != x.Docs || e.Quiet.UUID != x.UUID {
			e.Quiet = &ledger.Quiet{UUID: x.UUID, Docs: x.Docs, Since: m.in.Now}
		}
	case BlockWrites:
		x.Blocks = []string{"write"}
	case Gather:
		x.Filters["require._name"] = s.Node
		m.in.State.Shards = slices.DeleteFunc(m.in.State.Shards, func(g state.ShardGroup) bool { return g.Index == x.Name })
		m.in.State.Shards = append(m.in.State.Shards, state.ShardGroup{Index: x.Name, Node: s.Node, State: state.Started, Primaries: x.Primaries})
	case ShrinkIndex:
		if x.Primaries%s.Number != 0 || !writeBlocked(x) {
			return false, fmt.Errorf("shrink of %d to %d", x.Primaries, s.Number)
		}
		to := state.Index{Name: s.To, UUID: m.uuid(), Health: "green", Primaries: s.Number, Docs: x.Docs, PrimaryBytes: x.PrimaryBytes, Blocks: x.Blocks, ResizedFrom: x.Name,
			Filters: map[string]string{"require.tier": s.Tier}}
		to.Counts.Started = s.Number
		if m.rng.IntN(10) == 0 {
			to.Docs-- // a fault of the server
		}
		m.in.State.Indices = append(m.in.State.Indices, to)
	case DiscardCopy:
		m.remove(s.On)
	case SetReplicas:
		x.Replicas = s.Number
		x.Counts.Started = x.Shards()
		return m.index(s.Index) == nil || x.Name == s.Index, nil
	case Swap:
		m.remove(s.On)
		m.in.State.Aliases = append(m.in.State.Aliases, state.Alias{Name: s.Alias, Index: s.To})
		return true, nil
	case Merge, LeaveAlias:
		return s.Action == Merge, nil
	case MoveTier:
		x.Filters["require.tier"] = s.Tier
		return true, nil
	case TakeSnapshot:
		m.take(s, x)
	case ProveSnapshot:
		return true, m.prove(s, x, e)
	case CheckProof:
		for i := range e.Proofs {
			if e.Proofs[i].Snapshot == s.Snapshot && m.snapshot(s.Repository+"/"+s.Snapshot) != nil {
				e.Proofs[i].CheckedAt = m.in.Now
			}
		}
	case DeleteIndex:
		m.deleted[s.Index] = s.Snapshot == ""
		m.remove(s.On)
		return true, nil
	default:
		return false, fmt.Errorf("the model cannot %s", s.Action)
	}
	return false, nil
}

func (m *model) take(s *Step, x *state.Index) {
	key := s.Repository + "/" + s.Snapshot
	m.in.State.Snapshots = slices.DeleteFunc(m.in.State.Snapshots, func(o state.Snapshot) bool { return o.Repository+"/"+o.Name == key })
	one := state.Snapshot{Repository: s.Repository, Name: s.Snapshot, UUID: m.uuid(), State: "SUCCESS"}
	h := held{uuid: x.UUID, docs: x.Docs, primaries: x.Primaries, slot: s.Index}
	switch m.rng.IntN(6) {
	case 0:
		one.State = "PARTIAL"
	case 1:
		h.docs-- // it says SUCCESS and is not whole
	}
	m.held[key] = h
	m.in.State.Snapshots = append(m.in.State.Snapshots, one)
}

// prove is honest: a snapshot that is not whole is voided.
func (m *model) prove(s *Step, x *state.Index, e *ledger.Entry) error {
	key := s.Repository + "/" + s.Snapshot
	h, one := m.held[key], m.snapshot(key)
	if one == nil {
		return fmt.Errorf("proving %s, which is not there", key)
	}
	p := ledger.Proof{Repository: s.Repository, Snapshot: s.Snapshot, SnapshotUUID: one.UUID, Index: x.Name, IndexUUID: h.uuid, Shards: h.primaries, Docs: h.docs,
		TakenAt: m.in.Now, ProvedAt: m.in.Now, CheckedAt: m.in.Now}
	if h.docs != x.Docs || h.uuid != x.UUID {
		p.Void = "the read-back differs"
	}
	e.Proofs = append(e.Proofs, p)
	return nil
}

// chaos is what others do to the cluster between two looks.
func (m *model) chaos() {
	live := m.in.State.Indices
	if len(live) == 0 {
		return
	}
	x := &live[m.rng.IntN(len(live))]
	name, _, _ := slotName(x.Name)
	switch m.rng.IntN(9) {
	case 0: // somebody lifts the block and writes
		if m.index(name) == x {
			x.Blocks = nil
			x.Docs++
			m.truth[name] = x.Docs
		}
	case 1:
		x.Health, x.Counts.Unassigned = "yellow", 1
	case 2, 3:
		x.Health, x.Counts.Unassigned = "green", 0
	case 4: // a snapshot is taken away by a person
		if n := len(m.in.State.Snapshots); n > 0 {
			i := m.rng.IntN(n)
			m.in.State.Snapshots = slices.Delete(m.in.State.Snapshots, i, i+1)
		}
	case 5: // somebody makes an index of the same name anew
		if m.index(name) == x && m.index(ShrunkName(1, name)) == nil && m.index(ShrunkName(2, name)) == nil && m.index(ShrunkName(3, name)) == nil {
			x.UUID, x.Docs, x.Blocks = m.uuid(), int64(m.rng.IntN(50)), nil
			m.truth[name] = x.Docs
		}
	case 6:
		m.in.State.Tasks.OldestCreateIndexMillis = int64(m.rng.IntN(9000))
	case 7: // a late document
		if m.index(name) == x && !writeBlocked(x) {
			x.Docs++
			m.truth[name] = x.Docs
		}
	}
}

func (m *model) entries() (all []ledger.Entry) {
	for _, e := range m.ledger {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b ledger.Entry) int { return cmpString(a.Index, b.Index) })
	return all
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func quantityOf(text string) *resource.Quantity { q := resource.MustParse(text); return &q }

func int32Of(n int32) *int32 { return &n }

// newModel is two days of hourly slots under a policy with all phases, of which the randomness leaves some out.
func newModel(seed uint64, hours int) *model {
	rng := rand.New(rand.NewPCG(seed, 7))
	start := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	m := &model{rng: rng, ledger: map[string]*ledger.Entry{}, held: map[string]held{}, truth: map[string]int64{}, deleted: map[string]bool{}}
	c := &state.Cluster{Schema: state.Schema, TakenAt: start, Name: "logs", Product: state.Elasticsearch, Version: "6.8.23", Capabilities: map[state.Capability]state.Support{}}
	for i, tier := range []string{"hot", "hot", "warm", "warm"} {
		c.Nodes = append(c.Nodes, state.Node{Name: fmt.Sprintf("n%d", i), Roles: []string{"master", "data"}, Attributes: map[string]string{"tier": tier}, DiskTotalBytes: 4e12, DiskFreeBytes: 3e12,
			HeapMaxBytes: 16 << 30})
	}
	tier := func(name string) v1alpha1.Tier {
		return v1alpha1.Tier{Name: name, NodeAttribute: &v1alpha1.NodeAttribute{Name: "tier", Value: name}}
	}
	cluster := &v1alpha1.SearchCluster{Spec: v1alpha1.SearchClusterSpec{Tiers: []v1alpha1.Tier{tier("hot"), tier("warm")}, Repositories: []v1alpha1.Repository{{Name: "cos"}}}}
	cluster.Name = "logs"
	l := &v1alpha1.IndexLifecycle{}
	l.Name = "hourly"
	l.Spec = v1alpha1.IndexLifecycleSpec{ClusterName: "logs", Indices: v1alpha1.Indices{Pattern: "app-*", Slot: v1alpha1.Slot{Format: "app-{yyyy.MM.dd.HH}"}, CreateAheadSlots: int32Of(2)}}
	l.Spec.Phases = randomPhases(rng)
	l.Spec.Budget.ConcurrentIndices = int32(1 + rng.IntN(4))
	m.in = Input{Cluster: cluster, Lifecycle: l, State: c, Now: start, Short: true}
	for h := range hours {
		at := start.Add(time.Duration(h-hours) * time.Hour)
		m.make(&Step{Action: CreateIndex, On: at.Format("app-2006.01.02.15"), Number: 6, Tier: "hot", Alias: "app"})
		x := &c.Indices[len(c.Indices)-1]
		x.Docs, x.PrimaryBytes = int64(100+rng.IntN(900)), int64(1+rng.IntN(40))*1e9
		m.truth[x.Name] = x.Docs
	}
	return m
}

func randomPhases(rng *rand.Rand) []v1alpha1.Phase {
	mode := []v1alpha1.ReplicaMode{v1alpha1.ReplicaKeep, v1alpha1.ReplicaDropProved}[rng.IntN(2)]
	early := v1alpha1.Phase{Name: "early", AfterHours: int32Of(2), Snapshot: &v1alpha1.Snapshot{RepositoryName: "cos"}}
	all := []v1alpha1.Phase{
		{Name: "warm-with-shrink", AfterHours: int32Of(3), Move: &v1alpha1.Move{Tier: "warm"}},
		{Name: "shrink", AfterHours: int32Of(3), Shrink: &v1alpha1.Shrink{Shards: []int32{1, 2, 3}[rng.IntN(3)], Replica: mode}},
		{Name: "merge", AfterHours: int32Of(4), ForceMerge: &v1alpha1.ForceMerge{Segments: 1}},
		{Name: "backup", AfterHours: int32Of(5), Snapshot: &v1alpha1.Snapshot{RepositoryName: "cos"}},
		{Name: "drop", AfterHours: int32Of(6), Replicas: &v1alpha1.Replicas{Count: int32Of(0)}},
		{Name: "warm", AfterHours: int32Of(7), Move: &v1alpha1.Move{Tier: "warm"}},
		{Name: "delete", AfterHours: int32Of(int32(20 + rng.IntN(40))), Delete: &v1alpha1.Delete{Snapshot: []v1alpha1.SnapshotFate{v1alpha1.SnapshotKeep, v1alpha1.SnapshotDelete}[rng.IntN(2)]}},
	}
	var phases []v1alpha1.Phase
	if mode == v1alpha1.ReplicaDropProved || rng.IntN(3) == 0 {
		phases = append(phases, early)
	}
	for _, p := range all {
		if rng.IntN(5) > 0 {
			phases = append(phases, p)
		}
	}
	return phases
}
