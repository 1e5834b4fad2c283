package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Call is one call that a Fake got.
type Call struct {
	Method string // Start, Observe, Cancel or Remove
	Name   string
}

// Fake is an Executor for tests: it records calls, and its runs stand where the test puts them. The zero Fake is ready.
type Fake struct {
	// NextErr is returned by the next call, once.
	NextErr error
	// OnChange is told the name of a run that the test has changed.
	OnChange func(name string)

	mu    sync.Mutex
	calls []Call
	runs  map[string]*fakeRun
}

type fakeRun struct {
	run    Run
	digest string
	seen   Observation
}

// Kind is Fake.
func (f *Fake) Kind() string { return "Fake" }

// Calls lists all calls so far.
func (f *Fake) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Run gives a run as it was started.
func (f *Fake) Run(name string) (Run, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.runs[name]; ok {
		return r.run, true
	}
	return Run{}, false
}

// called records a call and gives the error that the test ordered. The lock is held.
func (f *Fake) called(ctx context.Context, method, name string) error {
	f.calls = append(f.calls, Call{Method: method, Name: name})
	if err := f.NextErr; err != nil {
		f.NextErr = nil
		return err
	}
	return ctx.Err()
}

// Start keeps the run as Running with all its hosts Pending, or adopts it.
func (f *Fake) Start(ctx context.Context, run Run) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called(ctx, "Start", run.Name); err != nil {
		return err
	}
	if err := run.Validate(); err != nil {
		return err
	}
	digest, err := run.Digest()
	if err != nil {
		return err
	}
	if old, ok := f.runs[run.Name]; ok {
		if old.digest != digest {
			return fmt.Errorf("starting run %s: %w", run.Name, ErrDigestMismatch)
		}
		return nil
	}
	r := &fakeRun{run: run, digest: digest, seen: Observation{Phase: Running, Hosts: map[string]Host{}}}
	for _, h := range run.Hosts {
		r.seen.Hosts[h] = Host{Result: HostPending}
	}
	if f.runs == nil {
		f.runs = map[string]*fakeRun{}
	}
	f.runs[run.Name] = r
	return nil
}

// Observe tells what the test has put there.
func (f *Fake) Observe(ctx context.Context, name string, since int) (Observation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called(ctx, "Observe", name); err != nil {
		return Observation{}, err
	}
	r, ok := f.runs[name]
	if !ok {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, ErrNotFound)
	}
	o := r.seen
	o.Hosts, o.Outputs = maps.Clone(o.Hosts), maps.Clone(o.Outputs)
	o.Events = slices.Clone(o.Events[min(max(since, 0), len(o.Events)):])
	return o, nil
}

// Cancel makes a run that has not finished Cancelled.
func (f *Fake) Cancel(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called(ctx, "Cancel", name); err != nil {
		return err
	}
	r, ok := f.runs[name]
	if !ok {
		return fmt.Errorf("cancelling run %s: %w", name, ErrNotFound)
	}
	if !r.seen.Phase.Finished() {
		r.seen.Phase, r.seen.Message = Cancelled, messageCancelled
	}
	return nil
}

// Remove forgets a finished run.
func (f *Fake) Remove(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called(ctx, "Remove", name); err != nil {
		return err
	}
	if r, ok := f.runs[name]; ok && !r.seen.Phase.Finished() {
		return fmt.Errorf("removing run %s: %w", name, ErrNotFinished)
	}
	delete(f.runs, name)
	return nil
}

// SetHost puts a host of a run somewhere, and records the event that says so.
func (f *Fake) SetHost(name, host string, h Host) {
	kinds := map[Result]string{HostRunning: KindTaskStart, HostSucceeded: KindOK, HostFailed: KindFailed, HostUnreachable: KindUnreachable}
	f.change(name, func(r *fakeRun) {
		r.seen.Hosts[host] = h
		if kind, ok := kinds[h.Result]; ok {
			r.add(Event{Kind: kind, Host: host, Task: h.Task, Message: h.Message})
		}
	})
}

// SetOutput puts a typed output into a run.
func (f *Fake) SetOutput(name, output string, value json.RawMessage) {
	f.change(name, func(r *fakeRun) {
		if r.seen.Outputs == nil {
			r.seen.Outputs = map[string]json.RawMessage{}
		}
		r.seen.Outputs[output] = value
		r.add(Event{Kind: KindOutput, Task: output, Data: value})
	})
}

// Finish ends a run. With Succeeded all its hosts have succeeded; otherwise they stay where they are.
func (f *Fake) Finish(name string, phase Phase, message string) {
	f.change(name, func(r *fakeRun) {
		r.seen.Phase, r.seen.Message = phase, message
		if phase != Succeeded {
			return
		}
		for host, h := range r.seen.Hosts {
			r.seen.Hosts[host] = Host{Result: HostSucceeded, Done: h.Done + 1, Changed: h.Changed}
		}
		r.add(Event{Kind: KindStats})
	})
}

func (r *fakeRun) add(e Event) {
	e.Sequence = len(r.seen.Events) + 1
	r.seen.Events = append(r.seen.Events, e)
}

// change changes a run that is there and not finished, and tells OnChange.
func (f *Fake) change(name string, apply func(*fakeRun)) {
	f.mu.Lock()
	r, ok := f.runs[name]
	if ok && !r.seen.Phase.Finished() {
		apply(r)
	}
	tell := f.OnChange
	f.mu.Unlock()
	if ok && tell != nil {
		tell(name)
	}
}
