package cutover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/migration/config"
)

// The sections that move.
const (
	sectionAlerting    = "alerting"
	sectionRemoteWrite = "remote_write"
)

// loadTime is how long a server may take to run with a new file; discovery of Alertmanagers lags five seconds behind.
const loadTime = time.Minute

// edit puts a section into the file of a server, or takes it out, and has the server load it.
type edit struct {
	r           *runner
	step        string
	server      *prometheus
	section     string
	on          bool
	sectionFile string // of the text to put in; empty: the source's own section
	why         string
	ofSource    bool

	// ready is asked before the change, settled after it; a change that does not settle is taken back. restored is waited for after an undo.
	ready, settled func(ctx context.Context, rec *Record) error
}

func (e *edit) name() string    { return e.step }
func (e *edit) subject() string { return e.server.spec.file() }
func (e *edit) does() string    { return e.why }
func (e *edit) approval() bool  { return e.ofSource }
func (e *edit) noticed() bool   { return true }

// wanted is the file's text before and after.
func (e *edit) wanted() (before, after *config.File, err error) {
	path := e.subject()
	data, ok := e.r.overlay[path]
	if !ok {
		if data, err = e.r.store.disk.read(path); err != nil {
			return nil, nil, fmt.Errorf("reading the configuration of the %s: %w", e.server.Name(), err)
		}
	}
	if before, err = parseWhole(path, data); err != nil {
		return nil, nil, err
	}
	if e.on {
		after, err = e.putIn(before)
		return before, after, err
	}
	if !before.Has(e.section) {
		return before, before, nil
	}
	after, _, err = before.TakeOut(e.section)
	return before, after, err
}

// parseWhole refuses a file in which secrets are hidden: put where a server reads it, it would not work.
func parseWhole(path string, data []byte) (*config.File, error) {
	f, err := config.Parse(path, data)
	if err != nil {
		return nil, err
	}
	if hidden := f.Masked(); len(hidden) > 0 {
		return nil, refuse(RuleFileIsServed, "%s:%d: %s is hidden, as in what a server tells of its configuration; name a copy of the file itself", path, hidden[0].Line, hidden[0].Path)
	}
	return f, nil
}

func (e *edit) putIn(before *config.File) (*config.File, error) {
	taken, err := e.r.sectionToMove(e.section, e.sectionFile)
	if err != nil {
		return nil, err
	}
	if !before.Has(e.section) {
		return before.Replace(e.section, taken.Text)
	}
	_, own, err := before.TakeOut(e.section)
	if err != nil {
		return nil, err
	}
	if own.Meaning != taken.Meaning {
		return nil, refuse(RuleSectionFree, "%s has a section %s already, and another one than the one that moves; take it out", before.Name(), e.section)
	}
	return before, nil
}

// sectionToMove reads the section from the file given, else from the source's.
func (r *runner) sectionToMove(name, path string) (*config.Taken, error) {
	if path == "" {
		path = r.Spec.Source.file()
	}
	data, err := r.store.disk.read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the section %s: %w", name, err)
	}
	f, err := parseWhole(path, data)
	if err != nil {
		return nil, err
	}
	if !f.Has(name) {
		return nil, fmt.Errorf("%s has no section %s: there is nothing to move; leave it out of the specification", path, name)
	}
	_, taken, err := f.TakeOut(name)
	return taken, err
}

func (e *edit) preview(ctx context.Context, rec *Record) (string, error) {
	if rec.Phase == Begun {
		return e.keptDiff(rec)
	}
	before, after, err := e.wanted()
	if err != nil {
		return "", err
	}
	e.r.overlay[e.subject()] = after.Bytes()
	return config.Diff(before, after), e.matches(ctx)
}

func (e *edit) keptDiff(rec *Record) (string, error) {
	before, err := e.r.store.recall(rec.Before)
	if err != nil {
		return "", err
	}
	after, err := e.r.store.recall(rec.After)
	if err != nil {
		return "", err
	}
	return e.r.diff(rec.File, before, after), nil
}

// diff shows what differs, with secrets masked. Of files that are no configuration of Prometheus hardly anything is shown: where their
// secrets stand is not known.
func (r *runner) diff(path string, before, after []byte) string {
	if slices.ContainsFunc(r.Spec.Grafana, func(g Grafana) bool { return g.ProvisioningFile == path }) {
		return lineDiff(path, before, after)
	}
	from, err := config.Parse(path, before)
	to, err2 := config.Parse(path, after)
	if errors.Join(err, err2) != nil {
		return lineDiff(path, before, after)
	}
	return config.Diff(from, to)
}

// matches refuses to edit a file that is not the one the server runs with.
func (e *edit) matches(ctx context.Context) error {
	if e.r.Spec.overridden(RuleFileIsServed) {
		return nil
	}
	data, err := e.r.store.disk.read(e.subject())
	if err != nil {
		return fmt.Errorf("reading the configuration of the %s: %w", e.server.Name(), err)
	}
	file, err := parseSettings(data)
	if err != nil {
		return fmt.Errorf("reading %s: %w", e.subject(), err)
	}
	runs, err := e.server.settings(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		what       string
		file, runs int
	}{
		{"entries of alerting.alertmanagers", len(file.Alerting.Alertmanagers), len(runs.Alerting.Alertmanagers)},
		{"entries of remote_write", len(file.RemoteWrite), len(runs.RemoteWrite)},
		{"external labels", len(file.Global.ExternalLabels), len(runs.Global.ExternalLabels)},
	} {
		if c.file != c.runs {
			return refuse(RuleFileIsServed, "%s has %d %s, the %s runs with %d: is it the right file, and loaded?", e.subject(), c.file, c.what, e.server.Name(), c.runs)
		}
	}
	return nil
}

func (e *edit) do(ctx context.Context, rec *Record) error {
	if rec.Phase == Done {
		return e.holds(ctx)
	}
	if rec.Phase != Begun {
		if done, err := e.begin(ctx, rec); done || err != nil {
			return err
		}
	} else if err := e.again(ctx, rec); err != nil {
		return err
	}
	if err := e.put(ctx, rec.File, rec.Before, rec.After); err != nil {
		return err
	}
	err := e.load(ctx, e.on)
	if err == nil && e.settled != nil {
		err = e.settled(ctx, rec)
	}
	if err != nil {
		return e.takeBack(ctx, rec, err)
	}
	return e.r.mark(ctx, rec, Done)
}

// begin asks whether the change may be made, and writes down what there is.
func (e *edit) begin(ctx context.Context, rec *Record) (done bool, err error) {
	before, after, err := e.wanted()
	if err != nil {
		return false, err
	}
	if err := e.matches(ctx); err != nil {
		return false, err
	}
	if e.ready != nil {
		if err := e.ready(ctx, rec); err != nil {
			return false, err
		}
	}
	if slices.Equal(before.Bytes(), after.Bytes()) {
		rec.File, rec.Before, rec.After = "", "", ""
		return true, e.r.mark(ctx, rec, Done)
	}
	if e.ofSource && !slices.Contains(e.r.Approved, e.step) {
		diff := config.Diff(before, after)
		return false, &Refusal{Rule: RuleApproved, Step: e.step, Diff: diff, Message: fmt.Sprintf("everything is ready, and both servers work meanwhile; "+
			"allow the edit of %s with --approve %s:\n%s", e.subject(), e.step, diff)}
	}
	if rec.Before, err = e.r.store.keep(before.Bytes()); err != nil {
		return false, err
	}
	if rec.After, err = e.r.store.keep(after.Bytes()); err != nil {
		return false, err
	}
	rec.File = e.subject()
	return false, e.r.mark(ctx, rec, Begun)
}

// again goes on with a change that was begun. Where the file is still the old one, the world may have changed meanwhile.
func (e *edit) again(ctx context.Context, rec *Record) error {
	data, err := e.r.store.disk.read(rec.File)
	if err != nil {
		return fmt.Errorf("reading the configuration of the %s: %w", e.server.Name(), err)
	}
	if digest(data) == rec.Before && e.ready != nil {
		return e.ready(ctx, rec)
	}
	return nil
}

// put makes a file that has one of two kept texts have the second.
func (e *edit) put(_ context.Context, path, from, to string) error { return e.r.put(path, from, to) }

func (r *runner) put(path, from, to string) error {
	data, err := r.store.disk.read(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	wanted, err := r.store.recall(to)
	if err != nil {
		return err
	}
	switch digest(data) {
	case to:
		return nil
	case from:
		return r.store.disk.replace(path, wanted)
	}
	return r.changedSince(path, from, to, data)
}

// changedSince refuses, and shows what somebody made of the text that was left.
func (r *runner) changedSince(path, from, to string, data []byte) error {
	left, err := r.store.recall(from)
	if err != nil {
		return err
	}
	return refuse(RuleUnchanged, "%s was changed by somebody else; bring it back to what was left there, or finish by hand with the copy %s:\n%s",
		path, r.store.kept(to), r.diff(path, left, data))
}

// takeBack puts the old file back when the server does not take the new one. A person who was not quick enough is no such reason.
func (e *edit) takeBack(ctx context.Context, rec *Record, cause error) error {
	if ctx.Err() != nil {
		return cause
	}
	if e.server.spec.ReloadBy == ReloadManual && ruleOf(cause) == RuleLoads {
		return fmt.Errorf("%w; run the same command again when it is done", cause)
	}
	e.r.does(e.step, "putting the old file back: "+cause.Error())
	if err := e.put(ctx, rec.File, rec.After, rec.Before); err != nil {
		return errors.Join(cause, err)
	}
	if err := e.load(ctx, !e.on); err != nil {
		return errors.Join(cause, fmt.Errorf("putting the old file back: %w", err))
	}
	return errors.Join(cause, e.r.mark(ctx, rec, Planned))
}

// undo puts the file back byte by byte.
func (e *edit) undo(ctx context.Context, rec *Record) error {
	if rec.File == "" {
		return nil
	}
	if err := e.put(ctx, rec.File, rec.After, rec.Before); err != nil {
		return err
	}
	return e.load(ctx, !e.on)
}

func (e *edit) previewUndo(_ context.Context, rec *Record) (string, error) {
	if rec.File == "" {
		return "", nil
	}
	return e.r.previewPut(rec)
}

// previewPut is what putting the old text back would change.
func (r *runner) previewPut(rec *Record) (string, error) {
	before, err := r.store.recall(rec.Before)
	if err != nil {
		return "", err
	}
	now, ok := r.overlay[rec.File]
	if !ok {
		if now, err = r.store.disk.read(rec.File); err != nil {
			return "", fmt.Errorf("reading %s: %w", rec.File, err)
		}
	}
	r.overlay[rec.File] = before
	if sum := digest(now); sum != rec.Before && sum != rec.After {
		return "", r.changedSince(rec.File, rec.After, rec.Before, now)
	}
	return r.diff(rec.File, now, before), nil
}

// holds looks whether a change that was made is still there.
func (e *edit) holds(ctx context.Context) error {
	if err := e.serves(ctx, e.on); err != nil {
		return refuse(RuleUnchanged, "this was done, and the %s is otherwise now: %v", e.server.Name(), err)
	}
	return nil
}

// load has the server read its file again, and waits until it runs with it.
func (e *edit) load(ctx context.Context, on bool) error {
	patience, how := min(loadTime, e.r.Patience), "loading "+e.subject()
	var err error
	switch e.server.spec.ReloadBy {
	case ReloadHTTP:
		err = e.server.postReload(ctx)
	case ReloadSignal:
		err = e.signal()
	case ReloadManual:
		patience, how = e.r.Patience, "a person"
		e.r.does(e.step, fmt.Sprintf("bring %s to where the %s reads it, and let it reload: kill -HUP its process, or curl -X POST %s/-/reload",
			e.subject(), e.server.Name(), e.server.URL()))
	}
	if err == nil {
		err = e.r.until(ctx, e.step, how, patience, func() error { return e.serves(ctx, on) })
	}
	if err != nil && ctx.Err() == nil {
		return refuse(RuleLoads, "the %s does not run with %s: %v", e.server.Name(), e.subject(), err)
	}
	return err
}

func (e *edit) signal() error {
	if e.server.spec.Host != nil {
		return e.r.remote.reload(&e.server.spec)
	}
	pid := e.server.spec.PID
	if path := e.server.spec.PIDFile; path != "" {
		data, err := e.r.store.disk.read(path)
		if err != nil {
			return fmt.Errorf("reading the number of the %s's process: %w", e.server.Name(), err)
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil || pid <= 1 {
			return fmt.Errorf("%s holds no number of a process", path)
		}
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no process %d on this host", pid)
	case err != nil:
		return fmt.Errorf("looking at process %d: %w", pid, err)
	case !strings.HasPrefix(string(name), "prometheus"):
		return fmt.Errorf("process %d is %q and not prometheus", pid, strings.TrimSpace(string(name)))
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("sending SIGHUP to process %d: %w", pid, err)
	}
	return nil
}

// serves says whether the server runs with the section, or without it.
func (e *edit) serves(ctx context.Context, on bool) error {
	return e.server.runsWith(ctx, e.section, on)
}
