package host

import (
	"context"
	"slices"
	"sync"
)

// Call is one call that a Fake recorded.
type Call struct {
	// Method is Inspect, Ping, Take or Release.
	Method string
	// Address is host:port.
	Address string
	// Generation is what Take expected or Release named.
	Generation         int64
	Cluster, Operation string
}

// Fake is a Prober for tests: Simulated without latency that records every call and fails on request.
type Fake struct {
	*Simulated
	mutex   sync.Mutex
	calls   []Call
	nextErr error
}

// NewFake makes a Fake; every address answers with GoodFacts.
func NewFake() *Fake {
	return &Fake{Simulated: NewSimulated(SimulatedOptions{})}
}

// NextErr makes the next call, whichever it is, end with err.
func (f *Fake) NextErr(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.nextErr = err
}

// Calls gives the calls so far, in order.
func (f *Fake) Calls() []Call {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.Clone(f.calls)
}

func (f *Fake) record(c Call) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls = append(f.calls, c)
	err := f.nextErr
	f.nextErr = nil
	return err
}

// Inspect records the call and does as Simulated.
func (f *Fake) Inspect(ctx context.Context, a Address) (Inspection, error) {
	if err := f.record(Call{Method: "Inspect", Address: a.String()}); err != nil {
		return Inspection{}, err
	}
	return f.Simulated.Inspect(ctx, a)
}

// Ping records the call and does as Simulated.
func (f *Fake) Ping(ctx context.Context, a Address) (Lease, error) {
	if err := f.record(Call{Method: "Ping", Address: a.String()}); err != nil {
		return Lease{}, err
	}
	return f.Simulated.Ping(ctx, a)
}

// Take records the call and does as Simulated.
func (f *Fake) Take(ctx context.Context, a Address, expected int64, cluster, operation string) (Lease, error) {
	call := Call{Method: "Take", Address: a.String(), Generation: expected, Cluster: cluster, Operation: operation}
	if err := f.record(call); err != nil {
		return Lease{}, err
	}
	return f.Simulated.Take(ctx, a, expected, cluster, operation)
}

// Release records the call and does as Simulated.
func (f *Fake) Release(ctx context.Context, a Address, generation int64) error {
	if err := f.record(Call{Method: "Release", Address: a.String(), Generation: generation}); err != nil {
		return err
	}
	return f.Simulated.Release(ctx, a, generation)
}
