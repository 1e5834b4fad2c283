package cutover

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Wants is what a server is to run with, said to somebody else who writes its file.
type Wants string

// What is wanted of a target with reloadBy Declared. Each stands until the next one; more than is wanted does no harm on the way there.
const (
	// WantsAlertingOn: the section alerting is there.
	WantsAlertingOn Wants = "AlertingOn"
	// WantsRemoteWriteOn: remote_write is there, and alerting where it moves too.
	WantsRemoteWriteOn Wants = "RemoteWriteOn"
	// WantsOff: neither is there, of those that move.
	WantsOff Wants = "Off"
)

// declared is a section that somebody else brings to a server, or takes away. It says what is wanted and asks the server to load its file until it shows.
type declared struct {
	r       *runner
	step    string
	server  *prometheus
	section string
	wants   Wants
	why     string
	// ready is asked before it is wanted, settled after it is there.
	ready, settled func(ctx context.Context, rec *Record) error
}

func (d *declared) name() string    { return d.step }
func (d *declared) subject() string { return "" }
func (d *declared) does() string    { return d.why }
func (d *declared) approval() bool  { return false }
func (d *declared) noticed() bool   { return true }

func (d *declared) preview(context.Context, *Record) (string, error)     { return "", nil }
func (d *declared) previewUndo(context.Context, *Record) (string, error) { return "", nil }

func (d *declared) do(ctx context.Context, rec *Record) error {
	if rec.Phase == Done {
		if err := d.server.runsWith(ctx, d.section, true); err != nil {
			return refuse(RuleUnchanged, "this was done, and the %s is otherwise now: %v", d.server.Name(), err)
		}
		return nil
	}
	// Until it is there, the world may have changed since the last attempt.
	if d.server.runsWith(ctx, d.section, true) != nil && d.ready != nil {
		if err := d.ready(ctx, rec); err != nil {
			return err
		}
	}
	if err := d.r.mark(ctx, rec, Begun); err != nil {
		return err
	}
	if err := d.await(ctx, d.wants); err != nil {
		return err
	}
	if d.settled != nil {
		if err := d.settled(ctx, rec); err != nil {
			return d.takeBack(ctx, rec, err)
		}
	}
	return d.r.mark(ctx, rec, Done)
}

// takeBack wants alerting off again where what was brought does not settle; the source sends as before. remote_write stays: together with it
// somebody might take alerting away, which only the target sends by then.
func (d *declared) takeBack(ctx context.Context, rec *Record, cause error) error {
	if ctx.Err() != nil || d.section != sectionAlerting {
		return cause
	}
	d.r.does(d.step, "wanting it off again: "+cause.Error())
	if err := d.await(ctx, WantsOff); err != nil {
		return errors.Join(cause, err)
	}
	return errors.Join(cause, d.r.mark(ctx, rec, Planned))
}

// undo wants everything off at once: between the two sections there is no state in which both servers are silent, since the source
// was heard before. Where alerting follows, remote_write goes with it.
func (d *declared) undo(ctx context.Context, _ *Record) error {
	if d.section == sectionRemoteWrite && d.r.Spec.Alerting != nil {
		return nil
	}
	return d.await(ctx, WantsOff)
}

// await says what is wanted until the server shows it.
func (d *declared) await(ctx context.Context, wants Wants) error {
	d.r.wants = wants
	defer func() { d.r.wants = "" }()
	var asked time.Time
	err := d.r.until(ctx, d.step, fmt.Sprintf("the %s to be given %s by who writes its configuration", d.server.Name(), wants), d.r.Patience, func() error {
		shown := d.shows(ctx, wants)
		if shown == nil {
			return nil
		}
		if now := d.r.now(); now.Sub(asked) >= reloadEvery {
			asked = now
			if err := d.server.postReload(ctx); err != nil {
				return errors.Join(shown, fmt.Errorf("asking it to load its file: %w", err))
			}
		}
		return shown
	})
	if err != nil && ctx.Err() == nil {
		return refuse(RuleLoads, "the %s does not show what is wanted, %s: %v; run the same command again", d.server.Name(), wants, err)
	}
	return err
}

// reloadEvery is the pause between two requests to load the file: the kubelet brings it within a minute or two.
const reloadEvery = 5 * time.Second

func (d *declared) shows(ctx context.Context, wants Wants) error {
	if wants != WantsOff {
		return d.server.runsWith(ctx, d.section, true)
	}
	for section, moves := range map[string]bool{sectionAlerting: d.r.Spec.Alerting != nil, sectionRemoteWrite: d.r.Spec.RemoteWrite != nil} {
		if !moves {
			continue
		}
		if err := d.server.runsWith(ctx, section, false); err != nil {
			return err
		}
	}
	return nil
}
