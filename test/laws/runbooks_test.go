package laws

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/charts"
	"sigs.k8s.io/yaml"
)

// groupPages are the pages that have a row for each rule of a package; the rules of all other packages have a page each.
var groupPages = map[string]string{
	"survey": "preflight-refuses", "volume": "volume-refuses", "target": "target-refuses", "cutover": "cutover-refuses",
	"rehearsal": "preflight-refuses", "replica": "replica-refuses", "course": "migration-holds", "endpoint": "endpoint-leads",
	"grafana": "grafana-refuses",
}

// rulesOf finds the rules that can stop a move: constants named Rule…, by package. Those of skew are findings to read.
func rulesOf(t *testing.T) map[string][]string {
	t.Helper()
	rules := map[string][]string{}
	err := filepath.WalkDir("../../migration", func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.Name() == "skew" {
			return filepath.SkipDir
		}
		if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if !strings.HasPrefix(name.Name, "Rule") || i >= len(spec.Values) {
					continue
				}
				if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					rules[file.Name.Name] = append(rules[file.Name.Name], text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// alerts are the names of all alerts that are shipped.
func alerts(t *testing.T) (names []string) {
	t.Helper()
	files, err := fs.Glob(charts.Alerts, "slipway/alerts/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := charts.Alerts.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Groups []struct{ Rules []struct{ Alert string } }
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				names = append(names, r.Alert)
			}
		}
	}
	return names
}

// TestEveryStopHasARunbook holds the pages in docs/runbooks against the rules that can stop a move and the alerts: neither a
// rule or an alert without a page nor a page without one.
func TestEveryStopHasARunbook(t *testing.T) {
	pages := map[string]string{}
	for _, path := range glob(t, "../../docs/runbooks/*.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		pages[name] = string(text)
		for _, heading := range []string{"# ", "\n## What it means\n", "\n## Look\n", "\n## Do\n"} {
			if !strings.Contains(string(text), heading) {
				t.Errorf("%s has no heading %q", name, strings.TrimSpace(heading))
			}
		}
	}
	rules := rulesOf(t)
	for _, name := range []string{"move", "transfer", "survey", "volume", "target", "cutover"} {
		if len(rules[name]) == 0 {
			t.Errorf("no rule was found in migration/%s", name)
		}
	}
	wanted := map[string]bool{}
	for pkg, names := range rules {
		group, grouped := groupPages[pkg]
		for _, rule := range names {
			page := rule
			if grouped {
				page = group
			}
			wanted[page] = true
			if !strings.Contains(pages[page], "# "+rule+"\n") && !strings.Contains(pages[page], "`"+rule+"`") {
				t.Errorf("the rule %s of migration/%s is not in docs/runbooks/%s.md", rule, pkg, page)
			}
		}
	}
	for _, alert := range alerts(t) {
		wanted[alert] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(wanted)), slices.Sorted(maps.Keys(pages))); diff != "" {
		t.Errorf("rules and alerts, and pages (-wanted +pages):\n%s", diff)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
	}
	return paths
}
