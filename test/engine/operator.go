package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// Operator085 is the version of Prometheus Operator that there is a recipe for.
const Operator085 = "0.85"

// Operator is a Prometheus Operator that runs. Stop, Kill and Restart are those of its process.
type Operator struct{ *process }

// OperatorCRDs are the CustomResourceDefinitions of the operator as YAML, by file name. They have to be there before it starts.
func OperatorCRDs(t testing.TB, version string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(Program(t, "prometheus-operator-"+version, "operator")), "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the recipe prometheus-operator-%s makes no CRDs: %v", version, err)
	}
	all := map[string][]byte{}
	for _, name := range files {
		if all[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// StartOperator starts an operator for the cluster of a kubeconfig file, and waits until it is healthy. It ends with the test;
// when the test fails, the end of its log is shown.
func StartOperator(t testing.TB, version, kubeconfig string) *Operator {
	t.Helper()
	program := Program(t, "prometheus-operator-"+version, "operator")
	address := FreeAddress(t)
	o := &Operator{&process{t: t, name: "prometheus-operator " + version, program: program, ready: "http://" + address + "/healthz", logFile: filepath.Join(t.TempDir(), "log"),
		args: []string{"--web.listen-address=" + address, "--kubelet-endpoints=false"}, env: []string{"KUBECONFIG=" + kubeconfig}}}
	o.run()
	return o
}
