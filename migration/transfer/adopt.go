package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/block"
)

// adoptPiece is the size of the pieces that an adopted block is summed in.
const adoptPiece = 8 << 20

// Adopt makes a block that was written on this disk, below the staging folder, a staged one: it is read back and judged,
// takes its own name in the staging folder, and stands in the journal as whole. Repeated after any end it goes on.
func Adopt(ctx context.Context, target string, made *block.Staged) error {
	name := made.Meta.ULID.String()
	staging := filepath.Join(target, StagingFolder)
	lock, err := lockStaging(staging)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := errors.Join(giveTo(made.Folder, target), dropCached(made.Folder)); err != nil {
		return fmt.Errorf("adopting block %s: %w", name, err)
	}
	if err := os.Rename(made.Folder, filepath.Join(staging, name)); err != nil {
		return fmt.Errorf("adopting block %s: %w", name, err)
	}
	if err := durable.SyncDir(staging); err != nil {
		return err
	}
	if err := adoptStaged(ctx, staging, name); err != nil {
		return fmt.Errorf("adopting block %s: %w", name, err)
	}
	return nil
}

// adoptStaged judges a staged block and writes what it is into the journal.
func adoptStaged(ctx context.Context, staging, name string) error {
	d, err := block.Open(staging)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // it was only read
	report, err := d.Scrub(ctx, name, block.ScrubOptions{SumsOnly: true, PieceBytes: adoptPiece})
	if err != nil {
		return err
	}
	if report.Verdict != block.OK {
		return fmt.Errorf("it is %s: %w", report.Verdict, report.Err())
	}
	files, err := d.Files(name)
	if err != nil {
		return err
	}
	j, err := openJournal(staging)
	if err != nil {
		return err
	}
	lines := []line{{Kind: lineBegin, Block: name, Bytes: adoptPiece, Files: files}}
	for _, f := range report.Sums {
		for i := range f.Pieces {
			lines = append(lines, line{Kind: linePiece, Block: name, File: f.Name, Piece: int64(i), Sum: &f.Pieces[i]})
		}
	}
	return errors.Join(j.add(append(lines, line{Kind: lineWhole, Block: name})...), j.close())
}

// StagedBlocks are the names of blocks that are whole in a target's staging folder, and the block whose installation
// nobody saw the end of, empty for none.
func StagedBlocks(target string) (names []string, installing string, err error) {
	staging := filepath.Join(target, StagingFolder)
	f, err := os.Open(filepath.Join(staging, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading the journal: %w", err)
	}
	defer f.Close()
	state, _, err := readJournal(f)
	if err != nil {
		return nil, "", err
	}
	for name, b := range state {
		if b.whole && treeBytes(filepath.Join(staging, name)) == b.bytes() {
			names = append(names, name)
		}
	}
	text, err := os.ReadFile(filepath.Join(staging, markerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("looking for an installation that was not ended: %w", err)
	}
	return names, string(text), nil
}

// Unstage removes a staged block; one that is not there is removed already.
func Unstage(target, name string) error {
	return unstage(target, name, checkName(name))
}

// cutPrefix begins the folder of a piece that is being cut.
const cutPrefix = "slipway-cut-"

// UnstageOthers removes what lies in a staging folder for a block, and is none of those that are known: an interrupted cut
// leaves that behind.
func UnstageOthers(target string, known []string) error {
	return unstageAll(target, func(name string) bool {
		return !slices.Contains(known, name) && (checkName(name) == nil || strings.HasPrefix(name, cutPrefix))
	})
}

// UnstageCuts removes what an interrupted cut left, and nothing that was adopted.
func UnstageCuts(target string) error {
	return unstageAll(target, func(name string) bool { return strings.HasPrefix(name, cutPrefix) })
}

func unstageAll(target string, which func(name string) bool) error {
	entries, err := os.ReadDir(filepath.Join(target, StagingFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for what an interrupted cut left: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && which(e.Name()) {
			errs = append(errs, unstage(target, e.Name(), nil))
		}
	}
	return errors.Join(errs...)
}

func unstage(target, name string, err error) error {
	if err != nil {
		return err
	}
	staging := filepath.Join(target, StagingFolder)
	if _, err := os.Lstat(staging); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := lockStaging(staging)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := errors.Join(os.RemoveAll(filepath.Join(staging, name)), durable.SyncDir(staging)); err != nil {
		return fmt.Errorf("removing staged block %s: %w", name, err)
	}
	return nil
}

// Uninstall takes an installed block out of a data directory and removes it. A server that runs there stops answering from
// it at its next look; the space comes back when it ends. A block that is not there is taken already.
func Uninstall(target, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	staging := filepath.Join(target, StagingFolder)
	lock, err := lockStaging(staging)
	if err != nil {
		return err
	}
	defer lock.Close()
	staged := filepath.Join(staging, name)
	if _, err := os.Lstat(filepath.Join(target, name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(staged); err != nil { // a whole copy of the same
		return fmt.Errorf("taking block %s away: %w", name, err)
	}
	if err := takeAway(filepath.Join(target, name), staged); err != nil {
		return fmt.Errorf("taking block %s away: %w", name, err)
	}
	if err := errors.Join(os.RemoveAll(staged), durable.SyncDir(staging)); err != nil {
		return fmt.Errorf("removing block %s: %w", name, err)
	}
	return nil
}
