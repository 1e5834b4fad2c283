package cli

import (
	"strings"
	"testing"
)

func TestLogLeavesTheMachineryOut(t *testing.T) {
	for level, want := range map[string]int{"info": 1, "debug": 3} {
		t.Run(level, func(t *testing.T) {
			var out strings.Builder
			log := newLogger(&out, level).WithName("x").WithValues("controller", "machine")
			log.Info("Starting workers", "worker count", 64)
			log.Info("All workers finished")
			log.Info("Machine was quarantined")
			if got := strings.Count(out.String(), "\n"); got != want || !strings.Contains(out.String(), "quarantined") {
				t.Errorf("%d lines, want %d:\n%s", got, want, out.String())
			}
		})
	}
}
