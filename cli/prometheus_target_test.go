package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

const (
	targetSpec = `apiVersion: migration.slipway.dev/v1alpha1
kind: PrometheusMigration
metadata: {name: shop, namespace: monitoring}
spec:
  source:
    url: http://old:9090
    host: {address: 198.18.0.21}
  target:
    statefulSet: {name: prometheus, image: "prom/prometheus:v3.16.0", storage: {size: 100Gi}}
`
	targetConfig = `global: {scrape_interval: 15s}
alerting:
  alertmanagers: [{static_configs: [{targets: [am:9093]}]}]
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ["localhost:9090"]}]
`
	targetFlags = `["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.retention.time=30d"]`
	targetPV    = `{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-7}, spec: {capacity: {storage: 100Gi}, persistentVolumeReclaimPolicy: Retain,
  claimRef: {namespace: old, name: data-0, uid: 1-2}}, status: {phase: Released}}
`
)

func TestPrometheusTarget(t *testing.T) {
	const old = " -f migration.yaml --source-config prometheus.yml --source-flags flags.json --source-version 2.42.0"
	files := map[string]string{
		"migration.yaml": targetSpec, "prometheus.yml": targetConfig, "flags.json": targetFlags, "pv.yaml": targetPV,
		"short.yaml": strings.Replace(targetSpec, "name: prometheus,", "name: prometheus, retention: 10d,", 1),
		"masked.yml": "scrape_configs:\n- job_name: a\n  basic_auth:\n    username: u\n    password: <secret>\n",
		"k8s.yaml": `{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {name: k8s, namespace: monitoring}, spec: {version: 3.16.0, ruleSelector: {},
  storage: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 100Gi}}}}}, alerting: {alertmanagers: [{name: main, port: web}]}}}`,
		"thanos.yaml":   `{apiVersion: monitoring.coreos.com/v1, kind: Prometheus, metadata: {name: k8s, namespace: monitoring}, spec: {version: 3.16.0, thanos: {}}}`,
		"operator.yaml": targetSpec[:strings.Index(targetSpec, "    statefulSet:")] + "    prometheus: {name: k8s}\n",
		"inline.yml":    "global: {a: 1}\n---\nb: 2\n", "other.yaml": "apiVersion: v1\nkind: Service\n", "mine.yaml": "kind: {{ .Nothing }}\n",
	}
	transcript{golden: "prometheus_target", files: files, steps: []step{
		{name: "shows what is different and why", line: "prometheus target config --diff --data 40Gi --largest-block 5Gi --head 3Gi" + old},
		{name: "prints the configuration after the cutover", line: "prometheus target config --stage CutOver" + old},
		{name: "prints the manifests", line: "prometheus target manifests" + old},
		{name: "writes files", line: "prometheus target manifests --dir out" + old},
		{name: "tells what a program reads", line: "prometheus target config -o yaml" + old},
		{name: "refuses a shorter retention", line: "prometheus target manifests -f short.yaml --source-config prometheus.yml --source-flags flags.json --source-version 3.5.0"},
		{name: "lets it pass by name", line: "prometheus target config --override retention -f short.yaml --source-config prometheus.yml --source-flags flags.json --source-version 3.5.0"},
		{name: "explains a volume that is Released", line: "prometheus target manifests --volume pv.yaml" + old},
		{name: "patches a Prometheus of the operator", line: "prometheus target manifests --prometheus k8s.yaml --dir k8s" + strings.Replace(old, "migration.yaml", "operator.yaml", 1)},
		{name: "names the operator's traps", line: "prometheus target manifests --prometheus thanos.yaml --dir k8s" + strings.Replace(old, "migration.yaml", "operator.yaml", 1)},
		{name: "asks for the Prometheus", line: "prometheus target manifests" + strings.Replace(old, "migration.yaml", "operator.yaml", 1)},
		{name: "refuses a configuration that a server told", line: "prometheus target config -f migration.yaml --source-config masked.yml --source-flags flags.json --source-version 2.42.0"},
		{name: "refuses YAML that it cannot keep", line: "prometheus target config -f migration.yaml --source-config inline.yml --source-flags flags.json --source-version 2.42.0"},
		{name: "refuses another kind", line: "prometheus target config -f other.yaml --source-config prometheus.yml --source-version 2.42.0"},
		{name: "refuses a template that asks for what is not there", line: "prometheus target manifests --template mine.yaml" + old},
		{name: "asks for the spec", line: "prometheus target config"},
		{name: "asks for the version", line: "prometheus target config -f migration.yaml --source-config prometheus.yml"},
		{name: "asks for the configuration", line: "prometheus target config -f migration.yaml --source-version 2.42.0"},
		{name: "refuses a size that is none", line: "prometheus target config --data much" + old},
	}}.test(t)
}

func TestPrometheusTargetTakesRuleFilesAndKeepsThemPrivate(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("old/rules", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"migration.yaml": targetSpec, "old/prometheus.yml": targetConfig, "flags.json": targetFlags,
		"old/rules/a.yml": "groups: []\n", "old/rules/a.txt": "not a rule file", "old/other.yml": "no"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, errs := runCLI(t, "prometheus", "target", "manifests", "-f", "migration.yaml", "--source-config", "old/prometheus.yml", "--source-flags", "flags.json",
		"--source-version", "2.42.0", "--dir", "out")
	if code != ExitDone {
		t.Fatalf("code %d, %s", code, errs)
	}
	data, err := os.ReadFile("out/manifests.yaml")
	if err != nil || !strings.Contains(string(data), `  "a.yml": |`) || !strings.Contains(string(data), `mountPath: "/etc/prometheus/rules"`) || strings.Contains(string(data), "a.txt") {
		t.Errorf("%v\n%s", err, data)
	}
	if info, err := os.Stat("out/manifests.yaml"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestPrometheusTargetAsksTheSource: what a server tells is enough but for its secrets.
func TestPrometheusTargetAsksTheSource(t *testing.T) {
	answers := map[string]string{
		"/api/v1/status/flags":       `{"config.file": "prometheus.yml", "storage.tsdb.retention.time": "30d", "storage.tsdb.max-block-duration": "3d"}`,
		"/api/v1/status/buildinfo":   `{"version": "2.42.0"}`,
		"/api/v1/status/runtimeinfo": `{"CWD": "/opt/prometheus"}`,
		"/api/v1/status/config":      `{"yaml": "global:\n  scrape_interval: 15s\n"}`,
	}
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"status": "success", "data": %s}`, answers[r.URL.Path])
	}))
	defer old.Close()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("migration.yaml", []byte(targetSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "prometheus", "target", "config", "-f", "migration.yaml", "--source", old.URL, "--diff")
	if code != ExitDone || !strings.Contains(out, "--storage.tsdb.max-block-duration=3d") || !strings.Contains(out, "+++ /opt/prometheus/prometheus.yml") {
		t.Errorf("code %d\n%s\n%s", code, out, errs)
	}
	answers["/api/v1/status/config"] = `{"yaml": "remote_write:\n- url: http://a\n  bearer_token: <secret>\n"}`
	code, _, errs = runCLI(t, "prometheus", "target", "config", "-f", "migration.yaml", "--source", old.URL)
	if code != ExitFailed || !strings.Contains(errs, "remote_write[0].bearer_token (line 3); give the file itself") {
		t.Errorf("code %d\n%s", code, errs)
	}
}

func TestPrometheusTargetTemplateIsTheOneThatIsUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	_, template, _ := runCLI(t, "prometheus", "target", "template")
	for name, text := range map[string]string{"migration.yaml": targetSpec, "prometheus.yml": targetConfig, "flags.json": targetFlags, "mine.yaml": template} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"prometheus", "target", "manifests", "-f", "migration.yaml", "--source-config", "prometheus.yml", "--source-flags", "flags.json", "--source-version", "2.42.0"}
	_, own, _ := runCLI(t, args...)
	if _, given, _ := runCLI(t, append(args, "--template", "mine.yaml")...); given != own || own == "" {
		t.Errorf("another result:\n%s", given)
	}
}
