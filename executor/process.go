package executor

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// supervisor is the program that runs ansible-runner; see its own text. It needs nothing but ansible-runner.
//
//go:embed supervisor/supervise.py
var supervisor []byte

// ProcessOptions say where local runs live.
type ProcessOptions struct {
	// Dir holds runs/<name>/ for each run; made with mode 0700.
	Dir string
	// Content gives the directory of a content version: ansible.cfg, playbooks/<playbook>.yml, roles and so on.
	Content func(version string) (dir string, err error)
	// Venv is the path of a virtual environment with ansible-core and ansible-runner.
	Venv string
	// MaxConcurrent is how many runs run at once, the others are Pending; 0 means 10. A run costs about 70 MiB and a
	// fork of Ansible (50 MiB) for each host that is worked on.
	MaxConcurrent int
	// OnChange is told the name of a run in which something happened; it is called from any goroutine and must not block.
	OnChange func(name string)
	// Log gets what the executor cannot return to a caller; nil: nowhere.
	Log *slog.Logger
}

// pollInterval is how often running runs are looked at: two stats and the read of a line of /proc each.
const pollInterval = 250 * time.Millisecond

// Process runs ansible-runner as local processes that outlive the operator: each run has a supervisor in a session of
// its own that writes to files, and is adopted again by its pid, its start time and its result file.
type Process struct {
	options ProcessOptions
	mu      sync.Mutex // guards runs
	runs    map[string]*processRun
	launch  sync.Mutex // one dispatch at a time
	wake    chan struct{}
	stop    context.CancelFunc
	done    chan struct{}
}

// NewProcess opens a directory of runs, and adopts those that run.
func NewProcess(options ProcessOptions) (*Process, error) {
	if options.MaxConcurrent <= 0 {
		options.MaxConcurrent = 10
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the directory of runs: %w", err)
	}
	options.Dir = dir
	p := &Process{options: options, runs: map[string]*processRun{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if err := p.load(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go p.watch(ctx)
	return p, nil
}

// load reads what earlier operators have left, and throws away what one has not finished to make or to remove.
func (p *Process) load() error {
	base := filepath.Join(p.options.Dir, "runs")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return fmt.Errorf("opening the directory of runs: %w", err)
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return fmt.Errorf("opening the directory of runs: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(base, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("clearing the directory of runs: %w", err)
			}
			continue
		}
		p.runs[entry.Name()] = loadRun(path, entry.Name())
	}
	for _, r := range p.runs {
		if err := r.adopt(); err != nil {
			p.options.Log.Error("Could not look at a run", "run", r.spec.Name, "error", err)
		}
	}
	return nil
}

// Close lets go of the runs: they go on, and the next executor over the same directory adopts them.
func (p *Process) Close() error {
	p.stop()
	<-p.done
	return nil
}

// Kind is Process.
func (p *Process) Kind() string { return "Process" }

// Start starts a run, or puts it into the queue, or adopts it.
func (p *Process) Start(ctx context.Context, run Run) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting run %s: %w", run.Name, err)
	}
	if err := run.Validate(); err != nil {
		return err
	}
	digest, err := run.Digest()
	if err != nil {
		return err
	}
	if err := p.enqueue(run, digest); err != nil {
		return fmt.Errorf("starting run %s: %w", run.Name, err)
	}
	p.dispatch()
	return nil
}

func (p *Process) enqueue(run Run, digest string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, ok := p.runs[run.Name]; ok {
		if old.spec.Digest != digest && old.damage == nil {
			return ErrDigestMismatch
		}
		return nil
	}
	content, err := p.options.Content(run.ContentVersion)
	if err != nil {
		return fmt.Errorf("finding content %s: %w", run.ContentVersion, err)
	}
	playbook := filepath.Join(content, "playbooks", run.Playbook+".yml")
	if _, err := os.Stat(playbook); err != nil {
		return fmt.Errorf("content %s has no playbook %s: %w", run.ContentVersion, run.Playbook, err)
	}
	r, err := createRun(filepath.Join(p.options.Dir, "runs"), run, digest, content)
	if err != nil {
		return err
	}
	p.runs[run.Name] = r
	crashPoint("executor.process.start.stored")
	return nil
}

// dispatch starts as many waiting runs as there is room for, the oldest first.
func (p *Process) dispatch() {
	p.launch.Lock()
	defer p.launch.Unlock()
	var waiting []*processRun
	room := p.options.MaxConcurrent
	for _, r := range p.list() {
		switch r.phase() {
		case Running:
			room--
		case Pending:
			waiting = append(waiting, r)
		}
	}
	slices.SortFunc(waiting, func(a, b *processRun) int {
		return a.spec.Created.Compare(b.spec.Created)
	})
	for _, r := range waiting[:min(max(room, 0), len(waiting))] {
		if err := r.launch(p.options.Venv, p.poke); err != nil {
			p.options.Log.Error("Could not start the supervisor of a run", "run", r.spec.Name, "error", err)
			continue
		}
		p.options.Log.Info("Started a run", "run", r.spec.Name, "playbook", r.spec.Playbook, "hosts", len(r.spec.Hosts), "labels", r.spec.Labels)
	}
	p.poke()
}

func (p *Process) list() []*processRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*processRun, 0, len(p.runs))
	for _, r := range p.runs {
		all = append(all, r)
	}
	return all
}

func (p *Process) find(name string) (*processRun, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.runs[name]
	return r, ok
}

// poke makes the watch look at once.
func (p *Process) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// watch looks at the runs that have not finished, tells what changed and fills free places. It sleeps when there is none.
func (p *Process) watch(ctx context.Context) {
	defer close(p.done)
	p.dispatch()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		busy := p.look(ctx)
		tick := ticker.C
		if !busy {
			tick = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case <-p.wake:
		}
	}
}

// look says whether there is a run that has not finished.
func (p *Process) look(ctx context.Context) bool {
	busy, freed := false, false
	for _, r := range p.list() {
		if r.quiet() {
			continue
		}
		err := r.refresh(ctx)
		if err != nil && r.news(err) {
			p.options.Log.Error("Could not look at a run", "run", r.spec.Name, "error", err)
		}
		changed := r.changed()
		if r.quiet() {
			freed = true
			p.options.Log.Info("A run has ended", "run", r.spec.Name, "phase", r.phase())
		} else {
			busy = true
		}
		if changed && p.options.OnChange != nil {
			p.options.OnChange(r.spec.Name)
		}
	}
	if freed {
		p.dispatch()
	}
	return busy
}

// Observe tells how a run goes.
func (p *Process) Observe(ctx context.Context, name string, since int) (Observation, error) {
	r, ok := p.find(name)
	if !ok {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, ErrNotFound)
	}
	o, err := r.observe(ctx, since)
	if err != nil {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, err)
	}
	return o, nil
}

// Cancel kills all processes of a run and waits until they are gone.
func (p *Process) Cancel(ctx context.Context, name string) error {
	r, ok := p.find(name)
	if !ok {
		return fmt.Errorf("cancelling run %s: %w", name, ErrNotFound)
	}
	if err := r.cancel(ctx); err != nil {
		return fmt.Errorf("cancelling run %s: %w", name, err)
	}
	p.poke()
	return nil
}

// Remove deletes all files of a finished run.
func (p *Process) Remove(ctx context.Context, name string) error {
	r, ok := p.find(name)
	if !ok {
		return nil
	}
	if err := r.refresh(ctx); err != nil {
		return fmt.Errorf("removing run %s: %w", name, err)
	}
	if !r.phase().Finished() {
		return fmt.Errorf("removing run %s: %w", name, ErrNotFinished)
	}
	if err := r.remove(ctx); err != nil {
		return fmt.Errorf("removing run %s: %w", name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.runs, name)
	return nil
}

// Logs opens what ansible-playbook printed, without secrets.
func (p *Process) Logs(ctx context.Context, name string, follow bool) (io.ReadCloser, error) {
	r, ok := p.find(name)
	if !ok {
		return nil, fmt.Errorf("opening the log of run %s: %w", name, ErrNotFound)
	}
	file, err := os.Open(filepath.Join(r.dir, fileLog))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("opening the log of run %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the log of run %s: %w", name, err)
	}
	if !follow {
		return file, nil
	}
	return &follower{file: file, ctx: ctx, finished: func() bool { return r.phase().Finished() }}, nil
}

// follower reads a file that grows until its run has finished.
type follower struct {
	file     *os.File
	ctx      context.Context
	finished func() bool
}

// Read waits for more when it is at the end.
func (f *follower) Read(b []byte) (int, error) {
	for {
		last := f.finished()
		n, err := f.file.Read(b)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) || last {
			return n, err
		}
		wait := time.NewTimer(pollInterval)
		select {
		case <-f.ctx.Done():
			wait.Stop()
			return 0, f.ctx.Err()
		case <-wait.C:
		}
	}
}

// Close closes the file.
func (f *follower) Close() error { return f.file.Close() }
