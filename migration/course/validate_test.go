package course

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

func TestValidate(t *testing.T) {
	good := func() *v1alpha1.PrometheusMigration {
		return &v1alpha1.PrometheusMigration{Spec: v1alpha1.PrometheusMigrationSpec{
			Source: v1alpha1.Source{URL: "http://monitor:9090", Config: &v1alpha1.SourceConfig{ConfigMapName: "old"}, Agent: &v1alpha1.Agent{Address: "monitor:9797", CredentialsSecretName: "x"}},
			Target: v1alpha1.Target{StatefulSet: &v1alpha1.StatefulSetTarget{Name: "p", Image: "prom/prometheus:v3.16.0"}}, Tools: v1alpha1.Tools{Image: "slipway:1"}}}
	}
	if found := Validate(good()); len(found) > 0 {
		t.Fatalf("a good one: %v", found)
	}
	filled := good()
	filled.Spec.Seed, filled.Spec.Target.StatefulSet.Storage.VolumeName = v1alpha1.SeedMountedOnSource, "filled"
	if found := Validate(filled); len(found) > 0 {
		t.Errorf("a volume that was filled: %v", found)
	}
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.PrometheusMigrationSpec)
		where  string
		says   string
	}{
		{"no image of tools", func(s *v1alpha1.PrometheusMigrationSpec) { s.Tools.Image = "" }, "spec.tools.image", "missing"},
		{"no configuration", func(s *v1alpha1.PrometheusMigrationSpec) { s.Source.Config = nil }, "spec.source.config", "masked"},
		{"a password is not repeated", func(s *v1alpha1.PrometheusMigrationSpec) { s.Source.URL = "http://u:hunter2@monitor" }, "spec.source.url", "…@monitor"},
		{"no host and no agent", func(s *v1alpha1.PrometheusMigrationSpec) { s.Source.Agent = nil }, "spec.source.host.sshKeySecretName", "missing"},
		{"an agent without a port", func(s *v1alpha1.PrometheusMigrationSpec) { s.Source.Agent.Address = "monitor" }, "spec.source.agent.address", "host:port"},
		{"a host by name", func(s *v1alpha1.PrometheusMigrationSpec) { s.Source.Host.Address = "monitor" }, "spec.source.host.address", "no IP address"},
		{"a window of no length", func(s *v1alpha1.PrometheusMigrationSpec) {
			s.Cutover.Window = &v1alpha1.Window{From: "02:00", To: "02:00"}
		}, "spec.cutover.window", "both 02:00"},
		{"a ceiling of nothing", func(s *v1alpha1.PrometheusMigrationSpec) {
			s.Transfer.MaxBytesPerSecond = ptr.To(resource.MustParse("0"))
		}, "spec.transfer.maxBytesPerSecond", "nothing"},
		{"a shim of one's own", func(s *v1alpha1.PrometheusMigrationSpec) { s.Target.StatefulSet.Shim.Image = "x" }, "spec.target.statefulSet.shim", "by itself"},
		{"a shim of one's own under Prometheus Operator", func(s *v1alpha1.PrometheusMigrationSpec) {
			s.Target = v1alpha1.Target{Prometheus: &v1alpha1.PrometheusTarget{Name: "k8s", Shim: v1alpha1.Shim{Image: "x"}}}
		}, "spec.target.prometheus.shim", "by itself"},
		{"a copy of a data directory", func(s *v1alpha1.PrometheusMigrationSpec) { s.Seed = v1alpha1.SeedExisting }, "spec.seed", "slipway prometheus pull FROM /mnt/new --seed /mnt/copy"},
		{"a filled volume without its name", func(s *v1alpha1.PrometheusMigrationSpec) { s.Seed = v1alpha1.SeedMountedOnSource }, "spec.seed", "storage.volumeName"},
		{"a list in an override", func(s *v1alpha1.PrometheusMigrationSpec) { s.Overrides = []string{"a,b"} }, "spec.coverage.except, spec.overrides", "comma"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good()
			c.change(&m.Spec)
			found := Validate(m)
			if len(found) == 0 || found[0].Where != c.where || !strings.Contains(found[0].String(), c.says) || strings.Contains(found[0].String(), "hunter2") {
				t.Errorf("%v, want %s: … %s", found, c.where, c.says)
			}
		})
	}
}

func TestAGrafanaIsValidated(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*v1alpha1.PrometheusMigration)
		want   string
	}{
		{"takes one with the data of the old one", func(*v1alpha1.PrometheusMigration) {}, ""},
		{"takes one that begins empty without SSH", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.From, m.Spec.Source.Host = nil, v1alpha1.Host{} }, ""},
		{"wants SSH to the host of the old one", func(m *v1alpha1.PrometheusMigration) { m.Spec.Source.Host.KnownHostKey = "" }, "spec.grafana.from: its data comes over SSH"},
		{"refuses the name of the users' Service", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.Name = "prometheus" }, `spec.grafana.name: "prometheus" is the name of another Service`},
		{"refuses a port on nodes without a Service that has one", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.Service.NodePort = 30300 }, "spec.grafana.service.nodePort"},
		{"refuses an address with a password and does not repeat it", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.From.URL = "http://admin:hunter2@monitor:3000" }, `spec.grafana.from.url: "…@monitor:3000"`},
		{"refuses no name of a Secret for the API", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.From.APISecretName = "" }, "spec.grafana.from.apiSecretName"},
		{"refuses a data directory within the provisioning", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.From.DataDir = "/etc/grafana/provisioning/data" }, "spec.grafana.from.dataDir"},
		{"refuses no image", func(m *v1alpha1.PrometheusMigration) { m.Spec.Grafana.Image = "" }, "spec.grafana.image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &v1alpha1.PrometheusMigration{}
			m.Name, m.Namespace = "ecs", "monitoring"
			m.Spec.Tools.Image = "slipway:1"
			m.Spec.Source = v1alpha1.Source{URL: "http://monitor:9090", Config: &v1alpha1.SourceConfig{ConfigMapName: "old"}, Agent: &v1alpha1.Agent{Address: "monitor:9797"},
				Host: v1alpha1.Host{Address: "198.18.0.21", SSHKeySecretName: "key", KnownHostKey: "ssh-ed25519 AAAA"}}
			m.Spec.Target.StatefulSet = &v1alpha1.StatefulSetTarget{Name: "prometheus", Image: "prom/prometheus:v3.16.0"}
			m.Spec.Grafana = &v1alpha1.GrafanaTarget{Image: "grafana/grafana:12.0.0", From: &v1alpha1.GrafanaOrigin{URL: "http://monitor:3000", APISecretName: "admin"}}
			c.change(m)
			found := Validate(m)
			text := findings(found)
			if (c.want == "") != (len(found) == 0) || !strings.Contains(text, c.want) || strings.Contains(text, "hunter2") {
				t.Errorf("it says %q, want %q", text, c.want)
			}
		})
	}
}
