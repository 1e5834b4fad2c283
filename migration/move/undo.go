package move

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Undone is what an Undo did.
type Undone struct {
	// Removed are blocks that were taken out of the target's data directory, oldest first.
	Removed []string `json:"removed,omitempty"`
	// Merged are blocks of the target that it made of ours and of its own, which stay: without them it would lose samples.
	Merged []string `json:"merged,omitempty"`
}

// Undo takes everything away that a move brought: blocks and pieces that are installed, oldest first, so that the target
// never has a hole; what is staged; the pin on the source. Blocks that the target made of ours alone go, too; what is merged
// with the target's own samples stays, and is told. The samples are on the source as before. It may be repeated. The state is
// emptied: a move that is begun again begins anew, unless blocks stayed.
func Undo(ctx context.Context, o Options) (*Undone, error) {
	lock, err := lockState(o.StateDir)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the kernel lets go of the lock with it
	m, err := newMover(o)
	if err != nil {
		return nil, err
	}
	done := &Undone{}
	for { // a compaction that is under way writes again what is taken from it
		removed, err := m.removeOurs(done)
		if err != nil {
			return done, err
		}
		if removed == 0 {
			break
		}
		if err := m.seen(ctx); err != nil {
			return done, err
		}
	}
	if err := transfer.UnstageOthers(m.o.TargetData, nil); err != nil {
		return done, err
	}
	if err := m.o.Source.Unpin(ctx); err != nil {
		return done, fmt.Errorf("letting go of the blocks on the source: %w", err)
	}
	m.state = State{Version: stateVersion, Source: m.state.Source, Target: m.state.Target, Begun: m.state.Begun, Phase: Pin, Merged: slices.Compact(slices.Sorted(slices.Values(slices.Concat(m.state.Merged, done.Merged)))), Notes: append(m.state.Notes, "everything was taken away again")}
	return done, m.save("undone")
}

// PlanUndo says what an Undo would find now, and changes nothing.
func PlanUndo(o Options) (*Undone, error) {
	m, err := newMover(o)
	if err != nil {
		return nil, err
	}
	list, err := transfer.ListTarget(m.o.TargetData)
	if err != nil {
		return nil, err
	}
	found := &Undone{}
	slices.SortStableFunc(list, func(a, b block.Entry) int { return cmp.Compare(begin(a), begin(b)) })
	for _, t := range list {
		switch m.state.origin(&t) {
		case allOurs:
			found.Removed = append(found.Removed, t.Name)
		case someOurs:
			found.Merged = append(found.Merged, t.Name)
		}
	}
	return found, nil
}

// removeOurs takes away what the target has of the move now.
func (m *mover) removeOurs(done *Undone) (removed int, err error) {
	list, err := transfer.ListTarget(m.o.TargetData)
	if err != nil {
		return 0, err
	}
	done.Merged = nil
	slices.SortStableFunc(list, func(a, b block.Entry) int { return cmp.Compare(begin(a), begin(b)) })
	for _, t := range list {
		switch m.state.origin(&t) {
		case allOurs:
			if err := transfer.Uninstall(m.o.TargetData, t.Name); err != nil {
				return removed, err
			}
			m.o.crash("after uninstall")
			done.Removed = append(done.Removed, t.Name)
			removed++
		case someOurs:
			done.Merged = append(done.Merged, t.Name)
		}
	}
	return removed, nil
}

// seen waits until the target has looked at its directory twice; one that does not answer is not waited for.
func (m *mover) seen(ctx context.Context) error {
	before, err := m.o.TargetServer.Observe(ctx)
	for err == nil {
		now, asked := m.o.TargetServer.Observe(ctx)
		if asked != nil || now.Reloads >= before.Reloads+2 || now.Reloads < before.Reloads {
			break
		}
		err = m.pause(ctx)
	}
	return ctx.Err()
}

func begin(e block.Entry) int64 {
	if e.Meta == nil {
		return 0
	}
	return e.Meta.MinTime
}

type origin int

const (
	notOurs origin = iota
	someOurs
	allOurs
)

// origin says whether a block of the target was brought by the move, by what it was made of.
func (s *State) origin(t *block.Entry) origin {
	ours := map[ulid.ULID]bool{}
	for _, name := range s.known() {
		if id, err := ulid.ParseStrict(name); err == nil {
			ours[id] = true
		}
	}
	for _, e := range s.Frozen {
		for _, id := range e.Meta.Compaction.Sources {
			ours[id] = true
		}
	}
	if slices.Contains(s.known(), t.Name) {
		return allOurs
	}
	if t.Meta == nil {
		return notOurs
	}
	n := 0
	for _, id := range t.Meta.Compaction.Sources {
		if ours[id] {
			n++
		}
	}
	switch {
	case n == 0:
		return notOurs
	case n == len(t.Meta.Compaction.Sources):
		return allOurs
	}
	return someOurs
}
