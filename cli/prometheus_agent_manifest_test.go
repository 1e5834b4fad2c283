package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/golden"
)

const podFile = `apiVersion: v1
kind: Pod
metadata: {name: prometheus-0, namespace: monitoring, labels: {app: prometheus}, uid: 8f3f3e9e-8e25-4d43-9a4b-1bd0a8b0d2f1}
spec:
  securityContext: {runAsUser: 1000, fsGroup: 2000}
  containers:
  - {name: prometheus, image: "prom/prometheus:v2.42.0", volumeMounts: [{name: data, mountPath: /prometheus}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-prometheus-0}}]
status: {phase: Running}
`

func TestPrometheusAgentManifest(t *testing.T) {
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"pod.yaml": podFile, "list.yaml": "apiVersion: v1\nkind: List\nitems: []\n", "none.yaml": strings.ReplaceAll(podFile, "persistentVolumeClaim: {claimName: data-prometheus-0}", "emptyDir: {}")} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("transfer", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := transfer.InitCredentials("transfer", certs.New(certs.Options{})); err != nil {
		t.Fatal(err)
	}
	rest := []string{"--image", "registry.shop/slipway:0.1.0", "--server", "http://prometheus.monitoring.svc:9090"}
	run := func(args ...string) (int, string, string) {
		return runCLI(t, append(append([]string{"prometheus", "agent", "manifest"}, args...), rest...)...)
	}
	code, out, errs := run("--pod", "pod.yaml")
	if code != 0 || errs != "" || strings.Contains(out, "kind: Secret") {
		t.Fatal(code, errs, out)
	}
	key, err := os.ReadFile(filepath.Join("transfer", "source", "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	code, with, errs := run("--pod", "pod.yaml", "--credentials", "transfer/source")
	if code != 0 || !strings.Contains(with, "kind: Secret") || !strings.HasSuffix(with, out) || strings.Contains(with, string(key)) {
		t.Error(code, errs, with)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--pod", "list.yaml"}, 2, `it is a "List", want one Pod`},
		{[]string{"--pod", "none.yaml"}, 1, "is of no claim: no other pod can mount it"},
		{[]string{"--pod", "pod.yaml", "--credentials", "transfer"}, 2, "it is the folder source of slipway prometheus agent init"},
		{[]string{"--pod", "pod.yaml", "--service-type", "ExternalName"}, 2, "use one of ClusterIP, NodePort, LoadBalancer"},
		{[]string{"--pod", "absent.yaml"}, 1, "absent.yaml"},
	} {
		if code, out, errs := run(test.args...); code != test.code || out != "" || !strings.Contains(errs, test.want) {
			t.Errorf("%v: %d, %s, %s", test.args, code, out, errs)
		}
	}
	t.Chdir(home)
	golden.Check(t, "testdata/prometheus_agent_manifest.golden", out)
}
