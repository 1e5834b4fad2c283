package cli

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/plane"
)

func goodUpState() upState {
	return upState{
		Process: plane.Process{PID: 7, Start: 9, Boot: "b"}, Phase: phaseRunning, Started: time.Unix(100, 0).UTC(), Version: "1",
		Executor: executorProcess, Bundles: []upBundle{{"v1.36.3", "sha256:ab"}},
	}
}

func TestUpState(t *testing.T) {
	home := upHome(t.TempDir())
	if state, running, err := home.running(); err != nil || running || state.Phase != "" {
		t.Errorf("a home that is new: %+v, %v, %v", state, running, err)
	}
	unlock, err := home.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.lock(); !errors.Is(err, errRunning) {
		t.Errorf("a second lock: %v, want errRunning", err)
	}
	unlock()
	want := goodUpState()
	if err := home.writeState(want); err != nil {
		t.Fatal(err)
	}
	got, running, err := home.running()
	if err != nil || running {
		t.Errorf("a state whose process is gone: running %v, %v", running, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want.Process, err = plane.Identify(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := home.writeState(want); err != nil {
		t.Fatal(err)
	}
	if _, running, err := home.running(); err != nil || !running {
		t.Errorf("a state whose process lives: running %v, %v", running, err)
	}
	if err := os.WriteFile(home.state(), []byte(`{"phase":"Running","colour":"red"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := home.running(); err == nil || !strings.Contains(err.Error(), home.state()) {
		t.Errorf("a damaged state: %v, want the name of the file", err)
	}
}

func FuzzDecodeUpState(f *testing.F) {
	good, err := json.Marshal(goodUpState())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`null {}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		state, err := decodeUpState(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(state)
		if err != nil {
			t.Skip("a time outside of what JSON can say")
		}
		if _, err := decodeUpState(again); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}

func TestForegroundArguments(t *testing.T) {
	got := foregroundArguments([]string{"up", "--detach", "--dir", "x", "--detach=true", "--executor=simulated"})
	if diff := cmp.Diff([]string{"up", "--dir", "x", "--executor=simulated"}, got); diff != "" {
		t.Error(diff)
	}
}
