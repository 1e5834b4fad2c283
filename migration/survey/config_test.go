package survey

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadConfig(t *testing.T) {
	got, err := ReadConfig([]byte(`
global: {scrape_interval: 15s, external_labels: {a: "1"}}
rule_files: [/etc/r.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [am]}]}]}
remote_write: [{url: "https://me:hunter2@there/w?token=hunter2#hunter2"}, {url: "%zz hunter2"}]
remote_read: [{url: "http://old:9090/api/v1/read"}]
scrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 500ms}]
storage: {tsdb: {out_of_order_time_window: 30m, outofordertimewindow: 1800000, stale_series: true, other: false}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ExternalLabels: map[string]string{"a": "1"}, RuleFiles: []string{"/etc/r.yml"}, Alerting: 1,
		RemoteWrite: []string{"https://there/w", "(no address)"}, RemoteRead: []string{"http://old:9090/api/v1/read"},
		OutOfOrderMillis: 1_800_000, Storage: []string{"stale_series: true"},
		Jobs: map[string]Job{"a": {15}, "b": {0.5}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReadConfigWithoutAnything(t *testing.T) {
	got, err := ReadConfig(nil)
	if diff := cmp.Diff(Config{ExternalLabels: map[string]string{}, Jobs: map[string]Job{}}, got); err != nil || diff != "" {
		t.Errorf("%v -want +got:\n%s", err, diff)
	}
}
