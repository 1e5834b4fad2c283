package bundle

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// TestRecipes holds every recipe together: what is named exists, and versions are said once.
func TestRecipes(t *testing.T) {
	minors, err := Minors()
	if err != nil || len(minors) == 0 {
		t.Fatalf("no recipes: %v", err)
	}
	for _, minor := range minors {
		t.Run(minor, func(t *testing.T) {
			r, err := loadRecipe(minor)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(r.Kubernetes, "v"+minor+".") {
				t.Errorf("recipe %s builds %s", minor, r.Kubernetes)
			}
			for _, m := range r.Modules {
				checkModule(t, r, m)
			}
			checkUses(t, r)
			if _, err := r.digest(); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkModule(t *testing.T, r *recipe, m recipeModule) {
	t.Helper()
	if m.own() {
		return
	}
	data, err := r.text(m.Name + ".mod")
	if err != nil {
		t.Error(err)
		return
	}
	mod, err := modfile.Parse(m.Name+".mod", data, nil)
	if err != nil {
		t.Error(err)
		return
	}
	if !slices.ContainsFunc(mod.Require, func(q *modfile.Require) bool { return q.Mod.Path == m.Module && q.Mod.Version == m.Version }) {
		t.Errorf("%s.mod does not require %s %s", m.Name, m.Module, m.Version)
	}
	for _, replace := range mod.Replace {
		if replace.New.Version == "" {
			t.Errorf("%s.mod replaces %s by a directory", m.Name, replace.Old.Path)
		}
	}
	if sum, err := r.text(m.Name + ".sum"); err != nil || !strings.Contains(string(sum), m.Module+" "+m.Version+" h1:") {
		t.Errorf("%s.sum does not hold %s %s: %v", m.Name, m.Module, m.Version, err)
	}
}

func checkUses(t *testing.T, r *recipe) {
	t.Helper()
	used := []string{r.Describe.Program}
	for _, c := range r.Contents {
		for _, tools := range c.Directories {
			used = append(used, tools...)
		}
	}
	for _, i := range r.Images {
		used = append(used, i.Tool)
		if ok := regexp.MustCompile(`^([0-9]+:[0-9]+)?$`).MatchString(i.User); !ok {
			t.Errorf("image %s: user %q is not uid:gid; the image has no passwd file", i.Name, i.User)
		}
	}
	for _, name := range append(used, append(r.Describe.Flags, r.Describe.Help...)...) {
		if _, _, err := r.tool(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range r.toolNames() {
		if !slices.Contains(used, name) {
			t.Errorf("program %s is compiled, but nothing uses it", name)
		}
	}
	if names := r.toolNames(); len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("two programs of one name: %v", names)
	}
}

func TestLoadRecipe(t *testing.T) {
	tests := map[string]struct{ ask, want string }{
		"takes the newest when nothing is asked": {ask: ""},
		"takes a minor":                          {ask: "1.36"},
		"takes the version that it builds":       {ask: "v1.36.3"},
		"refuses a patch that it does not build": {ask: "v1.36.99", want: "builds v1.36.3"},
		"refuses an unknown minor":               {ask: "1.2", want: "this slipway can build: 1.36"},
		"refuses a path":                         {ask: "../1.36", want: "this slipway can build"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := loadRecipe(test.ask)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestUnknownProgramIsRefusedWithTheKnownOnes(t *testing.T) {
	b, err := NewBuilder(Options{Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Binary(t.Context(), "kube-apiservr"); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("got %v", err)
	}
}

func TestKeysChangeWithTheirInputs(t *testing.T) {
	r, err := loadRecipe("1.36")
	if err != nil {
		t.Fatal(err)
	}
	m, tool, err := r.tool("etcd")
	if err != nil {
		t.Fatal(err)
	}
	base := compileInputs{Module: m.Name, Tool: tool, Arguments: goArguments(m), Environment: goEnvironment(false), Toolchain: "go1.26.8"}
	first, err := contentKey(base)
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*compileInputs){
		"toolchain":   func(in *compileInputs) { in.Toolchain = "go1.26.9" },
		"module text": func(in *compileInputs) { in.ModText = "x" },
		"go.sum":      func(in *compileInputs) { in.SumText = "x" },
		"arguments":   func(in *compileInputs) { in.Arguments = append(slices.Clone(in.Arguments), "-race") },
		"environment": func(in *compileInputs) { in.Environment = goEnvironment(true) },
		"sources":     func(in *compileInputs) { in.Sources = map[string]string{"main.go": "x"} },
		"C compiler":  func(in *compileInputs) { in.CCompiler = "gcc 13" },
	}
	for name, change := range changes {
		in := base
		change(&in)
		if key, err := contentKey(in); err != nil || key == first {
			t.Errorf("another %s has the same key (%v)", name, err)
		}
	}
}
