package move

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// killed is what a crash hook panics with.
var errKilled = errors.New("killed")

// runKilled runs until the hook ends it, as a kill would: nothing behind that point is done. It says at which point.
func runKilled(ctx context.Context, o Options, at func(point string) bool) (point string, state *State, err error) {
	o.crash = func(p string) {
		if at(p) {
			point = p
			panic(errKilled)
		}
	}
	defer func() {
		if r := recover(); r != nil && r != any(errKilled) {
			panic(r)
		}
	}()
	state, err = Run(ctx, o)
	return "", state, err
}

// TestRunGoesOnWhereItWasKilled kills at every point, each once, in one move; the target is killed between, and again after the end. Then
// what it missed is filled with kills at every point, too.
func TestRunGoesOnWhereItWasKilled(t *testing.T) {
	p := newPair(t, 3)
	p.live(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var state *State
	for _, stage := range []struct{ outageAt, points string }{
		{"after adopt", "after pin,before frozen,after seam,after end,after stage,after cut,after adopt,before cut,before install,after install,after unpin,before released"},
		{"", "before end,after end,after stage,after cut,after adopt,before cut,before install,after install,after unpin,before released"},
	} {
		kills := map[string]int{}
		for {
			point, s, err := runKilled(ctx, p.options(t), func(point string) bool { return kills[point] < 1 })
			if point == "" {
				if err != nil {
					t.Fatalf("after %v: %v", kills, err)
				}
				state = s
				break
			}
			if kills[point]++; point == stage.outageAt {
				p.outage(t, 6, true)
			}
		}
		t.Log(kills)
		for point := range strings.SplitSeq(stage.points, ",") {
			if kills[point] == 0 {
				t.Errorf("it was never killed %s", point)
			}
		}
		if stage.outageAt != "" {
			p.outage(t, 6, true)
		}
	}
	p.check(t, state)
	fresh(t, p)
}
