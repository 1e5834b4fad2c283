package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func write(t testing.TB, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// some is an image of two files.
func some(t testing.TB) Options {
	t.Helper()
	return Options{
		Reference: "registry.example/tools/thing:v1", Entrypoint: []string{"/usr/bin/thing", "run"}, User: "65532:65532", Architecture: "arm64",
		CreatedBy: "a test", Labels: map[string]string{"version": "v1"},
		Files: []File{{Path: "usr/bin/thing", Source: write(t, filepath.Join(t.TempDir(), "x"), "program"), Mode: 0o755}, {Path: "etc/thing/conf", Data: []byte("a: b\n"), Mode: 0o644}},
	}
}

func TestTheArchiveHoldsTheImage(t *testing.T) {
	for _, compress := range []bool{false, true} {
		t.Run(fmt.Sprintf("compressed %t", compress), func(t *testing.T) {
			o := some(t)
			o.Compress = compress
			made, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "image.tar")
			if err := made.Write(file); err != nil {
				t.Fatal(err)
			}
			image, err := tarball.ImageFromPath(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkConfig(t, image)
			// A tool that pushes the archive gives the image this digest in the registry; it compresses a plain layer by itself.
			digest, err := image.Digest()
			if err != nil || compress && digest.String() != made.Digest {
				t.Errorf("digest %s, %v; want %s", digest, err, made.Digest)
			}
			if id, err := image.ConfigName(); err != nil || id.String() != made.ID {
				t.Errorf("id %s, %v; want %s", id, err, made.ID)
			}
			want := []string{"etc/ 755 0", "etc/thing/ 755 0", "etc/thing/conf 644 5", "usr/ 755 0", "usr/bin/ 755 0", "usr/bin/thing 755 7"}
			if diff := cmp.Diff(want, content(t, image)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func checkConfig(t *testing.T, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(config.OS, config.Architecture, config.Config.User, config.Config.Entrypoint, config.Config.Labels, config.History[0].CreatedBy, config.Created.Unix())
	if want := "linux" + "arm64" + "65532:65532" + "[/usr/bin/thing run] map[version:v1] a test 1577836800"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%s, want %s", got, want)
	}
}

// content lists the files of the one layer with mode and size.
func content(t *testing.T, image v1.Image) (list []string) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	open, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	archive := tar.NewReader(open)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(Epoch()) {
			t.Errorf("%s belongs to %d:%d and is of %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		list = append(list, fmt.Sprintf("%s %o %d", h.Name, h.Mode, h.Size))
	}
}

func TestTheDigestFollowsTheContentAlone(t *testing.T) {
	digest := func(change func(*Options)) string {
		o := some(t)
		change(&o)
		made, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return made.Digest
	}
	was := digest(func(*Options) {})
	same := map[string]func(*Options){
		"another order": func(o *Options) { o.Files[0], o.Files[1] = o.Files[1], o.Files[0] },
		"another name":  func(o *Options) { o.Reference = "other:v2" },
	}
	for name, change := range same {
		if got := digest(change); got != was {
			t.Errorf("%s has another digest", name)
		}
	}
	for name, change := range map[string]func(*Options){
		"another byte": func(o *Options) { o.Files[1].Data = []byte("a: c\n") },
		"another mode": func(o *Options) { o.Files[1].Mode = 0o600 },
		"another user": func(o *Options) { o.User = "1:1" },
	} {
		if got := digest(change); got == was {
			t.Errorf("%s has the same digest", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"a name that is none", func(o *Options) { o.Reference = "A b" }, `naming image "A b": want a name with a tag`},
		{"no files", func(o *Options) { o.Files = nil }, "it has no files"},
		{"an absolute path", func(o *Options) { o.Files[0].Path = "/bin/x" }, `file "/bin/x": want a clean path`},
		{"a path that leads out", func(o *Options) { o.Files[0].Path = "../x" }, `file "../x": want a clean path`},
		{"a file twice", func(o *Options) { o.Files[0].Path = o.Files[1].Path }, "file etc/thing/conf is there twice"},
		{"a file that is not there", func(o *Options) { o.Files[0].Source = "/nonexistent" }, "packing usr/bin/thing: open /nonexistent"},
	}
	for _, c := range cases {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compressed %t", c.name, compress), func(t *testing.T) {
				o := some(t)
				o.Compress = compress
				c.change(&o)
				if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
			})
		}
	}
}

func TestWriteLeavesWhatWasThere(t *testing.T) {
	o := some(t)
	made, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "image.tar"), "older")
	if err := os.Remove(o.Files[0].Source); err != nil {
		t.Fatal(err)
	}
	if err := made.Write(file); err == nil {
		t.Error("a file of the image is gone, and it was written")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "older" {
		t.Errorf("%q, %v", text, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v, %v: something was left", list, err)
	}
}
