package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/volume"
)

// Host is a machine on which a script of the shell can be run, such as Grafana's.
type Host interface {
	// Run runs it and returns what it printed and its exit code. An error is one of the way there.
	Run(ctx context.Context, script string) (output string, code int, err error)
}

// Way is something that has to be reached from here.
type Way struct {
	// Name is what people call it: agent, shim, ssh.
	Name string `json:"name"`
	// Address is host:port.
	Address string `json:"address"`
	// Error is empty when something listens there; Refused says that the host answered and nothing does.
	Error   string `json:"error,omitempty"`
	Refused bool   `json:"refused,omitempty"`
}

// Options of a rehearsal. Source and Measure are required.
type Options struct {
	// Measure looks at the volume as the server's user.
	Measure func(ctx context.Context) (*volume.Report, error)
	Source  *server.Client
	// To is the version of the new server, Args its command line where it is known.
	To   skew.Version
	Args []string
	// Need is what will lie on the volume; zero: what the source tells.
	Need volume.Need
	// Except are jobs that may stay behind.
	Except []string
	// Ways are tried from here.
	Ways []Way
	// Endpoint is the address at which people will ask the new server; From is the host that has to reach it, called FromName. Without From
	// the report has the command to type there.
	Endpoint, FromName string
	From               Host
	// Timeout ends one attempt; default 5 s.
	Timeout time.Duration
	// Override names rules that do not refuse.
	Override []string
	// Progress is told what comes next; nil: nobody.
	Progress func(what string)
}

// Report is what was found.
type Report struct {
	Verdict rule.Verdict `json:"verdict"`
	// Says is the verdict with its numbers.
	Says     string         `json:"says"`
	At       time.Time      `json:"at"`
	Findings []rule.Finding `json:"findings"`
	Need     volume.Need    `json:"need"`
	// Volume is what was measured.
	Volume *volume.Report `json:"volume"`
	// Source is the old server; its version is empty when it did not answer.
	Source Source `json:"source"`
	// Reach is nil when the source did not tell its targets.
	Reach *survey.ReachReport `json:"reach,omitempty"`
	Ways  []Way               `json:"ways,omitempty"`
}

// Source is the old server as it was seen from here.
type Source struct {
	URL     string `json:"url"`
	Version string `json:"version,omitempty"`
}

// Run rehearses. An error means that the volume could not be looked at or that the context ended; all else is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	r := &Report{At: time.Now().UTC().Truncate(time.Second), Source: Source{URL: o.Source.URL()}, Need: o.Need}
	o.Progress("what the source is")
	seen, err := survey.Observe(ctx, o.Source)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	about := sourceReached(seen, err)
	if err == nil {
		r.Source.Version = seen.Version
		if r.Need == (volume.Need{}) {
			n := seen.Need()
			r.Need = volume.Need{Bytes: n.BlockBytes, LargestBlockBytes: n.LargestBlockBytes, HeadBytes: n.HeadBytes}
		}
	}
	if r.Volume, err = o.Measure(ctx); err != nil {
		return nil, err
	}
	r.Findings = append(volume.Judge(r.Volume, r.Need, nil), about...)
	if r.Source.Version != "" || seen != nil {
		r.Findings = append(r.Findings, o.flags(seen))
		if err := o.reach(ctx, r); err != nil {
			return nil, err
		}
	} else {
		r.Findings = append(r.Findings, notTried(RuleFlags), notTried(RuleTargetsReached), notTried(RuleTargetsAnswer))
	}
	if err := o.ways(ctx, r); err != nil {
		return nil, err
	}
	r.Findings = append(r.Findings, o.endpoint(ctx))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.Findings = rule.Override(r.Findings, o.Override)
	r.conclude()
	return r, nil
}

func (r *Report) conclude() {
	r.Verdict = rule.Worst(r.Findings)
	stops := rule.Stops(r.Findings)
	r.Says = fmt.Sprintf("%d of %d rules stand in the way", stops, len(r.Findings))
	if stops == 0 {
		r.Says = fmt.Sprintf("a server of uid %d can run here: none of %d rules stands in the way", r.Volume.UID, len(r.Findings))
	}
}

func (o *Options) reach(ctx context.Context, r *Report) error {
	o.Progress("the way to the source's targets")
	said := time.Now()
	var err error
	r.Reach, err = survey.Reach(ctx, survey.ReachOptions{Source: o.Source, Except: o.Except, Timeout: o.Timeout, Progress: func(done, total int) {
		if time.Since(said) > 2*time.Second {
			said = time.Now()
			o.Progress(fmt.Sprintf("the way to the source's targets: %d of %d", done, total))
		}
	}})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		f := found(rule.Unknown, "look at the source and run this again", "the source does not tell its targets: %v", err)
		r.Findings = append(r.Findings, named(RuleTargetsReached, f), named(RuleTargetsAnswer, f))
		return nil
	}
	r.Findings = append(r.Findings, targetsReached(r.Reach), targetsAnswer(r.Reach))
	return nil
}

// ways dials what has to be reached beside the source.
func (o *Options) ways(ctx context.Context, r *Report) error {
	dialer := net.Dialer{Timeout: o.Timeout}
	for _, w := range o.Ways {
		o.Progress("the way to " + w.Name)
		conn, err := dialer.DialContext(ctx, "tcp", w.Address)
		if err == nil {
			_ = conn.Close()
		} else {
			w.Error, w.Refused = err.Error(), errors.Is(err, errRefused)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Ways = append(r.Ways, w)
	}
	if len(o.Ways) > 0 {
		r.Findings = append(r.Findings, waysReached(r.Ways))
	}
	return nil
}
