package lifecycle

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/state"
)

// walk is one index on its way through the phases.
type walk struct {
	*world
	m *member
	x *state.Index // the live form
	s *Standing
}

func hold(rule Rule, format string, args ...any) (*Step, *Hold) {
	return nil, &Hold{Rule: rule, Says: fmt.Sprintf(format, args...)}
}

func holdUntil(at time.Time, rule Rule, format string, args ...any) (*Step, *Hold) {
	return nil, &Hold{Rule: rule, Says: fmt.Sprintf(format, args...), FreeAt: &at}
}

// standing finds where an index is, and its next step or what holds it.
func (w *world) standing(m *member) Standing {
	x := m.live()
	s := Standing{Index: m.name, Start: m.slot.Start, End: m.slot.End, On: x.Name, Primaries: x.Primaries, Replicas: x.Replicas, Bytes: max(x.PrimaryBytes, 0)}
	k := &walk{world: w, m: m, x: x, s: &s}
	current := -1
	hurry := k.hurry()
	for i := range w.phases {
		of := &w.phases[i]
		one := PhaseStanding{Phase: of.Name, Kind: of.kind, Due: w.due(of, m.name, m.slot)}
		if done, ok := m.entry.Finished(of.Name, of.hash); ok {
			one.At, one.Says = &done.At, done.Says
		}
		done, why := k.done(of)
		switch {
		case done:
			one.State = Done
		case why != "":
			one.State, one.Says = Skipped, why
		case i < hurry && !k.neededFor(hurry, of):
			one.State, one.Says = Skipped, w.phases[hurry].Name+" is due"
		case k.goesWithShrink(i) || current >= 0 || one.Due.After(w.now):
			one.State = Later
			if !one.Due.After(w.now) {
				one.State = Waiting
				s.needBytes += k.bytes(of)
			}
		default:
			current = i
			one.State = Now
			s.needBytes += k.bytes(of)
		}
		s.Phases = append(s.Phases, one)
	}
	k.advance(current)
	return s
}

// goesWithShrink says that the shrink behind a move brings the index along: bytes move once.
func (k *walk) goesWithShrink(i int) bool {
	if i < 0 || i+1 >= len(k.phases) || k.phases[i].kind != Move || k.phases[i+1].kind != Shrink || k.phases[i].after != k.phases[i+1].after {
		return false
	}
	done, skipped := k.done(&k.phases[i+1])
	return !done && skipped == ""
}

// hurry is the index of a delete that is due: what lies before it is not worth its cost; -1 for none.
func (k *walk) hurry() int {
	for i := range k.phases {
		if of := &k.phases[i]; of.kind == Delete && !k.due(of, k.m.name, k.m.slot).After(k.now) {
			return i
		}
	}
	return -1
}

// neededFor says that a phase must be done though a delete is due: the snapshot that stays.
func (k *walk) neededFor(i int, of *phase) bool {
	return of.kind == Snapshot && k.phases[i].Delete.Snapshot != "Delete" && !k.provedAnywhere()
}

// advance finds the next step of the phase that is current.
func (k *walk) advance(current int) {
	if current < 0 {
		if step := k.leftover(); step != nil {
			k.s.Step = step
		}
		return
	}
	of := &k.phases[current]
	k.s.overdue = true
	step, held := k.guard(of)
	if step == nil && held == nil {
		step, held = k.next(of, current)
	}
	if step != nil {
		step.Index, step.Phase, step.Hash = k.m.name, of.Name, of.hash
		if step.On == "" {
			step.On, step.UUID = k.x.Name, k.x.UUID
		}
		if t := k.m.entry; t != nil && t.Try != nil && t.Try.Phase == of.Name && t.Try.Failures == 0 && !k.justBegins(step) {
			step.begun = true
		}
	}
	k.s.Step, k.s.Hold = step, held
	if held != nil {
		k.s.Phases[current].State, k.s.Phases[current].Says = Held, held.Says
	}
}

// justBegins says that a step is the first of its phase: what was begun is only the watching of writers.
func (k *walk) justBegins(s *Step) bool {
	return s.Action == WatchForWriters || s.Action == BlockWrites || k.m.entry.Try.Action == string(WatchForWriters) || k.m.entry.Try.Action == string(BlockWrites)
}

// leftover takes away a filter that a shrink of ours left on what it made.
func (k *walk) leftover() *Step {
	if k.x == k.m.shrunk && k.x.Filters["require._name"] != "" {
		return &Step{Action: ReleaseGather, Index: k.m.name, On: k.x.Name, UUID: k.x.UUID, Says: "take away the filter that the shrink left"}
	}
	return nil
}

// guard holds what no phase may do.
func (k *walk) guard(of *phase) (*Step, *Hold) {
	if p := k.x.Policy; p != nil {
		return hold(HoldForeign, "%s policy %s holds it: take it off, or leave the index out of the pattern", p.Kind, p.Policy)
	}
	if held := k.tried(of); held != nil {
		return nil, held
	}
	if step, held := k.closed(); step != nil || held != nil {
		return step, held
	}
	if k.x.Health != "green" && !k.x.Closed && k.m.shrunk == nil && of.kind != Delete {
		return hold(HoldGreen, "%s is %s (%d shards unassigned, %d on their way)", k.x.Name, orUnknown(k.x.Health), k.x.Counts.Unassigned, k.x.Counts.Relocating+k.x.Counts.Initializing)
	}
	return nil, nil
}

// tried holds what went wrong until its time has come, or a person.
func (k *walk) tried(of *phase) *Hold {
	if k.m.entry == nil || k.m.entry.Try == nil || k.m.entry.Try.Phase != of.Name {
		return nil
	}
	try := k.m.entry.Try
	if try.NeedsHuman {
		_, held := hold(HoldHuman, "%s: %s", try.Action, try.Why)
		return held
	}
	if try.Failures == 0 {
		return nil
	}
	wait := min(5*time.Minute<<min(try.Failures-1, 10), 6*time.Hour)
	if at := try.At.Add(wait); k.now.Before(at) {
		_, held := holdUntil(at, HoldRetry, "%s went wrong %d times (%s)", try.Action, try.Failures, try.Why)
		return held
	}
	return nil
}

func orUnknown(health string) string {
	if health == "" {
		return "of unknown health"
	}
	return health
}

// closed sees to it that nothing writes to the index any more. A block that is there already is believed; documents that arrive in spite of it break the proof.
func (k *walk) closed() (*Step, *Hold) {
	if writeBlocked(k.x) || k.x.Closed || k.x == k.m.mounted {
		return nil, nil
	}
	if k.x.Name == k.writeIndex {
		return hold(HoldWriter, "alias %s still writes to it", k.write)
	}
	if kafka := k.spec.Closing.Kafka; kafka != nil && k.consumed.Before(k.m.slot.End) {
		if k.consumed.IsZero() {
			return hold(HoldWriter, "nobody could say how far the consumers' group %s is", kafka.Group)
		}
		return hold(HoldWriter, "the consumers' group %s is at %s, before the end of the slot", kafka.Group, k.consumed.UTC().Format("2006-01-02 15:04 MST"))
	}
	var seen *ledger.Quiet
	if k.m.entry != nil {
		seen = k.m.entry.Quiet
	}
	if seen == nil || seen.UUID != k.x.UUID || seen.Docs != k.x.Docs {
		return &Step{Action: WatchForWriters, Says: fmt.Sprintf("look whether documents still arrive; %s without any and it is closed for writing", span(k.quiet))}, nil
	}
	if free := seen.Since.Add(k.quiet); k.now.Before(free) {
		return holdUntil(free, HoldWriter, "its documents are the same since %s, %s are asked for", seen.Since.UTC().Format("2006-01-02 15:04 MST"), span(k.quiet))
	}
	return &Step{Action: BlockWrites, Says: fmt.Sprintf("no document arrived for %s: block writes", span(k.now.Sub(seen.Since)))}, nil
}

// done says that a phase needs nothing more, as the world shows it; why is given where it is left out.
func (k *walk) done(of *phase) (bool, string) {
	mounted := k.x == k.m.mounted
	switch of.kind {
	case Shrink:
		return k.doneShrink(of, mounted)
	case Mount:
		return mounted, k.cannot(of.kind)
	case Freeze:
		return k.x.Frozen, k.cannot(of.kind)
	case Close:
		return k.x.Closed, ""
	case Delete:
		return false, "" // a deleted index is not there
	}
	return mounted || k.doneBefore(of), ""
}

func (k *walk) doneShrink(of *phase, mounted bool) (bool, string) {
	switch {
	case mounted || k.x == k.m.shrunk:
		return true, ""
	case k.m.shrunk == nil && k.x.Primaries <= k.target(of):
		return false, fmt.Sprintf("%d primaries need no shrink", k.x.Primaries)
	}
	return false, ""
}

// doneBefore is for phases that make no sense any more once an index is mounted.
func (k *walk) doneBefore(of *phase) bool {
	switch of.kind {
	case ForceMerge:
		d, ok := k.m.entry.Finished(of.Name, of.hash)
		return ok && d.UUID != "" && d.UUID == k.x.UUID
	case Snapshot:
		p, err := k.proof()
		return err == nil && p.Repository == of.Snapshot.RepositoryName
	case Replicas:
		return k.x.Replicas == int(value(of.Replicas.Count, 0))
	}
	t := k.tier(of.Move.Tier)
	return t != nil && bound(t, k.x) && settled(k.x)
}

// next is the step of a phase.
func (k *walk) next(of *phase, i int) (*Step, *Hold) {
	switch of.kind {
	case Shrink:
		return k.shrink(of, i)
	case ForceMerge:
		return &Step{Action: Merge, Number: int(max(of.ForceMerge.Segments, 1)), Says: fmt.Sprintf("merge each of %d shards to %d segments", k.x.Primaries, max(of.ForceMerge.Segments, 1))}, nil
	case Snapshot:
		return k.snapshot(of)
	case Replicas:
		return k.replicaCount(of)
	case Move:
		return k.moveTo(of)
	case Mount:
		return k.mount()
	case Freeze:
		if k.readers[k.x.Name] {
			return k.leave("before it is frozen, which closes it for a moment"), nil
		}
		return &Step{Action: FreezeIndex, Alias: k.read, Says: "freeze, then back to alias " + k.read}, nil
	case Close:
		return k.closeIndex(of)
	}
	return k.remove(of)
}

func (k *walk) leave(why string) *Step {
	return &Step{Action: LeaveAlias, Alias: k.read, Says: fmt.Sprintf("take it from alias %s %s", k.read, why)}
}
