package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Cutter cuts a block of a directory. block.ErrNothingLeft says that the piece would be empty.
type Cutter interface {
	Cut(ctx context.Context, dir string, o block.CutOptions) (*block.Staged, error)
}

// InProcess cuts in this process, which then holds the symbols of the block's index.
type InProcess struct{}

// Cut cuts.
func (InProcess) Cut(ctx context.Context, dir string, o block.CutOptions) (*block.Staged, error) {
	d, err := block.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }() // it was only read
	s, err := d.Cut(ctx, o)
	return s, transfer.SpaceError(o.Staging, cutRoom, err)
}

// cutRoom is what a piece asks for at first: a file of chunks is made in its full length and cut short at its end (tsdb/chunks
// DefaultChunkSegmentSize of 3.16).
const cutRoom = 512 << 20

// Command cuts by a command in a process of its own, as slipway prometheus cut.
type Command []string

// maxPrinted bounds what the command prints: a meta.json at most.
const maxPrinted = 32 << 20

// Exit codes of the command: NothingLeft is for block.ErrNothingLeft, NoRoom for a *transfer.NoSpaceError.
const (
	NothingLeft = 3
	NoRoom      = 4
)

// Cut runs the command.
func (c Command) Cut(ctx context.Context, dir string, o block.CutOptions) (*block.Staged, error) {
	args := append(c[1:len(c):len(c)], dir, o.Block, "--at="+strconv.FormatInt(o.At, 10), "--keep="+string(o.Keep), "--to="+o.Staging, "--output=json")
	if o.Until > 0 {
		args = append(args, "--until="+strconv.FormatInt(o.Until, 10))
	}
	if w := o.Without; w != nil {
		args = append(args, "--without="+w.Dir, "--lacking="+string(w.Lacking), "--without-from="+strconv.FormatInt(w.From, 10), "--without-until="+strconv.FormatInt(w.Until, 10), "--without-blocks="+strings.Join(w.Blocks, ","))
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, c[0], args...)
	cmd.Stdout, cmd.Stderr = &limited{&out, maxPrinted}, &limited{&errs, 4096}
	// It ends with us, even when we are killed; the kernel ties that to the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &exit) && exit.ExitCode() == NothingLeft:
		return nil, block.ErrNothingLeft
	case errors.As(err, &exit) && exit.ExitCode() == NoRoom:
		return nil, transfer.SpaceError(o.Staging, cutRoom, fmt.Errorf("cutting block %s: %w", o.Block, syscall.ENOSPC))
	case err != nil:
		return nil, fmt.Errorf("cutting block %s: %w: %s", o.Block, err, strings.TrimSpace(errs.String()))
	}
	var s block.Staged
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Meta.ULID == (ulid.ULID{}) {
		return nil, fmt.Errorf("cutting block %s: reading what the command printed: %w", o.Block, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return &s, nil
}

// limited drops what is over a limit.
type limited struct {
	to   *bytes.Buffer
	left int
}

// Write keeps what fits.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, _ = l.to.Write(p[:n]) // never fails
	return len(p), nil
}

// cut makes the piece of a part, from the whole block in the staging folder.
func (m *mover) cut(ctx context.Context, w *World, x *seam.Part) error {
	if err := transfer.UnstageOthers(m.o.TargetData, w.ours()); err != nil {
		return err
	}
	o := m.cutOptions(w, x)
	made, err := m.o.Cutter.Cut(ctx, o.Staging, o)
	done := seam.Done{Part: *x}
	switch {
	case errors.Is(err, block.ErrNothingLeft):
	case err != nil && o.Without != nil && gone(o.Without):
		return m.pause(ctx) // the target compacted meanwhile
	case err != nil:
		return m.blame(ctx, w, x, err)
	default:
		if err := m.adopt(ctx, made); err != nil {
			return err
		}
		done.Block, done.Filled = made.Meta.ULID.String(), made.Filled
	}
	if x.Side == seam.After && len(m.state.Rounds[x.Round].Parts) == 0 {
		var parts []seam.Part
		for _, p := range seam.MakePlan(w.seamWorld()).Parts {
			if p.Side == seam.After && p.Round == x.Round {
				parts = append(parts, p)
			}
		}
		m.state.Rounds[x.Round].Parts = parts
	}
	m.state.Cuts = append(m.state.Cuts, done)
	return m.save("cut")
}

// blame looks whether a block that cannot be cut was spoiled on the target's disk since it was verified.
func (m *mover) blame(ctx context.Context, w *World, x *seam.Part, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if spoiled := (*transfer.SpoiledError)(nil); errors.As(transfer.Recheck(ctx, m.o.TargetData, x.Source), &spoiled) {
		return m.spoiled(w, x, spoiled)
	}
	return err
}

// cutOptions say how a part is cut out of the whole block in the staging folder.
func (m *mover) cutOptions(w *World, x *seam.Part) block.CutOptions {
	o := block.CutOptions{Block: x.Source, At: m.state.Seam, Keep: block.Before, Staging: filepath.Join(m.o.TargetData, transfer.StagingFolder)}
	switch x.Side {
	case seam.After:
		o.At, o.Keep, o.Until = x.From, block.After, x.To
		o.Without = &block.Without{Dir: m.o.TargetData, Blocks: w.targetBlocks(), Lacking: block.Gaps, From: m.state.Seam, Until: m.state.Rounds[x.Round].End}
	case seam.Late:
		o.Without = &block.Without{Dir: m.o.TargetData, Blocks: w.targetBlocks(), Lacking: block.Absent}
	}
	return o
}

// adopt makes a piece a staged block.
func (m *mover) adopt(ctx context.Context, made *block.Staged) (err error) {
	m.o.crash("after cut")
	if made.Folder, err = m.ownFolder(made); err != nil {
		return err
	}
	if err := transfer.Adopt(ctx, m.o.TargetData, made); err != nil {
		return err
	}
	m.o.crash("after adopt")
	return nil
}

// gone says that one of the blocks that were looked at is not there any more.
func gone(o *block.Without) bool {
	return slices.ContainsFunc(o.Blocks, func(name string) bool {
		_, err := os.Lstat(filepath.Join(o.Dir, name))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// ownFolder believes no path of the command but the name.
func (m *mover) ownFolder(made *block.Staged) (string, error) {
	folder := filepath.Join(m.o.TargetData, transfer.StagingFolder, "slipway-cut-"+made.Meta.ULID.String())
	if _, err := os.Lstat(folder); err != nil {
		return "", fmt.Errorf("looking for the piece: %w", err)
	}
	return folder, nil
}

// targetBlocks are the sound blocks of the target.
func (w *World) targetBlocks() (names []string) {
	for _, t := range w.Target {
		if t.Verdict == block.OK { // what was merged is in another one
			names = append(names, t.Name)
		}
	}
	return names
}

// pieceEntry is a piece as it must be on the target.
func pieceEntry(d seam.Done) block.Entry {
	id := ulid.MustParse(d.Block) // it was made here
	m := &block.Meta{ULID: id, MinTime: d.From, MaxTime: d.To, Version: 1}
	m.Compaction.Sources = []ulid.ULID{id}
	return block.Entry{Name: d.Block, Meta: m, Verdict: block.OK}
}
