package replica

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Pinned lists the chosen blocks that are pinned.
func (p *Pair) Pinned(ctx context.Context) (*block.Listing, error) {
	all := &block.Listing{}
	for m, one := range p.o.Members {
		list, err := one.Source.Pinned(ctx)
		if err != nil {
			p.mu.Lock()
			missed := p.needed(m)
			p.mu.Unlock()
			if missed || !transfer.Unanswered(err) {
				return nil, fmt.Errorf("listing what is pinned on the replica %s: %w", p.names[m], err)
			}
			continue
		}
		for _, e := range list.Blocks {
			if _, owner, err := p.member(e.Name); err == nil && owner == m {
				all.Blocks = append(all.Blocks, e)
			}
		}
	}
	return all, nil
}

// Pin pins each block on its replica.
func (p *Pair) Pin(ctx context.Context, names []string) error {
	var of [2][]string
	for _, name := range names {
		_, m, err := p.member(name)
		if err != nil {
			return err
		}
		of[m] = append(of[m], name)
	}
	for m, list := range of {
		if len(list) == 0 {
			continue
		}
		if err := p.o.Members[m].Source.Pin(ctx, list); err != nil {
			return fmt.Errorf("pinning on the replica %s: %w", p.names[m], err)
		}
		p.mu.Lock()
		p.eachPiece(func(_ int, x *Piece) { x.Pinned = x.Pinned || slices.Contains(list, x.Name) })
		err := p.save()
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// Unpin lets go of all blocks of both. A replica that is gone for good keeps its links, and people are told.
func (p *Pair) Unpin(ctx context.Context) error {
	for m, one := range p.o.Members {
		err := one.Source.Unpin(ctx)
		if !transfer.Unanswered(err) {
			if err != nil {
				return fmt.Errorf("letting go of the replica %s: %w", p.names[m], err)
			}
			continue
		}
		p.mu.Lock()
		if p.mute[m].IsZero() {
			p.mute[m] = time.Now()
		}
		wait := !p.gone[m] && time.Since(p.mute[m]) < p.o.Patience
		p.mu.Unlock()
		if wait {
			return fmt.Errorf("letting go of the replica %s: %w", p.names[m], err)
		}
		p.o.Tell(fmt.Sprintf("%s does not answer: if it comes back, remove slipway-pin from its data directory", p.names[m]))
	}
	return nil
}

// Files lists the files of a pinned block.
func (p *Pair) Files(ctx context.Context, name string) ([]block.FileInfo, error) {
	s, _, err := p.member(name)
	if err != nil {
		return nil, err
	}
	return s.Files(ctx, name)
}

// Read reads a range of a pinned block where it is.
func (p *Pair) Read(ctx context.Context, r transfer.Range, to io.Writer) (block.Sum, error) {
	s, _, err := p.member(r.Block)
	if err != nil {
		return block.Sum{}, err
	}
	return s.Read(ctx, r, to)
}

// Scrub reads a pinned block whole where it is.
func (p *Pair) Scrub(ctx context.Context, name string, pieceBytes int64) (*block.Report, error) {
	s, _, err := p.member(name)
	if err != nil {
		return nil, err
	}
	return s.Scrub(ctx, name, pieceBytes)
}

// Status adds both up; what limits one limits the pair.
func (p *Pair) Status(ctx context.Context) (*transfer.SourceStatus, error) {
	sum := &transfer.SourceStatus{LimitedBy: transfer.LimitedByNothing}
	var last error
	answers := 0
	for m, one := range p.o.Members {
		s, err := one.Source.Status(ctx)
		if err != nil {
			last = fmt.Errorf("asking the replica %s: %w", p.names[m], err)
			continue
		}
		answers++
		sum.BytesRead += s.BytesRead
		sum.BytesPerSecond += s.BytesPerSecond
		sum.Pinned = append(sum.Pinned, s.Pinned...)
		if s.Dropped != "" {
			sum.Dropped = p.names[m] + ": " + s.Dropped
		}
		if sum.Throttle == nil || s.LimitedBy != transfer.LimitedByNothing {
			sum.Throttle, sum.LimitedBy = s.Throttle, s.LimitedBy
		}
	}
	if answers == 0 {
		return nil, last
	}
	return sum, nil
}
