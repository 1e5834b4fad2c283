package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/ansible"
	"github.com/slipway-dev/slipway/ssh"
)

// SSHOptions are those of SSH; the zero value is of use.
type SSHOptions struct {
	// Fence is the shell program that Take and Release install as /var/lib/slipway/fence. Default: ansible.Fence.
	Fence []byte
	// VisitTimeout limits Inspect and Ping. Default 30 s.
	VisitTimeout time.Duration
	// TakeTimeout limits Take and Release, which wait for older commands to end. Default 5 min.
	TakeTimeout time.Duration
	// DialTimeout limits connecting and authenticating, for each leg. Default 10 s.
	DialTimeout time.Duration
	// Now is the clock that hosts are compared with. Default time.Now.
	Now func() time.Time
}

// SSH is the Prober of real hosts: every visit is one connection, one session and one shell script.
type SSH struct {
	options SSHOptions
	dialer  *ssh.Dialer
	shell   shell
}

// NewSSH makes a prober of real hosts. Close it to end the connections to bastions that it keeps for a while.
func NewSSH(options SSHOptions) (*SSH, error) {
	if len(options.Fence) == 0 {
		fence, err := ansible.Fence()
		if err != nil {
			return nil, err
		}
		options.Fence = fence
	}
	if options.VisitTimeout == 0 {
		options.VisitTimeout = 30 * time.Second
	}
	if options.TakeTimeout == 0 {
		options.TakeTimeout = 5 * time.Minute
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &SSH{options: options, dialer: ssh.NewDialer(ssh.Options{DialTimeout: options.DialTimeout})}, nil
}

// Close ends the connections to bastions.
func (s *SSH) Close() { s.dialer.Close() }

func endpoint(a Address) ssh.Endpoint {
	e := ssh.Endpoint{Host: a.Host, Port: a.Port, User: a.User, Key: a.Key, HostKey: a.HostKey}
	if a.Bastion != nil {
		bastion := endpoint(*a.Bastion)
		e.Bastion = &bastion
	}
	return e
}

// visit is one connection to a host.
type visit struct {
	prober  *SSH
	address Address
	client  *ssh.Client
}

func (s *SSH) visit(ctx context.Context, a Address) (*visit, error) {
	client, err := s.dialer.Dial(ctx, endpoint(a))
	if err != nil {
		return nil, explainDial(a, err)
	}
	return &visit{prober: s, address: a, client: client}, nil
}

// run runs a script and gives what it printed after the mark.
func (v *visit) run(ctx context.Context, program []byte, arrived func([]byte)) ([]byte, ssh.Result, error) {
	command := ssh.Command{Line: "/bin/sh -s", Elevate: true, Stdin: program, MaxOutput: maxReport, Arrived: arrived}
	result, err := v.client.Run(ctx, command)
	switch {
	case errors.Is(err, ssh.ErrTooMuchOutput):
		return nil, result, problem(Faulty, "%s prints too much: %w: look at what its login shell and its programs print", v.address, err)
	case err != nil:
		return nil, result, explainDial(v.address, err)
	}
	body, ok := afterMark(result.Stdout)
	if !ok {
		return nil, result, explainStart(v.address, result)
	}
	return body, result, nil
}

// Inspect looks at everything in one session and changes nothing but a probe file that it removes.
func (s *SSH) Inspect(ctx context.Context, a Address) (Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.VisitTimeout)
	defer cancel()
	v, err := s.visit(ctx, a)
	if err != nil {
		return Inspection{}, err
	}
	defer v.client.Close()
	trip, err := v.client.RoundTrip(ctx)
	if err != nil {
		return Inspection{}, explainDial(a, err)
	}
	watch := clockWatch{now: s.options.Now}
	body, result, err := v.run(ctx, s.shell.program(inspectScript), watch.arrived)
	if err != nil {
		return Inspection{}, err
	}
	r, err := parseReport(body)
	if err != nil {
		return Inspection{}, problem(Faulty, "%s gave a report that cannot be used: %w (exit code %d, standard error %q)",
			a, err, result.ExitCode, excerpt(result.Stderr))
	}
	if r.uid != 0 {
		return Inspection{}, problem(NoSudo, "commands for %s on %s run with uid %d and not as root: allow the user to run "+
			"everything as root by sudo without a password", a.User, a, r.uid)
	}
	r.facts.ClockOffset = watch.offset(r.clock, trip)
	return Inspection{
		HostKey: v.client.HostKey(), BastionHostKey: v.client.BastionHostKey(),
		Facts: r.facts, Lease: r.lease, Stages: r.stages,
	}, nil
}

// Ping connects and reads the lease.
func (s *SSH) Ping(ctx context.Context, a Address) (Lease, error) {
	if err := a.pinned(); err != nil {
		return Lease{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.VisitTimeout)
	defer cancel()
	v, err := s.visit(ctx, a)
	if err != nil {
		return Lease{}, err
	}
	defer v.client.Close()
	body, _, err := v.run(ctx, s.shell.program(pingScript), nil)
	if err != nil {
		return Lease{}, err
	}
	r, err := parseReport(body)
	if err != nil {
		return Lease{}, problem(Faulty, "the lease of %s cannot be used: %w: look at /var/lib/slipway/lease.json there", a, err)
	}
	return r.lease, nil
}

// Take installs the fence and has it take the host.
func (s *SSH) Take(ctx context.Context, a Address, expected int64, cluster, operation string) (Lease, error) {
	if !word(cluster) || !word(operation) || cluster == "" || operation == "" || expected < 0 {
		return Lease{}, fmt.Errorf("taking %s: generation %d, cluster %q and operation %q are no lease", a, expected, cluster, operation)
	}
	lease, err := s.fence(ctx, a, expected, "take", strconv.FormatInt(expected, 10), cluster, operation)
	if err != nil {
		return lease, err
	}
	if want := (Lease{Generation: expected + 1, Cluster: cluster, Operation: operation}); lease != want {
		return lease, problem(Faulty, "the fence on %s answered with the lease %+v instead of %+v", a, lease, want)
	}
	return lease, nil
}

// Release has the fence let go of the host.
func (s *SSH) Release(ctx context.Context, a Address, generation int64) error {
	_, err := s.fence(ctx, a, generation, "release", strconv.FormatInt(generation, 10))
	return err
}

// fence runs one command of the fence and reads the lease that it prints.
func (s *SSH) fence(ctx context.Context, a Address, expected int64, words ...string) (Lease, error) {
	if err := a.pinned(); err != nil {
		return Lease{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.TakeTimeout)
	defer cancel()
	v, err := s.visit(ctx, a)
	if err != nil {
		return Lease{}, err
	}
	defer v.client.Close()
	source := strings.TrimRight(string(s.options.Fence), "\n")
	body, result, err := v.run(ctx, s.shell.program(fenceScript, "fence", source, "words", strings.Join(words, " ")), nil)
	if err != nil {
		return Lease{}, err
	}
	lease, parseErr := parseLease(bytes.TrimSpace(body))
	switch {
	case result.ExitCode == 0 && parseErr == nil:
		return lease, nil
	case result.ExitCode == exitOtherLease && parseErr == nil:
		return lease, leaseChanged(a, expected, lease)
	}
	return Lease{}, explainFence(a, words[0], result)
}

// clockWatch notes when the line with the host's clock arrived.
type clockWatch struct {
	now    func() time.Time
	seen   []byte
	at     time.Time
	closed bool
}

func (w *clockWatch) arrived(chunk []byte) {
	if w.closed {
		return
	}
	w.seen = append(w.seen, chunk...)
	if bytes.Contains(w.seen, []byte("clock=")) {
		w.at, w.closed, w.seen = w.now(), true, nil
	}
}

// offset is the host's clock less ours, with half of the round trip taken for the way back.
func (w *clockWatch) offset(clock time.Time, trip time.Duration) time.Duration {
	if w.at.IsZero() || clock.IsZero() {
		return 0
	}
	return clock.Sub(w.at.Add(-trip / 2)).Round(time.Microsecond)
}
