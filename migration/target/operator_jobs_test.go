package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// secretOf is the Secret of a plan for a configuration.
func secretOf(t testing.TB, text string, files map[string][]byte) (*Operator, *corev1.Secret) {
	t.Helper()
	o, cr := operated(t)
	o.Source.Config, o.Source.Files = parse(t, text), files
	x, err := NewOperator(o, cr)
	if err != nil {
		t.Fatal(err)
	}
	return x, x.manifests.Objects[0].(*corev1.Secret)
}

// TestJobsMeanTheSameToTheOperator: it reads YAML 1.1 into values of its own before it writes the configuration.
func TestJobsMeanTheSameToTheOperator(t *testing.T) {
	cases := []struct{ name, job, want string }{
		{"a version stays a version", "static_configs: [{targets: [a], labels: {release: 1.10}}]", `release: "1.10"`},
		{"a number with zeros stays text", "relabel_configs: [{target_label: rack, replacement: 007}]", `replacement: "007"`},
		{"a plain number stays", "relabel_configs: [{target_label: rack, replacement: 17}]", "replacement: 17"},
		{"a word like yes stays in a label", "static_configs: [{targets: [a], labels: {on_call: yes}}]", `on_call: "yes"`},
		{"a word like yes is a switch elsewhere", "honor_labels: yes", "honor_labels: yes"},
		{"a limit is a number", "sample_limit: 1_000", "sample_limit: 1_000"},
		{"a password of digits stays", "basic_auth: {username: a, password: 0012}", `password: "0012"`},
		{"text in quotes stays", "static_configs: [{targets: [a], labels: {release: '1.10'}}]", "release: '1.10'"},
		{"a word of a parameter stays", "params: {module: [on, 1e3]}", `module: ["on", "1e3"]`},
		{"a relative path begins at the old configuration", "tls_config: {ca_file: ca.pem}", "ca_file: /etc/prometheus/ca.pem"},
		{"so does a list of targets", "file_sd_configs: [{files: [nodes/*.json]}]", "files: [/etc/prometheus/nodes/*.json]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, secret := secretOf(t, "scrape_configs:\n- job_name: a\n  "+c.job+"\n", nil)
			if got := secret.StringData["scrape-configs.yaml"]; !strings.Contains(got, c.want) {
				t.Errorf("no %s in\n%s", c.want, got)
			}
		})
	}
}

func TestAliasesAreWhatTheyStandFor(t *testing.T) {
	_, secret := secretOf(t, "scrape_configs:\n- job_name: a\n  metric_relabel_configs: &s [{regex: a, action: drop}]\n- job_name: b\n  metric_relabel_configs: *s\n", nil)
	var jobs []map[string]any
	if err := yaml.Unmarshal([]byte(secret.StringData["scrape-configs.yaml"]), &jobs); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(jobs[0]["metric_relabel_configs"], jobs[1]["metric_relabel_configs"]); diff != "" || jobs[1]["metric_relabel_configs"] == nil || strings.Contains(secret.StringData["scrape-configs.yaml"], "&") {
		t.Errorf("%s\n%s", diff, secret.StringData["scrape-configs.yaml"])
	}
}

func TestJobsCarryWhatTheyInherit(t *testing.T) {
	_, secret := secretOf(t, "global: {sample_limit: 5000, scrape_interval: 5s}\nscrape_configs:\n- job_name: a\n- job_name: b\n  sample_limit: 7\n", nil)
	got := secret.StringData["scrape-configs.yaml"]
	if strings.Count(got, "sample_limit: 5000") != 1 || strings.Count(got, "sample_limit: 7") != 1 || strings.Contains(got, "scrape_interval") {
		t.Error(got)
	}
}

func TestVariablesOfTheReloaderRefuse(t *testing.T) {
	for name, text := range map[string]string{
		"in a job":             "scrape_configs:\n- job_name: a\n  relabel_configs: [{regex: 'a$(b)', target_label: c}]\n",
		"in an external label": "global: {external_labels: {a: $(HOSTNAME)}}\nscrape_configs: []\n",
	} {
		t.Run(name, func(t *testing.T) {
			x, _ := secretOf(t, text, nil)
			if got := rules(x.Refusals()); !strings.Contains(got, "Refused "+RuleOperatorVariables) {
				t.Error(got)
			}
		})
	}
}

func TestFilesOfTargetsAreMountedWhereTheyWere(t *testing.T) {
	x, _ := secretOf(t, "scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [nodes.json]}]\n", map[string][]byte{"/etc/prometheus/nodes.json": []byte("[]")})
	m, ok := x.manifests.Objects[1].(*corev1.ConfigMap)
	if !ok || m.Name != "k8s-slipway-files" || m.Data["etc_prometheus_nodes.json"] != "[]" {
		t.Fatalf("%+v", x.manifests.Objects[1])
	}
	want := []corev1.VolumeMount{{Name: "slipway-files", MountPath: "/etc/prometheus/nodes.json", SubPath: "etc_prometheus_nodes.json", ReadOnly: true}}
	if diff := cmp.Diff(want, x.after.Spec.VolumeMounts); diff != "" {
		t.Error(diff)
	}
}

func TestRulesGetTheLabelsThatAreAskedFor(t *testing.T) {
	x, _ := secretOf(t, "rule_files: [rules/*.yml]\nscrape_configs: []\n", map[string][]byte{"/etc/prometheus/rules/a.yml": []byte("groups: []\n"), "/etc/prometheus/rules/b.yml": []byte("groups: []\n")})
	for _, o := range x.manifests.Objects[1:] {
		r := o.(*monitoringv1.PrometheusRule)
		if r.Labels["prometheus"] != "k8s" || r.Labels["app.kubernetes.io/managed-by"] != "slipway" {
			t.Errorf("%s: %v", r.Name, r.Labels)
		}
	}
	if s := x.manifests.Objects[0].(*corev1.Secret); s.Labels["prometheus"] != "" {
		t.Errorf("the Secret has the labels of rules: %v", s.Labels)
	}
}
