package target

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/migration/skew"
)

func TestOperatorSettings(t *testing.T) {
	cases := []struct{ name, config, flags, cr, want string }{
		{"intervals that nobody set are Prometheus' own", "scrape_configs: []\n", "[]", "scrapeInterval: 30s", "scrapeInterval: 1m"},
		{"a timeout of the Prometheus goes", "scrape_configs: []\n", "[]", "scrapeTimeout: 9s", "scrapeTimeout: null"},
		{"a lookback of the Prometheus goes", "scrape_configs: []\n", "[]", "query: {lookbackDelta: 9m}", "query: null"},
		{"a log of queries goes to the operator's folder", "global: {query_log_file: /var/log/queries.log}\nscrape_configs: []\n", "[]", "", "queryLogFile: queries.log"},
		{"an offset of rules", "global: {rule_query_offset: 10s}\nscrape_configs: []\n", "[]", "", "ruleQueryOffset: 10s"},
		{"a window for late samples", "storage: {tsdb: {out_of_order_time_window: 30m}}\nscrape_configs: []\n", "[]", "", "outOfOrderTimeWindow: 30m"},
		{"a window that the source has not goes", "scrape_configs: []\n", "[]", "tsdb: {outOfOrderTimeWindow: 9m}", "tsdb: null"},
		{"exemplars", "storage: {exemplars: {max_exemplars: 7}}\nscrape_configs: []\n", "[]", "", "maxSize: 7"},
		{"a path that follows from the address", "scrape_configs: []\n", `["--web.external-url=http://a/prom"]`, "", "routePrefix: /prom"},
		{"an argument with a field of its own", "scrape_configs: []\n", `["--rules.alert.resend-delay=9s"]`, "", "resendDelay: 9s"},
		{"an argument without one", "scrape_configs: []\n", `["--storage.remote.flush-deadline=9s"]`, "", "name: storage.remote.flush-deadline"},
		{"a retention by size alone", "scrape_configs: []\n", `["--storage.tsdb.retention.size=9GB"]`, "retention: 9d", "retention: null"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o, cr := operated(t, "replicas: 1", "replicas: 1\n  "+c.cr)
			flags, err := skew.ReadFlags([]byte(c.flags))
			if err != nil {
				t.Fatal(err)
			}
			o.Source.Config, o.Source.Flags, o.Source.Files = parse(t, c.config), flags, nil
			o.Source.WorkingDir = "/opt"
			x, err := NewOperator(o, cr)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(x.Patch), c.want) {
				t.Errorf("no %s in\n%s", c.want, x.Patch)
			}
			// The way back has what was there.
			var was struct{ Spec map[string]any }
			if err := yaml.Unmarshal([]byte("spec: {"+c.cr+"}"), &was); err != nil {
				t.Fatal(err)
			}
			for name := range was.Spec {
				if strings.Contains(string(x.Undo), name+": null") {
					t.Errorf("the way back loses %s:\n%s", name, x.Undo)
				}
			}
		})
	}
}

func TestOperatorNeedsSettingsByHand(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"a setting of global that no field has": {"global: {scrape_failure_log_file: /a}\nscrape_configs: []\n", "Refused operator-settings"},
		"a section that no field has":           {"tracing: {endpoint: a}\nscrape_configs: []\n", "Refused operator-settings"},
	} {
		t.Run(name, func(t *testing.T) {
			o, cr := operated(t)
			o.Source.Config = parse(t, c.config)
			x, err := NewOperator(o, cr)
			if err != nil {
				t.Fatal(err)
			}
			if got := rules(x.Refusals()); !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
