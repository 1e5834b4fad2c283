package engine

import (
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

func TestRecipesAreWhole(t *testing.T) {
	names, err := Recipes()
	if err != nil || len(names) < 3 {
		t.Fatalf("%q, %v", names, err)
	}
	seen := map[string]string{}
	for _, name := range names {
		r, err := readRecipe(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if other := seen[r.digest]; other != "" || len(r.digest) != 16 {
			t.Errorf("%s has the digest %q of %q", name, r.digest, other)
		}
		seen[r.digest] = name
	}
	if _, err := readRecipe("prometheus-1.8"); err == nil || !strings.Contains(err.Error(), "prometheus-2.42") {
		t.Errorf("an unknown recipe: %v", err)
	}
}

// TestNewPrometheusIsOurModules: a target in a test is the version whose packages we build with.
func TestNewPrometheusIsOurModules(t *testing.T) {
	const module = "github.com/prometheus/prometheus"
	versions := map[string]string{}
	r, err := readRecipe("prometheus-" + Prometheus316)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"recipe": r.files["module.mod"], "root": readFile(t, "../../go.mod")} {
		f, err := modfile.Parse(name, text, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range f.Require {
			if q.Mod.Path == module {
				versions[name] = q.Mod.Version
			}
		}
	}
	if v := versions["root"]; v == "" || v != versions["recipe"] || v != r.Version {
		t.Errorf("recipe.yaml has %s, the others %v", r.Version, versions)
	}
}
