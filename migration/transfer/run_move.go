package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

// MoveOptions say which blocks go from where to where, and how far.
type MoveOptions struct {
	// From is a directory of this host, host:port of a source agent, or unix:PATH.
	From string
	// Source is what From names, where somebody has opened it already; who did closes it.
	Source Source
	// Credentials is the target's folder of InitCredentials, for host:port.
	Credentials string
	// Still says that no server runs in the directory From: it is read in place, and nothing is written there.
	Still bool
	// Pull says the rest of how: its Source, Target and Blocks are filled in.
	Pull PullOptions
	// To is the target's data directory.
	To string
	// Only are the blocks that are wanted; empty: all that the plan has.
	Only []string
	// PlanOnly ends after the plan.
	PlanOnly bool
	// Install installs what was pulled, newest first. Without it blocks stay staged, and rules of the running server wait.
	Install bool
	// Server is the server that runs in To; without a URL none does.
	Server server.Options
	// SourceServer is the server that runs in the directory From, whose query latency holds the reads; without a URL it is not
	// asked. A source agent has its own.
	SourceServer server.Options
	// Ceiling is the most bytes per second that are read; 0: none. A source agent has its own beside it.
	Ceiling int64
	// KeepPin leaves the blocks pinned on the source.
	KeepPin bool
	// Lost and Overrides are those of World.
	Lost, Overrides []string
	// Installed is told each block that the server sees; nil: nobody.
	Installed func(Step)
}

// Moved is what a Move did.
type Moved struct {
	Plan      *Plan       `json:"plan"`
	Pull      *PullResult `json:"pull,omitempty"`
	Installed []Step      `json:"installed,omitempty"`
}

// Move plans, pulls, and where it is asked to, installs. Repeated after any end it goes on where it was.
func Move(ctx context.Context, o MoveOptions) (*Moved, error) {
	source, closeSource, err := OpenSource(ctx, o)
	if err != nil {
		return nil, err
	}
	defer closeSource()
	observer, err := o.observer()
	if err != nil {
		return nil, err
	}
	installer := NewInstaller(InstallerOptions{Target: o.To, Server: observer})
	if o.Install && !o.PlanOnly && observer != nil {
		if err := installer.Resume(ctx); err != nil {
			return nil, err
		}
	}
	m := &Moved{}
	if m.Plan, err = plan(ctx, o, source, observer); err != nil {
		return nil, err
	}
	if o.PlanOnly {
		return m, nil
	}
	return m, m.act(ctx, o, source, installer)
}

// observer is the target's server, nil where none runs.
func (o MoveOptions) observer() (TargetServer, error) {
	if o.Server.URL == "" {
		return nil, nil
	}
	return NewPrometheus(o.Server)
}

// act does what the plan says.
func (m *Moved) act(ctx context.Context, o MoveOptions, source Source, installer *Installer) (err error) {
	if m.Pull, err = Pull(ctx, o.pullOptions(m.Plan, source)); err != nil {
		return err
	}
	if o.Install {
		if err := m.install(ctx, o, installer); err != nil {
			return err
		}
	}
	if o.KeepPin {
		return nil
	}
	if err := source.Unpin(ctx); err != nil {
		return fmt.Errorf("everything is done but letting go of the pin: %w", err)
	}
	return nil
}

// OpenSource opens what From names, with the options that concern reading; the function lets go of it.
func OpenSource(ctx context.Context, o MoveOptions) (Source, func(), error) {
	switch {
	case o.Source != nil:
		return o.Source, func() {}, nil
	case isFolder(o.From):
		return openFolder(ctx, o)
	}
	var err error
	client := ClientOptions{Address: o.From}
	if o.Credentials != "" {
		if client.TLS, err = TargetTLS(o.Credentials); err != nil {
			return nil, nil, err
		}
	}
	c, err := NewClient(client)
	if err != nil {
		return nil, nil, fmt.Errorf("%s is no directory here: %w", o.From, err)
	}
	return c, c.Close, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// openFolder opens a directory of this host. Where a server may run in it, reads are throttled as a source agent's are.
func openFolder(ctx context.Context, o MoveOptions) (Source, func(), error) {
	options := SourceOptions{Local: LocalOptions{Data: o.From, Still: o.Still}, Budget: Budget{Ceiling: o.Ceiling}, Server: o.SourceServer}
	throttle := NewThrottle(ThrottleOptions{Budget: options.Budget})
	if !o.Still {
		var err error
		if throttle, err = newHostThrottle(options); err != nil {
			return nil, nil, err
		}
		if err := throttle.Baseline(ctx); err != nil {
			return nil, nil, err
		}
	}
	options.Local.Throttle = throttle
	l, err := OpenLocal(options.Local)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	if !o.Still {
		go throttle.Run(ctx)
	}
	return l, func() { cancel(); _ = l.Close() }, nil // it was only read
}

// plan looks at both sides. Without an installation the rules about the running server do not matter yet.
func plan(ctx context.Context, o MoveOptions, source Source, observer TargetServer) (*Plan, error) {
	w := World{Lost: o.Lost, Overrides: o.Overrides}
	list, err := List(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("listing the source: %w", err)
	}
	for _, name := range o.Only {
		if !slices.ContainsFunc(list.Blocks, func(e block.Entry) bool { return e.Name == name }) {
			return nil, fmt.Errorf("the source has no block %q", name)
		}
	}
	w.Source, w.Wanted = list.Blocks, o.Only
	if !o.Install { // staged blocks leave no holes
		w.Source = only(list.Blocks, o.Only)
	}
	if w.Target, err = ListTarget(o.To); err != nil {
		return nil, err
	}
	if !sameFolder(o.Pull.Seed, o.To) {
		return w.planFor(ctx, o, observer)
	}
	// What is in the target is a seed: it is compared, and counts as nothing until then.
	w.Target = nil
	return MakePlan(w), nil
}

func (w World) planFor(ctx context.Context, o MoveOptions, observer TargetServer) (*Plan, error) {
	if o.Install {
		_, err := os.Lstat(filepath.Join(o.To, "wal"))
		w.TargetHasWAL = err == nil
		if observer != nil {
			seen, err := observer.Observe(ctx)
			if err != nil {
				return nil, err
			}
			w.Head, w.Retention = &seen.Head, seen.Retention
		}
	}
	return MakePlan(w), nil
}

func only(list []block.Entry, names []string) []block.Entry {
	if len(names) == 0 {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(e block.Entry) bool { return !slices.Contains(names, e.Name) })
}

// ListTarget lists a data directory; one that is empty or not there has no blocks. Anything else is not written into.
func ListTarget(path string) ([]block.Entry, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the target: %w", err)
	}
	empty := true
	for _, e := range entries {
		empty = empty && (e.Name() == StagingFolder || e.Name() == "lost+found")
	}
	if empty {
		return nil, nil
	}
	d, err := block.Open(path)
	if err != nil {
		return nil, fmt.Errorf("looking at the target: %w", err)
	}
	defer func() { _ = d.Close() }() // it was only read
	l, err := d.List()
	if err != nil {
		return nil, err
	}
	return l.Blocks, nil
}

func (o MoveOptions) pullOptions(p *Plan, source Source) PullOptions {
	pull := o.Pull
	pull.Source, pull.Target = source, o.To
	for _, s := range p.Steps {
		pull.Blocks = append(pull.Blocks, s.Block)
	}
	if o.Ceiling > 0 && !isFolder(o.From) {
		pull.Pace = NewThrottle(ThrottleOptions{Budget: Budget{Ceiling: o.Ceiling}}).Wait
	}
	return pull
}

func (m *Moved) install(ctx context.Context, o MoveOptions, installer *Installer) error {
	for i, s := range m.Plan.Steps {
		if b := m.Pull.Blocks[i]; b.State == Differs {
			return fmt.Errorf("block %s of the target is not what the source has: a whole one is in %s; stop the server, move the bad one away, and run again", b.Name, b.Folder)
		} else if b.State == Installed {
			continue
		}
		if err := installer.Install(ctx, s); err != nil {
			return err
		}
		m.Installed = append(m.Installed, s)
		if o.Installed != nil {
			o.Installed(s)
		}
	}
	return nil
}

// Refused is an error when the plan refused blocks, nil otherwise.
func (m *Moved) Refused() error {
	if n := len(m.Plan.Refusals); n > 0 {
		first := m.Plan.Refusals[0]
		return fmt.Errorf("%d of %d blocks are refused, the newest is %s by %s", n, n+len(m.Plan.Steps)+len(m.Plan.Present), first.Block, first.Rule)
	}
	return nil
}
