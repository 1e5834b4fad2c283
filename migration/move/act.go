package move

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// act does one step.
func (m *mover) act(ctx context.Context, w *World, s *Step) error {
	if s.Kind != stepRelease { // what was seen of the target's scrapes is of before
		m.looked = nil
	}
	switch s.Kind {
	case stepResume:
		return m.again(ctx, m.installer.Resume(ctx))
	case stepPin:
		return m.pin(ctx, w, s.Blocks)
	case stepSeam:
		m.state.Seam = s.At
		return m.save("seam")
	case stepLower:
		return m.lower(s)
	case stepEnd:
		return m.end(w, s)
	case stepLook:
		return m.look(ctx)
	case stepExpire:
		m.state.Expired = append(m.state.Expired, s.Blocks...)
		m.state.note("%s: the source's own retention has reached them", blocks(s.Blocks))
		return m.save("expired")
	case stepStage:
		return m.stage(ctx, w, s.Blocks)
	case stepCut:
		return m.cut(ctx, w, s.Part)
	case stepInstall:
		return m.install(ctx, w, s.Part)
	case stepVerify:
		return m.verify(ctx, w)
	}
	return m.release(ctx)
}

// end freezes where a round ends. A round of which nothing is cut yet is made longer; else another one begins.
func (m *mover) end(w *World, s *Step) error {
	span := m.o.SeamSpan.Milliseconds()
	rounds := slices.Clone(m.state.Rounds)
	switch last := len(rounds) - 1; {
	case last < 0:
		rounds = []seam.Round{{From: m.state.Seam, End: s.At}}
	case len(rounds[last].Parts) == 0:
		rounds[last].End = s.At
	default:
		rounds = append(rounds, seam.Round{From: max(m.state.Seam, rounds[last].End-span), End: s.At})
	}
	for _, o := range w.outages() {
		o.Round = len(rounds) - 1
		m.state.Outages = append(m.state.Outages, o)
		m.state.note("the target missed scrapes %s: %s", o.Range, o.Why)
	}
	m.state.Rounds, m.state.Covered = rounds, s.At-span
	m.state.Proof, m.state.Released = nil, false
	return m.save("end")
}

// look looks through the target's own scrapes. What did not work is told, and tried again.
func (m *mover) look(ctx context.Context) error {
	found, err := m.o.Outages(ctx, m.state.Covered)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.looked = &looked{at: time.Now(), outages: found}
	if err != nil {
		m.looked.unseen = fmt.Sprintf("looking whether the target missed scrapes: %v", err)
	}
	return nil
}

// pin holds blocks on the source and freezes what they are. One that went away since the listing is looked for again.
func (m *mover) pin(ctx context.Context, w *World, names []string) error {
	err := m.o.Source.Pin(ctx, names)
	if refused := (*transfer.RefusedError)(nil); errors.As(err, &refused) && refused.Code == transfer.NotFound || errors.Is(err, fs.ErrNotExist) {
		return m.pause(ctx) // compacted or deleted meanwhile: the next listing shows it
	}
	if transfer.Unanswered(err) {
		return m.pause(ctx) // the next listing says how long it is silent
	}
	if err != nil {
		return fmt.Errorf("pinning %s: %w", blocks(names), err)
	}
	m.o.crash("after pin")
	for _, e := range w.Source {
		if slices.Contains(names, e.Name) {
			m.state.Frozen = append(m.state.Frozen, e)
		}
	}
	return m.save("frozen")
}

// lower takes away what would end inside the target's head, forgets the pieces that were cut at the old seam, and freezes it
// anew.
func (m *mover) lower(s *Step) error {
	for _, name := range s.Blocks {
		if err := transfer.Uninstall(m.o.TargetData, name); err != nil {
			return err
		}
	}
	for _, c := range m.state.Cuts {
		if c.Block != "" {
			if err := transfer.Unstage(m.o.TargetData, c.Block); err != nil {
				return err
			}
		}
	}
	m.state.note("S' was lowered from %s to %s", stamp(m.state.Seam), stamp(s.At))
	if end := m.state.End(); end > 0 {
		m.state.Rounds = []seam.Round{{From: s.At, End: end}}
	}
	for i := range m.state.Outages {
		m.state.Outages[i].Round = 0
	}
	m.state.Seam, m.state.Cuts, m.state.Proof = s.At, nil, nil
	return m.save("lowered")
}

// stage brings blocks. A block that neither the source nor its pin has any more is forgotten if another one has its samples.
func (m *mover) stage(ctx context.Context, w *World, names []string) error {
	if m.state.Released { // what is pinned for this is let go of again
		m.state.Released = false
		if err := m.save("unreleased"); err != nil {
			return err
		}
	}
	if err := m.freeze(w, names); err != nil {
		return err
	}
	pull := m.o.Pull
	pull.Source, pull.Target, pull.Blocks = m.o.Source, m.o.TargetData, names
	pull.Progress = func(p transfer.Progress) {
		if m.o.Pull.Progress != nil {
			m.o.Pull.Progress(p)
		}
		m.report(&p)
	}
	_, err := transfer.Pull(ctx, pull)
	m.o.crash("after stage")
	refused := (*transfer.RefusedError)(nil)
	damage := (*transfer.DamageError)(nil)
	switch {
	case errors.As(err, &damage) && damage.Side == transfer.SourceDisk:
		return &Stop{RuleSourceDamaged, fmt.Sprintf("%v; or give its samples up with --lost %s", err, damage.Block)}
	case errors.As(err, &refused) && (refused.Code == transfer.NotFound || refused.Code == transfer.NotPinned), errors.Is(err, fs.ErrNotExist):
		return m.forget(ctx, names, err)
	}
	return err
}

// freeze keeps what blocks are that lie behind S' and took the place of others: the source may compact them once more.
func (m *mover) freeze(w *World, names []string) error {
	frozen := len(m.state.Frozen)
	for _, e := range w.Source {
		if slices.Contains(names, e.Name) && m.state.frozen(e.Name) == nil && m.state.Seam > 0 && e.Meta.MaxTime > m.state.Seam {
			m.state.Frozen = append(m.state.Frozen, e)
		}
	}
	if len(m.state.Frozen) == frozen {
		return nil
	}
	return m.save("frozen")
}

// forget drops blocks that are gone on the source, as far as their samples are in others there.
func (m *mover) forget(ctx context.Context, names []string, why error) error {
	list, err := m.o.Source.Blocks(ctx)
	if transfer.Unanswered(err) {
		return m.pause(ctx) // the next listing says how long it is silent
	}
	if err != nil {
		return fmt.Errorf("listing the source: %w", err)
	}
	forgotten := 0
	for _, name := range names {
		e := m.state.frozen(name)
		if e == nil || slices.ContainsFunc(list.Blocks, func(x block.Entry) bool { return x.Name == name }) {
			continue
		}
		heir := slices.IndexFunc(list.Blocks, func(x block.Entry) bool { return x.Verdict == block.OK && covers(x.Meta, e.Meta) })
		if heir < 0 {
			return &Stop{RuleSourceGone, fmt.Sprintf("block %s (%s to %s) is neither on the source nor pinned there any more: %v; give its samples up with --lost %s",
				name, stamp(e.Meta.MinTime), stamp(e.Meta.MaxTime), why, name)}
		}
		m.state.note("block %s was compacted into %s on the source, and its pin is gone", name, list.Blocks[heir].Name)
		m.state.Frozen = slices.DeleteFunc(m.state.Frozen, func(f block.Entry) bool { return f.Name == name })
		forgotten++
	}
	if forgotten == 0 {
		return why
	}
	return m.save("forgotten")
}

func covers(all, one *block.Meta) bool {
	for _, id := range one.Compaction.Sources {
		if !slices.Contains(all.Compaction.Sources, id) {
			return false
		}
	}
	return len(one.Compaction.Sources) > 0
}

// install installs a part. A piece that is not staged any more is cut again.
func (m *mover) install(ctx context.Context, w *World, x *seam.Part) error {
	s := transfer.Step{Block: x.Source, MinTime: x.From, MaxTime: x.To, Bytes: x.Bytes}
	if x.Side != seam.Whole {
		s.Block = m.state.cut(*x).Block
	}
	if !slices.Contains(w.Staged, s.Block) && !slices.ContainsFunc(w.Target, func(e block.Entry) bool { return e.Name == s.Block }) {
		m.state.Cuts = slices.DeleteFunc(m.state.Cuts, func(d seam.Done) bool { return d.Block == s.Block })
		return m.save("cut forgotten")
	}
	m.o.crash("before install")
	err := m.installer.Install(ctx, s)
	m.o.crash("after install")
	if spoiled := (*transfer.SpoiledError)(nil); errors.As(err, &spoiled) {
		return m.spoiled(w, x, spoiled)
	}
	return m.again(ctx, err)
}

// strikes is how often the target's disk may spoil a block before the run stops.
const strikes = 3

// spoiled is for a staged block that the target's disk does not give back as it was: it is fetched or cut again. A piece behind S' is cut from
// what the target has, and that is more than it was once another one of its round is in.
func (m *mover) spoiled(w *World, x *seam.Part, err *transfer.SpoiledError) error {
	if m.spoils[err.Block]++; m.spoils[err.Block] >= strikes || x.Side == seam.After && w.roundIsIn(x.Round) {
		return &transfer.DamageError{Side: transfer.TargetDisk, Block: err.Block, File: err.Files[0], Offset: -1, Times: m.spoils[err.Block]}
	}
	m.state.note("block %s was spoiled on the target's disk after it was verified there (%s), and is brought again: look at that disk", err.Block, strings.Join(err.Files, ", "))
	return m.save("spoiled")
}

// roundIsIn says that a piece of a round behind S' is installed, as it is or in what the target made of it.
func (w *World) roundIsIn(round int) bool {
	return slices.ContainsFunc(w.State.Cuts, func(d seam.Done) bool {
		made := func(id ulid.ULID) bool { return id.String() == d.Block }
		return d.Side == seam.After && d.Round == round && slices.ContainsFunc(w.Target, func(e block.Entry) bool { return e.Meta != nil && slices.ContainsFunc(e.Meta.Compaction.Sources, made) })
	})
}

// again decides again where an installation did not come about for a reason that passes: the head moved since, or the server was
// restarted or is away. Nothing of the block is in the data directory then.
func (m *mover) again(ctx context.Context, err error) error {
	var rule *transfer.RuleError
	var away *transfer.InstallError
	if errors.As(err, &rule) || errors.Is(err, transfer.ErrTargetSilent) || errors.Is(err, transfer.ErrStillOpen) || errors.As(err, &away) && away.Restarted {
		return m.pause(ctx)
	}
	return err
}

// looks is how often both servers are compared again because the target's blocks were others when it was asked.
const looks = 5

// verify reads what was brought, proves, and keeps the outcome.
func (m *mover) verify(ctx context.Context, w *World) error {
	if again, err := m.reread(ctx, w); again || err != nil {
		return err
	}
	var err error
	if w.Target, err = transfer.ListTarget(m.o.TargetData); err != nil { // reading takes long
		return err
	}
	if w.unsettled() != "" {
		return nil // it is waited for
	}
	r, err := m.o.Proof(ctx, w.proofInput())
	if err != nil {
		return fmt.Errorf("comparing both servers: %w", err)
	}
	if m.compared++; m.compared < looks && otherBlocks(r) {
		return m.pause(ctx)
	}
	m.state.Proof = &Proved{At: time.Now().UTC(), Verdict: r.Verdict, Summary: r.Summary, Seed: r.Seed}
	if err := m.save("proof"); err != nil {
		return err
	}
	if r.Verdict != proof.Proved {
		return &Stop{RuleNotProved, fmt.Sprintf("the proof with seed %d says %s: %s%s. The old server is as it was", r.Seed, r.Verdict, strings.TrimSuffix(r.Summary, "."), first(r))}
	}
	return nil
}

// reread reads everything from the target's disk that was brought there: the source holds it until now, and a proof looks at a part of the
// samples alone. again says that the target compacted or deleted a block meanwhile.
func (m *mover) reread(ctx context.Context, w *World) (again bool, err error) {
	d, err := block.Open(m.o.TargetData)
	if err != nil {
		return false, fmt.Errorf("reading what was brought: %w", err)
	}
	defer func() { _ = d.Close() }() // it was only read
	for _, t := range w.Target {
		if w.State.origin(&t) == notOurs {
			continue
		}
		report, err := d.Scrub(ctx, t.Name, block.ScrubOptions{SumsOnly: true})
		if err != nil {
			return false, fmt.Errorf("reading what was brought: %w", err)
		}
		if gone(&block.Without{Dir: m.o.TargetData, Blocks: []string{t.Name}}) {
			return true, nil
		}
		if report.Verdict != block.OK {
			t.Verdict, t.Damage = report.Verdict, report.Damage[0]
			return false, spoiledStop(&t)
		}
	}
	return false, nil
}

// otherBlocks says that the target had loaded other blocks than those that were listed just before.
func otherBlocks(r *proof.Report) bool {
	return slices.ContainsFunc(r.Checks, func(c *proof.Check) bool {
		return c.Name == "blocks" && slices.ContainsFunc(c.Findings, func(f proof.Finding) bool { return f.Kind == proof.NotCovered && f.What == "the target" })
	})
}

// first is the first finding of the first check that stands in the way.
func first(r *proof.Report) string {
	for _, c := range r.Checks {
		if (c.Verdict == proof.Different || c.Verdict == proof.Unknown) && len(c.Findings) > 0 {
			f := c.Findings[0]
			return strings.TrimSuffix(fmt.Sprintf(" (%s: %s: %s; %s", c.Name, f.Kind, f.What, f.Text), "; ") + ")"
		}
	}
	return ""
}

// proofInput is what must be on the target: the blocks that went in whole, and the pieces of the others.
func (w *World) proofInput() ProofInput {
	s := &w.State
	in := ProofInput{Seam: s.Seam, End: s.End(), Filled: s.Filled(), SourceBlocks: &block.Listing{}, TargetBlocks: &block.Listing{Blocks: w.Target}}
	left := append(slices.Clone(w.Lost), s.Expired...)
	for _, e := range s.Frozen {
		if e.Meta.MaxTime <= s.Seam && !slices.Contains(left, e.Name) {
			in.SourceBlocks.Blocks = append(in.SourceBlocks.Blocks, e)
		}
	}
	for _, c := range s.Cuts {
		if c.Block != "" {
			in.SourceBlocks.Blocks = append(in.SourceBlocks.Blocks, pieceEntry(c))
		}
	}
	return in
}

// release lets go of the source and empties the staging folder.
func (m *mover) release(ctx context.Context) error {
	if err := m.o.Source.Unpin(ctx); transfer.Unanswered(err) {
		return m.pause(ctx) // the next listing says how long it is silent
	} else if err != nil {
		return fmt.Errorf("letting go of the blocks on the source: %w", err)
	}
	m.o.crash("after unpin")
	if err := transfer.UnstageOthers(m.o.TargetData, nil); err != nil {
		return err
	}
	m.state.Released, m.state.LetGo = true, nil
	for _, e := range m.state.Frozen {
		m.state.LetGo = append(m.state.LetGo, e.Name)
	}
	return m.save("released")
}
