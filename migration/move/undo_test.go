package move

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// TestUndoLeavesTheTargetsOwn ends a move when some blocks are installed, undoes it, and moves again.
func TestUndoLeavesTheTargetsOwn(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	installs := 0
	point, _, err := runKilled(ctx, p.options(t), func(point string) bool {
		if point == "after install" {
			installs++
		}
		return installs == 2
	})
	if point == "" {
		t.Fatalf("it was not ended: %v", err)
	}
	done, err := Undo(ctx, p.options(t))
	if err != nil || len(done.Removed)+len(done.Merged) == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	fresh(t, p)
	for _, name := range done.Removed {
		if _, err := os.Lstat(filepath.Join(p.target.dir, name)); err == nil {
			t.Errorf("block %s is still there", name)
		}
	}
	if again, err := Undo(ctx, p.options(t)); err != nil || len(again.Removed) > 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	p.stop()
	p.target.restart(t)
	if len(done.Merged) > 0 { // the target was quicker
		var stop *Stop
		if _, err := Run(ctx, p.options(t)); !errors.As(err, &stop) || stop.Rule != RuleTargetFresh {
			t.Errorf("blocks %v stayed: %v", done.Merged, err)
		}
		return
	}
	if diff := cmp.Diff(p.target.logged, p.target.read(t)); diff != "" {
		t.Errorf("the target's own (-want +got):\n%.2000s", diff)
	}
	p.live(t)
	state, err := Run(ctx, p.options(t))
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, state)
}

// TestRunStopsAndNames is for what the move cannot go on with. The old server's directory stays as it was.
func TestRunStopsAndNames(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	list, err := p.local.Blocks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	bad := list.Blocks[0].Name
	flip(t, filepath.Join(p.source.dir, bad, "chunks", "000001"))
	var stop *Stop
	state, err := Run(ctx, p.options(t))
	if !errors.As(err, &stop) || stop.Rule != RuleSourceDamaged || state.Stopped == "" {
		t.Fatalf("%v", err)
	}
	if kept, err := ReadState(p.state); err != nil || kept.Stopped != state.Stopped {
		t.Errorf("%+v, %v", kept, err)
	}
	flip(t, filepath.Join(p.source.dir, bad, "chunks", "000001")) // mended
	if state, err = Run(ctx, p.options(t)); err != nil {
		t.Fatal(err)
	}
	p.check(t, state)
}

func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-3] ^= 0x10
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRunTakesAwayWhatTheTargetCannotLoad breaks a block on the target's disk between its verification and its installation.
func TestRunTakesAwayWhatTheTargetCannotLoad(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	list, err := p.local.Blocks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	name := list.Blocks[1].Name
	staged := filepath.Join(p.target.dir, transfer.StagingFolder, name)
	broken := false
	point, _, err := runKilled(ctx, p.options(t), func(point string) bool {
		if _, there := os.Lstat(staged); point == "before install" && there == nil && !broken {
			broken = true
			flip(t, filepath.Join(staged, "index"))
		}
		return false
	})
	var away *transfer.InstallError
	if point != "" || !errors.As(err, &away) || away.Block != name {
		t.Fatalf("point %q, %v; want that %s was taken away", point, err, name)
	}
	if _, err := os.Lstat(filepath.Join(p.target.dir, name)); err == nil {
		t.Error("it is still there")
	}
	if err := transfer.Unstage(p.target.dir, name); err != nil { // what a person does: fetch it again
		t.Fatal(err)
	}
	state, err := Run(ctx, p.options(t))
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, state)
}
