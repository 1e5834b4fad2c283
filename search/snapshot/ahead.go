package snapshot

import (
	"maps"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
)

// ahead follows the decisions of a group to their end, each time in the world as it is when the step went well.
func (e *engine) ahead() []*Decision {
	w := *e.world
	w.copies, w.watched = maps.Clone(w.copies), maps.Clone(w.watched)
	for name, x := range w.copies {
		y := *x
		w.copies[name] = &y
	}
	if w.journal != nil {
		j := *w.journal
		j.Indices, j.ReadBacks = slices.Clone(j.Indices), maps.Clone(j.ReadBacks)
		w.journal = &j
	}
	var all []*Decision
	for {
		d := e.o.decide(e.group, &w)
		all = append(all, d)
		if d.Stop != nil || d.Step == StepDone {
			return all
		}
		e.suppose(&w, d)
	}
}

// suppose makes of the world what it is behind a step.
func (e *engine) suppose(w *world, d *Decision) {
	switch d.Step {
	case StepBegin:
		w.journal = e.newJournal(w)
	case StepWait:
		e.supposeWaited(w)
	case StepBlock:
		w.each(e.group, func(x *client.Copy) { x.Blocked = true })
	case StepSettle:
		w.journal.settled(w.copies)
	case StepTake, StepDiscard:
		if w.snapshot == nil {
			e.supposeTaken(w)
			return
		}
		w.snapshot, w.journal.Attempt, w.journal.Asked = nil, w.journal.Attempt+1, false
	case StepReadBack:
		if w.journal.ReadBacks == nil {
			w.journal.ReadBacks = map[string]*ledger.ReadBack{}
		}
		w.journal.ReadBacks[d.Index] = &ledger.ReadBack{}
	case StepProve:
		w.journal.Proved = true
	case StepDrop:
		w.each(e.group, func(x *client.Copy) { x.Replicas = 0 })
	}
}

func (w *world) each(group []string, change func(*client.Copy)) {
	for _, name := range group {
		change(w.copies[name])
	}
}

// settled takes over what the indices hold.
func (j *Journal) settled(copies map[string]*client.Copy) {
	j.Settled = true
	for i := range j.Indices {
		b := &j.Indices[i]
		b.Docs, b.MaxSeqNos = copies[b.Name].Docs, copies[b.Name].MaxSeqNos
	}
}

// supposeWaited lets what was waited for have happened.
func (e *engine) supposeWaited(w *world) {
	w.running = nil
	if w.snapshot != nil && w.snapshot.State == client.SnapshotRunning {
		e.supposeTaken(w)
	}
	for _, name := range e.group {
		w.watched[name] = w.now.Add(-e.o.Quiet - time.Second)
	}
}

// supposeTaken makes the snapshot one that went well.
func (e *engine) supposeTaken(w *world) {
	j := w.journal
	s := &client.Snapshot{Name: j.Name(), State: client.SnapshotSuccess, Indices: e.group}
	w.contents = map[string]client.Stored{}
	for _, b := range j.Indices {
		s.Shards += b.Primaries
		w.contents[b.Name] = client.Stored{Shards: b.Primaries, Done: b.Primaries}
	}
	s.Successful = s.Shards
	w.snapshot, j.Asked = s, true
}
