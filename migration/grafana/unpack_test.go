package grafana

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packed is a tar of files; a name that ends with / is a folder, a text that begins with -> a link.
func packed(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o4777, Typeflag: tar.TypeReg}
		to, link := strings.CutPrefix(files[i+1], "->")
		switch {
		case link:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, to, 0
		case strings.HasSuffix(files[i], "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUnpackWritesNothingElsewhere(t *testing.T) {
	for _, c := range []struct {
		name  string
		tar   string
		files int
		fails string
	}{
		{"files and folders", packed(t, "./", "", "./a/", "", "./a/b", "x", "c", "y"), 2, ""},
		{"a name that climbs", packed(t, "a/../../evil", "x"), 0, "leads out"},
		{"an absolute name", packed(t, "/evil", "x"), 0, "leads out"},
		{"a link and a file behind it", packed(t, "l", "->..", "l/evil", "x"), 1, ""},
		{"a cut", packed(t, "a", strings.Repeat("x", 5000))[:3000], 1, "unexpected EOF"},
		{"no tar", strings.Repeat("no tar ", 200), 0, "reading what the host sends"},
	} {
		t.Run(c.name, func(t *testing.T) {
			outside := t.TempDir()
			dir := filepath.Join(outside, "in")
			n, err := unpack(strings.NewReader(c.tar), dir)
			if n != c.files || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%d files, %v", n, err)
			}
			if _, err := os.Lstat(filepath.Join(outside, "evil")); err == nil {
				t.Error("a file was written elsewhere")
			}
		})
	}
}

func TestUnpackKeepsWhatPluginsNeedOfAMode(t *testing.T) {
	dir := t.TempDir()
	if _, err := unpack(strings.NewReader(packed(t, "plugin", "x")), dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "plugin")); err != nil || info.Mode() != 0o750 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
