package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/slipway-dev/slipway/charts"
	"github.com/slipway-dev/slipway/plane"
)

// upRun is one `slipway up` from its start to its end.
type upRun struct {
	home    upHome
	options upOptions
	report  io.Writer // what a person reads
	log     io.Writer // what the operator logs
	logFile string
	// started closes the pipe to the parent of a detached one; nil in the foreground.
	started func()

	mu    sync.Mutex
	state upState
}

// detached makes it report to its parent until it is ready, and log to a file.
func (u *upRun) detached(pipe *os.File) {
	log := &lumberjack.Logger{Filename: u.home.log(), MaxSize: 20, MaxBackups: 3}
	u.log, u.logFile = log, u.home.log()
	u.report = io.MultiWriter(log, &quietWriter{pipe}) // a parent that is gone is no reason to stop
	u.started = func() { _ = pipe.Close() }
}

// quietWriter drops what cannot be written.
type quietWriter struct{ w io.Writer }

// Write never fails.
func (q *quietWriter) Write(p []byte) (int, error) {
	_, _ = q.w.Write(p)
	return len(p), nil
}

func (u *upRun) say(message string) { fmt.Fprintln(u.report, message) }

// set changes the state that others read.
func (u *upRun) set(change func(*upState)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.state)
	return u.home.writeState(u.state)
}

// run starts everything, stays until the context ends, and stops everything in order.
func (u *upRun) run(ctx context.Context) error {
	unlock, err := u.home.lock()
	if err != nil {
		return err
	}
	defer unlock()
	process, err := plane.Identify(os.Getpid())
	if err != nil {
		return err
	}
	err = u.set(func(s *upState) {
		*s = upState{
			Process: process, Phase: phaseStarting, Started: time.Now().UTC().Truncate(time.Second), Version: Version, Log: u.logFile,
			Executor: u.options.operator.executor, Controllers: u.options.operator.controllers, MirrorListen: u.options.operator.mirrorListen,
		}
	})
	if err != nil {
		return err
	}
	err = u.serve(ctx)
	if err != nil {
		return errors.Join(err, u.set(func(s *upState) { s.Phase, s.Message = phaseFailed, err.Error() }))
	}
	return u.set(func(s *upState) { s.Phase = phaseStopping })
}

func (u *upRun) serve(ctx context.Context) error {
	parts, err := u.options.operator.prepare(ctx, u.home, u.report, u.log)
	if err != nil {
		return err
	}
	defer parts.close()
	p, err := plane.Start(ctx, plane.Options{
		Dir: u.home.plane(), Binaries: binaries(u.report), ListenHost: u.options.listenHost, CRDs: charts.CRDs, Progress: u.say,
	})
	if err != nil {
		return fmt.Errorf("starting the management plane: %w", err)
	}
	if restored := p.State().Restored; restored != nil {
		u.say(fmt.Sprintf("This plane was restored at %s from a backup of %s", restored.Time.Format(time.RFC3339), restored.BackupTime.Format(time.RFC3339)))
	}
	err = parts.run(ctx, p.Config(), func() error { return u.ready(p, parts) })
	u.say("Stopping the management plane")
	stopErr := p.Stop(context.WithoutCancel(ctx))
	if err == nil && stopErr == nil {
		u.say("Stopped")
	}
	return errors.Join(err, stopErr)
}

// ready writes down where everything is and lets the parent go.
func (u *upRun) ready(p *plane.Plane, parts *operatorParts) error {
	err := u.set(func(s *upState) {
		s.Phase, s.Kubeconfig, s.API = phaseRunning, p.Kubeconfig(), p.Config().Host
		s.Mirrors, s.Content, s.Metrics = parts.mirrorURLs(), parts.content, parts.metricsURL
		for _, b := range parts.bundles {
			s.Bundles = append(s.Bundles, upBundle{Kubernetes: b.Manifest().Kubernetes, Digest: b.Digest()})
		}
	})
	if err != nil {
		return err
	}
	if u.started != nil {
		u.started()
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.print(u.report)
	u.say("Ctrl-C stops it")
	return nil
}
