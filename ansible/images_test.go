package ansible

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bring calls the module's own code, as install does; programs of the test stand for containerd's ctr and for sync.
const bring = `
import importlib.util, json, sys, types
request = json.load(sys.stdin)
for name in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
    package = types.ModuleType(name)
    package.__path__ = [request["utils"]] if name.endswith("utils") else []
    sys.modules[name] = package
sys.modules["ansible.module_utils.basic"].AnsibleModule = None
from ansible.module_utils import slipway
slipway.STATE = request["state"]
slipway.ENVIRONMENT["PATH"] = request["programs"] + ":" + slipway.ENVIRONMENT["PATH"]
from ansible.module_utils import slipway_content as content
content.ROOT = request["root"] + "/"
spec = importlib.util.spec_from_file_location("slipway_images", request["library"])
images = importlib.util.module_from_spec(spec)
spec.loader.exec_module(images)
mirrors = content.Mirrors(request["mirrors"], request["authority"])
blob = {"digest": request["digest"], "size": request["size"]}
trouble = ""
try:
    if request["before"]:
        files = content.install(mirrors, "images-node", request["digest"], request["size"], transient=True)
        open(content.ROOT + files[0], "w").write(request["before"])
    images.bring("images-node", blob, mirrors)
except slipway.Trouble as e:
    trouble = str(e)
print(json.dumps({"trouble": trouble, "recorded": content.recorded("images-node")}))
`

// dockerArchive is an archive with one image of this name.
func dockerArchive(t *testing.T, image string) string {
	t.Helper()
	manifest := `[{"RepoTags":["` + image + `"]}]`
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o644, Size: int64(len(manifest)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(manifest)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestImagesAreFetchedAnewWhenTheirArchiveWasDamaged(t *testing.T) {
	cases := []struct {
		name, ctr, before string
		fetched           int
		trouble           string
	}{
		{"whole archives are imported", "exec tar -tf $8", "", 1, ""},
		{"an archive that a power cut damaged is fetched anew", "exec tar -tf $8", "half an archive", 2, ""},
		{"two failures are an error and leave no record to rely on", "echo no space >&2; exit 1", "", 2, "no space"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			blob, digest := archive(t, map[string]string{"var/images/pause.tar": dockerArchive(t, "pause:3.10")})
			m := newMirror(t, blob, digest, 0)
			dir := t.TempDir()
			for name, text := range map[string]string{"ctr": c.ctr, "sync": "exit 0"} {
				if err := os.MkdirAll(filepath.Join(dir, "programs"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "programs", name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"root", "state"} {
				if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			here, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Trouble  string
				Recorded []any
			}
			runPython(t, bring, map[string]any{
				"utils": filepath.Join(here, "module_utils"), "library": filepath.Join(here, "library", "slipway_images.py"),
				"state": filepath.Join(dir, "state"), "root": filepath.Join(dir, "root"), "programs": filepath.Join(dir, "programs"),
				"mirrors": []string{m.URL}, "authority": m.authority(), "digest": digest, "size": len(blob), "before": c.before,
			}, &got)
			want := []any{digest, []any{"image pause:3.10"}}
			if c.trouble != "" {
				want = []any{"incomplete", []any{"var/images/pause.tar"}}
			}
			if diff := cmp.Diff(want, got.Recorded); diff != "" || !strings.Contains(got.Trouble, c.trouble) || (got.Trouble == "") != (c.trouble == "") {
				t.Errorf("%q\n%s", got.Trouble, diff)
			}
			if len(m.ranges) != c.fetched {
				t.Errorf("fetched %d times, want %d", len(m.ranges), c.fetched)
			}
		})
	}
}
