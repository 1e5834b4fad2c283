package proof

import (
	"context"
	"fmt"
	"time"
)

// Part is a range of the history that came from one of several sources, in milliseconds, To not included.
type Part struct {
	// Name is what the report calls the source.
	Name     string
	Source   *Server
	From, To int64
}

// RunParts compares each range of the target's history with the source that it came from, and writes one report. The last part is the one
// that ends at the seam, and its source the one that is compared behind it. Inventories are compared once. Of one part it is Run; with more,
// queries are not asked: what they read reaches over the borders, where each source has samples of its own.
func RunParts(ctx context.Context, o Options, parts []Part) (*Report, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("comparing two servers: there is no range to compare")
	}
	last := parts[len(parts)-1]
	o.Source = last.Source
	if len(parts) == 1 {
		return Run(ctx, o)
	}
	o.complete()
	o.From, o.parts = last.From, true
	all, err := Run(ctx, o)
	if err != nil {
		return nil, err
	}
	named(all.Checks, last)
	var checks []*Check
	for _, p := range parts[:len(parts)-1] {
		x := o
		x.Source, x.From, x.To, x.Seam, x.SourceBlocks, x.TargetBlocks = p.Source, p.From, p.To, 0, nil, nil
		x.Samples = share(o.Samples, p, parts)
		r, err := Run(ctx, x)
		if err != nil {
			return nil, fmt.Errorf("comparing %s: %w", window{p.From, p.To}, err)
		}
		named(r.Checks, p)
		for _, c := range r.Checks {
			if c.Verdict != Skipped { // what is left out of every part is said once
				checks = append(checks, c)
			}
		}
		all.Load["source "+p.Name] = r.Load["source"]
	}
	all.From, all.Checks, all.Finished = parts[0].From, append(checks, all.Checks...), time.Now().UTC()
	all.conclude()
	return all, nil
}

// share is how many samples are drawn from a part, by its length; ten at least.
func share(samples int, p Part, parts []Part) int {
	whole := parts[len(parts)-1].To - parts[0].From
	if whole <= 0 {
		return samples
	}
	return max(int(float64(samples)*float64(p.To-p.From)/float64(whole)), perWindow)
}

// named says in the names of checks which part they are of.
func named(checks []*Check, p Part) {
	for _, c := range checks {
		if c.Verdict != Skipped && c.Name != "blocks" {
			c.Name += " of " + p.Name + " " + window{p.From, p.To}.String()
		}
	}
}

// queriesOfOne asks queries where the whole history has one source.
func (r *run) queriesOfOne(ctx context.Context) error {
	if r.o.parts {
		r.skip("queries", "the history is of several sources, and a query reads over their borders")
		return ctx.Err()
	}
	return r.queries(ctx)
}
