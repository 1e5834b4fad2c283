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

// verify reads the staged block back from the disk, once: the sum of every piece against what arrived, every sum of index
// and chunks, the counts of meta.json. What is wrong is forgotten, so that it is fetched again; the third time it is an error.
func (b *staging) verify(ctx context.Context) (whole bool, err error) {
	b.verifying.Add(1)
	defer b.verifying.Add(-1)
	if err := dropCached(b.folder); err != nil {
		return false, err
	}
	d, err := block.Open(b.staging)
	if err != nil {
		return false, fmt.Errorf("verifying: %w", err)
	}
	defer func() { _ = d.Close() }() // it was only read
	report, err := d.Scrub(ctx, b.name, block.ScrubOptions{SumsOnly: true, PieceBytes: b.known.piece, Pace: func(_ context.Context, n int) error {
		b.verified.add(n)
		return nil
	}})
	if err != nil {
		return false, fmt.Errorf("verifying: %w", err)
	}
	if bad, err := b.compare(report); bad || err != nil {
		return false, err
	}
	if report.Verdict == block.OK {
		return true, nil
	}
	return false, b.blameSource(report)
}

// dropCached drops the files below a folder from the page cache, so that they are read from the disk.
func dropCached(folder string) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("verifying: %w", err)
		}
		defer f.Close()
		if err := f.Sync(); err != nil { // what is not on the disk cannot be dropped
			return fmt.Errorf("verifying: %w", err)
		}
		forget(f, 0, 0)
		return nil
	})
}

// compare holds the sums of the disk against those of what arrived.
func (b *staging) compare(report *block.Report) (bad bool, err error) {
	found := map[string]block.FileSums{}
	for _, s := range report.Sums {
		found[s.Name] = s
	}
	var errs []error
	var forgotten []line
	b.each(func(r Range, piece int64) {
		sums := found[r.File].Pieces // none where the disk gave an error
		if piece < int64(len(sums)) && sums[piece] == *b.journal.sum(b.name, r.File, piece) {
			return
		}
		forgotten = append(forgotten, line{Kind: lineForget, Block: b.name, File: r.File, Piece: piece})
		if n := b.strike(TargetDisk, r.File, r.Offset); n >= strikes {
			errs = append(errs, &DamageError{Side: TargetDisk, Block: b.name, File: r.File, Offset: r.Offset, Times: n})
		}
	})
	if len(forgotten) > 0 {
		errs = append(errs, b.journal.add(forgotten...))
	}
	return len(forgotten) > 0, errors.Join(errs...)
}

// blameSource is for a block that is bit for bit what the source sent and does not hold: the source's disk, or what it
// read into its memory. So it is read there again.
func (b *staging) blameSource(report *block.Report) error {
	var forgotten []line
	for _, d := range report.Damage {
		n := b.strike(SourceDisk, d.File, -1)
		if n >= strikes || d.Kind == block.UnknownVersion {
			return errors.Join(&DamageError{Side: SourceDisk, Block: b.name, File: d.File, Offset: -1, Times: n, Damage: d}, b.journal.add(b.forgetAll(report)...))
		}
	}
	forgotten = append(forgotten, b.forgetAll(report)...)
	return b.journal.add(forgotten...)
}

// forgetAll forgets the files that the damage names.
func (b *staging) forgetAll(report *block.Report) []line {
	var lines []line
	for _, d := range report.Damage {
		lines = append(lines, line{Kind: lineForget, Block: b.name, File: d.File, Piece: -1})
	}
	return lines
}
