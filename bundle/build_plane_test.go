//go:build plane

package bundle

import (
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/test/golden"
)

// TestRealBundle builds the real bundle from the user's cache, checks all of it, and builds it
// again, which must do nothing.
func TestRealBundle(t *testing.T) {
	var mu sync.Mutex
	var started []string
	options := Options{Output: filepath.Join(t.TempDir(), "bundle"), Progress: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.State == StepStarted {
			started = append(started, e.Step)
		}
	}}
	first, err := Build(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	b := openBundle(t, first.Path)
	if err := b.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkManifest(t, b)
	started = nil
	options.Output = filepath.Join(t.TempDir(), "bundle.tar")
	second, err := Build(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if second.Digest != first.Digest || len(started) > 0 {
		t.Errorf("the second build made %s after %s and did again: %v", second.Digest, first.Digest, started)
	}
	if err := openBundle(t, second.Path).Verify(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("First build %s, second %s", first.Elapsed, second.Elapsed)
}

func checkManifest(t *testing.T, b *Bundle) {
	t.Helper()
	m := b.Manifest()
	var names []string
	for _, c := range m.Contents {
		names = append(names, c.Name)
	}
	want := []string{"container-runtime", "etcd", "kubernetes-node", "network-flannel", "images-control-plane", "images-node", "os-packages", "licences"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
	checkLicences(t, m)
	checkDescription(t, b)
}

func checkLicences(t *testing.T, m *Manifest) {
	t.Helper()
	for _, c := range m.Components {
		if c.Licence == noAssertion {
			t.Errorf("component %s has no licence", c.Name)
		}
		for _, d := range c.Dependencies {
			if d.Licence == noAssertion {
				t.Errorf("component %s: module %s %s has no licence that is known here", c.Name, d.Module, d.Version)
			}
		}
	}
}

func checkDescription(t *testing.T, b *Bundle) {
	t.Helper()
	accepted := map[string]string{
		"kube-apiserver": "service-cluster-ip-range", "kube-controller-manager": "cluster-cidr", "kube-scheduler": "config",
		"kube-proxy": "proxy-mode", "kubelet": "node-ip", "etcd": "initial-cluster",
	}
	for component, name := range accepted {
		flags, _ := b.Flags(component)
		if !slices.ContainsFunc(flags, func(f Flag) bool { return f.Name == name }) {
			t.Errorf("%s does not know its flag --%s", component, name)
		}
		// Removed from Kubernetes long ago.
		if slices.ContainsFunc(flags, func(f Flag) bool { return f.Name == "insecure-port" || f.Name == "container-runtime" }) {
			t.Errorf("%s knows a flag that was removed", component)
		}
	}
	fields := map[string]string{
		"KubeletConfiguration": "maxPods", "KubeProxyConfiguration": "nftables", "ClusterConfiguration": "apiServer",
		"InitConfiguration": "nodeRegistration", "JoinConfiguration": "discovery",
	}
	for kind, field := range fields {
		schema, ok := b.Schema(kind)
		if !ok || !strings.Contains(string(schema.Document), `"`+field+`":`) {
			t.Errorf("the schema of %s does not know %s", kind, field)
		}
	}
}

// TestRealPrograms runs the programs of the bundle: each is static and says the recipe's version.
func TestRealPrograms(t *testing.T) {
	b, err := NewBuilder(Options{})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"etcd":                    {args: []string{"--version"}, want: "etcd Version: 3.6.8"},
		"etcdctl":                 {args: []string{"version"}, want: "3.6.8"},
		"etcdutl":                 {args: []string{"version"}, want: "3.6.8"},
		"kube-apiserver":          {args: []string{"--version"}, want: "Kubernetes v1.36.3"},
		"kube-controller-manager": {args: []string{"--version"}, want: "Kubernetes v1.36.3"},
		"kube-scheduler":          {args: []string{"--version"}, want: "Kubernetes v1.36.3"},
		"kube-proxy":              {args: []string{"--version"}, want: "Kubernetes v1.36.3"},
		"kubelet":                 {args: []string{"--version"}, want: "Kubernetes v1.36.3"},
		"kubeadm":                 {args: []string{"version", "-o", "short"}, want: "v1.36.3"},
		"kubectl":                 {args: []string{"version", "--client"}, want: "Client Version: v1.36.3"},
		"containerd":              {args: []string{"--version"}, want: "v2.4.0"},
		"containerd-shim-runc-v2": {args: []string{"-v"}, want: "v2.4.0"},
		"ctr":                     {args: []string{"--version"}, want: "v2.4.0"},
		"runc":                    {args: []string{"--version"}, want: "libseccomp: 2."},
		"bridge":                  {args: nil, want: "v1.9.1"},
		"loopback":                {args: nil, want: "v1.9.1"},
		"host-local":              {args: nil, want: "v1.9.1"},
		"portmap":                 {args: nil, want: "v1.9.1"},
		"flanneld":                {args: []string{"--version"}, want: "v0.26.7"},
		"coredns":                 {args: []string{"-version"}, want: "CoreDNS-1.15.0"},
		"metrics-server":          {args: []string{"--version"}, want: "v0.9.0"},
		"pause":                   {args: []string{"-v"}, want: "3.10.2"},
		"probe":                   {args: []string{"check", "-get", ""}, want: "empty target"},
	}
	for _, name := range b.recipe.shippedTools() {
		t.Run(name, func(t *testing.T) {
			path, err := b.Binary(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			checkStatic(t, path)
			cmd := exec.CommandContext(t.Context(), path, tests[name].args...)
			cmd.Env = append(os.Environ(), "CNI_COMMAND=")
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if tests[name].want == "" || !strings.Contains(string(out), tests[name].want) {
				t.Errorf("got %q, want it to contain %q", tail(out, 500), tests[name].want)
			}
		})
	}
}

func checkStatic(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("linked dynamically: a node may have other libraries")
		}
	}
}

// TestBuildIsReproducible compiles a small program in two caches.
func TestBuildIsReproducible(t *testing.T) {
	var sums []string
	for range 2 {
		b, err := NewBuilder(Options{Cache: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		path, err := b.Binary(t.Context(), "probe")
		if err != nil {
			t.Fatal(err)
		}
		sum, _, err := digestFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum)
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds made %s and %s", sums[0], sums[1])
	}
}

// TestRecipesAreTidy holds each recipe's .mod and .sum against go mod tidy; -update writes them.
func TestRecipesAreTidy(t *testing.T) {
	minors, err := Minors()
	if err != nil {
		t.Fatal(err)
	}
	for _, minor := range minors {
		b, err := NewBuilder(Options{Kubernetes: minor})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range b.recipe.Modules {
			if m.own() {
				continue
			}
			t.Run(minor+" "+m.Name, func(t *testing.T) { checkTidy(t, b, m) })
		}
	}
}

func checkTidy(t *testing.T, b *Builder, m recipeModule) {
	dir := t.TempDir()
	imports := "package tools\n\nimport (\n"
	for _, tool := range m.Tools {
		switch tool.Language {
		case "":
			imports += "\t_ \"" + tool.Package + "\"\n"
		case languageRecipe:
			in := compileInputs{}
			if err := b.compileSources(m, tool, &in); err != nil {
				t.Fatal(err)
			}
			for name, text := range in.Sources {
				writeText(t, filepath.Join(dir, "describe", name), strings.ReplaceAll(text, "slipway.dev/recipe/"+m.Name+"/", "slipway.dev/recipe/"+m.Name+"/describe/"))
			}
		}
	}
	writeText(t, filepath.Join(dir, "tools.go"), "//go:build tools\n\n"+imports+")\n")
	want := compileInputs{}
	if err := b.moduleText(m, &want); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(dir, "go.mod"), want.ModText)
	writeText(t, filepath.Join(dir, "go.sum"), want.SumText)
	if _, err := b.run(t.Context(), dir, goEnvironment(m.CGO), b.goTool, "mod", "tidy"); err != nil {
		t.Fatal(err)
	}
	for suffix, old := range map[string]string{".mod": want.ModText, ".sum": want.SumText} {
		data, err := os.ReadFile(filepath.Join(dir, "go"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if golden.Updating() {
			writeText(t, filepath.Join("recipes", b.recipe.minor, m.Name+suffix), string(data))
		} else if diff := cmp.Diff(string(data), old); diff != "" {
			t.Errorf("%s%s is not tidy (go test -tags plane -run TestRecipesAreTidy -update ./bundle):\n%s", m.Name, suffix, diff)
		}
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
