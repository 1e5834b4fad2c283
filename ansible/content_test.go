package ansible

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestContentHasAVersionOfItsOwn(t *testing.T) {
	tree := mustContent(t)
	if !regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+-[0-9a-f]{8}$`).MatchString(tree.Version) {
		t.Errorf("version %q", tree.Version)
	}
	if again := mustContent(t); again.Version != tree.Version {
		t.Errorf("version changed from %s to %s", tree.Version, again.Version)
	}
}

func TestContentHasAllEntryPoints(t *testing.T) {
	files, err := fs.Glob(mustContent(t).Files, "playbooks/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".yml"))
	}
	want := []string{"addons", "check", "container-runtime", "create", "etcd", "kubernetes", "network", "os", "remove", "scale", "verify"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestExtractWritesTheContentOnce(t *testing.T) {
	dir := t.TempDir()
	path, err := Extract(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, mustContent(t).Version); path != want {
		t.Errorf("extracted to %s, want %s", path, want)
	}
	info, err := os.Stat(filepath.Join(path, "fence", "fence"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o755 {
		t.Errorf("the fence has mode %v", info.Mode())
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 {
		t.Errorf("%d entries beside the content, want none", len(left)-1)
	}
}

func TestExtractUsesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	path, err := Extract(dir)
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(path, "library", "__pycache__")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cache, "x.pyc"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(dir); err != nil {
		t.Errorf("what Python caches makes the content another: %v", err)
	}
}

func TestExtractRefusesContentThatWasEdited(t *testing.T) {
	dir := t.TempDir()
	path, err := Extract(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "playbooks", "create.yml"), []byte("---\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(dir); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got %v", err)
	}
}

func TestRequirementsArePinnedByDigest(t *testing.T) {
	for _, file := range []string{"requirements.txt", "requirements-lint.txt"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for block := range strings.SplitSeq(strings.ReplaceAll(string(b), "\\\n", " "), "\n") {
			block = strings.TrimSpace(block)
			if block == "" || strings.HasPrefix(block, "#") {
				continue
			}
			if !regexp.MustCompile(`^[a-z0-9._-]+==[^ ]+( +; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+$`).MatchString(block) {
				t.Errorf("%s: not pinned by digest: %.60s", file, block)
			}
		}
	}
}

func TestRolesAreWhole(t *testing.T) {
	roles, err := fs.Glob(embedded, "roles/*")
	if err != nil {
		t.Fatal(err)
	}
	installs := 0
	for _, role := range roles {
		name := filepath.Base(role)
		t.Run(name, func(t *testing.T) {
			checkSpecs(t, role)
			main := readLines(t, role+"/tasks/main.yml")
			if len(main) > 60 {
				t.Errorf("tasks/main.yml has %d lines", len(main))
			}
			// What looks only leaves nothing behind.
			if slices.Contains([]string{"addons", "check", "verify"}, name) {
				return
			}
			installs++
			readLines(t, role+"/tasks/absent.yml")
			if !strings.Contains(strings.Join(readLines(t, "playbooks/remove.yml"), "\n"), "{name: "+name+", tasks_from: absent}") {
				t.Error("remove.yml does not take this role away")
			}
			if name == "contents" {
				return // the record of each content is its stamp
			}
			if !strings.Contains(strings.Join(main, "\n"), "slipway_stages.stamps."+name+" ") {
				t.Error("the role does not look at its stamp")
			}
			if !strings.Contains(strings.Join(main, "\n"), `digest: "{{ `+name+`_digest }}"`) {
				t.Error("the role does not stamp its stage")
			}
		})
	}
	if installs < 8 {
		t.Errorf("only %d roles install something", installs)
	}
}

// checkSpecs says what is missing in the argument specs of a role: a type and a description of everything, secrets marked.
func checkSpecs(t *testing.T, role string) {
	t.Helper()
	var specs struct {
		Specs map[string]struct {
			Short   string `json:"short_description"`
			Options map[string]struct {
				Type        string `json:"type"`
				Description string `json:"description"`
				NoLog       bool   `json:"no_log"`
			} `json:"options"`
		} `json:"argument_specs"`
	}
	if err := readYAML(role+"/meta/argument_specs.yml", &specs); err != nil {
		t.Fatal(err)
	}
	if len(specs.Specs["main"].Options) == 0 {
		t.Error("no options")
	}
	secret := regexp.MustCompile(`_pki$|_(init|join)_configuration$`)
	for name, o := range specs.Specs["main"].Options {
		if o.Type == "" || o.Description == "" {
			t.Errorf("%s lacks a type or a description", name)
		}
		if o.NoLog != secret.MatchString(name) {
			t.Errorf("%s: no_log is %v", name, o.NoLog)
		}
	}
}

func TestPlaybooksAreShortAndGatherNoFacts(t *testing.T) {
	files, err := fs.Glob(embedded, "playbooks/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		lines := readLines(t, f)
		text := strings.Join(lines, "\n")
		plays := strings.Count(text, "  hosts: ")
		if len(lines) > 60 {
			t.Errorf("%s has %d lines", f, len(lines))
		}
		if n := strings.Count(text, "  gather_facts: false"); n != plays {
			t.Errorf("%s: %d of %d plays gather no facts", f, n, plays)
		}
	}
}

func TestModulesAreDocumented(t *testing.T) {
	files, err := fs.Glob(embedded, "library/*.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := strings.Join(readLines(t, f), "\n")
		for _, part := range []string{"DOCUMENTATION = ", "EXAMPLES = ", "RETURN = ", "\nmodule: " + strings.TrimSuffix(filepath.Base(f), ".py")} {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %s", f, strings.TrimSpace(part))
			}
		}
	}
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	b, err := embedded.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func mustContent(t *testing.T) Tree {
	t.Helper()
	tree, err := Content()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
