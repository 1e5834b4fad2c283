package transfer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/block"
)

// SpoiledError says that a staged block was whole when it was verified, and that its disk gives back something else now. What is wrong is
// forgotten: the next Pull fetches it again.
type SpoiledError struct {
	Block string
	Files []string
}

func (e *SpoiledError) Error() string {
	return fmt.Sprintf("block %s was verified on the target disk, which gives back something else now (%s): what is wrong is fetched again by the next run; look at that disk",
		e.Block, strings.Join(e.Files, ", "))
}

// Recheck reads a staged block again and holds it against what was verified: hours may lie between. What is wrong is a *SpoiledError.
func Recheck(ctx context.Context, target, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	staging := filepath.Join(target, StagingFolder)
	lock, err := lockStaging(staging)
	if err != nil {
		return err
	}
	defer lock.Close()
	return recheck(ctx, staging, name)
}

// recheck is Recheck; the lock is held.
func recheck(ctx context.Context, staging, name string) (err error) {
	j, err := openJournal(staging)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	known := j.of(name)
	if known == nil || !known.whole {
		return ErrNotStaged
	}
	if err := dropCached(filepath.Join(staging, name)); err != nil {
		return err
	}
	d, err := block.Open(staging)
	if err != nil {
		return fmt.Errorf("verifying again: %w", err)
	}
	defer func() { _ = d.Close() }() // it was only read
	report, err := d.Scrub(ctx, name, block.ScrubOptions{SumsOnly: true, PieceBytes: known.piece})
	if err != nil {
		return fmt.Errorf("verifying again: %w", err)
	}
	lines, files := known.differ(name, report)
	if len(lines) == 0 {
		return nil
	}
	return errors.Join(&SpoiledError{Block: name, Files: files}, j.add(lines...))
}

// differ are the pieces that are not what they were, as lines that forget them, and the files that they are of.
func (b *stagedBlock) differ(name string, report *block.Report) (lines []line, files []string) {
	found := map[string][]block.Sum{}
	for _, s := range report.Sums {
		found[s.Name] = s.Pieces // none where the disk gave an error
	}
	for _, f := range b.files {
		for i, want := range b.sums[f.Name] {
			if got := found[f.Name]; i < len(got) && got[i] == *want {
				continue
			}
			lines = append(lines, line{Kind: lineForget, Block: name, File: f.Name, Piece: int64(i)})
			if !slices.Contains(files, f.Name) {
				files = append(files, f.Name)
			}
		}
	}
	return lines, files
}
