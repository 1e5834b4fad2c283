//go:build plane

package inventory

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/bundle"
)

// The bundle's own kubeadm reads strictly what is rendered: no field that it does not know, no value that it refuses.
func TestKubeadmAcceptsTheConfigurations(t *testing.T) {
	builder, err := bundle.NewBuilder(bundle.Options{Kubernetes: "1.36"})
	if err != nil {
		t.Fatal(err)
	}
	kubeadm, err := builder.Binary(context.Background(), "kubeadm")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range slices.Sorted(maps.Keys(cases())) {
		in := external(t)
		cases()[name](&in)
		out, err := Build(in)
		if err != nil {
			t.Fatal(err)
		}
		for machine, text := range configurations(t, out.SecretVars) {
			file := filepath.Join(t.TempDir(), "kubeadm.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			said, err := exec.Command(kubeadm, "config", "validate", "--config", file).CombinedOutput()
			if err != nil || strings.Contains(string(said), "unknown field") {
				t.Errorf("%s, %s: %v: %s", name, machine, err, said)
			}
			seen++
		}
	}
	if seen < 8 {
		t.Errorf("only %d configurations were checked", seen)
	}
}

func configurations(t *testing.T, secretVars []byte) map[string]string {
	t.Helper()
	var vars struct {
		Initial map[string]string `json:"kubernetes_init_configuration"`
		Join    map[string]string `json:"kubernetes_join_configuration"`
	}
	if err := json.Unmarshal(secretVars, &vars); err != nil {
		t.Fatal(err)
	}
	maps.Copy(vars.Join, vars.Initial)
	return vars.Join
}
