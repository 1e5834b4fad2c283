// Package laws holds the laws of the tree: who may import whom of ours, and that ARCHITECTURE.md lists the folders that exist.
package laws

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/slipway-dev/slipway/"

// rooms lists for each room of the tree what it may import of ours, as path prefixes. The longest matching room counts.
var rooms = map[string][]string{
	"cmd":               {"cli", "console"},
	"cmd/slipway-agent": {"migration"},
	"cli":               {"api", "ansible", "bundle", "certs", "charts", "executor", "fleet", "image", "kube", "lab", "migration", "plane", "search", "ssh", "durable"},
	"fleet":             {"api", "certs", "executor", "fleet", "kube"},
	"fleet/controller":  {"api", "bundle", "executor", "fleet/addon", "fleet/host", "fleet/inventory", "fleet/plan", "fleet/remote", "kube", "certs"},
	"fleet/plan":        {"api"},
	"fleet/inventory":   {"api", "certs", "fleet/plan"},
	"fleet/addon":       {"api"},
	"fleet/host":        {"ansible", "ssh"},
	"fleet/remote":      {},
	"api":               {"api"},
	"durable":           {},
	"executor":          {"durable"},
	"kube":              {},
	"kube/kubetest":     {"kube", "plane", "charts"},
	"certs":             {"durable"},
	"ssh":               {},
	"window":            {},
	"ansible":           {},
	"charts":            {},
	"bundle":            {"durable", "image"},
	"image":             {},
	"lab":               {"durable"},
	"migration":         {"api", "kube"},
	"migration/controller": {"api", "certs", "kube", "migration/config", "migration/course", "migration/endpoint", "migration/grafana", "migration/server", "migration/skew",
		"migration/survey", "migration/target", "migration/transfer", "migration/volume", "migration/rehearsal", "migration/workload"},
	"migration/course":    {"api", "window"},
	"migration/agent":     {"migration/transfer", "ssh"},
	"migration/block":     {},
	"migration/config":    {},
	"migration/endpoint":  {},
	"migration/grafana":   {"migration/rule", "migration/server", "durable"},
	"migration/move":      {"migration/block", "migration/proof", "migration/seam", "migration/transfer", "durable"},
	"migration/proof":     {"migration/block", "migration/server"},
	"migration/rehearsal": {"migration/rule", "migration/server", "migration/skew", "migration/survey", "migration/volume"},
	"migration/rule":      {},
	"migration/replica":   {"migration/block", "migration/move", "migration/rule", "migration/transfer", "durable"},
	"migration/seam":      {"migration/block"},
	"migration/server":    {},
	"migration/shim":      {"migration/block", "migration/server", "migration/transfer", "durable"},
	"migration/cutover":   {"migration/config", "migration/server", "window", "durable", "ssh"},
	"migration/skew":      {},
	"migration/survey":    {"migration/server", "migration/skew", "migration/rule"},
	"migration/target":    {"api", "migration/config", "migration/endpoint", "migration/skew", "migration/volume", "migration/rule"},
	"migration/transfer":  {"certs", "migration/block", "migration/server", "durable"},
	"migration/volume":    {"migration/rule"},
	"migration/workload":  {},
	"search/client":       {"search/state"},
	"search/capacity":     {},
	"search/doctor":       {"search/capacity", "search/slot", "search/state"},
	"search/ledger":       {},
	"search/manifest":     {"api", "charts"},
	"search/lifecycle":    {"api", "search/capacity", "search/ledger", "search/slot", "search/state", "window"},
	"search/slot":         {},
	"search/snapshot":     {"search/client", "search/ledger", "search/state", "durable"},
	"search/state":        {},
	"plane":               {"bundle", "certs", "charts", "durable"},
	"test":                {"api", "ansible", "bundle", "certs", "charts", "cli", "executor", "fleet", "image", "kube", "lab", "migration", "plane", "search", "ssh", "durable"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("decoding packages: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

func roomOf(path string) (string, bool) {
	best := ""
	for room := range rooms {
		if within(path, room) && len(room) > len(best) {
			best = room
		}
	}
	return best, best != ""
}

func TestNoRoomImportsWhatItMayNot(t *testing.T) {
	for _, p := range listPackages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		room, ok := roomOf(path)
		if !ok {
			t.Errorf("%s is in no room of the map", path)
			continue
		}
		for _, imp := range p.Imports {
			ours, isOurs := strings.CutPrefix(imp, module)
			if !isOurs || within(ours, room) || allowed(ours, rooms[room]) {
				continue
			}
			t.Errorf("%s (room %s) imports %s; it may import %v", path, room, ours, rooms[room])
		}
	}
}

func allowed(path string, list []string) bool {
	for _, a := range list {
		if within(path, a) {
			return true
		}
	}
	return false
}

func TestNoPackageIsNamedAfterNothing(t *testing.T) {
	for _, p := range listPackages(t) {
		switch base := filepath.Base(p.ImportPath); base {
		case "util", "utils", "common", "helpers", "misc", "types", "manager", "pkg", "internal":
			t.Errorf("%s: the name %s says nothing", p.ImportPath, base)
		}
	}
}

// TestMigrationEnginesStaySmall: they end up in an agent that runs on other people's servers.
func TestMigrationEnginesStaySmall(t *testing.T) {
	for _, pkg := range []string{"migration/block", "cmd/slipway-agent"} {
		cmd := exec.Command("go", "list", "-deps", "./"+pkg)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("listing what %s needs: %v", pkg, err)
		}
		deps := strings.Fields(string(out))
		for _, dep := range deps {
			for _, no := range []string{"k8s.io", "sigs.k8s.io/controller-runtime", "google.golang.org/grpc", "github.com/prometheus/prometheus/config"} {
				if within(dep, no) {
					t.Errorf("%s needs %s", pkg, dep)
				}
			}
		}
		if len(deps) < 50 || len(deps) > 300 {
			t.Errorf("%s needs %d packages, want some 270", pkg, len(deps))
		}
	}
}

// TestProofBringsNoServer: Prometheus' configuration brings the clients of three clouds.
func TestProofBringsNoServer(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./migration/proof")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing what migration/proof needs: %v", err)
	}
	const prometheus = "github.com/prometheus/prometheus/"
	deps := strings.Fields(string(out))
	for _, dep := range deps {
		for _, no := range []string{"k8s.io", "sigs.k8s.io", "google.golang.org/grpc", prometheus + "config", prometheus + "discovery", prometheus + "web", prometheus + "storage/remote"} {
			if within(dep, no) {
				t.Errorf("migration/proof needs %s", dep)
			}
		}
		if dep == prometheus+"tsdb" {
			t.Errorf("migration/proof needs %s", dep)
		}
	}
	if len(deps) < 50 || len(deps) > 340 {
		t.Errorf("migration/proof needs %d packages, want some 310", len(deps))
	}
}

// mapped finds the folders in the map of ARCHITECTURE.md: lines of its first code block that begin with a path ending in "/".
var mapped = regexp.MustCompile(`(?m)^([a-z.][A-Za-z0-9_.\-/]*)/(?:\s|$)`)

func TestArchitectureListsTheFoldersThatExist(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	block := strings.SplitN(string(text), "```", 3)[1]
	var said []string
	for _, m := range mapped.FindAllStringSubmatch(block, -1) {
		said = append(said, m[1])
	}
	sort.Strings(said)
	if diff := cmp.Diff(folders(t), said); diff != "" {
		t.Errorf("ARCHITECTURE.md and the tree differ (-tree +map):\n%s", diff)
	}
}

// folders are the folders of the first level, and those of the second level in domains and in cmd.
func folders(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Fatalf("listing files: %v", err)
	}
	deep := map[string]bool{"fleet": true, "migration": true, "search": true, "cmd": true, "api": true, "test": true}
	found := map[string]bool{}
	for _, f := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		parts := strings.Split(f, "/")
		if len(parts) < 2 {
			continue
		}
		if !deep[parts[0]] {
			found[parts[0]] = true
		} else if len(parts) > 2 {
			found[parts[0]+"/"+parts[1]] = true
		}
	}
	var list []string
	for f := range found {
		list = append(list, f)
	}
	sort.Strings(list)
	return list
}
