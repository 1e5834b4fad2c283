package config

import (
	"testing"
)

// odd has most of what people write: comments of all kinds, lists at the indentation of their key, flow style, blocks of text.
const odd = `# The shop's Prometheus. Ask team metrics before you touch it.
global:
  scrape_interval: 15s # not faster
  external_labels:
    cluster: "shop"   # see the wiki

# Pair of Alertmanagers in rack 3.
alerting:
  alertmanagers:
  - api_version: v1
    static_configs: [{targets: ["am1:9093", am2:9093]}]
  # no third one

rule_files: [rules/*.yml,
  more/*.yml]
scrape_configs:
# the server itself
- job_name: prometheus
  static_configs:
  - targets: ['localhost:9090']
# - job_name: retired

- job_name: node
  scrape_classic_histograms: true
  basic_auth:
    username: u
    password: hunter2
  relabel_configs:
  - source_labels: [__address__]
    target_label: host
  # the last rule counts

remote_write:
  - url: "https://me:s3cr3t@store/api/v1/write"
    authorization:
      credentials: |
        abc
        def
    # queue_config: {max_shards: 3}
# the end
`

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("prometheus.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
