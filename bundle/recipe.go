package bundle

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// embedded holds the recipes as text, and the sources of Slipway's own programs on nodes.
//
//go:embed recipes probe/*.go schemagen/*.go
var embedded embed.FS

// recipe is a recipes/<minor>/recipe.yaml.
type recipe struct {
	Kubernetes      string          `json:"kubernetes"`
	ImageRepository string          `json:"imageRepository"`
	Distribution    string          `json:"distribution"`
	Modules         []recipeModule  `json:"modules"`
	Images          []recipeImage   `json:"images"`
	Contents        []recipeContent `json:"contents"`
	Packages        recipePackages  `json:"packages"`
	Describe        recipeDescribe  `json:"describe"`

	minor string
}

// recipeModule is one scratch module: a graph of its own and the programs built from it.
type recipeModule struct {
	Name    string       `json:"name"`
	Module  string       `json:"module"`
	Version string       `json:"version"`
	CGO     bool         `json:"cgo,omitempty"`
	Tags    []string     `json:"tags,omitempty"`
	Tools   []recipeTool `json:"tools"`
	// Variables are set by the linker (-X).
	Variables map[string]string `json:"variables,omitempty"`
	// System are the distribution's libraries that are linked in.
	System []recipeSystem `json:"system,omitempty"`
}

// recipeSystem is a library of this machine that is linked into the programs of a module.
type recipeSystem struct {
	Name    string `json:"name"`
	Package string `json:"package"`
	Licence string `json:"licence"`
}

// recipeDescribe names the program that describes the others, the components that it is asked
// for, and those of which only the help text is read.
type recipeDescribe struct {
	Program string   `json:"program"`
	Flags   []string `json:"flags"`
	Help    []string `json:"help"`
}

const (
	// languageC compiles the file Source of the module with gcc.
	languageC = "C"
	// languageOwn compiles the embedded directory Source, which has no requirements.
	languageOwn = "Own"
	// languageRecipe compiles the file Source of the recipe inside the module's graph.
	languageRecipe = "Recipe"
)

// recipeTool is one program. Without Language it is the Go package Package of the module's graph.
type recipeTool struct {
	Name     string `json:"name"`
	Package  string `json:"package,omitempty"`
	Source   string `json:"source,omitempty"`
	Language string `json:"language,omitempty"`
	// Version is the tool's own version where it is not that of the module.
	Version string `json:"version,omitempty"`
}

type recipeImage struct {
	Name    string `json:"name"`
	Tag     string `json:"tag"`
	Tool    string `json:"tool"`
	Path    string `json:"path"`
	User    string `json:"user,omitempty"`
	Content string `json:"content"`
}

// recipeContent is a role archive of programs: directory -> tools.
type recipeContent struct {
	Name        string              `json:"name"`
	Directories map[string][]string `json:"directories"`
}

type recipePackages struct {
	Install []string `json:"install"`
	Present []string `json:"present"`
}

// Minors lists the Kubernetes minors that this build of Slipway has a recipe for, oldest first.
func Minors() ([]string, error) {
	entries, err := fs.ReadDir(embedded, "recipes")
	if err != nil {
		return nil, fmt.Errorf("listing recipes: %w", err)
	}
	var minors []string
	for _, e := range entries {
		if e.IsDir() {
			minors = append(minors, e.Name())
		}
	}
	slices.SortFunc(minors, func(a, b string) int { return minorNumber(a) - minorNumber(b) })
	return minors, nil
}

func minorNumber(minor string) int {
	_, digits, _ := strings.Cut(minor, ".")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}

// loadRecipe reads the recipe of a minor (1.36) or of a version of it (v1.36.3); "" is the newest.
func loadRecipe(kubernetes string) (*recipe, error) {
	minors, err := Minors()
	if err != nil {
		return nil, err
	}
	if kubernetes == "" {
		kubernetes = minors[len(minors)-1]
	}
	minor := strings.TrimPrefix(kubernetes, "v")
	if parts := strings.SplitN(minor, ".", 3); len(parts) == 3 {
		minor = parts[0] + "." + parts[1]
	}
	if !slices.Contains(minors, minor) {
		return nil, fmt.Errorf("no recipe for Kubernetes %q; this slipway can build: %s", kubernetes, strings.Join(minors, ", "))
	}
	data, err := fs.ReadFile(embedded, path.Join("recipes", minor, "recipe.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading recipe: %w", err)
	}
	r := &recipe{minor: minor}
	if err := yaml.UnmarshalStrict(data, r); err != nil {
		return nil, fmt.Errorf("decoding recipe %s: %w", minor, err)
	}
	if strings.Count(kubernetes, ".") == 2 && strings.TrimPrefix(kubernetes, "v") != strings.TrimPrefix(r.Kubernetes, "v") {
		return nil, fmt.Errorf("no recipe for Kubernetes %s; the recipe of %s builds %s", kubernetes, minor, r.Kubernetes)
	}
	return r, nil
}

// text returns a file of the recipe's directory.
func (r *recipe) text(name string) ([]byte, error) {
	data, err := fs.ReadFile(embedded, path.Join("recipes", r.minor, name))
	if err != nil {
		return nil, fmt.Errorf("reading recipe file %s: %w", name, err)
	}
	return data, nil
}

// tool finds a program and the module that it is built from.
func (r *recipe) tool(name string) (recipeModule, recipeTool, error) {
	for _, m := range r.Modules {
		for _, t := range m.Tools {
			if t.Name == name {
				return m, t, nil
			}
		}
	}
	return recipeModule{}, recipeTool{}, fmt.Errorf("recipe %s has no program %q; it has: %s", r.minor, name, strings.Join(r.toolNames(), ", "))
}

func (r *recipe) toolNames() []string {
	var names []string
	for _, m := range r.Modules {
		for _, t := range m.Tools {
			names = append(names, t.Name)
		}
	}
	return names
}

// contentNames lists every role archive that the recipe yields.
func (r *recipe) contentNames() []string {
	var names []string
	for _, c := range r.Contents {
		names = append(names, c.Name)
	}
	for _, i := range r.Images {
		if !slices.Contains(names, i.Content) {
			names = append(names, i.Content)
		}
	}
	return append(names, contentPackages, contentLicences)
}

func (t recipeTool) version(m recipeModule) string {
	if t.Version != "" {
		return t.Version
	}
	return m.Version
}
