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
	j := w.journal
	switch d.Step {
	case StepBegin:
		w.journal = &Journal{Repository: e.o.Repository, Attempt: 1}
		if e.old != nil {
			w.journal.Attempt = e.old.Attempt + 1
		}
		for _, name := range e.group {
			x := w.copies[name]
			w.journal.Indices = append(w.journal.Indices, Before{Name: name, UUID: x.UUID, Primaries: x.Primaries})
		}
	case StepWait:
		w.running = nil
		if w.snapshot != nil && w.snapshot.State == client.SnapshotRunning {
			e.supposeTaken(w)
		}
		for _, name := range e.group {
			w.watched[name] = w.now.Add(-e.o.Quiet - time.Second)
		}
	case StepBlock:
		for _, name := range e.group {
			w.copies[name].Blocked = true
		}
	case StepSettle:
		j.Settled = true
		for i := range j.Indices {
			j.Indices[i].Docs, j.Indices[i].MaxSeqNos = w.copies[j.Indices[i].Name].Docs, w.copies[j.Indices[i].Name].MaxSeqNos
		}
	case StepTake:
		if w.snapshot != nil {
			w.snapshot, j.Attempt, j.Asked = nil, j.Attempt+1, false
			return
		}
		e.supposeTaken(w)
	case StepDiscard:
		w.snapshot, j.Attempt, j.Asked = nil, j.Attempt+1, false
	case StepReadBack:
		if j.ReadBacks == nil {
			j.ReadBacks = map[string]*ledger.ReadBack{}
		}
		j.ReadBacks[d.Index] = &ledger.ReadBack{}
	case StepProve:
		j.Proved = true
	case StepDrop:
		for _, name := range e.group {
			w.copies[name].Replicas = 0
		}
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
