package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Server is one of the two running servers.
type Server interface {
	transfer.TargetServer
	// BlockRange is the length of the blocks that it cuts from its head, in milliseconds.
	BlockRange(ctx context.Context) (int64, error)
}

// World is what a decision depends on.
type World struct {
	State State
	// Source are the blocks that the source lists.
	Source []block.Entry
	// SourceServer and TargetServer are nil while they do not answer; Silent says why.
	SourceServer, TargetServer *transfer.Observation
	SourceRange, TargetRange   int64
	Silent                     []string
	// NoSource says that the source did not list its blocks just now.
	NoSource bool
	// Target are the target's blocks, Staged those that are whole on its disk.
	Target []block.Entry
	Staged []string
	// Installing is a block whose installation nobody saw the end of.
	Installing string
	// Uncovered is why the target does not scrape yet what the source does; empty: it does.
	Uncovered string
	// Bridged is why the target does not answer from its own data alone; empty: it does.
	Bridged string
	// SeamSpan is how far behind the moment of equal coverage the source's samples are held against the target's.
	SeamSpan   time.Duration
	OutOfOrder time.Duration
	// SourceDisk is where the source's blocks are pinned; nil where that is not known.
	SourceDisk *transfer.Disk
	Lost       []string
	Overrides  []string
	WantsProof bool
	// WantsLook says that the target's own scrapes are looked through before the end, Looked that they were just now: Outages is what
	// was found. Unseen is why that did not work.
	WantsLook, Looked bool
	Outages           []seam.Range
	Unseen            string
}

// looked is what came of looking through the target's own scrapes.
type looked struct {
	at      time.Time
	outages []seam.Range
	unseen  string
}

// lookAgain is for how long that counts while something else is waited for.
const lookAgain = 30 * time.Second

// observe looks at everything once. Servers are asked before lists are read: what has left a head is in a block by then.
func (m *mover) observe(ctx context.Context) (*World, error) {
	w := &World{State: m.state, SeamSpan: m.o.SeamSpan, Lost: m.o.Lost, Overrides: m.o.Overrides, WantsProof: m.o.Proof != nil, WantsLook: m.o.Outages != nil}
	w.SourceServer, w.SourceRange = m.ask(ctx, w, m.o.SourceServer, &m.sourceRange)
	w.TargetServer, w.TargetRange = m.ask(ctx, w, m.o.TargetServer, &m.targetRange)
	m.recall(w)
	m.askRoom(w)
	m.askLate(ctx, w)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.list(ctx, w); err != nil {
		return nil, err
	}
	var err error
	if w.Target, err = transfer.ListTarget(m.o.TargetData); err != nil {
		return nil, err
	}
	if w.Staged, w.Installing, err = transfer.StagedBlocks(m.o.TargetData); err != nil {
		return nil, err
	}
	return w, errors.Join(m.askCoverage(ctx, w), m.askBridge(ctx, w))
}

// recall notes since when the target runs, and what came of the last look at its scrapes.
func (m *mover) recall(w *World) {
	if w.TargetServer == nil || m.looked != nil && time.Since(m.looked.at) > lookAgain {
		m.looked = nil
	}
	if o := w.TargetServer; o != nil && o.Started != m.state.TargetStarted {
		m.state.TargetStarted, m.unsaved = o.Started, true
	}
	if m.looked != nil {
		w.Looked, w.Outages, w.Unseen = true, m.looked.outages, m.looked.unseen
	}
	w.State = m.state
}

// list lists the source. One that does not answer is waited for, as long as Pull waits for it.
func (m *mover) list(ctx context.Context, w *World) error {
	list, err := transfer.List(ctx, m.o.Source)
	switch {
	case err == nil:
		m.silent, m.heard = time.Time{}, true
		w.Source = list.Blocks
		m.beyond(w)
		m.askDisk(ctx, w)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !m.heard || !transfer.Unanswered(err): // a wrong address is said at once
		return fmt.Errorf("listing the source: %w", err)
	case m.silent.IsZero():
		m.silent = time.Now()
	}
	if silent := time.Since(m.silent); silent >= m.o.Pull.Patience {
		return &transfer.LostError{Silent: silent, Err: err}
	}
	w.NoSource, w.Silent = true, append(w.Silent, err.Error())
	return nil
}

// askDisk asks how much room the source has. A source that does not say is no reason to wait.
func (m *mover) askDisk(ctx context.Context, w *World) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if s, err := m.o.Source.Status(ctx); err == nil {
		w.SourceDisk = s.Disk
	}
}

// askBridge asks while a proof may be next.
func (m *mover) askBridge(ctx context.Context, w *World) (err error) {
	if m.o.Bridge == nil || w.State.End() == 0 || w.State.proved() || w.TargetServer == nil {
		return nil
	}
	if w.Bridged, err = m.o.Bridge(ctx); err != nil {
		return fmt.Errorf("asking whether the target answers for itself: %w", err)
	}
	return nil
}

// askCoverage asks the gate while it matters.
func (m *mover) askCoverage(ctx context.Context, w *World) (err error) {
	if w.State.Seam == 0 || w.TargetServer == nil || w.State.End() > 0 && w.missed() == 0 {
		return nil
	}
	if w.Uncovered, err = m.o.Coverage(ctx); err != nil {
		return fmt.Errorf("comparing what both servers scrape: %w", err)
	}
	return nil
}

// askLate asks once in a run how late samples may come: it needs a reload to change.
func (m *mover) askLate(ctx context.Context, w *World) {
	if m.o.LateWindow != nil && m.late == nil && w.SourceServer != nil {
		late, err := m.o.LateWindow(ctx)
		if err != nil {
			w.SourceServer, w.Silent = nil, append(w.Silent, err.Error())
			return
		}
		m.late = &late
	}
	if m.late != nil {
		w.OutOfOrder = *m.late
	}
}

// beyond remembers blocks behind S': the source compacts them with others later.
func (m *mover) beyond(w *World) {
	for _, e := range w.Source {
		if m.state.Seam == 0 || e.Meta == nil || e.Meta.MinTime < m.state.Seam {
			continue
		}
		for _, id := range e.Meta.Compaction.Sources {
			if !slices.ContainsFunc(m.state.Beyond, func(x seam.Later) bool { return x.ID == id }) {
				m.state.Beyond = append(m.state.Beyond, seam.Later{ID: id, From: e.Meta.MinTime})
				m.unsaved = true
			}
		}
	}
	w.State = m.state
}

// ask asks a server what it sees. A server that does not answer is waited for.
func (m *mover) ask(ctx context.Context, w *World, s Server, length *int64) (*transfer.Observation, int64) {
	o, err := s.Observe(ctx)
	if err == nil && *length == 0 {
		*length, err = s.BlockRange(ctx)
	}
	if err != nil {
		w.Silent = append(w.Silent, err.Error())
		return nil, 0
	}
	return o, *length
}

// headRoom is what a server asks for when it writes its head's next file, and ends itself without (tsdb/chunks/head_chunks.go
// MaxHeadChunkFileSize, tsdb/head_append.go handleChunkWriteError; seen on 3.16).
const headRoom = 128 << 20

// askRoom says why a target that does not answer may not run.
func (m *mover) askRoom(w *World) {
	if w.TargetServer != nil {
		return
	}
	if d, err := transfer.DiskOf(m.o.TargetData); err == nil && d.FreeBytes < headRoom {
		w.Silent = append(w.Silent, fmt.Sprintf("%s has %d MiB free: the new server ends itself without %d MiB for its head's next file; make room there, and see that it runs",
			m.o.TargetData, d.FreeBytes>>20, headRoom>>20))
	}
}

// source are the blocks that are listed, and those that were found earlier and are pinned.
func (w *World) source() []block.Entry {
	all := slices.Clone(w.State.Frozen)
	for _, e := range w.Source {
		i := slices.IndexFunc(all, func(f block.Entry) bool { return f.Name == e.Name })
		if i < 0 {
			all = append(all, e)
		} else if e.Verdict != block.OK {
			all[i].Verdict, all[i].Damage = e.Verdict, e.Damage
		}
	}
	for i := range all {
		if w.replaced(&all[i]) {
			all[i].Verdict = block.Gone
		}
	}
	return all
}

// replaced says that a block whose pin was let go of is neither on the source nor here any more, and that another one on the source has
// its samples.
func (w *World) replaced(e *block.Entry) bool {
	listed := func(x block.Entry) bool { return x.Name == e.Name }
	heir := func(x block.Entry) bool { return x.Verdict == block.OK && covers(x.Meta, e.Meta) }
	return slices.Contains(w.State.LetGo, e.Name) && !slices.Contains(w.Staged, e.Name) && !slices.ContainsFunc(w.Source, listed) && slices.ContainsFunc(w.Source, heir)
}

// ours are the names that the move may have given to blocks on the target's disk: pieces, what was frozen, and what the source
// made of that since, which may be brought in its place.
func (w *World) ours() []string {
	names := w.State.known()
	for _, e := range w.source() {
		names = append(names, e.Name)
	}
	return names
}

// seamWorld is the part of the world that the plan around the seam depends on.
func (w *World) seamWorld() seam.World {
	s := &w.State
	return seam.World{
		Source: w.source(), Held: w.Staged, Target: w.Target, Done: s.Cuts, Rounds: s.Rounds, Beyond: s.Beyond, Seam: s.Seam,
		SourceHead: head(w.SourceServer, w.SourceRange), TargetHead: head(w.TargetServer, w.TargetRange),
		OutOfOrder: w.OutOfOrder.Milliseconds(), Lost: append(slices.Clone(w.Lost), s.Expired...),
	}
}

func head(o *transfer.Observation, length int64) *seam.Head {
	if o == nil {
		return nil
	}
	return &seam.Head{Min: o.Head.MinTime, Max: o.Head.MaxTime, Empty: o.Head.Empty, Range: length}
}

// first is where the target's own history begins: its head, or a block that is neither of the source nor a piece.
func (w *World) first() int64 {
	first := w.TargetServer.Head.MinTime
	ours := map[string]bool{}
	for _, e := range w.source() {
		ours[e.Name] = true
		if e.Meta != nil {
			for _, id := range e.Meta.Compaction.Sources {
				ours[id.String()] = true
			}
		}
	}
	for _, t := range w.Target {
		if t.Meta == nil || ours[t.Name] {
			continue
		}
		foreign := true
		for _, id := range t.Meta.Compaction.Sources {
			foreign = foreign && !ours[id.String()]
		}
		if foreign {
			first = min(first, t.Meta.MinTime)
		}
	}
	return first
}

// missed is until when the target scraped nothing since both were last seen to scrape the same, and why that is known. 0: as far as is known
// it went on. A process that was restarted has missed scrapes, however short that took; one that was frozen or cut off is found
// by its own samples.
func (w *World) missed() int64 {
	until := int64(0)
	if w.TargetServer != nil {
		until = w.TargetServer.Started
	}
	for _, o := range w.Outages {
		until = max(until, o.To)
	}
	if w.State.End() == 0 || until <= w.State.Covered {
		return 0
	}
	return until
}

// outages are those that no round covers yet.
func (w *World) outages() (list []Outage) {
	for _, o := range w.Outages {
		if o.To > w.State.Covered {
			list = append(list, Outage{Range: o, Why: "it scraped nothing"})
		}
	}
	if o := w.TargetServer; o != nil && o.Started > w.State.Covered && w.State.End() > 0 {
		list = append(list, Outage{Range: seam.Range{To: o.Started}, Why: "it was restarted"})
	}
	return list
}
