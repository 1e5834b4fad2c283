package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"
)

// TestManifests shows all objects for the shop's server.
func TestManifests(t *testing.T) {
	m, err := plan(t, shop(t)).Manifests("")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/manifests.golden.yaml", string(m.YAML))
	if len(m.Objects) != 8 {
		t.Errorf("%d objects", len(m.Objects))
	}
}

func TestASecretInTheConfigurationMakesItASecret(t *testing.T) {
	o := shop(t)
	o.Stage = CutOver
	m, err := plan(t, o).Manifests("")
	if err != nil {
		t.Fatal(err)
	}
	if s := find[*corev1.Secret](m.Objects, "prometheus-ecs"); s == nil || !strings.Contains(s.StringData["prometheus.yml"], "hunter2") {
		t.Errorf("%+v", s)
	}
}

// TestThePodIsTheSameAtEveryStage: another one would be a restart of the new server.
func TestThePodIsTheSameAtEveryStage(t *testing.T) {
	var first *corev1.PodTemplateSpec
	for _, stage := range []Stage{Bridge, Verify, CutOver, Final} {
		o := replaced(t, "shim: {image: registry.shop/slipway-agent:0.1.0, args: [shim]}", "shim: {url: 'https://ecs-metrics-shim.monitoring.svc:9798/api/v1/read'}")
		o.Stage, o.ShimSecret = stage, "ecs-metrics-target"
		m, err := plan(t, o).Manifests("")
		if err != nil {
			t.Fatal(err)
		}
		pod := &find[*appsv1.StatefulSet](m.Objects, "prometheus-ecs").Spec.Template
		if first == nil {
			first = pod
		}
		if diff := cmp.Diff(first, pod); diff != "" {
			t.Errorf("%s (-Bridge +%s):\n%s", stage, stage, diff)
		}
		config := find[*corev1.Secret](m.Objects, "prometheus-ecs").StringData["prometheus.yml"]
		if shows := strings.Contains(config, "key_file: /etc/slipway/shim/tls.key"); shows != stage.bridged() {
			t.Errorf("%s: the server shows itself to the shim: %t", stage, shows)
		}
	}
}

func TestTemplatesOfUsers(t *testing.T) {
	cases := []struct {
		name     string
		old, new string // in the own template
		want     string // part of the error; empty: it is taken
	}{
		{"another field is taken", "terminationGracePeriodSeconds: 600", "terminationGracePeriodSeconds: 900\n      priorityClassName: high", ""},
		{"another object is taken", "---\n# The way", "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x}\n---\n# The way", ""},
		{"a field that does not exist is refused", "terminationGracePeriodSeconds: 600", "terminationGrace: 600", `a StatefulSet: error unmarshaling JSON: while decoding JSON: json: unknown field "terminationGrace"`},
		{"a value that the template does not have is refused", "{{ json .Size }}", "{{ json .Sise }}", "filling the template: "},
		{"two replicas are refused", "replicas: 1", "replicas: 2", "has not one replica"},
		{"a selector is refused", "  type: {{ json .ServiceType }}", "  selector: {a: b}", "has a selector: it would lead to the new server before the cutover"},
		{"a slice that leads elsewhere is refused", "{{ json .SourceAddress }}", "198.18.0.99", "does not lead to the old server at "},
		{"a slice of another name is refused", "{{ json .SliceName }}", "mine", "there is no EndpointSlice prometheus-ecs-slipway"},
		{"arguments of one's own alone are refused", "{{- range .Args }}", "{{- range .ShimArgs }}", "lacks the argument --config.file=/etc/prometheus/prometheus.yml"},
		{"data elsewhere is refused", "{name: data, mountPath: {{ json .DataDir }}}", "{name: data, mountPath: /data}", "is not mounted at /prometheus"},
		{"a configuration elsewhere is refused", "mountPath: {{ json .ConfigDir }}", "mountPath: /conf", "nothing is mounted at /etc/prometheus"},
		{"another namespace is refused", "metadata: {name: {{ json .ClaimName }}, namespace: {{ json .Namespace }}", "metadata: {name: {{ json .ClaimName }}, namespace: x", "is in namespace x"},
		{"an unknown kind is refused", "kind: EndpointSlice", "kind: Endpoints", "Endpoints of discovery.k8s.io/v1 is not known here"},
		{"a broken template is refused", "{{ json .Size }}", "{{ yaml .Size }}", "reading the template"},
		{"a folder of rules that is not mounted is refused", "{name: {{ json .Volume }}, mountPath: {{ json .Path }}, readOnly: true}", "{name: {{ json .Volume }}, mountPath: /rules}", "ConfigMap prometheus-ecs-folder-rules is not mounted whole at /etc/prometheus/rules"},
		{"another configuration is refused", "{{ lines 4 .Config }}", "'global: {}'", "Secret prometheus-ecs does not hold the planned configuration as prometheus.yml"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(Template(), c.old) {
				t.Fatalf("the template does not hold %q", c.old)
			}
			_, err := plan(t, shop(t)).Manifests(strings.Replace(Template(), c.old, c.new, 1))
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestManifestsAreRefused(t *testing.T) {
	cases := []struct {
		name string
		edit func(*Options)
		want string
	}{
		{"when the plan is", func(o *Options) { o.Migration.Spec.Target.StatefulSet.Retention = "1d" }, "the plan is refused by retention: 1d is shorter than the source's 180d"},
		{"without an address for the Service", func(o *Options) { o.Migration.Spec.Source.Host.Address = "" }, `source.host.address is needed: the Service leads to the old server until the cutover, and "monitor-storage001" is no IP`},
		{"with an address that no pod reaches", func(o *Options) { o.Migration.Spec.Source.Host.Address = "127.0.0.1" }, "cannot be reached from a pod"},
		{"with more than a ConfigMap holds", func(o *Options) { o.Source.Files["/etc/prometheus/rules/big.yml"] = make([]byte, maxObject) }, "a ConfigMap holds 1048576"},
		{"with a file elsewhere", func(o *Options) { o.Source.Files["/srv/rules.yml"] = nil }, "/srv/rules.yml stands outside of /etc/prometheus"},
		{"with two files of one key", func(o *Options) {
			o.Source.Files["/etc/prometheus/rules/a b.yml"], o.Source.Files["/etc/prometheus/rules/a+b.yml"] = nil, nil
		}, "would have the same key rules_a_b.yml"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := shop(t)
			c.edit(&o)
			if _, err := plan(t, o).Manifests(""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestLinesGiveTheSameTextBack(t *testing.T) {
	for _, text := range []string{"", "a", "a\n", "a\n\n", " a\n b\n", "a: |\n  b \n\n\tc", "a\r\nb\r\n", "\u2028", "# a\n---\nb", "\ufeffa\n"} {
		written, err := lines(4, text)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := yaml.UnmarshalStrict([]byte("k: "+written+"\nl: x\n"), &got); err != nil || got["k"] != text {
			t.Errorf("%q became %q, written as %s (%v)", text, got["k"], written, err)
		}
	}
}
