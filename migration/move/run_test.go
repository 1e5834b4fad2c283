package move

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/transfer"
)

func TestRunMovesEverythingOnce(t *testing.T) {
	p := newPair(t, 5)
	p.live(t)
	o := p.options(t)
	var told []string
	o.Tell = func(d *Decision) { told = append(told, d.String()) }
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	state, err := Run(ctx, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(told, "\n"))
	}
	p.check(t, state)
	fresh(t, p)
	if state.Phase != Done || len(state.Cuts) < 2 {
		t.Errorf("%+v", state)
	}
	if count(p.source.logged) == 0 || count(p.target.logged) == 0 {
		t.Error("nothing was scraped")
	}
	text := fmt.Sprint(told)
	for _, want := range []string{"pin ", "freeze S' at", "appears on the source at about", "cut piece A", "cut piece B", "install block", "let go of"} {
		if !strings.Contains(text, want) {
			t.Errorf("nobody was told %q", want)
		}
	}
}

// shaky is a source on another host whose link breaks at every third question that no pull repeats.
type shaky struct {
	transfer.Source
	asked atomic.Int64
	dead  atomic.Bool
}

func (s *shaky) broken() error {
	if s.asked.Add(1)%3 != 0 && !s.dead.Load() {
		return nil
	}
	return &transfer.UnansweredError{Err: errors.New("asking the source: connection refused")}
}

func (s *shaky) Blocks(ctx context.Context) (*block.Listing, error) {
	if err := s.broken(); err != nil {
		return nil, err
	}
	return s.Source.Blocks(ctx)
}

func (s *shaky) Pin(ctx context.Context, names []string) error {
	if err := s.broken(); err != nil {
		return err
	}
	return s.Source.Pin(ctx, names)
}

func (s *shaky) Unpin(ctx context.Context) error {
	if err := s.broken(); err != nil {
		return err
	}
	return s.Source.Unpin(ctx)
}

// TestRunGoesOnWhenTheSourceIsAway moves everything from a source that comes and goes; half a cut of an earlier run lies there.
func TestRunGoesOnWhenTheSourceIsAway(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	o := p.options(t)
	half := filepath.Join(p.target.dir, transfer.StagingFolder, "slipway-cut-01HGZ1Y2V8M3R9W0QK5T7N4C6B")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	away := &shaky{Source: p.local}
	o.Source = away
	waited, halfGone := false, false
	o.Tell = func(d *Decision) {
		waited = waited || strings.Contains(fmt.Sprint(d.Waits), "connection refused")
		if _, err := os.Lstat(half); err != nil {
			halfGone = true
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	state, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, state)
	fresh(t, p)
	if !waited || !halfGone {
		t.Errorf("told that it waits: %v, half a cut was removed at once: %v", waited, halfGone)
	}
}

func TestRunStopsWhenTheSourceStaysAway(t *testing.T) {
	p := newPair(t, 1)
	o := p.options(t)
	away := &shaky{Source: p.local}
	o.Source, o.Pull.Patience = away, 50*time.Millisecond
	o.Tell = func(*Decision) { away.dead.Store(true) }
	var last Progress
	o.Report = func(p Progress) { last = p }
	_, err := Run(t.Context(), o)
	if lost := (*transfer.LostError)(nil); !errors.As(err, &lost) || last.Stop == nil || last.Stop.Rule != RuleSourceSilent {
		t.Errorf("%v, told %+v", err, last)
	}
}

// TestRunMovesWhatOnlyThePinHolds: killed between the pin and the state, and the source's retention deletes a block meanwhile.
func TestRunMovesWhatOnlyThePinHolds(t *testing.T) {
	p := newPair(t, 4)
	p.live(t)
	o := p.options(t)
	if point, _, _ := runKilled(t.Context(), o, func(point string) bool { return point == "after pin" }); point == "" {
		t.Fatal("it was not killed")
	}
	list, err := p.local.Blocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(p.source.dir, list.Blocks[0].Name)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	state, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, state)
	fresh(t, p)
}

// TestRunGoesOnWhenTheTargetIsRestarted restarts the target while blocks are installed, and has it silent before others.
func TestRunGoesOnWhenTheTargetIsRestarted(t *testing.T) {
	p := newPair(t, 4)
	p.live(t)
	o := p.options(t)
	var restarts sync.WaitGroup
	installs := 0
	o.Tell = func(d *Decision) {
		if len(d.Steps) == 0 || d.Steps[0].Kind != stepInstall {
			return
		}
		switch installs++; installs {
		case 1, 3:
			restarts.Go(func() { p.target.restart(t) })
		case 2:
			p.target.failing.Store(true)
			time.AfterFunc(200*time.Millisecond, func() { p.target.failing.Store(false) })
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	state, err := Run(ctx, o)
	restarts.Wait()
	if err != nil {
		t.Fatalf("after %d installs: %v", installs, err)
	}
	p.check(t, state)
	fresh(t, p)
}

// TestRunFillsWhatTheTargetMissed: killed while blocks are installed, frozen, killed for less than a scrape, and killed and frozen after the
// end, when the same is run again.
func TestRunFillsWhatTheTargetMissed(t *testing.T) {
	p := newPair(t, 4)
	p.live(t)
	var outages sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var state *State
	var told []string
	var last Progress
	run := func() {
		t.Helper()
		told = nil
		o := p.options(t)
		installs := 0
		o.Tell = func(d *Decision) {
			told = append(told, d.String())
			if len(d.Steps) == 0 || d.Steps[0].Kind != stepInstall || state != nil {
				return
			}
			switch installs++; installs {
			case 1:
				outages.Go(func() { p.outage(t, 8, true) })
			case 3:
				outages.Wait()
				outages.Go(func() { p.outage(t, 5, false) })
			}
		}
		o.Report = func(x Progress) { last = x }
		var err error
		state, err = Run(ctx, o)
		outages.Wait()
		if err != nil {
			t.Fatalf("%v\n%s", err, strings.Join(told, "\n"))
		}
	}
	run()
	first, end := len(state.Rounds), state.End()
	if len(state.Filled()) == 0 || !last.Done {
		t.Errorf("nothing was filled: %+v", last)
	}
	for _, again := range []func(){func() { p.outage(t, 7, true) }, func() { p.outage(t, 1, true) }, func() { p.outage(t, 6, false) }} {
		again()
		run()
		if len(state.Rounds) == first || state.End() <= end || state.Phase != Done || !state.Released {
			t.Fatalf("no further round: %+v, %d at first\n%s", state.Rounds, first, strings.Join(told, "\n"))
		}
		first, end = len(state.Rounds), state.End()
	}
	if !strings.Contains(strings.Join(told, "\n"), "fill what the target missed, from ") || len(last.Gaps) < 3 {
		t.Errorf("told %v\n%+v", told, last)
	}
	run()
	if len(state.Rounds) != first || !strings.Contains(strings.Join(told, "\n"), "the target missed nothing since") {
		t.Errorf("nothing was missed: %v", told)
	}
	p.check(t, state)
	fresh(t, p)
}
