package skew

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// job is a configuration with one job; its body begins at line 4.
func job(body string) string {
	return "global: {metric_name_validation_scheme: legacy}\nscrape_configs:\n- job_name: j\n" + body
}

func TestConfigurations(t *testing.T) {
	tests := map[string]struct {
		text  string
		flags []string
		want  []string
	}{
		"names are kept by a line": {"scrape_configs: []\n", nil, []string{"utf8-names Look 1:1  => metric_name_validation_scheme: legacy"}},
		"targets of jobs without a fallback are to be asked": {"global: {metric_name_validation_scheme: utf8}\nscrape_configs:\n- job_name: a\n- job_name: b\n  fallback_scrape_protocol: PrometheusText0.0.4\n", nil,
			[]string{"content-type Look 2:1  => fallback_scrape_protocol: PrometheusText0.0.4"}},
		"the option for classic histograms is renamed in its line": {job("  scrape_classic_histograms: true # both\n"), nil,
			[]string{"classic-histograms-option Breaks 4:3 scrape_classic_histograms: true # both => always_scrape_classic_histograms: true # both"}},
		"a target without a port keeps its instance by one": {job("  static_configs:\n  - targets: [a, 'b:80', 'c:9100', '[::1]']\n"), nil,
			[]string{"default-port Differs 5:15 a => a:80", "default-port Differs 5:36 [::1] => [::1]:80"}},
		"https has another port": {job("  scheme: https\n  static_configs: [{targets: [a]}]\n"), nil, []string{"default-port Differs 5:31 a => a:443"}},
		"with the feature it is the default port that stays": {job("  static_configs:\n  - targets: [a, 'b:80']\n"), []string{"--enable-feature=no-default-scrape-port"},
			[]string{"default-port Differs 5:18 b:80 => b"}},
		"a target whose instance is set keeps it":        {job("  static_configs: [{targets: [a], labels: {instance: i}}]\n"), nil, nil},
		"a target whose instance is relabelled keeps it": {job("  static_configs: [{targets: [a]}]\n  relabel_configs: [{target_label: instance, replacement: i}]\n"), nil, nil},
		"a probe's target is no address, the prober is": {job("  static_configs: [{targets: ['http://a']}]\n  relabel_configs:\n  - {source_labels: [__address__], target_label: __param_target}\n  - {target_label: __address__, replacement: prober}\n"), nil,
			[]string{"default-port Differs 7:46 prober => prober:80"}},
		"the first API of Alertmanager is replaced in its line": {"alerting:\n  alertmanagers:\n  - api_version: v1\n", nil, []string{"alertmanager-v1 Breaks 3:18 - api_version: v1 => - api_version: v2"}},
		"remote_write without a word on HTTP/2 changes": {"remote_write:\n- url: https://a\n- url: https://b\n  enable_http2: false\n- url: http://c\n", nil,
			[]string{"remote-write-http2 Differs 2:3  => enable_http2: true"}},
		"an option that was removed in 2.11 breaks": {"remote_write:\n- url: http://a\n  http_config: {enable_http2: true}\n  queue_config:\n    max_retries: 3\n", nil,
			[]string{"remote-write-retries Breaks 5:5 max_retries: 3 => "}},
		"a dollar in an external label is doubled": {"global:\n  metric_name_validation_scheme: legacy\n  external_labels: {a: x$y, b: plain}\nrule_files: []\n", nil,
			[]string{"external-label-variables Differs 3:24 x$y => x$$y"}},
		"with the feature it was filled before":           {"global:\n  external_labels: {a: x$y}\nrule_files: []\n", []string{"--enable-feature", "expand-external-labels"}, nil},
		"endpoint slices need a Kubernetes of their time": {job("  kubernetes_sd_configs: [{role: endpointslice}, {role: pod}]\n"), nil, []string{"kubernetes-beta-api Look 4:34"}},
		"a label that Hetzner dropped is told": {job("  hetzner_sd_configs: [{role: hcloud}]\n  relabel_configs: [{source_labels: [__meta_hetzner_datacenter], target_label: dc}]\n"), nil,
			[]string{"hetzner-datacenter Breaks 5:38"}},
		"a job as slow as the lookback is to be looked at": {job("  scrape_interval: 5m\n"), nil, []string{"left-open-lookback Look 4:20"}},
		"with another lookback it is not":                  {job("  scrape_interval: 5m\n"), []string{"--query.lookback-delta=10m"}, nil},
		"kept buckets are all lost": {job("  metric_relabel_configs: [{source_labels: [le], regex: '1|5', action: keep}]\n"), nil,
			[]string{`bucket-value Breaks 4:57 1|5 => 1\.0|5\.0`}},
		"dropped buckets come back": {job("  metric_relabel_configs: [{source_labels: [le], regex: '1|5', action: drop}]\n"), nil,
			[]string{`bucket-value Differs 4:57 1|5 => 1\.0|5\.0`}},
		"a bucket beside other labels is found":             {job("  metric_relabel_configs: [{source_labels: [__name__, le], regex: 'x_bucket;\\d+', action: drop}]\n"), nil, []string{"bucket-value Look 4:67"}},
		"the way of the migration guide back is left alone": {job("  metric_relabel_configs: [{source_labels: [le, __name__], target_label: le, regex: '(\\d+)\\.0+;[a-z_]*_bucket'}]\n"), nil, nil},
		"target relabelling sees no buckets":                {job("  relabel_configs: [{source_labels: [le], regex: '1|5', action: drop}]\n"), nil, nil},
		"a dot in relabelling is told":                      {job("  relabel_configs: [{source_labels: [a], regex: 'b.*', action: drop}]\n"), nil, []string{"regex-newline Look 4:50"}},
		"an anchor is followed":                             {"x: &am\n- api_version: v1\nalerting: {alertmanagers: *am}\n", nil, []string{"alertmanager-v1 Breaks 2:16 - api_version: v1 => - api_version: v2"}},
		"what is merged is seen":                            {"x: &am {api_version: v1}\nalerting:\n  alertmanagers:\n  - <<: *am\n", nil, []string{"alertmanager-v1 Breaks 1:22 x: &am {api_version: v1} => x: &am {api_version: v2}"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := check(t, "2.10.0", "3.16.0", NewFlags(test.flags), map[string]string{"prometheus.yml": test.text})
			without := []string{ruleContentType, ruleUTF8}
			if strings.HasPrefix(strings.Join(test.want, ""), without[0]) {
				without = without[1:]
			} else if strings.HasPrefix(strings.Join(test.want, ""), without[1]) {
				without = without[:1]
			}
			if diff := cmp.Diff(append([]string{}, test.want...), found(r, without...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRangesAreHeldAgainstIntervals(t *testing.T) {
	config := "global: {scrape_interval: 30s, evaluation_interval: 1m}\nscrape_configs:\n- job_name: slow\n  scrape_interval: 1m\n- job_name: fast\n"
	rules := func(expr string) string {
		return "groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(x)\n  - alert: A\n    expr: " + expr + "\n- name: other\n  interval: 30s\n  rules:\n  - {alert: B, expr: 'sum_over_time(r[5m])'}\n"
	}
	tests := map[string]struct {
		expr string
		want []string
	}{
		"a recorded series has one sample less":              {`sum_over_time(r[5m])`, []string{"left-open-range Differs 7:27 5m => 5m1ms"}},
		"a rate of a recorded series over one interval ends": {`rate(r[1m])`, []string{"left-open-range Breaks 7:18 1m => 1m1ms"}},
		"a range between the samples is left alone":          {`sum_over_time(r[90s])`, nil},
		"a rate over one scrape interval never works":        {`rate(y{job="slow"}[1m])`, []string{"left-open-range Differs 7:30"}},
		"a rate over two is left alone":                      {`rate(y{job="fast"}[1m])`, nil},
		"a rate of an unknown job is left alone":             {`rate(y[1m])`, nil},
		"a series of a later rule is not of this group yet":  {`sum_over_time(A[5m])`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := check(t, "2.42.0", "3.16.0", NewFlags(nil), map[string]string{"rules.yml": rules(test.expr), "prometheus.yml": config})
			if diff := cmp.Diff(append([]string{}, test.want...), found(r, ruleContentType, ruleUTF8)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOldBucketsThatAJobKeepsAreToBeLookedAt(t *testing.T) {
	r := check(t, "2.42.0", "3.16.0", NewFlags(nil), map[string]string{
		"prometheus.yml": job("  metric_relabel_configs: [{source_labels: [le, __name__], target_label: le, regex: '(\\d+)\\.0+;[a-z_]*_bucket'}]\n"),
		"rules.yml":      alert(`x{le="1"} > y{quantile="1"}`),
	})
	want := []string{`bucket-value Look 5:20 "1" => "1.0"`, `bucket-value Breaks 5:38 "1" => "1.0"`}
	if diff := cmp.Diff(want, found(r, ruleContentType)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRuleFiles(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"a manifest of Prometheus Operator is read": {"apiVersion: v1\nkind: List\nitems:\n- kind: PrometheusRule\n  spec:\n    groups:\n    - rules:\n      - {alert: A, expr: 'x{le=\"1\"}'}\n",
			[]string{`bucket-value Breaks 8:32 "1" => "1.0"`}},
		"entries of a ConfigMap are read": {"kind: ConfigMap\ndata:\n  b.json: |\n    {\"panels\": [\n      {\"targets\": [{\"expr\": \"x{le=\\\"1\\\"}\"}]}\n    ]}\n  r.yml: |\n    groups:\n    - rules:\n      - {alert: A, expr: 'x{le=\"2\"}'}\n  other: 'x{le=\"3\"}'\n",
			[]string{`bucket-value Breaks 5:35 "1" => "1.0"`, `bucket-value Breaks 10:32 "2" => "2.0"`}},
		"each document of a file is read":                {"a: b\n---\n" + alert(`x{le="1"}`), []string{`bucket-value Breaks 7:20 "1" => "1.0"`}},
		"a label of a recording rule is to be looked at": {"groups:\n- rules:\n  - record: r\n    expr: x\n    labels: {le: \"1\"}\n", []string{`bucket-value Look 5:19 1 => "1.0"`}},
		"a place in a literal block is found":            {"groups:\n- rules:\n  - alert: A\n    expr: |\n      sum(\n        x{le=\"1\"}\n      )\n", []string{`bucket-value Breaks 6:14 "1" => "1.0"`}},
		"a place in a folded block is found":             {"groups:\n- rules:\n  - alert: A\n    expr: >-\n      sum(\n      x{le=\"1\"}\n      )\n", []string{`bucket-value Breaks 6:12 "1" => "1.0"`}},
		"a place behind escapes is found":                {"groups:\n- rules:\n  - alert: A\n    expr: \"x{a=\\\"é\\u00e9\\\"} > y{le=\\\"1\\\"}\"\n", []string{`bucket-value Breaks 4:37 "1" => "1.0"`}},
		"a place behind doubled quotes is found":         {"groups:\n- rules:\n  - alert: A\n    expr: 'x{a=''b''} > y{le=\"1\"}'\n", []string{`bucket-value Breaks 4:30 "1" => "1.0"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, found(check(t, "2.42.0", "3.16.0", nil, map[string]string{"r.yaml": test.text}))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
