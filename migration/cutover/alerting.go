package cutover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// The steps, in their order. Two of them edit the source and need an approval of that name.
const (
	StepGrafana           = "GrafanaURL"
	StepTargetAlerting    = "TargetAlertingOn"
	StepTargetHeard       = "TargetHeard"
	StepSourceAlerting    = "SourceAlertingOff"
	StepTargetRemoteWrite = "TargetRemoteWriteOn"
	StepSourceRemoteWrite = "SourceRemoteWriteOff"
)

func (r *runner) alertingSteps() []step {
	file := r.Spec.Alerting.SectionFile
	const why = "have the target send alerts too, once it fires what the source fires"
	var target step = &edit{r: r, step: StepTargetAlerting, server: r.target, section: sectionAlerting, on: true, sectionFile: file,
		why: why, ready: r.readyToSend, settled: r.sameManagers}
	if r.target.spec.ReloadBy == ReloadDeclared {
		target = &declared{r: r, step: StepTargetAlerting, server: r.target, section: sectionAlerting, wants: WantsAlertingOn,
			why: why, ready: r.readyToSend, settled: r.sendsTheSame}
	}
	return []step{
		target,
		&heardStep{r: r},
		&edit{r: r, step: StepSourceAlerting, server: r.source, section: sectionAlerting, ofSource: true,
			why:   "take the sending of alerts off the source; the target goes on",
			ready: func(ctx context.Context, _ *Record) error { return r.firesTheSame(ctx, StepSourceAlerting, 0) },
			settled: func(ctx context.Context, _ *Record) error {
				return r.heard(ctx, StepSourceAlerting, r.target, r.refreshTime)
			}},
	}
}

// sourceSection is what the source sends with, or did before its section was taken out.
func (r *runner) sourceSection(runs *settings) (alertingSection, error) {
	for _, rec := range r.state.Steps {
		if rec.Step != StepSourceAlerting || rec.File == "" || rec.Phase != Begun && rec.Phase != Done {
			continue
		}
		data, err := r.store.recall(rec.Before)
		if err != nil {
			return alertingSection{}, err
		}
		s, err := parseSettings(data)
		if err != nil {
			return alertingSection{}, fmt.Errorf("reading the copy of %s: %w", rec.File, err)
		}
		return s.Alerting, nil
	}
	return runs.Alerting, nil
}

// senders are how both servers send, and how much later one of them may evaluate.
func (r *runner) senders(ctx context.Context) (from, to sender, slack time.Duration, err error) {
	source, err := r.source.settings(ctx)
	if err != nil {
		return from, to, 0, err
	}
	target, err := r.target.settings(ctx)
	if err != nil {
		return from, to, 0, err
	}
	own, err := r.sourceSection(source)
	if err != nil {
		return from, to, 0, err
	}
	moved := own
	if r.target.spec.ReloadBy == ReloadDeclared && len(target.Alerting.Alertmanagers) > 0 {
		moved = target.Alerting // what was brought, and not what was to be
	} else if path := r.Spec.Alerting.SectionFile; path != "" {
		data, err := r.store.disk.read(path)
		if err != nil {
			return from, to, 0, fmt.Errorf("reading the section %s: %w", sectionAlerting, err)
		}
		s, err := parseSettings(data)
		if err != nil {
			return from, to, 0, fmt.Errorf("reading %s: %w", path, err)
		}
		moved = s.Alerting
	}
	slack, err = r.longestInterval(ctx, max(source.Global.EvaluationInterval, target.Global.EvaluationInterval))
	return newSender(source, own), newSender(target, moved), slack + time.Second, err
}

// longestInterval is how long an alert may wait for its next evaluation on either server.
func (r *runner) longestInterval(ctx context.Context, usual model.Duration) (time.Duration, error) {
	longest := time.Duration(usual)
	for _, p := range []*prometheus{r.source, r.target} {
		rules, err := p.alertingRules(ctx)
		if err != nil {
			return 0, err
		}
		for _, rule := range rules {
			longest = max(longest, time.Duration(rule.Interval*float64(time.Second)))
		}
	}
	return longest, nil
}

// readyToSend checks what does not change by waiting, and then waits until both fire the same.
func (r *runner) readyToSend(ctx context.Context, rec *Record) error {
	if err := r.looksReady(ctx); err != nil {
		return err
	}
	active, err := r.source.alertmanagers(ctx)
	if err != nil {
		return err
	}
	if len(active) == 0 && len(rec.Alertmanagers) == 0 {
		return refuse(RuleSameAlertmanagers, "the source sends alerts to no Alertmanager now, so nothing can be handed over")
	}
	if len(active) > 0 {
		rec.Alertmanagers = active
	}
	return r.firesTheSame(ctx, StepTargetAlerting, r.Patience)
}

func (r *runner) looksReady(ctx context.Context) error {
	from, to, _, err := r.senders(ctx)
	if err != nil {
		return err
	}
	rules, err := r.source.alertingRules(ctx)
	if err != nil {
		return err
	}
	theirs, err := r.target.alertingRules(ctx)
	if err != nil {
		return err
	}
	alerts, err := r.source.alerts(ctx)
	if err != nil {
		return err
	}
	if err := looksSame(from, to, rules, alerts); err != nil {
		return err
	}
	if r.Spec.overridden(RuleSameAlertingRules) {
		return nil
	}
	return sameRules(rules, theirs)
}

// firesTheSame waits until the alerts of both are the same; with a short patience for what changes from one evaluation to the next.
func (r *runner) firesTheSame(ctx context.Context, step string, patience time.Duration) error {
	from, to, slack, err := r.senders(ctx)
	if err != nil {
		return err
	}
	return r.until(ctx, step, "the same alerts on both", max(patience, 3*slack), func() error {
		source, err := r.source.alerts(ctx)
		if err != nil {
			return err
		}
		target, err := r.target.alerts(ctx)
		if err != nil {
			return err
		}
		return compareAlerts(source, target, from, to, slack).err(r.Spec)
	})
}

// sameManagers waits until the target has discovered every Alertmanager of the source.
func (r *runner) sameManagers(ctx context.Context, rec *Record) error {
	if r.Spec.overridden(RuleSameAlertmanagers) {
		return nil
	}
	return r.until(ctx, StepTargetAlerting, "the target's Alertmanagers", min(loadTime, r.Patience), func() error {
		active, err := r.target.alertmanagers(ctx)
		if err != nil {
			return err
		}
		for _, want := range rec.Alertmanagers {
			if !slices.Contains(active, want) {
				return refuse(RuleSameAlertmanagers, "the source sends to %s, the target to %d others and not to that one", want, len(active))
			}
		}
		return nil
	})
}

// sendsTheSame looks at a section that somebody else brought: whether it leads to the same Alertmanagers, and alerts look the same through it.
func (r *runner) sendsTheSame(ctx context.Context, rec *Record) error {
	if err := r.sameManagers(ctx, rec); err != nil {
		return err
	}
	return r.looksReady(ctx)
}

// heardStep waits until every Alertmanager hears the target. Its undo waits for the source, before the target falls silent.
type heardStep struct{ r *runner }

func (h *heardStep) name() string    { return StepTargetHeard }
func (h *heardStep) subject() string { return "" }
func (h *heardStep) approval() bool  { return false }
func (h *heardStep) noticed() bool   { return false }
func (h *heardStep) does() string {
	return "wait until every Alertmanager has heard each firing alert from the target"
}

func (h *heardStep) preview(ctx context.Context, _ *Record) (string, error) {
	if err := h.r.looksReady(ctx); err != nil {
		return "", err
	}
	from, to, slack, err := h.r.senders(ctx)
	if err != nil {
		return "", err
	}
	source, err := h.r.source.alerts(ctx)
	if err != nil {
		return "", err
	}
	target, err := h.r.target.alerts(ctx)
	if err != nil {
		return "", err
	}
	return "", compareAlerts(source, target, from, to, slack).err(h.r.Spec)
}

func (h *heardStep) previewUndo(context.Context, *Record) (string, error) { return "", nil }

func (h *heardStep) do(ctx context.Context, rec *Record) error {
	if rec.Phase == Done {
		return nil
	}
	if err := h.r.mark(ctx, rec, Begun); err != nil {
		return err
	}
	if err := h.r.heard(ctx, StepTargetHeard, h.r.target, h.r.bothTime); err != nil {
		return err
	}
	return h.r.mark(ctx, rec, Done)
}

func (h *heardStep) undo(ctx context.Context, _ *Record) error {
	return h.r.heard(ctx, StepTargetHeard, h.r.source, h.r.bothTime)
}

// refreshTime is how long the only sender may take to tell everything again. Alertmanager forgets an alert after four times the longer of
// the two (Prometheus, rules/alerting.go, sendAlerts), so there is time to put the other sender back.
func (r *runner) refreshTime(resend, evaluation time.Duration) time.Duration {
	return resend + evaluation + 15*time.Second
}

// bothTime is the same for one of two senders, which has time.
func (r *runner) bothTime(resend, evaluation time.Duration) time.Duration {
	return max(r.refreshTime(resend, evaluation), r.Patience)
}

// heard waits until a server was heard by its Alertmanagers: for the time in which it tells every firing alert once, it sent at least as
// many to each of them as fire, no send failed and none was dropped, and each alert was told again.
func (r *runner) heard(ctx context.Context, step string, p *prometheus, patience func(resend, evaluation time.Duration) time.Duration) error {
	l, err := r.newListener(ctx, p)
	if err != nil {
		return err
	}
	limit := patience(l.resend, l.evaluation)
	err = r.until(ctx, step, "Alertmanager to hear the "+p.Name(), limit, func() error { return l.listen(ctx) })
	if err != nil && ctx.Err() == nil {
		return refuse(RuleHeard, "%v", err)
	}
	return err
}

// preferManagers are those given, else those that the source sent to.
func (r *runner) preferManagers(ctx context.Context) error {
	if len(r.managers) > 0 {
		return nil
	}
	var urls []string
	for _, rec := range r.state.Steps {
		if rec.Step == StepTargetAlerting {
			urls = rec.Alertmanagers
		}
	}
	if len(urls) == 0 {
		var err error
		if urls, err = r.source.alertmanagers(ctx); err != nil {
			return err
		}
	}
	for _, u := range urls {
		if err := r.addManager(Endpoint{URL: u}); err != nil {
			return fmt.Errorf("%w; give alerting.alertmanagers the addresses as this host reaches them", err)
		}
	}
	if len(r.managers) == 0 {
		return refuse(RuleHeard, "no Alertmanager is known; give alerting.alertmanagers")
	}
	return nil
}
