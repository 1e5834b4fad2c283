package move

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/seam"
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

// TestUndoAtEachPhase ends a move at a point of each phase and undoes it: the new server has its own samples and nothing else, the old one all
// of its own, and nothing is pinned or staged.
func TestUndoAtEachPhase(t *testing.T) {
	for name, at := range map[string]string{
		"Pin, before it is known what was pinned": "after pin", "StartTarget, S' is frozen": "after seam", "Coverage, the end is frozen": "after end", "Stage, blocks have arrived": "after stage",
		"Seam, a piece is cut": "after cut", "Seam, a piece is staged": "after adopt", "Install, nothing is in": "before install", "Install, a piece is in": "after install",
		"Verify, the old server is let go of": "after unpin",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, 3)
			p.live(t)
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			if point, _, err := runKilled(ctx, p.options(t), func(point string) bool { return point == at }); point == "" {
				t.Fatalf("it was not ended: %v", err)
			}
			done, err := Undo(ctx, p.options(t))
			if err != nil {
				t.Fatal(err)
			}
			p.stop()
			fresh(t, p)
			p.source.restart(t)
			if diff := cmp.Diff(p.source.logged, p.source.read(t)); diff != "" {
				t.Errorf("the old server's (-want +got):\n%.2000s", diff)
			}
			p.target.restart(t)
			got := p.target.read(t)
			for series, own := range p.target.logged {
				if len(done.Merged) == 0 && len(got[series]) != len(own) {
					t.Errorf("%s: the new server has %d samples, its own are %d", series, len(got[series]), len(own))
				}
				if !holds(got[series], own) {
					t.Errorf("%s: own samples of the new server are missing", series)
				}
			}
		})
	}
}

// holds says that all of some samples are among others; both are in the order of time.
func holds(all, some []sample) bool {
	for _, x := range all {
		if len(some) > 0 && x == some[0] {
			some = some[1:]
		}
	}
	return len(some) == 0
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

// spoiler is a target that breaks the index of a staged block when it is asked the next time.
type spoiler struct {
	Server
	next func()
}

func (s *spoiler) Observe(ctx context.Context) (*transfer.Observation, error) {
	if s.next != nil {
		s.next()
		s.next = nil
	}
	return s.Server.Observe(ctx)
}

// TestRunTakesAwayWhatTheTargetCannotLoad breaks a block on the target's disk between the last look at it and its installation. The next run
// finds that, and brings it again.
func TestRunTakesAwayWhatTheTargetCannotLoad(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	o := p.options(t)
	target := &spoiler{Server: o.TargetServer}
	o.TargetServer = target
	whole, name := "", ""
	o.Tell = func(d *Decision) {
		whole = ""
		if len(d.Steps) > 0 && d.Steps[0].Kind == stepInstall && d.Steps[0].Part.Side == seam.Whole {
			whole = d.Steps[0].Part.Source
		}
	}
	point, _, err := runKilled(ctx, o, func(point string) bool {
		if point == "before install" && whole != "" && name == "" {
			name = whole // it is read once more, then the target is asked, then it goes in
			target.next = func() { flip(t, filepath.Join(p.target.dir, transfer.StagingFolder, name, "index")) }
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
	state, err := Run(ctx, p.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(state.Notes, "\n"), "block "+name+" was spoiled on the target's disk") {
		t.Errorf("nobody was told: %q", state.Notes)
	}
	p.check(t, state)
}

// TestRunBringsAgainWhatTheTargetsDiskSpoils flips a byte of everything that is staged, once, while the seam is waited for: of a block that goes
// in as it is, and of the one that is cut.
func TestRunBringsAgainWhatTheTargetsDiskSpoils(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	spoiled := map[string]bool{}
	point, state, err := runKilled(ctx, p.options(t), func(point string) bool {
		staged, _, err := transfer.StagedBlocks(p.target.dir)
		if point != "after stage" && point != "before install" || err != nil {
			return false
		}
		for _, name := range staged {
			if !spoiled[name] && len(spoiled) < 4 {
				spoiled[name] = true
				flip(t, filepath.Join(p.target.dir, transfer.StagingFolder, name, "chunks", "000001"))
			}
		}
		return false
	})
	if err != nil || point != "" {
		t.Fatalf("point %q: %v", point, err)
	}
	if told := strings.Count(strings.Join(state.Notes, "\n"), "was spoiled"); told < 2 {
		t.Errorf("of %d blocks that were spoiled %d were told: %q", len(spoiled), told, state.Notes)
	}
	p.check(t, state)
	fresh(t, p)
}
