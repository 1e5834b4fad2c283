//go:build crash

package executor

import (
	"path/filepath"
	"testing"
	"time"
)

// TestProcessResumesAfterEachCrashPoint lets the operator kill itself at each named point; the next one must find one
// run that ends as it should, supervised by one process only.
func TestProcessResumesAfterEachCrashPoint(t *testing.T) {
	venv := standinVenv(t)
	for point, c := range map[string]struct {
		cancel bool
		phase  Phase
	}{
		"executor.process.start.stored": {false, Succeeded},
		"executor.process.launched":     {false, Succeeded},
		"executor.process.cancel.asked": {true, Cancelled},
	} {
		t.Run(point, func(t *testing.T) {
			h, o := processHarness(t, venv, 20*time.Second)
			content, _ := o.Content("")
			once := filepath.Join(t.TempDir(), "once")
			command, _ := operator(t, operatorOrder{Dir: o.Dir, Content: content, Venv: venv, Playbook: playbookHold, Cancel: c.cancel},
				"SLIPWAY_CRASH_POINT="+point, "SLIPWAY_CRASH_ONCE="+once)
			if err := command.Wait(); err == nil || !exists(once) {
				t.Fatalf("the operator did not reach the point: %v", err)
			}
			e := h.open()
			start(t, e, run("operator-1", playbookHold))
			h.release("operator-1")
			if got := h.finished(t, e, "operator-1"); got.Phase != c.phase {
				t.Errorf("phase %s, message %q", got.Phase, got.Message)
			}
		})
	}
}
