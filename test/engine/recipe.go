package engine

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"

	"go.yaml.in/yaml/v3"
)

//go:embed recipes
var recipes embed.FS

// recipe says how the programs of one folder are made: from a Debian package, or from a Go module.
type recipe struct {
	name   string
	digest string
	files  map[string][]byte

	// Debian is the package; Version must be the beginning of its version.
	Debian  string
	Version string
	// Module is built with the requirements of module.mod and module.sum, less the files Without.
	Module  string
	Tags    []string
	Without []string
	Sum     string // of the module, as in go.sum; with Without alone
	// Variables are set by the linker.
	Variables map[string]string
	// Programs are file names, with the path in the Debian package or the Go package.
	Programs map[string]string
	// Folders are folders of the module that are kept beside the programs, by the name that they get.
	Folders map[string]string
}

// Recipes are the names of all recipes, as prometheus-3.16.
func Recipes() ([]string, error) {
	entries, err := fs.ReadDir(recipes, "recipes")
	if err != nil {
		return nil, fmt.Errorf("listing recipes: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func readRecipe(name string) (*recipe, error) {
	dir := path.Join("recipes", name)
	entries, err := fs.ReadDir(recipes, dir)
	if err != nil {
		known, _ := Recipes()
		return nil, fmt.Errorf("there is no recipe %q; there are %q", name, known)
	}
	r := &recipe{name: name, files: map[string][]byte{}}
	sum := sha256.New()
	fmt.Fprintf(sum, "1 %s %s\n", runtime.Version(), runtime.GOARCH)
	for _, e := range entries { // sorted by name
		data, err := recipes.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading recipe %s: %w", name, err)
		}
		fmt.Fprintf(sum, "%s %d\n", e.Name(), len(data))
		sum.Write(data)
		r.files[e.Name()] = data
	}
	r.digest = hex.EncodeToString(sum.Sum(nil))[:16]
	if err := yaml.Unmarshal(r.files["recipe.yaml"], r); err != nil {
		return nil, fmt.Errorf("reading recipe %s: %w", name, err)
	}
	return r, r.check()
}

func (r *recipe) check() error {
	var err error
	switch {
	case (r.Debian == "") == (r.Module == ""):
		err = errors.New("want debian or module")
	case r.Version == "" || len(r.Programs) == 0:
		err = errors.New("want a version and programs")
	case len(r.Folders) > 0 && (r.Module == "" || len(r.Without) > 0):
		err = errors.New("folders come from a module that is built as it is")
	case r.Module != "" && (r.files["module.mod"] == nil || r.files["module.sum"] == nil):
		err = errors.New("want module.mod and module.sum")
	}
	if err != nil {
		return fmt.Errorf("reading recipe %s: %w", r.name, err)
	}
	return nil
}

// programs are the names of the programs, sorted.
func (r *recipe) programs() []string { return slices.Sorted(maps.Keys(r.Programs)) }
