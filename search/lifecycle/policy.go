package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/slot"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/window"
)

// Input is all that a plan is made of.
type Input struct {
	Cluster   *v1alpha1.SearchCluster
	Lifecycle *v1alpha1.IndexLifecycle
	// Others are the other policies of the same cluster.
	Others []v1alpha1.IndexLifecycle
	State  *state.Cluster
	// Ledger holds the entries of this policy; those of others are passed over.
	Ledger []ledger.Entry
	// Consumed is up to when the consumers' group has read; zero when nobody asked.
	Consumed time.Time
	Now      time.Time
	// Short leaves out what the policy means (Sums, Exposure, the peaks of Backlog), which an engine that plans every minute need not know.
	Short bool
}

// Kind is what a phase does.
type Kind string

// Kinds of phases, as the ledger has them.
const (
	Shrink     Kind = "shrink"
	ForceMerge Kind = "forceMerge"
	Snapshot   Kind = "snapshot"
	Replicas   Kind = "replicas"
	Move       Kind = "move"
	Mount      Kind = "mount"
	Freeze     Kind = "freeze"
	Close      Kind = "close"
	Delete     Kind = "delete"
)

// KindOf is what a phase does.
func KindOf(p *v1alpha1.Phase) Kind {
	switch {
	case p.Shrink != nil:
		return Shrink
	case p.ForceMerge != nil:
		return ForceMerge
	case p.Snapshot != nil:
		return Snapshot
	case p.Replicas != nil:
		return Replicas
	case p.Move != nil:
		return Move
	case p.Mount != nil:
		return Mount
	case p.Freeze != nil:
		return Freeze
	case p.Close != nil:
		return Close
	}
	return Delete
}

// Hash is of a phase's kind and parameters, without its name and age: a phase that is only moved in time is the same one.
func Hash(p *v1alpha1.Phase) string {
	of := *p
	of.Name, of.AfterHours = "", nil
	data, err := json.Marshal(&of)
	if err != nil { // plain values always can
		data = []byte(err.Error())
	}
	sum := sha256.Sum256(append([]byte(KindOf(p)+":"), data...))
	return hex.EncodeToString(sum[:6])
}

// phase is one of the policy, resolved.
type phase struct {
	*v1alpha1.Phase
	kind  Kind
	hash  string
	after time.Duration
}

// policy is a spec with its defaults and with what was made of its words.
type policy struct {
	name        string
	spec        *v1alpha1.IndexLifecycleSpec
	cluster     *v1alpha1.SearchClusterSpec
	slots       *slot.Pattern
	phases      []phase
	read, write string
	windows     []*window.Hours
	spread      time.Duration
	quiet       time.Duration
	ahead       int
	replicas    int
	concurrent  int
	copies      int
	counted     bool
	paused      string
}

func newPolicy(in Input) (*policy, error) {
	s := &in.Lifecycle.Spec
	p := &policy{name: Name(in.Lifecycle), spec: s, cluster: &in.Cluster.Spec, ahead: 6, replicas: 1, concurrent: 2, copies: 2,
		counted: in.Cluster.Spec.Constraints.SnapshotAsCopy != v1alpha1.SnapshotNotCounted, quiet: 2 * time.Hour}
	var err error
	if p.slots, err = slot.New(slot.Options{Format: s.Indices.Slot.Format, Hours: int(s.Indices.Slot.Hours), TimeZone: s.Indices.Slot.TimeZone, Near: in.Now}); err != nil {
		return nil, err
	}
	for i := range s.Phases {
		one := &s.Phases[i]
		p.phases = append(p.phases, phase{Phase: one, kind: KindOf(one), hash: Hash(one), after: time.Duration(value(one.AfterHours, 0)) * time.Hour})
	}
	for _, w := range s.Budget.Windows {
		h, err := window.New(w.From, w.To, w.TimeZone)
		if err != nil {
			return nil, fmt.Errorf("budget.windows: %w", err)
		}
		p.windows = append(p.windows, h)
	}
	p.aliases(s)
	p.numbers(in)
	return p, nil
}

func (p *policy) aliases(s *v1alpha1.IndexLifecycleSpec) {
	before, _, _ := strings.Cut(s.Indices.Slot.Format, "{")
	p.read = strings.TrimRight(before, "-_.")
	if s.Aliases != nil && s.Aliases.Read != "" {
		p.read = s.Aliases.Read
	}
	if s.Write == v1alpha1.WriteByName {
		return
	}
	p.write = p.read + "-write"
	if s.Aliases != nil && s.Aliases.Write != "" {
		p.write = s.Aliases.Write
	}
}

func (p *policy) numbers(in Input) {
	s := p.spec
	now := p.slots.At(in.Now)
	p.spread = now.End.Sub(now.Start)
	if s.SpreadOverHours != nil {
		p.spread = time.Duration(*s.SpreadOverHours) * time.Hour
	}
	if m := s.Closing.QuietForMinutes; m > 0 {
		p.quiet = time.Duration(m) * time.Minute
	}
	p.ahead = int(value(s.Indices.CreateAheadSlots, 6))
	p.replicas = int(value(s.Template.Replicas, 1))
	if n := s.Budget.ConcurrentIndices; n > 0 {
		p.concurrent = int(n)
	}
	if n := p.cluster.Constraints.Copies; n > 0 {
		p.copies = int(n)
	}
	for _, of := range []map[string]string{in.Lifecycle.Annotations, in.Cluster.Annotations} {
		if why, there := of[v1alpha1.PausedAnnotation]; there && p.paused == "" {
			p.paused = "paused: " + why
		}
	}
}

func value(v *int32, otherwise int32) int32 {
	if v == nil {
		return otherwise
	}
	return *v
}

// Name is how the ledger calls a policy: namespace/name.
func Name(l *v1alpha1.IndexLifecycle) string {
	if l.Namespace == "" {
		return l.Name
	}
	return l.Namespace + "/" + l.Name
}

// due is when a phase begins for an index: the end of its slot, the age, and an offset that its name decides, always the same.
func (p *policy) due(of *phase, index string, s slot.Slot) time.Time {
	return s.End.Add(of.after).Add(p.offset(index))
}

func (p *policy) offset(index string) time.Duration {
	minutes := uint64(p.spread / time.Minute)
	if minutes == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(index))
	sum := h.Sum64()
	sum ^= sum >> 29 // names that differ in their last digits alone would lie close to each other
	sum *= 0xbf58476d1ce4e5b9
	return time.Duration((sum^sum>>32)%minutes) * time.Minute
}

// takes says that the pattern matches a name.
func takes(pattern, name string) bool {
	ok, err := path.Match(pattern, name) // names hold no slash
	return err == nil && ok
}

func (p *policy) slotHours(now time.Time) float64 { return p.slots.At(now).Hours() }

// open says whether work may begin now, and when else.
func (p *policy) open(now time.Time) (bool, time.Time) {
	var next time.Time
	for _, w := range p.windows {
		if w.Open(now) {
			return true, time.Time{}
		}
		if at := w.Opens(now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return len(p.windows) == 0, next
}

// share is the part of a day in which work may begin.
func (p *policy) share(now time.Time) float64 {
	if len(p.windows) == 0 {
		return 1
	}
	open, start := 0, now.Truncate(24*time.Hour)
	for m := range 24 * 60 {
		if ok, _ := p.opens(start.Add(time.Duration(m) * time.Minute)); ok {
			open++
		}
	}
	return float64(open) / (24 * 60)
}

func (p *policy) opens(at time.Time) (bool, int) {
	for i, w := range p.windows {
		if w.Open(at) {
			return true, i
		}
	}
	return false, 0
}

// rate is how many bytes a second may be brought, and who says so.
func (p *policy) rate(c *state.Cluster) (float64, string) {
	rate, who := recoveryRate(c)
	for _, limit := range []struct {
		bytes int64
		who   string
	}{{quantity(p.cluster.Budgets.RelocationBytesPerSecond), "budgets.relocationBytesPerSecond of the cluster"}, {quantity(p.spec.Budget.BytesPerSecond), "budget.bytesPerSecond of the policy"}} {
		if limit.bytes > 0 && (rate <= 0 || float64(limit.bytes) < rate) {
			rate, who = float64(limit.bytes), limit.who
		}
	}
	return rate, who
}

// recoveryRate is what the servers allow: indices.recovery.max_bytes_per_sec on each node with data. 40 MB is the servers' default.
func recoveryRate(c *state.Cluster) (float64, string) {
	nodes := 0
	for i := range c.Nodes {
		if c.Nodes[i].HoldsData() {
			nodes++
		}
	}
	each := int64(40 << 20)
	if text, from := c.Settings.Get("indices.recovery.max_bytes_per_sec"); from != state.FromNowhere {
		if n, ok := serverBytes(text); ok {
			each = n
		}
	}
	return float64(nodes) * float64(each), fmt.Sprintf("%d nodes × indices.recovery.max_bytes_per_sec %s", nodes, capacity.BytesText(float64(each)))
}
