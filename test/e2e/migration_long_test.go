//go:build lab && long

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestMoveWithRealDurations is TestMoveBetweenTwoHosts with blocks of two hours and several GB of history: some five hours.
// MOVE_BLOCK in the environment makes the blocks shorter, as in 2m, and the waits with them; MOVE_BYTES sets the size of the history.
func TestMoveWithRealDurations(t *testing.T) {
	p, err := realPace().scaled(os.Getenv("MOVE_BLOCK"), os.Getenv("MOVE_BYTES"))
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	moveBetweenTwoHosts(t, "e2e-pair-long", p)
	t.Logf("blocks of %s, %d bytes of history: %s", p.block, p.history, time.Since(started).Round(time.Second))
}

// scaled is a pace with blocks of another length: scrapes and waits keep their share of it.
func (p pace) scaled(block, history string) (pace, error) {
	if history != "" {
		n, err := strconv.ParseInt(history, 10, 64)
		if err != nil || n <= 0 {
			return p, fmt.Errorf("MOVE_BYTES is %q; want a number of bytes", history)
		}
		p.history, p.disk = n, max(gib(3), 6*n)
	}
	if block == "" {
		return p, nil
	}
	d, err := time.ParseDuration(block)
	if err != nil || d < 20*time.Second || d > 2*time.Hour {
		return p, fmt.Errorf("MOVE_BLOCK is %q; want 20s to 2h", block)
	}
	share := float64(d) / float64(2*time.Hour)
	scale := func(text string, least time.Duration) string {
		whole, _ := time.ParseDuration(text) // one of realPace's
		return max(least, time.Duration(share*float64(whole)).Round(time.Second)).String()
	}
	p.block, p.scrape = d.String(), scale(p.scrape, 2*time.Second)
	p.settle, p.seamSpan = scale(p.settle, 6*time.Second), scale(p.seamSpan, 8*time.Second)
	p.more = quick().more // blocks are seen within a minute otherwise, whatever their length
	p.every, p.patience = scale(p.every, time.Second), max(6*time.Minute, time.Duration(share*float64(p.patience)))
	return p, nil
}
