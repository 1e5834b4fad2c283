package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// scrubPiece is the size of the pieces in which a block is summed where it lies; the sums are not needed here.
const scrubPiece = 64 << 20

// Prepare looks once, so that who answers for what is known before anything moves.
func (p *Pair) Prepare(ctx context.Context) error {
	if _, err := p.Observe(ctx); err != nil {
		return err
	}
	_, err := p.Blocks(ctx)
	return err
}

// Run moves both as one, as move.Run does. Where a block cannot be had from the replica that was chosen, the other one stands in, and it goes
// on.
func (p *Pair) Run(ctx context.Context, o move.Options) (*move.State, error) {
	o.Source, o.SourceServer, o.SourceName = p, p, p.Name()
	given, report := o.Lost, o.Report
	for {
		var end *move.Progress
		if report != nil { // the end is told when it is one
			o.Report = func(x move.Progress) {
				if x.Stop != nil {
					end = &x
					return
				}
				report(x)
			}
		}
		if err := p.giveUp(ctx); err != nil {
			return nil, err
		}
		o.Lost = p.lost(given)
		s, err := move.Run(ctx, o)
		again := false
		if err != nil && ctx.Err() == nil {
			var stuck error
			if again, stuck = p.standIn(ctx, err); stuck != nil {
				err = errors.Join(err, stuck)
			}
		}
		if again {
			continue
		}
		if end != nil {
			report(*end)
		}
		return s, err
	}
}

// lost are the blocks that a move does not want: those that a person gives up, and those that the other replica stands in for.
func (p *Pair) lost(given []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(slices.Clone(given), p.state.Dropped...)
}

// giveUp puts the other replica in the place of what a person gives up.
func (p *Pair) giveUp(ctx context.Context) error {
	p.mu.Lock()
	chosen := false
	p.eachPiece(func(_ int, x *Piece) { chosen = chosen || !x.Held && slices.Contains(p.o.Lost, x.Name) })
	p.mu.Unlock()
	if !chosen {
		return nil
	}
	_, err := p.substitute(ctx, nil)
	return err
}

// standIn looks for what cannot be had, after a move came to an end with an error. It is true if the other replica has it.
func (p *Pair) standIn(ctx context.Context, why error) (bool, error) {
	var stop *move.Stop
	var lost *transfer.LostError
	var damage *transfer.DamageError
	switch {
	case errors.As(why, &lost), errors.As(why, &damage), isGone(why):
	case errors.As(why, &stop) && (stop.Rule == move.RuleSourceDamaged || stop.Rule == move.RuleSourceGone):
	default:
		return false, nil
	}
	bad, silent, err := p.missing(ctx)
	if err != nil || len(bad) == 0 {
		return false, err
	}
	p.mu.Lock()
	for m := range 2 {
		p.gone[m] = p.gone[m] || silent[m]
	}
	p.mu.Unlock()
	if p.gone[0] && p.gone[1] {
		return false, nil
	}
	return p.substitute(ctx, bad)
}

// missing are the chosen blocks that are not on the target's disk and that their replica does not give: it is silent, or has them no
// more, or they are damaged. A move stages all others before it ends, so few are read here.
func (p *Pair) missing(ctx context.Context) (bad []string, silent [2]bool, err error) {
	wanted := p.wanted()
	for m, one := range p.o.Members {
		if len(wanted[m]) == 0 {
			continue
		}
		list, err := transfer.List(ctx, one.Source)
		if transfer.Unanswered(err) {
			silent[m], bad = true, append(bad, wanted[m]...)
			continue
		}
		if err != nil {
			return nil, silent, fmt.Errorf("listing the replica %s: %w", p.names[m], err)
		}
		for _, name := range wanted[m] {
			ok, err := whole(ctx, one.Source, list, name)
			if err != nil {
				return nil, silent, fmt.Errorf("reading block %s of the replica %s: %w", name, p.names[m], err)
			}
			if !ok {
				bad = append(bad, name)
			}
		}
	}
	return bad, silent, nil
}

// wanted are the names of what is not on the target's disk.
func (p *Pair) wanted() (names [2][]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if held, _, err := transfer.StagedBlocks(p.o.Target); err == nil {
		p.markHeld(held)
	}
	p.eachPiece(func(m int, x *Piece) {
		if !x.Held {
			names[m] = append(names[m], x.Name)
		}
	})
	return names
}

// whole reads a block where it lies.
func whole(ctx context.Context, s transfer.Source, list *block.Listing, name string) (bool, error) {
	for _, e := range list.Blocks {
		if e.Name == name && (e.Verdict == block.Damaged || e.Verdict == block.Unsupported) {
			return false, nil
		}
	}
	report, err := s.Scrub(ctx, name, scrubPiece)
	said := (*transfer.RefusedError)(nil)
	switch {
	case isGone(err), errors.As(err, &said) && said.Code == transfer.BadDisk:
		return false, nil
	case err != nil:
		return false, err
	}
	return report.Verdict == block.OK, nil
}

// substitute writes down who stands in. The error says what nobody can stand in for.
func (p *Pair) substitute(ctx context.Context, bad []string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, err := p.look(ctx)
	if err != nil {
		return false, err
	}
	w.Damaged = append(slices.Clone(p.state.Damaged), bad...)
	cells, dropped, stuck := Substitute(*w)
	if len(stuck) > 0 {
		return false, fmt.Errorf("the other replica does not stand in: %s", strings.Join(stuck, "; "))
	}
	if len(dropped) == 0 {
		return false, nil
	}
	p.state.Cells = cells
	p.state.Dropped = append(p.state.Dropped, dropped...)
	for m := range 2 {
		if !p.gone[m] {
			p.state.Damaged = append(p.state.Damaged, of(w.Blocks[m], bad)...)
		}
	}
	p.tell(&Choice{Cells: cells})
	return true, p.save()
}

// of are those names that are blocks of a list.
func of(list []block.Entry, some []string) (all []string) {
	for _, e := range list {
		if slices.Contains(some, e.Name) {
			all = append(all, e.Name)
		}
	}
	return all
}

// Part is a range whose samples are those of one replica, in Unix milliseconds, To not included.
type Part struct {
	Member   int
	From, To int64
}

// Parts are the ranges up to a time, oldest first; neighbours of one replica are one. Ranges that nobody gave stay out.
func (p *Pair) Parts(until int64) (parts []Part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	broken := len(p.state.Damaged)+len(p.o.Lost) > 0
	for _, c := range p.state.Cells {
		x := Part{c.Member, c.From, min(c.To, until)}
		if x.From >= x.To {
			continue
		}
		n := len(parts) - 1
		if n >= 0 && parts[n].Member == x.Member && (!broken || x.From-parts[n].To <= slack(x.To-x.From).Milliseconds()) {
			parts[n].To = max(parts[n].To, x.To)
			continue
		}
		if n >= 0 { // a block may begin before the one before it ends, by nothing
			x.From = max(x.From, parts[n].To)
		}
		parts = append(parts, x)
	}
	return parts
}

// Undo takes away what a move brought, as move.Undo does, lets go of both, and forgets what was chosen.
func (p *Pair) Undo(ctx context.Context, o move.Options) (*move.Undone, error) {
	o.Source, o.SourceServer, o.SourceName = p, p, p.Name()
	p.o.Patience = 0 // one that is away keeps its links, and people are told
	done, err := move.Undo(ctx, o)
	if err != nil {
		return done, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = &state{Version: stateVersion, Names: p.names}
	return done, p.save()
}
