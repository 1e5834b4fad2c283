package addon

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"
)

func facts() Facts {
	return Facts{
		ClusterDNS: "10.96.0.10", KubernetesVersion: "v1.36.3",
		Images: map[string]string{"coredns": "bundle.slipway.dev/coredns:v1.15.0", "metrics-server": "bundle.slipway.dev/metrics-server:v0.9.0"},
		Issue: func(name string, names []string) (certificate, key, authority []byte, err error) {
			return []byte("certificate of " + strings.Join(names, " ")), []byte("key of " + name), []byte("authority"), nil
		},
	}
}

func TestRenderGolden(t *testing.T) {
	cases := map[string]struct{ addon, values string }{
		"coredns":                {"coredns", ""},
		"coredns-values":         {"coredns", `{"replicas":3,"upstreams":["192.0.2.1","192.0.2.2:5353"],"cacheSeconds":0,"extraServers":"example.:53 {\n    forward . 192.0.2.3\n}\n","nodeSelector":{"tier":"infra"},"tolerations":[{"key":"infra","operator":"Exists"}]}`},
		"coredns-no-upstreams":   {"coredns", `{"upstreams":[]}`},
		"metrics-server":         {"metrics-server", ""},
		"metrics-server-limited": {"metrics-server", `{"resources":{"limits":{"memory":null,"cpu":1}},"resolutionSeconds":60}`},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			got, err := Render(cases[name].addon, []byte(cases[name].values), facts())
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", name+".yaml"), documents(t, got.Objects))
		})
	}
}

func documents(t *testing.T, objects []unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for _, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(data))
	}
	return b.String()
}

func TestRenderIsTheSameEachTime(t *testing.T) {
	for _, name := range Known() {
		first, err := Render(name, nil, facts())
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if again, err := Render(name, nil, facts()); err != nil || again.Digest != first.Digest {
				t.Fatalf("%s: digest %s, then %s, error %v", name, first.Digest, again.Digest, err)
			}
		}
		other, err := Render(name, []byte(`{"replicas":3}`), facts())
		if err != nil || other.Digest == first.Digest {
			t.Errorf("%s: other values give the same digest, or error %v", name, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	noImage, noIssuer, badIssuer := facts(), facts(), facts()
	noImage.Images = nil
	noIssuer.Issue = nil
	badIssuer.Issue = func(string, []string) ([]byte, []byte, []byte, error) {
		return nil, nil, nil, errors.New("no authority")
	}
	tests := map[string]struct {
		addon, values string
		facts         Facts
		want          string
	}{
		"an unknown addon":            {"corednss", "", facts(), `there is no addon "corednss"; there are coredns, metrics-server`},
		"an unknown value":            {"coredns", `{"replica":3}`, facts(), "'replica' not allowed"},
		"a value of the wrong type":   {"coredns", `{"replicas":"3"}`, facts(), "got string, want integer"},
		"a value that is too large":   {"coredns", `{"replicas":500}`, facts(), "maximum: got 500, want 50"},
		"the place of facts":          {"coredns", `{"slipway":{"image":"x"}}`, facts(), "'slipway' not allowed"},
		"a line break in an upstream": {"coredns", `{"upstreams":["1.1.1.1 {\n}"]}`, facts(), "does not match pattern"},
		"values that are a list":      {"coredns", `[]`, facts(), "values are not an object"},
		"a bundle without the image":  {"coredns", "", noImage, `the bundle has no image "coredns"`},
		"no issuer of certificates":   {"metrics-server", "", noIssuer, "nobody issues certificates"},
		"an issuer that fails":        {"metrics-server", "", badIssuer, "no authority"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Render(tc.addon, []byte(tc.values), tc.facts); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := Check("coredns", []byte(`{"replica":3}`)); err == nil {
		t.Error("Check accepts what Render refuses")
	}
	if err := Check("coredns", []byte(`{"replicas":3}`)); err != nil {
		t.Errorf("Check refuses what Render accepts: %v", err)
	}
}

func TestDecodeRefusesHooks(t *testing.T) {
	_, err := decode("apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}\n")
	if err == nil || !strings.Contains(err.Error(), "Job migrate is a hook (pre-install)") {
		t.Errorf("got %v", err)
	}
}

// What every addon of ours keeps to: no root, no writable root file system, no privileges, and only images of the bundle.
func TestAddonsAreModest(t *testing.T) {
	for _, name := range Known() {
		r, err := Render(name, nil, facts())
		if err != nil {
			t.Fatal(err)
		}
		deployments := 0
		for _, o := range r.Objects {
			if o.GetKind() != "Deployment" {
				continue
			}
			deployments++
			pod, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
			if nonRoot, _, _ := unstructured.NestedBool(pod, "securityContext", "runAsNonRoot"); !nonRoot {
				t.Errorf("%s may run as root", name)
			}
			if host, _, _ := unstructured.NestedBool(pod, "hostNetwork"); host {
				t.Errorf("%s uses the network of the host", name)
			}
			containers, _, _ := unstructured.NestedSlice(pod, "containers")
			for _, c := range containers {
				checkContainer(t, name, c.(map[string]any))
			}
		}
		if deployments != 1 {
			t.Errorf("%s has %d deployments", name, deployments)
		}
	}
}

func checkContainer(t *testing.T, name string, c map[string]any) {
	t.Helper()
	readOnly, _, _ := unstructured.NestedBool(c, "securityContext", "readOnlyRootFilesystem")
	escalates, found, _ := unstructured.NestedBool(c, "securityContext", "allowPrivilegeEscalation")
	dropped, _, _ := unstructured.NestedStringSlice(c, "securityContext", "capabilities", "drop")
	if !readOnly || escalates || !found || !slices.Equal(dropped, []string{"ALL"}) {
		t.Errorf("%s: read-only %v, escalates %v, dropped %v", name, readOnly, escalates, dropped)
	}
	if image, _, _ := unstructured.NestedString(c, "image"); !strings.HasPrefix(image, "bundle.slipway.dev/") {
		t.Errorf("%s: image %s", name, image)
	}
	for _, flag := range c["args"].([]any) {
		if strings.Contains(flag.(string), "insecure") {
			t.Errorf("%s: %s", name, flag)
		}
	}
}

// Values that are let in at admission must render: nobody is there any more who could mend them.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `1`, `{"replicas":3}`, `{"replicas":-1}`, `{"replicas":1e9}`, `{"upstreams":["192.0.2.1","\n"]}`, `{"extraServers":"{{ .Values }}"}`, `{"extraServers":"a\n---\nkind: Pod"}`,
		`{"slipway":{"image":"x"}}`, `{"global":{"a":1}}`, `{"nodeSelector":{"a: b":"c\nd"}}`, `{"nodeSelector":null}`, `{"tolerations":[{"key":"infra","operator":"Exists"}]}`,
		`{"resources":{"limits":{"memory":null,"cpu":1}},"resolutionSeconds":60}`, `{"extraServers":"\u0000\u2028"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, values string) {
		for _, name := range Known() {
			checked := Check(name, []byte(values))
			rendered, err := Render(name, []byte(values), facts())
			if (checked == nil) != (err == nil) {
				t.Errorf("%s: the check says %v, rendering says %v", name, checked, err)
			}
			plain, plainErr := Render(name, nil, facts())
			if err == nil && (plainErr != nil || len(rendered.Objects) != len(plain.Objects)) {
				t.Errorf("%s: values make %d objects of %d", name, len(rendered.Objects), len(plain.Objects))
			}
		}
	})
}
