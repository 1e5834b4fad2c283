package target

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// operated is the shop's server going to a Prometheus of the operator.
func operated(t testing.TB, oldnew ...string) (Options, *monitoringv1.Prometheus) {
	t.Helper()
	o := shop(t)
	o.Migration.Spec.Target = v1alpha1.Target{Prometheus: &v1alpha1.PrometheusTarget{Name: "k8s", Shim: v1alpha1.Shim{Image: "registry.shop/slipway-agent:0.1.0", Args: []string{"shim"}}}}
	cr, err := ReadPrometheus([]byte(strings.NewReplacer(oldnew...).Replace(string(read(t, "prometheus-k8s.yaml")))))
	if err != nil {
		t.Fatal(err)
	}
	return o, cr
}

func TestOperator(t *testing.T) {
	x, err := NewOperator(operated(t))
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/operator-patch.golden.yaml", string(x.Patch))
	golden.Check(t, "testdata/operator-undo.golden.yaml", string(x.Undo))
	golden.Check(t, "testdata/operator-objects.golden.yaml", string(x.Objects))
	if got := rules(x.Refusals()); got != "" {
		t.Error(got)
	}
}

func TestOperatorUndoIsTheWayBack(t *testing.T) {
	o, cr := operated(t)
	x, err := NewOperator(o, cr)
	if err != nil {
		t.Fatal(err)
	}
	state, err := json.Marshal(cr)
	if err != nil {
		t.Fatal(err)
	}
	for _, patch := range [][]byte{x.Patch, x.Undo} {
		text, err := yaml.YAMLToJSON(patch)
		if err != nil {
			t.Fatal(err)
		}
		if state, err = jsonpatch.MergePatch(state, text); err != nil {
			t.Fatal(err)
		}
	}
	var back monitoringv1.Prometheus
	if err := json.Unmarshal(state, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cr.Spec, back.Spec); diff != "" {
		t.Error(diff)
	}
}

func TestOperatorTraps(t *testing.T) {
	cases := []struct{ name, old, new, want string }{
		{"two replicas", "replicas: 1", "replicas: 2", "Refused operator-replicas"},
		{"a volume that goes with the pod", "storage: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Ti}}}}}", "storage: {emptyDir: {}}", "Refused operator-storage"},
		{"a small volume", "storage: 1Ti", "storage: 100Gi", "Refused capacity"},
		{"a Thanos sidecar", "replicas: 1", "replicas: 1\n  thanos: {}", "Refused operator-thanos"},
		{"compaction that is off", "replicas: 1", "replicas: 1\n  disableCompaction: true", "Refused operator-compaction"},
		{"jobs that are there already", "replicas: 1", "replicas: 1\n  additionalScrapeConfigs: {name: a, key: b}", "Refused operator-jobs"},
		{"no selector of rules", "ruleSelector: {matchLabels: {prometheus: k8s}}", "paused: false", "Refused operator-rules"},
		{"an old version", "version: 3.16.0", "version: 3.5.0", "Refused target-version"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, err := NewOperator(operated(t, c.old, c.new))
			if err != nil {
				t.Fatal(err)
			}
			if got := rules(x.Refusals()); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestOperatorRefuses(t *testing.T) {
	for want, edit := range map[string][2]string{
		"set spec.version": {"version: 3.16.0", "image: prom/prometheus"},
		"target.prometheus is not monitoring/other, which was given": {"name: k8s, namespace", "name: other, namespace"},
	} {
		if _, err := NewOperator(operated(t, edit[0], edit[1])); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := ReadPrometheus([]byte("kind: ConfigMap\napiVersion: v1\n")); err == nil || !strings.Contains(err.Error(), "it is ConfigMap of v1") {
		t.Error(err)
	}
}
