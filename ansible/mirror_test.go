package ansible

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// install calls the module's own code with a root and a state directory of the test; Ansible itself is not needed for it.
const install = `
import json, sys, types
request = json.load(sys.stdin)
for name in ("ansible", "ansible.module_utils"):
    package = types.ModuleType(name)
    package.__path__ = [request["utils"]] if name.endswith("utils") else []
    sys.modules[name] = package
from ansible.module_utils import slipway
slipway.STATE = request["state"]
from ansible.module_utils import slipway_content as content
content.ROOT = request["root"] + "/"
content.PAUSE = 0
try:
    files = content.install(content.Mirrors(request["mirrors"], request["authority"]), "etcd", request["digest"], request["size"])
    print(json.dumps({"files": files, "recorded": content.recorded("etcd"), "installed": content.is_installed("etcd", request["digest"])}))
except slipway.Trouble as e:
    print(json.dumps({"trouble": str(e)}))
`

type installed struct {
	Files     []string
	Recorded  []any
	Installed bool
	Trouble   string
}

// archive is a role archive with these files, and its digest.
func archive(t *testing.T, files map[string]string) ([]byte, string) {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), "sha256:" + hex.EncodeToString(sum[:])
}

type mirror struct {
	*httptest.Server
	ranges []string
}

// newMirror serves a blob; the first answers are cut off after some bytes.
func newMirror(t *testing.T, blob []byte, digest string, cuts int) *mirror {
	t.Helper()
	m := &mirror{}
	m.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/blobs/"+strings.Replace(digest, ":", "/", 1) {
			http.NotFound(w, r)
			return
		}
		m.ranges = append(m.ranges, r.Header.Get("Range"))
		if len(m.ranges) <= cuts {
			begin, _ := strconv.Atoi(strings.Trim(r.Header.Get("Range"), "bytes=-"))
			w.Header().Set("Content-Length", strconv.Itoa(len(blob)-begin))
			if begin > 0 {
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Write(blob[begin : begin+10])
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) authority() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw}))
}

func runInstall(t *testing.T, dir, authority, digest string, size int, mirrors ...string) installed {
	t.Helper()
	utils, err := filepath.Abs("module_utils")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var result installed
	runPython(t, install, map[string]any{
		"utils": utils, "state": filepath.Join(dir, "state"), "root": filepath.Join(dir, "root"),
		"mirrors": mirrors, "authority": authority, "digest": digest, "size": size,
	}, &result)
	return result
}

// runPython gives a script its request and reads its answer, both in JSON.
func runPython(t *testing.T, script string, request, answer any) {
	t.Helper()
	in, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "python3", "-c", script)
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	command.Stdin, command.Stderr = bytes.NewReader(in), os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatal(err)
	}
}

func TestInstallGoesOnWhereItWasCutOff(t *testing.T) {
	blob, digest := archive(t, map[string]string{"usr/local/bin/etcd": strings.Repeat("etcd", 100)})
	m := newMirror(t, blob, digest, 2)
	dir := t.TempDir()
	got := runInstall(t, dir, m.authority(), digest, len(blob), m.URL)
	if !got.Installed {
		t.Fatalf("not installed: %+v", got)
	}
	if diff := cmp.Diff([]string{"", "bytes=10-", "bytes=20-"}, m.ranges); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "root", "usr/local/bin/etcd")); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "state", "incoming", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestInstallGoesToTheNextMirror(t *testing.T) {
	blob, digest := archive(t, map[string]string{"usr/local/bin/etcd": "etcd"})
	m := newMirror(t, blob, digest, 0)
	got := runInstall(t, t.TempDir(), m.authority(), digest, len(blob), m.URL+"/elsewhere", m.URL)
	if !got.Installed {
		t.Errorf("not installed: %+v", got)
	}
}

func TestInstallRefusesOtherBytes(t *testing.T) {
	blob, digest := archive(t, map[string]string{"usr/local/bin/etcd": "etcd"})
	other := bytes.Clone(blob)
	other[len(other)/2] ^= 1
	m := newMirror(t, other, digest, 0)
	dir := t.TempDir()
	got := runInstall(t, dir, m.authority(), digest, len(blob), m.URL)
	if !strings.Contains(got.Trouble, "do not have the digest") {
		t.Errorf("got %+v", got)
	}
	if placed, _ := filepath.Glob(filepath.Join(dir, "root", "*")); len(placed) > 0 {
		t.Errorf("placed %v", placed)
	}
}

func TestInstallRefusesMirrorsOfAnotherAuthority(t *testing.T) {
	blob, digest := archive(t, map[string]string{"usr/local/bin/etcd": "etcd"})
	m := newMirror(t, blob, digest, 0)
	got := runInstall(t, t.TempDir(), "", digest, len(blob), m.URL)
	if !strings.Contains(got.Trouble, "CERTIFICATE_VERIFY_FAILED") {
		t.Errorf("got %+v", got)
	}
}

func TestInstallSaysThatThereIsNoSpace(t *testing.T) {
	got := runInstall(t, t.TempDir(), "", "sha256:00", 1<<60, "https://mirror.example")
	if !strings.Contains(got.Trouble, "no space") {
		t.Errorf("got %+v", got)
	}
}

func TestInstallTakesAwayFilesOfAnOlderContent(t *testing.T) {
	dir := t.TempDir()
	for _, files := range []map[string]string{{"opt/old/tool": "1", "opt/both": "1"}, {"opt/new": "2", "opt/both": "2"}} {
		blob, digest := archive(t, files)
		m := newMirror(t, blob, digest, 0)
		if got := runInstall(t, dir, m.authority(), digest, len(blob), m.URL); !got.Installed {
			t.Fatalf("not installed: %+v", got)
		}
	}
	for name, want := range map[string]string{"opt/old/tool": "", "opt/old": "", "opt/new": "2", "opt/both": "2"} {
		got, _ := os.ReadFile(filepath.Join(dir, "root", name))
		if string(got) != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "root", "opt", "old")); !os.IsNotExist(err) {
		t.Error("the empty directory is still there")
	}
}
