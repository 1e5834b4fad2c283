package bundle

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestWriteImage(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("static program"), 0o600); err != nil {
		t.Fatal(err)
	}
	const reference = "bundle.example/coredns:v1"
	r := recipeImage{Name: "coredns", Path: "usr/bin/coredns", User: "65532:65532"}
	file := filepath.Join(dir, "image.tar")
	id, err := writeImage(file, reference, program, r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := writeImage(filepath.Join(dir, "again.tar"), reference, program, r); err != nil || again != id {
		t.Errorf("the same program made image %s and %s (%v)", id, again, err)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != r.User || config.Architecture != architecture() {
		t.Errorf("user %q, architecture %q", config.Config.User, config.Architecture)
	}
	if diff := cmp.Diff([]string{"/usr/bin/coredns"}, config.Config.Entrypoint); diff != "" {
		t.Errorf("entrypoint (-want +got):\n%s", diff)
	}
	if digest, err := image.ConfigName(); err != nil || digest.String() != id {
		t.Errorf("id %s, the archive says %s (%v)", id, digest, err)
	}
	checkLayer(t, image)
}

func checkLayer(t *testing.T, image v1.Image) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	plain, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	want := []string{"usr/ 0755", "usr/bin/ 0755", "usr/bin/coredns 0755"}
	if diff := cmp.Diff(want, listTar(t, plain)); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

func listTar(t *testing.T, r io.Reader) []string {
	t.Helper()
	var list []string
	reader := tar.NewReader(r)
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h.Name+" 0"+string("01234567"[h.Mode>>6&7])+string("01234567"[h.Mode>>3&7])+string("01234567"[h.Mode&7]))
	}
}
