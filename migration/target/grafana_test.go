package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/test/golden"
)

// withGrafana is a migration that brings one along.
func withGrafana(change func(*v1alpha1.GrafanaTarget)) *Grafana {
	m := &v1alpha1.PrometheusMigration{}
	m.Name, m.Namespace = "ecs-metrics", "monitoring"
	m.Spec.Target.StatefulSet = &v1alpha1.StatefulSetTarget{Name: "prometheus-ecs"}
	m.Spec.Grafana = &v1alpha1.GrafanaTarget{Image: "grafana/grafana:12.0.0", From: &v1alpha1.GrafanaOrigin{URL: "http://monitor:3000", APISecretName: "grafana-admin"}}
	if change != nil {
		change(m.Spec.Grafana)
	}
	return NewGrafana(m, 9090)
}

// TestGrafanaManifests shows the objects of one with the data of an old one beside it, of one whose move is final, and of one that begins empty.
func TestGrafanaManifests(t *testing.T) {
	for file, made := range map[string]struct {
		grafana     *Grafana
		sendsAlerts bool
	}{
		"grafana.golden.yaml": {withGrafana(nil), false},
		"grafana-final.golden.yaml": {withGrafana(func(g *v1alpha1.GrafanaTarget) {
			g.Name, g.SettingsSecretName, g.Service = "dashboards", "grafana-settings", v1alpha1.Service{Type: corev1.ServiceTypeNodePort, NodePort: 30300}
			g.Storage = v1alpha1.Storage{VolumeName: "pv-7", Size: ptr.To(resource.MustParse("20Gi"))}
			g.From.DataDir, g.From.ProvisioningDir = "/data/grafana", "/opt/grafana/provisioning"
			g.SecurityContext = &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1000)}
			g.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		}), true},
		"grafana-fresh.golden.yaml": {withGrafana(func(g *v1alpha1.GrafanaTarget) { g.From = nil }), true},
	} {
		m, err := made.grafana.Manifests(made.sendsAlerts)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+file, string(m.YAML))
		checkGrafanaPod(t, file, find[*appsv1.Deployment](m.Objects, made.grafana.Name()))
	}
}

// checkGrafanaPod holds a pod against what the restricted standard asks for, and against what the move stands on.
func checkGrafanaPod(t *testing.T, file string, d *appsv1.Deployment) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	if r := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec)); !r.Allowed {
		t.Errorf("%s is refused where restricted is enforced: %s", file, r.ForbiddenDetail())
	}
	if d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *d.Spec.Replicas != 1 {
		t.Errorf("%s: two at once would write one database: %+v", file, d.Spec.Strategy)
	}
}

func TestAGrafanaHasTheDefaultsOfItsImage(t *testing.T) {
	g := withGrafana(nil)
	got := map[string]any{"name": g.Name(), "claim": g.ClaimName(), "url": g.URL(), "users": g.UsersURL(), "data": g.From().DataDir, "provisioning": g.From().ProvisioningDir, "user": *g.Security().RunAsUser, "group": *g.Security().FSGroup}
	want := map[string]any{"name": "grafana", "claim": "grafana-data", "url": "http://grafana.monitoring.svc:3000", "users": "http://prometheus-ecs.monitoring.svc:9090",
		"data": "/var/lib/grafana", "provisioning": "/etc/grafana/provisioning", "user": int64(472), "group": int64(472)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(GrafanaTemplate(), "Recreate") {
		t.Error("the template that people see is another one")
	}
}
