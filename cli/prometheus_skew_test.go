package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/skew"
)

const (
	skewConfig = `global:
  scrape_interval: 1m
  external_labels:
    cluster: shop-$ENV
rule_files: [rules/*.yml]
alerting:
  alertmanagers:
    - api_version: v1
scrape_configs:
  - job_name: node
    scrape_classic_histograms: true
    static_configs:
      - targets: [web1, "web2:9100"]
`
	skewRules = `groups:
  - name: api
    interval: 1m
    rules:
      - record: api:requests:rate5m
        expr: sum(rate(http_requests_total[5m]))
      - alert: Slow
        expr: |
          sum(rate(request_seconds_bucket{le="1"}[5m]))
            / sum(rate(request_seconds_count[5m])) < 0.9
      - alert: Fast
        expr: sum_over_time(api:requests:rate5m[5m]) > holt_winters(api:requests:rate5m[1h], 0.5, 0.5)
`
	skewBoard = `{"title": "Shop", "panels": [
  {"title": "Share", "targets": [{"refId": "A", "expr": "rate(request_seconds_bucket{le=~\"1|5\"}[$__rate_interval])"}]},
  {"title": "Evil \u001b[31m", "targets": [{"refId": "B", "expr": "sum(x"}]}
]}
`
	skewFlags = `{"status": "success", "data": {"storage.tsdb.retention": "180d", "alertmanager.timeout": "", "enable-feature": "remote-write-receiver"}}`
)

func TestPrometheusSkew(t *testing.T) {
	flags := map[string]string{
		"prometheus.yml": skewConfig, "rules.yml": skewRules, "board.json": skewBoard, "flags": skewFlags, "values.yaml": "replicas: 3\n", "bad.yaml": "{{ template }}\n",
		"good.yml": "groups:\n- name: a\n  rules:\n  - {alert: A, expr: up == 0}\n",
	}
	transcript{golden: "prometheus_skew", files: flags, steps: []step{
		{name: "tells what breaks in two hops", line: "prometheus skew --from 2.42.0 --to 3.16.0 --flags flags prometheus.yml rules.yml board.json values.yaml"},
		{name: "names what cannot be read in a directory", line: "prometheus skew --from 2.55.1 --to 3.16.0 --flags flags . -o yaml"},
		{name: "is content when nothing changes", line: "prometheus skew --from 3.5.0 --to 3.14.0 rules.yml"},
		{name: "exits with 0 when told to", line: "prometheus skew --from 2.55.1 --to 3.0.0 --exit-zero bad.yaml"},
		{name: "refuses a step back", line: "prometheus skew --from 3.0.0 --to 2.55.1 rules.yml"},
		{name: "refuses a version that is none", line: "prometheus skew --from latest --to 3.0.0 rules.yml"},
		{name: "asks for the versions", line: "prometheus skew rules.yml"},
		{name: "asks for files", line: "prometheus skew --from 2.42.0 --to 3.0.0"},
		{name: "refuses flags that are none", line: "prometheus skew --from 2.42.0 --to 3.0.0 --flags rules.yml rules.yml"},
		{name: "names a file that is not there", line: "prometheus skew --from 2.42.0 --to 3.0.0 nowhere.yml"},
	}}.test(t)
}

func TestPrometheusSkewReadsDirectories(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a/b/rules.yml": skewRules, "..2026/rules.yml": skewRules, "a/board.json": skewBoard, "a/notes.txt": skewRules} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, out, _ := runCLI(t, "prometheus", "skew", "--from", "2.42.0", "--to", "3.16.0", "-o", "json", dir)
	var r skew.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != ExitFailed || len(r.Files) != 2 || !strings.HasSuffix(r.Files[0].Name, "a/b/rules.yml") || r.Count(skew.Breaks) != 3 {
		t.Errorf("code %d, %+v", code, r)
	}
}

func TestPrometheusSkewCompletesVersions(t *testing.T) {
	if _, out, _ := runCLI(t, "__complete", "prometheus", "skew", "--to", ""); !strings.Contains(out, skew.Known().String()) {
		t.Errorf("--to completes to %q", out)
	}
}
