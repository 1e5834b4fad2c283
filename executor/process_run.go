package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// graceSeconds is how long a supervisor may be late with the end of a run before it is taken to hang.
const graceSeconds = 60

// sweepTimeout is how long one try to kill the processes of a run may take.
const sweepTimeout = 10 * time.Second

// processRun is one run and what has been read of it so far.
type processRun struct {
	dir    string
	spec   runSpec
	damage error // its spec cannot be read

	mu       sync.Mutex // guards all below, and who settles
	events   eventFile
	end      *ending
	launched time.Time // by this executor, zero: not
	running  bool      // seen with a supervisor
	told     state     // to the watcher
	trouble  string    // last told
}

func newProcessRun(dir string, spec runSpec) *processRun {
	return &processRun{dir: dir, spec: spec, events: eventFile{path: filepath.Join(dir, fileEvents), tracker: newTracker(spec.Hosts)}}
}

// phase is the phase as last seen.
func (r *processRun) phase() Phase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phaseLocked()
}

func (r *processRun) phaseLocked() Phase {
	switch {
	case r.end != nil:
		return r.end.Phase
	case r.running || !r.launched.IsZero():
		return Running
	}
	return Pending
}

// quiet says that nothing will change any more and the watcher knows it.
func (r *processRun) quiet() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told.phase.Finished()
}

// launch starts the supervisor in a session of its own. Two at once are harmless: only one gets the pid file.
func (r *processRun) launch(venv string, exited func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refreshLocked(context.Background()); err != nil || r.phaseLocked() != Pending {
		return err
	}
	command, err := r.command(venv)
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		err = fmt.Errorf("starting the supervisor: %w", err)
		return errors.Join(err, r.settle(context.Background(), ending{Phase: Failed, Message: err.Error()}))
	}
	crashPoint("executor.process.launched")
	r.launched = time.Now()
	go func() {
		_ = command.Wait() // what it has to say is in its result
		exited()
	}()
	return nil
}

func (r *processRun) command(venv string) (*exec.Cmd, error) {
	errorFile, err := os.OpenFile(filepath.Join(r.dir, fileErrors), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(venv, "bin")
	command := exec.Command(filepath.Join(bin, "python3"), "-I", "-B", filepath.Join(r.dir, fileSupervisor), filepath.Join(r.dir, fileSpec))
	command.Dir = r.dir
	command.Stdout, command.Stderr = errorFile, errorFile
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.Env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "LANG=C.UTF-8", "LC_ALL=C.UTF-8",
		"TMPDIR=" + os.TempDir(), environmentMark + "=" + r.dir,
	}
	return command, nil
}

// adopt looks at a run that an earlier operator has made. The events of a finished one are read when they are asked for.
func (r *processRun) adopt() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, finished, err := readEnding(r.dir)
	if finished && err == nil {
		r.end = &end
		r.told = r.stateLocked()
		return nil
	}
	if exists(filepath.Join(r.dir, fileCancel)) { // asked for by an operator that died over it
		return r.settle(context.Background(), ending{Phase: Cancelled, Message: messageCancelled})
	}
	return r.refreshLocked(context.Background())
}

// state is what a watcher wants to be told about.
type state struct {
	phase Phase
	size  int64
}

func (r *processRun) stateLocked() state { return state{phase: r.phaseLocked(), size: r.events.size} }

// changed says whether anything has happened since it was last asked, whoever noticed it.
func (r *processRun) changed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.told
	r.told = r.stateLocked()
	return last != r.told
}

// news says whether an error is another one than last time.
func (r *processRun) news(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.trouble
	r.trouble = err.Error()
	return last != r.trouble
}

// refresh looks at the run.
func (r *processRun) refresh(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refreshLocked(ctx)
}

// refreshLocked looks for the result before the events: what was written before the result is then complete.
func (r *processRun) refreshLocked(ctx context.Context) error {
	if r.end != nil {
		return nil
	}
	if r.damage != nil {
		return r.settle(ctx, ending{Phase: Lost, Message: r.damage.Error()})
	}
	end, finished, err := readEnding(r.dir)
	if err != nil {
		return r.settle(ctx, ending{Phase: Lost, Message: err.Error()})
	}
	if finished {
		r.end = &end
		return r.readAll()
	}
	if end, finished, err = r.judge(); err != nil {
		return err
	}
	if finished {
		return r.settle(ctx, end)
	}
	if err := r.events.advance(); err != nil {
		return r.settle(ctx, unreadable(err))
	}
	return nil
}

// judge says how a run without a result has ended, if it has.
func (r *processRun) judge() (ending, bool, error) {
	id, taken, err := readIdentity(r.dir)
	switch {
	case err != nil:
		return ending{Phase: Lost, Message: err.Error()}, true, nil
	case !taken && r.launched.IsZero():
		return ending{}, false, nil
	case !taken && time.Since(r.launched) < graceSeconds*time.Second:
		return ending{}, false, nil
	case !taken:
		return ending{Phase: Failed, Message: "the supervisor did not start; see " + fileErrors + " of the run"}, true, nil
	}
	r.running = true
	if id.alive() {
		return r.judgeTime()
	}
	if end, finished, err := readEnding(r.dir); finished || err != nil {
		return end, finished, err // it was just in time
	}
	if exists(filepath.Join(r.dir, fileCancel)) {
		return ending{Phase: Cancelled, Message: messageCancelled}, true, nil
	}
	return ending{Phase: Lost, Message: fmt.Sprintf("the supervisor of the run (process %d) is gone and has left no result", id.PID)}, true, nil
}

// judgeTime ends a run whose supervisor should have ended it long ago.
func (r *processRun) judgeTime() (ending, bool, error) {
	info, err := os.Stat(filepath.Join(r.dir, filePID))
	if err != nil {
		return ending{}, false, err
	}
	if time.Since(info.ModTime()) < time.Duration(r.spec.TimeoutSeconds+graceSeconds)*time.Second {
		return ending{}, false, nil
	}
	message := fmt.Sprintf("the run took longer than %d seconds and its supervisor did not end it", r.spec.TimeoutSeconds)
	return ending{Phase: Failed, Message: message, TimedOut: true}, true, nil
}

// settle ends a run whose supervisor did not: nothing of it runs and no secret of it is left before it has a result.
func (r *processRun) settle(ctx context.Context, end ending) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout) // what hangs in the kernel is tried again later
	defer cancel()
	control, _ := os.ReadFile(filepath.Join(r.dir, fileControl))
	if err := sweep(ctx, r.dir, string(control)); err != nil {
		return err
	}
	for _, path := range []string{dirSecrets, "artifacts", "tmp"} {
		if err := os.RemoveAll(filepath.Join(r.dir, path)); err != nil {
			return fmt.Errorf("removing secrets: %w", err)
		}
	}
	if sockets := string(control); filepath.IsAbs(sockets) && strings.HasPrefix(filepath.Base(sockets), "slipway-") {
		_ = os.RemoveAll(sockets)
	}
	if late, finished, err := readEnding(r.dir); err == nil && finished {
		end = late
	} else if err := writeEnding(r.dir, end); err != nil {
		return err
	}
	r.end = &end
	return r.readAll()
}

// readAll reads the events of a run that has ended; when they are damaged, nobody can say how it ended.
func (r *processRun) readAll() error {
	err := r.events.advance()
	if err == nil || r.end.Phase == Lost {
		return nil
	}
	end := unreadable(err)
	r.end = &end
	return writeEnding(r.dir, end)
}

func unreadable(err error) ending {
	return ending{Phase: Lost, Message: fmt.Sprintf("what the run reported cannot be read: %v", err)}
}

func (r *processRun) observe(ctx context.Context, since int) (Observation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refreshLocked(ctx); err != nil {
		return Observation{}, err
	}
	if r.end != nil && !r.events.read {
		if err := r.readAll(); err != nil {
			return Observation{}, err
		}
	}
	end := ending{Phase: r.phaseLocked()}
	if r.end != nil {
		end = *r.end
	}
	o := r.events.tracker.observation(end)
	events, err := r.events.since(since)
	o.Events = events
	return o, err
}

// cancel leaves a word for whoever comes later, kills everything and waits.
func (r *processRun) cancel(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refreshLocked(ctx); err != nil || r.end != nil {
		return err
	}
	if err := writePrivate(filepath.Join(r.dir, fileCancel), nil); err != nil {
		return err
	}
	crashPoint("executor.process.cancel.asked")
	return r.settle(ctx, ending{Phase: Cancelled, Message: messageCancelled})
}

// remove deletes everything; a run that is half removed is not there for the next operator.
func (r *processRun) remove(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := sweep(ctx, r.dir, ""); err != nil { // the supervisor may be on its last line
		return err
	}
	if err := os.RemoveAll(filepath.Join(r.dir, dirSecrets)); err != nil {
		return err
	}
	old := filepath.Join(filepath.Dir(r.dir), ".old-"+r.spec.Name)
	if err := os.Rename(r.dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(old)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// eventFile is the file of events of a run, read as it grows. Only where each event begins is kept in memory.
type eventFile struct {
	path    string
	tracker *tracker
	size    int64   // read so far, up to the end of a line
	starts  []int64 // of each event
	read    bool
	err     error
}

// advance reads what is new.
func (f *eventFile) advance() error {
	if f.err != nil {
		return f.err
	}
	f.read = true
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > f.size {
		err = f.readFrom(info.Size())
	}
	if err == nil && info.Size() < f.size {
		err = fmt.Errorf("%s has shrunk", fileEvents)
	}
	f.err = err
	return err
}

func (f *eventFile) readFrom(size int64) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	piece, err := io.ReadAll(io.NewSectionReader(file, f.size, size-f.size))
	if err != nil {
		return err
	}
	events, ends, err := splitEvents(piece, len(f.starts)+1)
	start := f.size
	for i, e := range events {
		if err := f.tracker.add(e); err != nil {
			return err
		}
		f.starts = append(f.starts, start)
		start = f.size + int64(ends[i])
	}
	f.size = start
	return err
}

// since reads the events after a number.
func (f *eventFile) since(number int) ([]Event, error) {
	number = max(number, 0)
	if number >= len(f.starts) {
		return nil, nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	defer file.Close()
	piece, err := io.ReadAll(io.NewSectionReader(file, f.starts[number], f.size-f.starts[number]))
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	events, _, err := splitEvents(piece, number+1)
	return events, err
}
