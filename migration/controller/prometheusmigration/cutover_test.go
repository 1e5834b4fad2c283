package prometheusmigration

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/cutover"
)

// TestTheCutoverTakesTheFile: what the controller writes is what the command reads, strictly.
func TestTheCutoverTakesTheFile(t *testing.T) {
	m := &v1alpha1.PrometheusMigration{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "ecs"}, Spec: v1alpha1.PrometheusMigrationSpec{
		Source: v1alpha1.Source{URL: "http://monitor:9090", Host: v1alpha1.Host{Address: "198.18.0.21", Port: 2222, User: "root", SSHKeySecretName: "rack-key", KnownHostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINyFz23ZRPj1dxZC6ssqGT5ABhAKj0ZU2+SkpTlK2gV1"}},
		Target: v1alpha1.Target{StatefulSet: &v1alpha1.StatefulSetTarget{Name: "prometheus"}},
		Cutover: v1alpha1.Cutover{Grafana: []v1alpha1.Grafana{{URL: "http://grafana:3000", TokenSecretName: "grafana", DataSourceUIDs: []string{"main"}}},
			RemoteWrite: v1alpha1.HandOverLeaves}}}
	text, err := yaml.Marshal(cutoverSpec(m, &source{hasAlerting: true, hasRemoteWrite: true, facts: &Facts{Flags: map[string]string{"web.enable-lifecycle": "true"}}}, "/etc/prometheus/prometheus.yml", 9090))
	if err != nil {
		t.Fatal(err)
	}
	s, err := cutover.ReadSpec(text, "/etc/slipway/cutover")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if s.Target.ReloadBy != cutover.ReloadDeclared || s.Target.URL != "http://prometheus-pod.monitoring.svc:9090" || s.Alerting == nil || s.RemoteWrite != nil {
		t.Errorf("%s", text)
	}
	if h := s.Source.Host; h == nil || h.KeyFile != "/etc/slipway/secrets/rack-key/ssh-privatekey" || h.Port != 2222 || s.Source.ConfigFile != "/etc/prometheus/prometheus.yml" {
		t.Errorf("%s", text)
	}
	if g := s.Grafana[0]; g.TokenFile != "/etc/slipway/secrets/grafana/token" || g.NewURL != "http://prometheus.monitoring.svc:9090" {
		t.Errorf("%s", text)
	}
	if want := []string{"grafana", "rack-key"}; !slices.Equal(cutoverSecrets(m), want) {
		t.Errorf("%v, want %v", cutoverSecrets(m), want)
	}
}
