//go:build engine

package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/engine"
)

// TestPrometheusGuideOnRealServers types what the guide says for a move from host to host, and for a pair, up to the moment when something
// would change.
func TestPrometheusGuideOnRealServers(t *testing.T) {
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "requests_total 1")
	}))
	t.Cleanup(exporter.Close)
	config := func(name string) string {
		return fmt.Sprintf("global: {scrape_interval: 1s, external_labels: {replica: %s}}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s']}]}]\n", name, strings.TrimPrefix(exporter.URL, "http://"))
	}
	flags := []string{"--storage.tsdb.min-block-duration=4s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=30d"}
	start := func(version, name string, flags []string) *engine.Server {
		return engine.Start(t, engine.Prometheus{Version: version, Config: config(name), Flags: flags})
	}
	a, b := start(engine.Prometheus242, "a", flags), start(engine.Prometheus242, "b", flags)
	other := start(engine.Prometheus242, "c", nil) // its blocks are of two hours
	target := start(engine.Prometheus316, "a", flags)
	engine.Eventually(t, "writing a block", func() error {
		for _, s := range []*engine.Server{a, b} {
			if n, _ := s.Metric("prometheus_tsdb_blocks_loaded"); n < 1 {
				return fmt.Errorf("%s has none", s.URL)
			}
		}
		return nil
	})
	migrate := []string{"prometheus", "migrate", "--source", a.Dir, "--source-server", a.URL, "--target-data", target.Dir, "--target", target.URL, "--state", filepath.Join(t.TempDir(), "move"), "--dry-run"}
	pair := func(s *engine.Server) []string {
		return append(migrate[:len(migrate):len(migrate)], "--replica", s.Dir, "--replica-server", s.URL)
	}
	preflight := []string{"prometheus", "preflight", "--source", a.URL, "--target", target.URL, "--wait", "1m"}
	for _, test := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"prometheus", "plan", a.URL}, 0, "Prometheus 2.42", ""},
		{preflight, 0, "coverage_is_equal", ""},
		{migrate, 0, "pin ", ""},
		{append(preflight[:len(preflight):len(preflight)], "--replica", b.URL), 0, "both have the same jobs: shop", ""},
		{append(preflight[:len(preflight):len(preflight)], "--replica", other.URL), 1, "replica_blocks_have_one_length  Refused", "stand in the way"},
		{pair(b), 0, "pin ", " (blocks: "}, // of the one that has more
		{pair(other), 1, "", "replica_blocks_have_one_length: " + a.URL + " writes blocks of 4s, " + other.URL + " of 2h0m0s"},
	} {
		code, out, errs := runCLI(t, test.args...)
		if code != test.code || !strings.Contains(out, test.out) || !strings.Contains(errs, test.errs) {
			t.Errorf("%v: %d\n%s\n%s", test.args, code, out, errs)
		}
		t.Logf("%s\n%s%s", strings.Join(test.args[:2], " "), out, errs)
	}
}
