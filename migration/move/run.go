package move

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Options say what is moved from where to where.
type Options struct {
	// StateDir gets the state. One folder is for one move.
	StateDir string
	// Source is the old server's data directory, SourceName what the state calls it.
	Source     transfer.Source
	SourceName string
	// TargetData is the new server's data directory.
	TargetData                 string
	SourceServer, TargetServer Server
	// Cutter cuts blocks, best in a process of its own.
	Cutter Cutter
	// Coverage says why the target does not scrape yet what the source does; empty: it does.
	Coverage func(ctx context.Context) (why string, err error)
	// Bridge says why the target does not answer from its own data alone, which a proof needs; empty: it does; nil: nobody asks.
	Bridge func(ctx context.Context) (why string, err error)
	// Outages says when the target scraped nothing since a time although the source did; nil: nobody asks, and restarts alone are
	// noticed. Unix milliseconds.
	Outages func(ctx context.Context, since int64) ([]seam.Range, error)
	// Proof compares both servers at the end; nil: nobody does, and the move is done without.
	Proof func(ctx context.Context, in ProofInput) (*proof.Report, error)
	// SeamSpan is how far behind the moment of equal coverage a round ends, and before the end of the one before it begins; it must
	// be longer than the longest scrape interval. Default 10 minutes.
	SeamSpan time.Duration
	// LateWindow asks for the source's out_of_order_time_window; nil: it has none.
	LateWindow func(ctx context.Context) (time.Duration, error)
	// Lost are blocks of the source whose samples a person gives up, Overrides rules of transfer that a person switches off.
	Lost, Overrides []string
	// Pull says how blocks travel: its Source, Target and Blocks are filled in.
	Pull transfer.PullOptions
	// Every is how often both sides are looked at while something is waited for; default 5 s.
	Every time.Duration
	// Installer says how installations are watched: its Target and Server are filled in.
	Installer transfer.InstallerOptions
	// Tell is told each step before it is done, and waits when they change; nil: nobody.
	Tell func(d *Decision)
	// Report is told how far the move is: at each decision, about every second while blocks travel, and at the end; nil: nobody.
	Report func(p Progress)

	// crash is called at named points; tests end the run there.
	crash func(point string)
}

// ProofInput is what a proof needs to know of the move. Seam is S', End is up to where the target was filled, both in milliseconds.
type ProofInput struct {
	Seam, End int64
	// Filled are the gaps of the target that got the source's samples.
	Filled                     []block.Gap
	SourceBlocks, TargetBlocks *block.Listing
}

// mover is one run.
type mover struct {
	o                        Options
	state                    State
	sourceRange, targetRange int64
	installer                *transfer.Installer
	late                     *time.Duration
	heard                    bool           // the source has listed its blocks once in this run
	silent                   time.Time      // since when it does not
	unsaved                  bool           // the state has what its file has not
	spoils                   map[string]int // how often the target's disk spoiled a block in this run
	compared                 int            // how often both servers were compared in this run
	looked                   *looked
	world                    *World
	decision                 *Decision // about it
}

func newMover(o Options) (*mover, error) {
	if o.SeamSpan <= 0 {
		o.SeamSpan = 10 * time.Minute
	}
	if o.Pull.Patience <= 0 {
		o.Pull.Patience = 10 * time.Minute
	}
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	if o.Tell == nil {
		o.Tell = func(*Decision) {}
	}
	if o.crash == nil {
		o.crash = func(string) {}
	}
	target, err := filepath.Abs(o.TargetData)
	if err != nil {
		return nil, fmt.Errorf("naming the target: %w", err)
	}
	o.TargetData, o.Installer.Target, o.Installer.Server = target, target, o.TargetServer
	m := &mover{o: o, installer: transfer.NewInstaller(o.Installer), spoils: map[string]int{}}
	known, err := ReadState(o.StateDir)
	switch {
	case errors.Is(err, ErrNoState):
		m.state = State{Version: stateVersion, Source: o.SourceName, Target: target, Begun: time.Now().UTC(), Phase: Pin}
	case err != nil:
		return nil, err
	case known.Source != o.SourceName || known.Target != target:
		return nil, fmt.Errorf("the state in %s is of a move from %s to %s: take another folder for another move", o.StateDir, known.Source, known.Target)
	default:
		m.state = *known
	}
	return m, nil
}

// Look says what Run would do, and does nothing.
func Look(ctx context.Context, o Options) (*Decision, error) {
	m, err := newMover(o)
	if err != nil {
		return nil, err
	}
	w, err := m.observe(ctx)
	if err != nil {
		return nil, err
	}
	return Decide(w), nil
}

// Run moves until everything is done, or until it cannot go on: a *Stop, or the error of a step. After any end it goes on
// where it was when it is called again. Called again after everything was done, it looks anew: what the target missed
// since is filled in a further round and proved, else it ends at once.
func Run(ctx context.Context, o Options) (*State, error) {
	lock, err := lockState(o.StateDir)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the kernel lets go of the lock with it
	m, err := newMover(o)
	if err != nil {
		return nil, err
	}
	if err := transfer.UnstageCuts(m.o.TargetData); err != nil {
		return nil, err
	}
	err = m.run(ctx)
	if err != nil && ctx.Err() == nil {
		m.state.Stopped = err.Error()
		m.reportEnd(err)
		err = errors.Join(err, m.save("stopped"))
	}
	return &m.state, err
}

func (m *mover) run(ctx context.Context) error {
	m.state.Stopped = ""
	told := ""
	for {
		w, err := m.observe(ctx)
		if err != nil {
			return err
		}
		d := Decide(w)
		if err := m.progress(d); err != nil {
			return err
		}
		if text := d.String(); text != told {
			told = text
			m.o.Tell(d)
		}
		m.world, m.decision = w, d
		if d.Stop == nil {
			m.report(nil)
		}
		switch {
		case d.Stop != nil:
			return d.Stop
		case d.Phase == Done:
			return nil
		case len(d.Steps) > 0:
			err = m.act(ctx, w, &d.Steps[0])
		default:
			err = m.pause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// progress keeps what a person asks for in the state: phase and waits.
func (m *mover) progress(d *Decision) error {
	if m.state.Phase == d.Phase && slices.Equal(m.state.Waits, d.Waits) && m.exists() && !m.unsaved {
		return nil
	}
	m.state.Phase, m.state.Waits = d.Phase, d.Waits
	return m.save("progress")
}

func (m *mover) exists() bool {
	_, err := os.Lstat(filepath.Join(m.o.StateDir, stateFile))
	return err == nil
}

func (m *mover) save(point string) error {
	m.o.crash("before " + point)
	if err := m.state.write(m.o.StateDir); err != nil {
		return err
	}
	m.unsaved = false
	m.o.crash("after " + point)
	return nil
}

func (m *mover) pause(ctx context.Context) error {
	timer := time.NewTimer(m.o.Every)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
