package fleet

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/charts"
	"github.com/slipway-dev/slipway/fleet/controller/operation"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"
)

// registered is a registry with all metrics of the fleet, filled by a small one.
func registered(t *testing.T) *prometheus.Registry {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	object := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "harbor", Name: name} }
	condition := func(kind string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status}
	}
	objects := []client.Object{
		&v1alpha1.Machine{ObjectMeta: object("a"), Status: v1alpha1.MachineStatus{Phase: v1alpha1.MachineIdle, Conditions: []metav1.Condition{condition(v1alpha1.ConditionReachable, metav1.ConditionTrue)}}},
		&v1alpha1.Machine{ObjectMeta: object("b"), Status: v1alpha1.MachineStatus{Phase: v1alpha1.MachineQuarantined, Conditions: []metav1.Condition{condition(v1alpha1.ConditionReachable, metav1.ConditionFalse)}}},
		&v1alpha1.ClusterDeployment{ObjectMeta: object("shop"), Status: v1alpha1.ClusterDeploymentStatus{State: "Available", Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAvailable, metav1.ConditionTrue), condition(v1alpha1.ConditionProgressing, metav1.ConditionFalse)}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}},
	}
	registry := prometheus.NewRegistry()
	freeze := kube.Freeze{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}
	if err := count(registry, fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(), freeze); err != nil {
		t.Fatal(err)
	}
	m, err := operation.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	m.Ended.WithLabelValues("create", "Failed").Inc()
	return registry
}

func TestMetricsCountTheFleet(t *testing.T) {
	want := `
# HELP slipway_cluster_deployment_condition 1 when the condition of the deployment is True, else 0.
# TYPE slipway_cluster_deployment_condition gauge
slipway_cluster_deployment_condition{condition="Available",name="shop",namespace="harbor"} 1
slipway_cluster_deployment_condition{condition="Progressing",name="shop",namespace="harbor"} 0
# HELP slipway_cluster_deployments ClusterDeployments by state.
# TYPE slipway_cluster_deployments gauge
slipway_cluster_deployments{state="Available"} 1
# HELP slipway_frozen 1 while slipway freeze stops every start of anything, else 0.
# TYPE slipway_frozen gauge
slipway_frozen 1
# HELP slipway_machines Machines by phase.
# TYPE slipway_machines gauge
slipway_machines{phase="Idle"} 1
slipway_machines{phase="Quarantined"} 1
# HELP slipway_machines_ill Machines by condition that is False or Unknown.
# TYPE slipway_machines_ill gauge
slipway_machines_ill{condition="Reachable",status="False"} 1
`
	names := []string{"slipway_cluster_deployment_condition", "slipway_cluster_deployments", "slipway_frozen", "slipway_machines", "slipway_machines_ill"}
	if err := testutil.GatherAndCompare(registered(t), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// TestAlertsNameWhatIsThere holds the alerts against the metrics that the operator has, with their labels. That each has a
// page in docs/runbooks is a law of the tree (test/laws).
func TestAlertsNameWhatIsThere(t *testing.T) {
	families, err := registered(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[f.GetName()] = append(labels[f.GetName()], l.GetName())
		}
		if labels[f.GetName()] == nil {
			labels[f.GetName()] = []string{}
		}
	}
	text, err := charts.Alerts.ReadFile("slipway/alerts/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	metric, matcher := regexp.MustCompile(`slipway_[a-z_]+`), regexp.MustCompile(`(slipway_[a-z_]+)\{([a-z_]+)="`)
	for _, rule := range file.Groups[0].Rules {
		for _, name := range metric.FindAllString(rule.Expr, -1) {
			if labels[name] == nil {
				t.Errorf("%s asks for %s, which the operator does not have", rule.Alert, name)
			}
		}
		for _, m := range matcher.FindAllStringSubmatch(rule.Expr, -1) {
			if !slices.Contains(labels[m[1]], m[2]) {
				t.Errorf("%s asks for the label %s of %s, which has %v", rule.Alert, m[2], m[1], labels[m[1]])
			}
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["runbook"] != "docs/runbooks/"+rule.Alert+".md" || rule.Labels["severity"] == "" {
			t.Errorf("%s lacks summary, runbook or severity: %+v", rule.Alert, rule)
		}
	}
}
