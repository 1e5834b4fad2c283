package executor

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

func TestFakeContract(t *testing.T) {
	contract(t, func(t *testing.T) *harness {
		fake := &Fake{}
		return &harness{
			open:    func() Executor { return &autoFake{Fake: fake} },
			crash:   func(Executor) {},
			release: func(name string) { fake.play(name) },
			kill:    func(name string) { fake.Finish(name, Lost, "the test lost it") },
			outputs: true,
			noise:   func(string) string { return "" },
			wait:    5e9,
		}
	})
}

// autoFake lets the first host of a new run begin, as a worker does.
type autoFake struct{ *Fake }

// Start lets the first host begin.
func (f *autoFake) Start(ctx context.Context, run Run) error {
	err := f.Fake.Start(ctx, run)
	if r, ok := f.Run(run.Name); err == nil && ok {
		f.SetHost(r.Name, "a", Host{Result: HostRunning, Task: "role : task"})
	}
	return err
}

// play brings a run of the contract test to its end.
func (f *Fake) play(name string) {
	r, ok := f.Run(name)
	if !ok {
		return
	}
	if r.Playbook != playbookOdd {
		f.SetOutput(name, "answer", json.RawMessage(`{"value":42}`))
		f.Finish(name, Succeeded, "")
		return
	}
	f.SetHost(name, "a", Host{Result: HostSucceeded, Done: 1})
	f.SetHost(name, "b", Host{Result: HostFailed, Task: "role : task", Message: "broken on b"})
	f.SetHost(name, "c", Host{Result: HostUnreachable, Task: "role : task", Message: "broken on c"})
	f.SetHost(name, "d", Host{Result: HostSucceeded, Done: 1})
	f.Finish(name, Failed, "2 of 4 hosts did not succeed: b, c")
}

func TestFakeRecordsCallsAndReturnsTheOrderedError(t *testing.T) {
	changed := ""
	f := &Fake{OnChange: func(name string) { changed = name }}
	f.NextErr = errors.New("ordered")
	if err := f.Start(t.Context(), run("x-1", playbookGood)); err == nil || err.Error() != "ordered" {
		t.Errorf("first call: %v", err)
	}
	if err := f.Start(t.Context(), run("x-1", playbookGood)); err != nil {
		t.Errorf("second call: %v", err)
	}
	f.Finish("x-1", Succeeded, "")
	if changed != "x-1" {
		t.Errorf("OnChange was told %q", changed)
	}
	if got := f.Calls(); len(got) != 2 || got[1] != (Call{Method: "Start", Name: "x-1"}) {
		t.Errorf("calls: %v", got)
	}
}
