package target

import (
	"os"
	"strings"
	"testing"
)

func TestReadMigrationRefuses(t *testing.T) {
	cases := []struct{ name, old, new, want string }{
		{"a field that nobody knows", "retention: 365d", "retention: 365d\n      retensionSize: 1GB", `unknown field "retensionSize"`},
		{"another kind", "kind: PrometheusMigration", "kind: Prometheus", "it is Prometheus of migration.slipway.dev/v1alpha1"},
		{"no namespace", "namespace: monitoring", "labels: {}", "metadata.namespace is empty"},
		{"a password in the URL", "http://monitor", "http://u:hunter2@monitor", "source.url is no address"},
		{"two targets", "    statefulSet:", "    prometheus: {name: k8s}\n    statefulSet:", "either statefulSet or prometheus"},
		{"an image without a version", "prom/prometheus:v3.16.0", "registry:5000/prometheus", `the tag of image "registry:5000/prometheus" is no version`},
		{"a retention that is none", "365d", "a year", "target.statefulSet.retention: not a valid duration"},
		{"a name that no pod can have", "name: prometheus-ecs", "name: Prometheus", `name "Prometheus": want`},
		{"a node port without its type", "{type: NodePort}", "{nodePort: 30090}", "service.type is not NodePort"},
		{"a type that is none", "{type: NodePort}", "{type: ExternalName}", `service.type "ExternalName"`},
		{"arguments of no shim", "{image: registry.shop/slipway-agent:0.1.0, args: [shim]}", "{args: [shim]}", "shim.args are given without an image"},
	}
	text := string(read(t, "migration.yaml"))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadMigration([]byte(strings.Replace(text, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func FuzzReadMigration(f *testing.F) {
	text, err := os.ReadFile("testdata/migration.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("spec: {target: {statefulSet: {image: ':'}}}"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = ReadMigration(data) })
}
