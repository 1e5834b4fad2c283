//go:build engine

package target

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/test/engine"
)

const oldConfig = `global:
  scrape_interval: 1s
  external_labels: {cluster: 'a$b'}
alerting:
  alertmanagers:
    - static_configs: [{targets: ["127.0.0.1:1"]}]
scrape_configs:
  - job_name: prometheus
    scrape_classic_histograms: true
    static_configs: [{targets: ["ADDRESS"]}]
remote_write:
  - url: http://127.0.0.1:1/api/v1/write
`

// TestARealServerStartsWithThePlan takes what a real 2.42 tells of itself, and starts a real 3.16 with what follows from it.
func TestARealServerStartsWithThePlan(t *testing.T) {
	old := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Config: "global: {scrape_interval: 1s}\n",
		Flags: []string{"--storage.tsdb.retention.time=180d", "--enable-feature=native-histograms", "--query.lookback-delta=2m"}})
	o := replaced(t, "http://monitor-storage001:9090/prom", old.URL)
	o.Source.Flags = flagsOf(t, old.URL)
	address := engine.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	// The target scrapes itself under the address of the source, which here cannot be the same.
	o.Migration.Spec.Source.URL = "http://127.0.0.1:" + port
	o.Source.Config = parse(t, strings.ReplaceAll(oldConfig, "ADDRESS", address))
	p := plan(t, o)
	if got := p.Refusals(); len(got) > 0 {
		t.Fatalf("%+v", got)
	}
	for _, f := range p.Findings {
		if f.Rule == RuleUnknownFlag {
			t.Errorf("a flag that 2.42 tells is not known: %+v", f)
		}
	}
	s := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: string(p.Config.Bytes()), Address: address, Flags: slices.DeleteFunc(slices.Clone(p.Args), func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return slices.Contains([]string{"--config.file", "--storage.tsdb.path", "--web.listen-address", "--web.enable-lifecycle", "--web.enable-admin-api"}, name)
	})})
	for name, want := range map[string]string{"storage.tsdb.retention.time": "1y", "storage.tsdb.max-block-duration": "18d", "query.lookback-delta": "2m"} {
		if got, _ := flagsOf(t, s.URL).Get(name); got != want {
			t.Errorf("--%s is %s, want %s", name, got, want)
		}
	}
	for stage, want := range map[Stage][]string{
		Bridge:  {"slipway-shim", "!filter_external_labels: true", "read_recent: true", "!alertmanagers:", "!remote_write:", "metric_name_validation_scheme: legacy", "cluster: a$b\n"},
		Verify:  {"!remote_read:", "!alertmanagers:", "!remote_write:"},
		CutOver: {"!remote_read:", "alertmanagers:", "remote_write:"},
		Final:   {"!remote_read:", "alertmanagers:", "remote_write:", "scrape_native_histograms: true", "always_scrape_classic_histograms: true", "fallback_scrape_protocol: PrometheusText0.0.4"},
	} {
		o.Stage = stage
		s.Configure(string(plan(t, o).Config.Bytes()))
		told := configOf(t, s.URL)
		for _, word := range want {
			if word, not := strings.CutPrefix(word, "!"); strings.Contains(told, word) == not {
				t.Errorf("%s: %q, there: %v\n%s", stage, word, !not, told)
			}
		}
	}
	engine.Eventually(t, "scraping itself under another name", func() error {
		a, err := s.Ask("/api/v1/query", url.Values{"query": {`up{job="prometheus", instance=~"prometheus-ecs:.*"} == 1`}})
		if err != nil {
			return err
		}
		list, err := a.Series()
		if err == nil && len(list) != 1 {
			err = fmt.Errorf("%d series", len(list))
		}
		return err
	})
}

func flagsOf(t *testing.T, base string) *skew.Flags {
	t.Helper()
	f, err := skew.ReadFlags(get(t, base+"/api/v1/status/flags"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func configOf(t *testing.T, base string) string {
	t.Helper()
	var answer struct{ Data struct{ YAML string } }
	if err := json.Unmarshal(get(t, base+"/api/v1/status/config"), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Data.YAML
}

func get(t *testing.T, address string) []byte {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", address, res.Status, err)
	}
	return data
}
