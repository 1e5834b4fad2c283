package target

import (
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/test/golden"
)

// TestConfigure shows what is changed in a configuration of 2.42 for 3.16.
func TestConfigure(t *testing.T) {
	o := shop(t)
	golden.Check(t, "testdata/config.diff", diffOf(o, plan(t, o)))
}

func TestConfigureOneThing(t *testing.T) {
	v3 := skew.Version{Major: 3, Minor: 5}
	cases := []struct {
		name, text string
		from       skew.Version
		want       []string // lines that are there afterwards
		not        string
	}{
		{"a server of 3.x needs the bridge alone", "scrape_configs:\n- job_name: a\n", v3, []string{"remote_read:", "  - url: http://127.0.0.1:9798/api/v1/read", "    read_recent: true"}, "fallback"},
		{"a fallback that is there stays", "scrape_configs:\n- job_name: a\n  fallback_scrape_protocol: PrometheusText1.0.0\n", skew.Version{Major: 2, Minor: 53}, []string{"  fallback_scrape_protocol: PrometheusText1.0.0"}, "0.0.4"},
		{"a $ stays a $", "global:\n  external_labels: {a: 'x$Y'}\n", skew.Version{Major: 2, Minor: 53}, []string{"  external_labels: {a: x$$Y}"}, ""},
		{"an address without a port gets the port that it had", "scrape_configs:\n- job_name: a\n  static_configs: [{targets: [web]}]\n", skew.Version{Major: 2, Minor: 53}, []string{"  static_configs: [{targets: [web:80]}]"}, ""},
		{"an own remote_read stays", "remote_read:\n- url: http://store/read\n", v3, []string{"- url: http://store/read", "- url: http://127.0.0.1:9798/api/v1/read"}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := shop(t)
			o.Source.Version, o.Source.Config = c.from, parse(t, c.text)
			got := string(plan(t, o).Config.Bytes())
			for _, line := range c.want {
				if !strings.Contains("\n"+got, "\n"+line+"\n") {
					t.Errorf("there is no line %q in\n%s", line, got)
				}
			}
			if c.not != "" && strings.Contains(got, c.not) {
				t.Errorf("there is %s in\n%s", c.not, got)
			}
		})
	}
}

func TestConfigureRefusesWhatBreaks(t *testing.T) {
	o := shop(t)
	o.Stage = CutOver
	o.Source.Version = skew.Version{Major: 2, Minor: 8}
	o.Source.Config = parse(t, "remote_write:\n- url: http://a\n  queue_config:\n    max_retries: 3\n")
	got := plan(t, o).Refusals()
	if len(got) != 1 || got[0].Rule != "remote-write-retries" || got[0].Where != "/etc/prometheus/prometheus.yml:4" {
		t.Errorf("%+v", got)
	}
}

func TestLoopbackTargetsWithoutAnAddressAreTold(t *testing.T) {
	o := replaced(t, "host: {address: 198.18.0.21, user: root, sshKeySecretName: rack-key}", "")
	p := plan(t, o)
	if !strings.Contains(rules(p.Findings), "Look loopback-target") || strings.Contains(string(p.Config.Bytes()), "127\\.0\\.0\\.1") {
		t.Errorf("%s\n%s", rules(p.Findings), p.Config.Bytes())
	}
}
