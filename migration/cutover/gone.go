package cutover

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/server"
)

// askedTimes is how often a source is asked before it is taken for silent.
const askedTimes = 3

// sourceAnswers refuses to lead people back to a server that does not answer.
func (r *runner) sourceAnswers(ctx context.Context) error {
	var last error
	for range askedTimes {
		last = r.source.Ask(ctx, http.MethodGet, "/-/ready", nil, nil, func(res *http.Response, body io.Reader) error {
			if res.StatusCode != http.StatusOK {
				return server.Refusal(res.StatusCode, body)
			}
			return nil
		})
		if last == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return refuse(RuleSourceAnswers, "the source does not answer: %v", last)
}

// ofSource says that a step edits the source's file.
func ofSource(s step) bool {
	e, ok := s.(*edit)
	return ok && e.ofSource
}

// withoutSource does what a rollback can do while the source is silent: its file is put back, so that it runs as before once it is started. Alerts of both
// servers have the same labels, so that nobody is paged twice by it. People and alerts stay where they are answered.
func (r *runner) withoutSource(ctx context.Context, all []step, cause error) (*Report, error) {
	var back, stay []string
	targetSends := r.Spec.Alerting == nil
	for _, s := range slices.Backward(all) {
		rec := r.record(s)
		if s.name() == StepTargetAlerting && (rec.Phase == Done || rec.Phase == Begun) {
			targetSends = true
		}
		if rec.Phase != Begun && rec.Phase != Done {
			continue
		}
		if !ofSource(s) {
			stay = append(stay, strings.TrimSpace(s.name()+" "+s.subject()))
			continue
		}
		r.does(s.name(), "putting the source's file back; it is not running")
		text, err := r.putSourceBack(ctx, rec)
		if err != nil {
			text = fmt.Sprintf("%s could not be: %v", s.name(), err)
		}
		back = append(back, text)
	}
	says := strings.TrimPrefix(cause.Error(), RuleSourceAnswers+": ")
	if len(back) > 0 {
		says += "; put back: " + strings.Join(back, ", ")
	}
	if len(stay) > 0 {
		says += "; these stay with the target, which has the data: " + strings.Join(stay, ", ")
	}
	if !targetSends {
		says += "; nobody sends alerts now: bring the section alerting of " + r.Spec.Source.file() + " to the target"
	}
	return r.report(all), refuse(RuleSourceAnswers, "%s. Start the source and run the same command again, or stay with the target", says)
}

// putSourceBack puts the file back; a rollback that finds the source again looks whether it runs with it.
func (r *runner) putSourceBack(ctx context.Context, rec *Record) (string, error) {
	if rec.File == "" {
		return rec.Step + " had nothing to change", r.mark(ctx, rec, Undone)
	}
	if err := r.put(rec.File, rec.After, rec.Before); err != nil {
		return "", err
	}
	return rec.File, r.mark(ctx, rec, Undone)
}

// loadBack has a source that was silent when its file was put back run with it.
func (r *runner) loadBack(ctx context.Context, s step, rec *Record) error {
	e, ok := s.(*edit)
	if !ok || !e.ofSource || rec.Phase != Undone || rec.File == "" || e.serves(ctx, !e.on) == nil {
		return nil
	}
	return e.load(ctx, !e.on)
}

// leftOver lists what is still there after a rollback, and nobody needs.
func (r *runner) leftOver() []SwitchedOff {
	return []SwitchedOff{
		{"the read shim and remote_read on the target", "take remote_read out of the target's configuration, reload, then stop the shim"},
		{"the source agent, if one runs there", "stop slipway-agent source; it takes its pinned blocks away when it ends"},
		{"the target, " + r.Spec.Target.URL, "stop it when nobody wants to try again; nobody is led to it"},
	}
}
