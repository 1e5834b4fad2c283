package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/migration/block"
)

// seed takes what the seed has of the block already. Each side reads its own disk once and only sums travel. done says
// that the block is installed in the target and is what the source has.
func (b *staging) seed(ctx context.Context) (done bool, err error) {
	if b.o.Seed == "" || b.arrived() == b.known.bytes() {
		return false, nil
	}
	if _, err := os.Lstat(filepath.Join(b.o.Seed, b.name)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	local, err := OpenLocal(LocalOptions{Data: b.o.Seed, Still: true})
	if err != nil {
		return false, fmt.Errorf("opening the seed: %w", err)
	}
	defer func() { _ = local.Close() }() // it was only read
	same, here, err := b.compareSeed(ctx, local)
	if err != nil {
		return false, err
	}
	if b.seedIsTarget() && len(same) == b.count() && here.Verdict == block.OK {
		b.done(PulledBlock{Name: b.name, State: Installed, Folder: filepath.Join(b.o.Target, b.name), Bytes: b.known.bytes()})
		if err := os.RemoveAll(b.folder); err != nil {
			return false, fmt.Errorf("removing an empty staging folder: %w", err)
		}
		return true, nil
	}
	return false, b.takeSeed(ctx, local, same)
}

// place is a piece of a file.
type place struct {
	file  string
	piece int64
}

// compareSeed finds the pieces that are the same on both sides, by sums of the same sizes.
func (b *staging) compareSeed(ctx context.Context, local *Local) (map[place]block.Sum, *block.Report, error) {
	b.verifying.Add(1)
	defer b.verifying.Add(-1)
	here, err := local.Scrub(ctx, b.name, b.known.piece)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the seed: %w", err)
	}
	b.verified.add(int(local.read.total()))
	var there *block.Report
	if err := b.ask(ctx, func() (err error) { there, err = b.o.Source.Scrub(ctx, b.name, b.known.piece); return err }); err != nil {
		return nil, nil, fmt.Errorf("asking for the sums of the source: %w", err)
	}
	ours := map[place]block.Sum{}
	for _, f := range here.Sums {
		for i, sum := range f.Pieces {
			ours[place{f.Name, int64(i)}] = sum
		}
	}
	same := map[place]block.Sum{}
	for _, f := range there.Sums {
		for i, sum := range f.Pieces {
			if at := (place{f.Name, int64(i)}); ours[at] == sum {
				same[at] = sum
			}
		}
	}
	return same, here, nil
}

func (b *staging) count() (n int) {
	b.each(func(Range, int64) { n++ })
	return n
}

// takeSeed copies the pieces that are the same.
func (b *staging) takeSeed(ctx context.Context, local *Local, same map[place]block.Sum) error {
	for _, f := range b.known.files {
		if _, err := b.open(f); err != nil {
			return err
		}
	}
	var errs []error
	b.each(func(r Range, piece int64) {
		want, ok := same[place{r.File, piece}]
		if !ok || len(errs) > 0 || b.journal.sum(b.name, r.File, piece) != nil {
			return
		}
		sum, err := b.take(ctx, local, r, &b.seeded)
		if err == nil && sum == want { // else it changed since, and is fetched
			err = b.landed(r, piece, sum)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("taking from the seed: %w", err))
		}
	})
	b.mu.Lock()
	errs = append(errs, b.flush())
	b.mu.Unlock()
	return errors.Join(append(errs, b.close())...)
}
