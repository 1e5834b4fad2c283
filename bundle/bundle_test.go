package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testBundle writes a bundle in both forms with the package's own writers.
func testBundle(t testing.TB) (dir, file string) {
	t.Helper()
	temp := t.TempDir()
	var contents []Content
	blobs := map[string]string{}
	for _, name := range []string{"etcd", "kubernetes-node"} {
		text := strings.Repeat("the program of "+name+"\n", 1000)
		from := filepath.Join(temp, name)
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sum, size, err := digestFile(from)
		if err != nil {
			t.Fatal(err)
		}
		content := Content{Name: name, Kind: KindFiles}
		sources := []source{{path: "usr/local/bin/" + name, from: from, mode: 0o755, sha256: sum, size: size}}
		if err := packFile(t.Context(), from+".blob", sources, &content); err != nil {
			t.Fatal(err)
		}
		contents, blobs[content.Digest] = append(contents, content), from+".blob"
	}
	m := Manifest{Format: FormatV1, Kubernetes: "v1.36.3", OS: "linux", Architecture: "amd64", Recipe: DigestBytes(nil), Contents: contents}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir, file = filepath.Join(temp, "bundle"), filepath.Join(temp, "bundle.tar")
	if err := writeDirectory(t.Context(), dir, data, blobs); err != nil {
		t.Fatal(err)
	}
	if err := writeArchive(t.Context(), file, data, blobs); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func openBundle(t testing.TB, path string) *Bundle {
	t.Helper()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func blobOf(t testing.TB, b *Bundle, content string) string {
	t.Helper()
	c, ok := b.Manifest().Content(content)
	if !ok {
		t.Fatalf("no content %s", content)
	}
	return filepath.Join(b.Path(), blobPath(strings.TrimPrefix(c.Digest, digestPrefix)))
}

func TestBothFormsAreTheSameBundle(t *testing.T) {
	dir, file := testBundle(t)
	a, b := openBundle(t, dir), openBundle(t, file)
	if a.Digest() != b.Digest() {
		t.Errorf("digests differ: %s, %s", a.Digest(), b.Digest())
	}
	for _, c := range a.Manifest().Contents {
		if x, y := readBlob(t, a, c.Digest), readBlob(t, b, c.Digest); !bytes.Equal(x, y) || int64(len(x)) != c.Size {
			t.Errorf("%s: the two forms hold different bytes", c.Name)
		}
	}
	for _, bundle := range []*Bundle{a, b} {
		if err := bundle.Verify(t.Context()); err != nil {
			t.Errorf("verifying %s: %v", bundle.Path(), err)
		}
	}
}

func readBlob(t *testing.T, b *Bundle, digest string) []byte {
	t.Helper()
	f, _, err := b.Blob(digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVerifyNamesTheDamagedBlob(t *testing.T) {
	tests := map[string]struct {
		damage func(t *testing.T, blob string)
		want   string
	}{
		"one bit flipped": {want: "digest", damage: func(t *testing.T, blob string) {
			edit(t, blob, func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
		}},
		"cut off": {want: "bytes long", damage: func(t *testing.T, blob string) {
			edit(t, blob, func(data []byte) []byte { return data[:len(data)-1] })
		}},
		"longer": {want: "bytes long", damage: func(t *testing.T, blob string) {
			edit(t, blob, func(data []byte) []byte { return append(data, 0) })
		}},
		"missing": {want: "no such file", damage: func(t *testing.T, blob string) {
			if err := os.Remove(blob); err != nil {
				t.Fatal(err)
			}
		}},
		"a link that leaves the bundle": {want: "escapes", damage: func(t *testing.T, blob string) {
			if err := os.Remove(blob); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", blob); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir, _ := testBundle(t)
			b := openBundle(t, dir)
			test.damage(t, blobOf(t, b, "kubernetes-node"))
			err := b.Verify(t.Context())
			var blobError *BlobError
			if !errors.As(err, &blobError) {
				t.Fatalf("got %v, want a BlobError", err)
			}
			if blobError.Content != "kubernetes-node" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want content kubernetes-node and %q", err, test.want)
			}
			if strings.Contains(err.Error(), "content etcd") {
				t.Errorf("the good blob is named: %v", err)
			}
		})
	}
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyNamesEveryDamagedBlob(t *testing.T) {
	dir, _ := testBundle(t)
	b := openBundle(t, dir)
	for _, name := range []string{"etcd", "kubernetes-node"} {
		edit(t, blobOf(t, b, name), func(data []byte) []byte { data[9] ^= 1; return data })
	}
	err := b.Verify(t.Context())
	for _, name := range []string{"content etcd", "content kubernetes-node"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q named", err, name)
		}
	}
}

func TestVerifyStopsWithItsContext(t *testing.T) {
	dir, _ := testBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := openBundle(t, dir).Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir, file := testBundle(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		path func(t *testing.T) string
		want string
	}{
		"a path that does not exist": {want: "slipway bundle build", path: func(*testing.T) string { return dir + "-none" }},
		"a directory without manifest": {want: "opening manifest", path: func(t *testing.T) string {
			return t.TempDir()
		}},
		"an archive that is cut off": {want: "cut off", path: func(t *testing.T) string { return tempFile(t, whole[:len(whole)-4000]) }},
		"a file that is no archive":  {want: "reading archive", path: func(t *testing.T) string { return tempFile(t, []byte(strings.Repeat("x", 2048))) }},
		"an archive with a link":     {want: "not a regular file", path: func(t *testing.T) string { return tempTar(t, tar.TypeSymlink, ManifestName) }},
		"an archive entry that leaves the directory": {want: "neither manifest.json nor a blob", path: func(t *testing.T) string {
			return tempTar(t, tar.TypeReg, "../../etc/passwd")
		}},
		"a blob whose name is no digest": {want: "lower-case hex", path: func(t *testing.T) string { return tempTar(t, tar.TypeReg, "blobs/sha256/../x") }},
		"an entry twice":                 {want: "twice in the archive", path: func(t *testing.T) string { return tempTar(t, tar.TypeReg, ManifestName, ManifestName) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := Open(test.path(t))
			if err == nil {
				err = b.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func tempFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bundle.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tempTar(t *testing.T, kind byte, names ...string) string {
	t.Helper()
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	for _, name := range names {
		if err := archive.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Linkname: "/etc/passwd", Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return tempFile(t, buffer.Bytes())
}

func TestBlobRefusesNamesThatAreNoDigest(t *testing.T) {
	dir, file := testBundle(t)
	for _, path := range []string{dir, file} {
		b := openBundle(t, path)
		if _, _, err := b.Blob("sha256:../../manifest.json"); err == nil {
			t.Errorf("%s: a path was accepted as a digest", path)
		}
		if _, _, err := b.Blob(DigestBytes([]byte("nothing"))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want ErrNotExist", path, err)
		}
	}
}

// TestVerifyFilesRefuses has role archives whose digest would be right: a bad recipe or a bad
// builder made them.
func TestVerifyFilesRefuses(t *testing.T) {
	sum := strings.TrimPrefix(DigestBytes([]byte("good")), digestPrefix)
	content := Content{Name: "etcd", Files: []File{{Path: "bin/etcd", Mode: "0755", Size: 4, SHA256: sum}}}
	entry := func(change func(*tar.Header)) []*tar.Header {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: "bin/etcd", Mode: 0o755, Size: 4}
		change(h)
		return []*tar.Header{h}
	}
	tests := map[string]struct {
		headers []*tar.Header
		text    string
		want    string
	}{
		"accepts what the manifest lists":      {headers: entry(func(*tar.Header) {}), text: "good"},
		"refuses other bytes":                  {headers: entry(func(*tar.Header) {}), text: "evil", want: "sha256"},
		"refuses another mode":                 {headers: entry(func(h *tar.Header) { h.Mode = 0o4755 }), text: "good", want: "mode"},
		"refuses a file that is not listed":    {headers: entry(func(h *tar.Header) { h.Name = "bin/other" }), text: "good", want: "not a file that the manifest lists"},
		"refuses a path that leaves the root":  {headers: entry(func(h *tar.Header) { h.Name = "../etcd" }), text: "good", want: "not a clean relative path"},
		"refuses an absolute path":             {headers: entry(func(h *tar.Header) { h.Name = "/bin/etcd" }), text: "good", want: "not a clean relative path"},
		"refuses a link":                       {headers: entry(func(h *tar.Header) { h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/bin/sh", 0 }), want: "not a file that the manifest lists"},
		"refuses a directory open to everyone": {headers: []*tar.Header{{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o777}}, want: "not a file that the manifest lists"},
		"refuses an archive that lacks a file": {headers: nil, want: "missing in the archive"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := verifyFiles(bytes.NewReader(roleTar(t, test.headers, test.text)), content)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func roleTar(t testing.TB, headers []*tar.Header, text string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zip := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(zip)
	for _, h := range headers {
		if err := archive.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(archive, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestWriteDirectoryReplacesAnOlderBundle(t *testing.T) {
	dir, _ := testBundle(t)
	old := openBundle(t, dir)
	m := *old.Manifest()
	m.Contents = m.Contents[:1]
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	keep := blobOf(t, old, m.Contents[0].Name)
	if err := writeDirectory(t.Context(), dir, data, map[string]string{m.Contents[0].Digest: keep}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(keep))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{filepath.Base(keep)}, names); diff != "" {
		t.Errorf("blobs (-want +got):\n%s", diff)
	}
	if err := openBundle(t, dir).Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPackIsReproducible(t *testing.T) {
	dir := t.TempDir()
	var sources []source
	for _, name := range []string{"b", "a"} {
		from := filepath.Join(dir, name)
		if err := os.WriteFile(from, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		sum, size, err := digestFile(from)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source{path: "opt/" + name, from: from, mode: 0o644, sha256: sum, size: size})
	}
	digest := func(target string) string {
		var c Content
		if err := packFile(t.Context(), filepath.Join(dir, target), sources, &c); err != nil {
			t.Fatal(err)
		}
		return c.Digest
	}
	if x, y := digest("one"), digest("two"); x != y {
		t.Errorf("the same sources made %s and %s", x, y)
	}
	edit(t, filepath.Join(dir, "a"), func([]byte) []byte { return []byte("c") })
	if err := packFile(t.Context(), filepath.Join(dir, "three"), sources, &Content{}); err == nil || !strings.Contains(err.Error(), "was changed after it was built") {
		t.Errorf("a source that was changed: got %v", err)
	}
}

func FuzzIndexArchive(f *testing.F) {
	_, file := testBundle(f)
	data, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:700])
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := indexArchive(bytes.NewReader(data))
		if err != nil {
			return
		}
		for name, s := range entries {
			if s.offset < 0 || s.size < 0 || s.offset+s.size > int64(len(data)) {
				t.Fatalf("entry %q lies outside of the archive: %+v", name, s)
			}
			if name != ManifestName && !strings.HasPrefix(name, "blobs/sha256/") {
				t.Fatalf("entry %q was accepted", name)
			}
		}
	})
}

func FuzzVerifyFiles(f *testing.F) {
	content := Content{Files: []File{{Path: "bin/etcd", Mode: "0755", Size: 4, SHA256: strings.TrimPrefix(DigestBytes([]byte("good")), digestPrefix)}}}
	f.Add(roleTar(f, []*tar.Header{{Typeflag: tar.TypeReg, Name: "bin/etcd", Mode: 0o755, Size: 4}}, "good"))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if verifyFiles(bytes.NewReader(data), content) == nil && !holdsGoodFile(data) {
			t.Fatal("an archive without the listed file was accepted")
		}
	})
}

// holdsGoodFile looks for the expected file with nothing of the code under test.
func holdsGoodFile(data []byte) bool {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return false
	}
	plain, _ := io.ReadAll(zip)
	return bytes.Contains(plain, []byte("bin/etcd")) && bytes.Contains(plain, []byte("good"))
}
