package cutover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/ssh"
)

// Options are what a cutover, its rollback and its end run with.
type Options struct {
	// Spec is what is to be done; nil takes that of the state directory.
	Spec *Spec
	// StateDir keeps the journal and whole copies of the files that are edited; they may hold secrets, and so it is closed to others.
	StateDir string
	// Approved are names of steps that edit the source, which a person allows.
	Approved []string
	// Write lets the files that provision Grafana be edited; else the difference is told and a person makes the change.
	Write bool
	// Patience is how long a condition is waited for; default 10 minutes.
	Patience time.Duration
	// Poll is the pause between two looks; default 1 second.
	Poll time.Duration
	// Watch is how long finalize looks whether somebody asks the source; default 1 minute.
	Watch time.Duration
	// QueryLog is the source's query log, in which finalize finds who asks; empty: nobody is named from it.
	QueryLog string
	// Progress receives what is being done, at most a line every ten seconds per wait.
	Progress func(step, text string)
	// Report receives the same for programs, and how it ended.
	Report func(Progress)

	now func() time.Time
}

// step is one thing that is changed or waited for.
type step interface {
	name() string
	// subject is what is changed; with the name it is unique.
	subject() string
	// does says it for people.
	does() string
	approval() bool
	// noticed says that people may notice it, so that it begins within the window.
	noticed() bool
	// preview tells the difference it would make, empty where nothing has to be changed.
	preview(ctx context.Context, rec *Record) (string, error)
	// previewUndo tells the difference that putting back would make.
	previewUndo(ctx context.Context, rec *Record) (string, error)
	do(ctx context.Context, rec *Record) error
	undo(ctx context.Context, rec *Record) error
}

// runner works on one cutover. It is used by one goroutine.
type runner struct {
	Options
	store          store
	state          *State
	source, target *prometheus
	managers       []*alertmanager
	grafanas       []*grafana
	// wants is what the target's file is to become by somebody else's hand.
	wants  Wants
	remote *routed
	// overlay are files as earlier steps of a preview would leave them.
	overlay map[string][]byte
}

func newRunner(o Options, d disk) (*runner, error) {
	if o.Patience <= 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if o.Watch <= 0 {
		o.Watch = time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(string, string) {}
	}
	if o.now == nil {
		o.now = time.Now
	}
	r := &runner{Options: o, store: store{dir: o.StateDir, disk: d}, overlay: map[string][]byte{}}
	if o.StateDir == "" {
		return nil, errors.New("a directory for the state is missing")
	}
	var err error
	if r.state, err = r.store.load(); err != nil {
		return nil, err
	}
	return r, nil
}

// open takes the spec and makes the clients; it talks to nobody.
func (r *runner) open(ctx context.Context) (err error) {
	if r.Spec == nil {
		if r.state == nil {
			return fmt.Errorf("there is no cutover in %s: run slipway prometheus cutover first", r.StateDir)
		}
		r.Spec = r.state.Spec
	}
	if r.state == nil {
		r.state = &State{Version: stateVersion, Phase: Planned}
	}
	r.state.Version = stateVersion
	r.reachHosts(ctx)
	if r.source, err = newPrometheus("source", r.Spec.Source); err != nil {
		return err
	}
	if r.target, err = newPrometheus("target", r.Spec.Target); err != nil {
		return err
	}
	for _, g := range r.Spec.Grafana {
		client, err := newGrafana(g)
		if err != nil {
			return err
		}
		r.grafanas = append(r.grafanas, client)
	}
	if r.Spec.Alerting != nil {
		for _, e := range r.Spec.Alerting.Alertmanagers {
			if err := r.addManager(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// reachHosts has files of other hosts read and written there.
func (r *runner) reachHosts(ctx context.Context) {
	hosts := map[string]*Host{}
	for _, s := range []*Server{&r.Spec.Source, &r.Spec.Target} {
		if s.Host != nil {
			hosts[s.Host.name()] = s.Host
		}
	}
	if len(hosts) > 0 {
		r.remote = &routed{disk: r.store.disk, ctx: ctx, dialer: ssh.NewDialer(ssh.Options{}), hosts: hosts}
		r.store.disk = r.remote
	}
}

func (r *runner) addManager(e Endpoint) error {
	c, err := newClient("Alertmanager at "+e.URL, e)
	if err == nil {
		r.managers = append(r.managers, &alertmanager{c})
	}
	return err
}

func (r *runner) close() {
	for _, p := range []*prometheus{r.source, r.target} {
		if p != nil {
			p.Close()
		}
	}
	for _, m := range r.managers {
		m.Close()
	}
	for _, g := range r.grafanas {
		g.Close()
	}
	if r.remote != nil {
		r.remote.dialer.Close()
	}
}

// steps are the whole cutover in its order: people look first, then alerts, then remote_write.
func (r *runner) steps(ctx context.Context) ([]step, error) {
	var all []step
	for _, g := range r.grafanas {
		uids, err := r.dataSources(ctx, g)
		if err != nil {
			return nil, err
		}
		for _, uid := range uids {
			all = append(all, &grafanaStep{r: r, g: g, uid: uid})
		}
	}
	if r.Spec.Alerting != nil {
		all = append(all, r.alertingSteps()...)
	}
	if r.Spec.RemoteWrite != nil {
		all = append(all, r.remoteWriteSteps()...)
	}
	return all, r.match(all)
}

// match refuses a state that knows of changes that these steps do not.
func (r *runner) match(all []step) error {
	for _, rec := range r.state.Steps {
		if rec.Phase != Begun && rec.Phase != Done {
			continue
		}
		if !slices.ContainsFunc(all, func(s step) bool { return s.name() == rec.Step && s.subject() == rec.Subject }) {
			return refuse(RuleSameCutover, "%s was %s for %s, of which the specification says nothing; roll back with the old one, or name another directory than %s",
				rec.Step, rec.Phase, rec.Subject, r.StateDir)
		}
	}
	return nil
}

// record finds or makes the record of a step; they are in the order of the steps.
func (r *runner) record(s step) *Record {
	for _, rec := range r.state.Steps {
		if rec.Step == s.name() && rec.Subject == s.subject() {
			return rec
		}
	}
	rec := &Record{Step: s.name(), Subject: s.subject(), Phase: Planned}
	r.state.Steps = append(r.state.Steps, rec)
	return rec
}

// arrange brings the records into the order of the steps; those of steps that are no more come last.
func (r *runner) arrange(all []step) {
	place := map[string]int{}
	for i, s := range all {
		place[s.name()+" "+s.subject()] = i - len(all)
		r.record(s)
	}
	slices.SortStableFunc(r.state.Steps, func(a, b *Record) int { return place[a.key()] - place[b.key()] })
}

func (r *runner) mark(ctx context.Context, rec *Record, p Phase) error {
	rec.Phase, rec.Time = p, r.now().UTC().Truncate(time.Second)
	return r.store.save(ctx, r.state)
}

// until looks again and again until check is content, and returns what it said last when the patience ends.
func (r *runner) until(ctx context.Context, step, what string, patience time.Duration, check func() error) error {
	begin, told := r.now(), r.now()
	for {
		err := check()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if now := r.now(); now.Sub(begin) >= patience {
			return fmt.Errorf("waiting %s for %s: %w", patience, what, err)
		} else if now.Sub(told) >= 10*time.Second || told.Equal(begin) {
			r.waits(step, fmt.Sprintf("%s: %v", what, err))
			told = now
		}
		timer := time.NewTimer(r.Poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Report is what a command found and did.
type Report struct {
	Phase Phase         `json:"phase"`
	Steps []StepReport  `json:"steps"`
	Finds []Finding     `json:"findings,omitempty"`
	Off   []SwitchedOff `json:"switchOff,omitempty"`
}

// StepReport is a step as it stands.
type StepReport struct {
	Step    string `json:"step"`
	Subject string `json:"subject,omitempty"`
	Does    string `json:"does"`
	Phase   Phase  `json:"phase"`
	// Approval says that a person has to allow it, and has not yet.
	Approval bool `json:"needsApproval,omitempty"`
	// Diff is what it would change, or changed; secrets are masked.
	Diff string `json:"diff,omitempty"`
	// Problem is why it cannot be done now, Rule the rule that says so.
	Problem string `json:"problem,omitempty"`
	Rule    string `json:"rule,omitempty"`
}

func (r *runner) report(all []step) *Report {
	rep := &Report{Phase: r.state.Phase}
	for _, s := range all {
		rec := r.record(s)
		rep.Steps = append(rep.Steps, StepReport{Step: s.name(), Subject: s.subject(), Does: s.does(), Phase: rec.Phase,
			Approval: s.approval() && rec.Phase != Done && !slices.Contains(r.Approved, s.name())})
	}
	return rep
}

// Plan tells what Run would do, and changes nothing. Problems of single steps are in the report.
func Plan(ctx context.Context, o Options) (*Report, error) {
	return plan(ctx, o, osDisk{}, false, func(r *runner, ctx context.Context, s step, rec *Record) (string, error) {
		if rec.Phase == Done {
			return "", nil
		}
		diff, err := s.preview(ctx, rec)
		return diff, errors.Join(err, r.mayBegin(s, rec))
	})
}

// PlanRollback tells what Rollback would do, and changes nothing.
func PlanRollback(ctx context.Context, o Options) (*Report, error) {
	return plan(ctx, o, osDisk{}, true, func(r *runner, ctx context.Context, s step, rec *Record) (string, error) {
		if rec.Phase != Begun && rec.Phase != Done {
			return "", nil
		}
		if err := r.sourceAnswers(ctx); err != nil && !ofSource(s) { // its file can be put back all the same
			return "", err
		}
		return s.previewUndo(ctx, rec)
	})
}

// plan looks at each step in the order in which something would be done: the last first for a rollback.
func plan(ctx context.Context, o Options, d disk, backward bool, look func(*runner, context.Context, step, *Record) (string, error)) (*Report, error) {
	r, err := newRunner(o, d)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	all, err := r.steps(ctx)
	if err != nil {
		return nil, err
	}
	r.arrange(all)
	if backward {
		slices.Reverse(all)
	}
	rep := r.report(all)
	for i, s := range all {
		diff, err := look(r, ctx, s, r.record(s))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rep.Steps[i].Diff = diff
		if err != nil {
			rep.Steps[i].Problem, rep.Steps[i].Rule = err.Error(), ruleOf(err)
		}
	}
	return rep, nil
}

// Err is the first problem of a plan.
func (r *Report) Err() error {
	for _, s := range r.Steps {
		if s.Problem != "" {
			return fmt.Errorf("%s: %s", s.Step, s.Problem)
		}
	}
	return nil
}

// Run does the cutover, or what of it is left. Killed at any moment, it goes on where it was. An error that is a Refusal names the rule;
// the report is there also then.
func Run(ctx context.Context, o Options) (*Report, error) {
	return with(o, osDisk{}, (*runner).run, ctx)
}

// Rollback puts back what Run changed, the last first.
func Rollback(ctx context.Context, o Options) (*Report, error) {
	return with(o, osDisk{}, (*runner).rollback, ctx)
}

// with holds the state directory while something is done.
func with(o Options, d disk, do func(*runner, context.Context) (*Report, error), ctx context.Context) (*Report, error) {
	r, err := newRunner(o, d)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if r.state == nil && o.Spec == nil {
		return nil, r.open(ctx)
	}
	unlock, err := r.store.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if r.state, err = r.store.load(); err != nil { // once more: another command may have ended meanwhile
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	rep, err := do(r, ctx)
	if ctx.Err() == nil {
		r.end(rep, err)
	}
	return rep, err
}

func (r *runner) run(ctx context.Context) (*Report, error) {
	if r.state.Phase == Finalized {
		return nil, refuse(RuleNotFinalized, "this cutover was finalized")
	}
	all, err := r.steps(ctx)
	if err != nil {
		return nil, err
	}
	r.arrange(all)
	r.state.Spec = r.Spec
	if r.state.Phase != Done {
		r.state.Phase = Begun
	}
	if err := r.store.save(ctx, r.state); err != nil {
		return nil, err
	}
	for _, s := range all {
		rec := r.record(s)
		if err := r.mayBegin(s, rec); err != nil {
			return r.report(all), fmt.Errorf("%s: %w", s.name(), err)
		}
		if rec.Phase != Done {
			r.does(s.name(), s.does())
		}
		if err := s.do(ctx, rec); err != nil {
			return r.report(all), fmt.Errorf("%s: %w", s.name(), err)
		}
	}
	r.state.Phase = Done
	return r.report(all), r.store.save(ctx, r.state)
}

func (r *runner) rollback(ctx context.Context) (*Report, error) {
	if r.state.Phase == Finalized {
		return nil, refuse(RuleNotFinalized, "this cutover was finalized; what was there before is still in %s", r.StateDir)
	}
	all, err := r.steps(ctx)
	if err != nil {
		return nil, err
	}
	r.arrange(all)
	if err := r.sourceAnswers(ctx); err != nil {
		return r.withoutSource(ctx, all, err)
	}
	for _, s := range slices.Backward(all) {
		rec := r.record(s)
		if rec.Phase == Planned || rec.Phase == Undone {
			if err := r.loadBack(ctx, s, rec); err != nil {
				return r.report(all), fmt.Errorf("putting back %s: %w", s.name(), err)
			}
			continue
		}
		r.does(s.name(), "putting back: "+s.does())
		if err := s.undo(ctx, rec); err != nil {
			return r.report(all), fmt.Errorf("putting back %s: %w", s.name(), err)
		}
		if err := r.mark(ctx, rec, Undone); err != nil {
			return r.report(all), err
		}
	}
	r.state.Phase = Undone
	rep := r.report(all)
	rep.Off = r.leftOver()
	return rep, r.store.save(ctx, r.state)
}
