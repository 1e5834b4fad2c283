package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// Create makes the lab and returns when every machine's sshd answers. The machines outlive the caller. On error nothing is
// left, unless the caller is killed: then Delete takes the half-made lab away.
func (l *Lab) Create(ctx context.Context, spec Spec) (err error) {
	spec = spec.defaulted()
	if err := spec.validate(); err != nil {
		return err
	}
	if err := l.EnsurePackages(ctx); err != nil {
		return err
	}
	images, err := l.images(ctx, spec)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.Dir(), 0o700); err != nil {
		return fmt.Errorf("making lab directory: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(l.Dir(), "lock"))
	if err != nil {
		return fmt.Errorf("locking lab %s: %w", l.opts.Name, err)
	}
	defer unlock()
	if err := l.makeRoom(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The caller's time may be up; cleaning is not bound by it.
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*killTimeout)
			defer cancel()
			err = errors.Join(err, l.destroy(clean))
		}
	}()
	return l.create(ctx, spec, images)
}

// Ensure is Create for callers that run again: a lab that is there and was made to the same spec is kept, and its machines
// without power boot.
func (l *Lab) Ensure(ctx context.Context, spec Spec) error {
	err := l.load()
	if errors.Is(err, ErrNotFound) || err == nil && l.state.Phase != phaseReady {
		return l.Create(ctx, spec)
	}
	if err != nil {
		return err
	}
	if l.state.Spec != spec.defaulted() {
		return fmt.Errorf("lab %s exists and was made to another spec: slipway lab delete %s", l.opts.Name, l.opts.Name)
	}
	for _, m := range l.Machines() {
		if m.Running {
			continue
		}
		l.say("Machine %s has no power; booting it", m.Hostname)
		if err := l.PowerOn(ctx, m.Name); err != nil {
			return err
		}
	}
	return nil
}

// makeRoom refuses to replace a lab, and removes one whose creation was killed: the lock is held, so nobody makes it.
func (l *Lab) makeRoom(ctx context.Context) error {
	if !exists(l.statePath()) {
		return nil
	}
	if err := l.load(); err != nil || l.state.Phase == phaseReady {
		return errors.Join(fmt.Errorf("lab %s: %w: slipway lab delete %s", l.opts.Name, fs.ErrExist, l.opts.Name), err)
	}
	l.say("Removing lab %s, whose creation was killed", l.opts.Name)
	if err := l.removeRuntime(ctx); err != nil {
		return err
	}
	return removeFilesBut(ctx, l.Dir(), "lock")
}

// images returns the image with and the one without Python, as far as the lab needs them.
func (l *Lab) images(ctx context.Context, spec Spec) (images map[bool]string, err error) {
	images = map[bool]string{}
	need := map[bool]bool{true: spec.Bastion || spec.WithoutPython < spec.Machines, false: spec.WithoutPython > 0}
	for _, python := range []bool{true, false} {
		if need[python] {
			if images[python], err = l.BuildImage(ctx, python); err != nil {
				return nil, err
			}
		}
	}
	return images, nil
}

func (l *Lab) create(ctx context.Context, spec Spec, images map[bool]string) error {
	began := time.Now()
	index, err := newRegistry(l.host).reserve(ctx, l.opts.Name, l.Dir(), 0)
	if err != nil {
		return err
	}
	l.state = state{Version: stateVersion, Name: l.opts.Name, Index: index, Phase: phaseCreating,
		CreatedAt: time.Now().UTC().Truncate(time.Second), Spec: spec}
	for _, m := range planMachines(l.opts.Name, index, spec) {
		l.state.Machines = append(l.state.Machines, machineState{Machine: m})
	}
	if err := l.save(); err != nil {
		return err
	}
	l.say("Creating lab %s: %d machines in %s", l.opts.Name, len(l.state.Machines), l.CIDR())
	if err := l.makeNetwork(ctx); err != nil {
		return err
	}
	if _, err := l.makeKey(ctx, setupMember, l.keyPath(), "slipway-lab-"+l.opts.Name); err != nil {
		return err
	}
	if err := l.bootAll(ctx, images); err != nil {
		return err
	}
	if err := l.writeClientFiles(); err != nil {
		return err
	}
	l.state.Phase = phaseReady
	if err := l.save(); err != nil {
		return err
	}
	l.say("Lab %s is ready after %s", l.opts.Name, time.Since(began).Round(100*time.Millisecond))
	return newRegistry(l.host).settle(index, l.opts.Name, l.Dir(), l.state.Spec.WithCreator)
}

// bootAll makes the disks and boots; as many at once as the host has processors, since copying is what takes time.
func (l *Lab) bootAll(ctx context.Context, images map[bool]string) error {
	err := eachMachine(l.state.Machines, runtime.NumCPU(), func(m *machineState) error {
		if err := l.host.makeCgroups(l.state.Index, m.Name, m.MemoryBytes); err != nil {
			return err
		}
		if err := l.makeDisk(ctx, &m.Machine, images[m.Python]); err != nil {
			return err
		}
		return l.start(m)
	})
	if err := errors.Join(err, l.save()); err != nil {
		return err
	}
	return eachMachine(l.state.Machines, len(l.state.Machines), func(m *machineState) error {
		if err := l.awaitBoot(ctx, m); err != nil {
			return err
		}
		l.say("Machine %s answers at %s port %d", m.Hostname, m.Address, m.Port)
		return nil
	})
}

// eachMachine runs fn for every machine, at most limit at a time, and joins the errors.
func eachMachine(machines []machineState, limit int, fn func(*machineState) error) error {
	slots := make(chan struct{}, limit)
	results := make(chan error, len(machines))
	for i := range machines {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			results <- fn(&machines[i])
		}()
	}
	var errs []error
	for range machines {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// writeClientFiles writes what people's own ssh needs: known_hosts and ssh_config.
func (l *Lab) writeClientFiles() error {
	var known, config strings.Builder
	for _, m := range l.Machines() {
		host := m.Address
		if m.Port != 22 {
			host = fmt.Sprintf("[%s]:%d", m.Address, m.Port)
		}
		fmt.Fprintf(&known, "%s %s\n", host, m.HostKey)
		fmt.Fprintf(&config, "Host %s %s\n  HostName %s\n  Port %d\n  User %s\n", m.Hostname, m.Name, m.Address, m.Port, m.User)
		if l.state.Spec.Bastion && !m.Bastion {
			fmt.Fprintf(&config, "  ProxyJump %s-bastion\n", l.opts.Name)
		}
	}
	fmt.Fprintf(&config, "Host *\n  IdentityFile \"%s\"\n  IdentitiesOnly yes\n  UserKnownHostsFile \"%s\"\n"+
		"  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  BatchMode yes\n  LogLevel ERROR\n  ConnectTimeout 10\n"+
		"  ServerAliveInterval 15\n", l.keyPath(), filepath.Join(l.Dir(), "known_hosts"))
	if err := durable.Replace(filepath.Join(l.Dir(), "known_hosts"), []byte(known.String()), 0o600); err != nil {
		return err
	}
	return durable.Replace(l.SSHConfig(), []byte(config.String()), 0o600)
}
