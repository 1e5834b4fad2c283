//go:build engine

package survey

import (
	"fmt"
	"testing"

	"github.com/slipway-dev/slipway/test/engine"
)

// TestReachOfARealServersTargets asks a real 2.42 for its targets: one answers, one is closed, which the server finds out, too.
func TestReachOfARealServersTargets(t *testing.T) {
	s := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Config: "scrape_configs:\n- job_name: good\n  scrape_interval: 1s\n  static_configs: [{targets: ['" + exporter(t) + "']}]\n" +
		"- job_name: late\n  scrape_interval: 1h\n  scrape_timeout: 1s\n  static_configs: [{targets: ['" + closedPort(t) + "']}]\n"})
	c := clientOf(t, s, "source")
	var r *ReachReport
	engine.Eventually(t, "targets of the source", func() (err error) {
		if r, err = Reach(t.Context(), ReachOptions{Source: c}); err == nil && r.Targets != 2 {
			return fmt.Errorf("%d targets", r.Targets)
		}
		return err
	})
	if r.Answered != 1 || len(r.Gaps) != 1 || r.Gaps[0].Job != "late" || r.Gaps[0].Kind != Unreachable && r.Gaps[0].Kind != DownOnBoth {
		t.Errorf("%+v", r)
	}
}
