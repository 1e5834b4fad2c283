// Package bundletest makes small bundles for tests: real archives and digests, tiny files.
package bundletest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/bundle"
)

// Options says what the bundle holds; the zero value is a bundle of v1.36.3 with two contents.
type Options struct {
	// Kubernetes is the version; empty means v1.36.3.
	Kubernetes string
	// Contents maps role archives to their files (path -> text); nil means etcd and kubernetes-node.
	Contents map[string]map[string]string
	// Flags and Schemas go into the manifest as they are.
	Flags   map[string][]bundle.Flag
	Schemas map[string]bundle.Schema
	// Change edits the manifest before it is written.
	Change func(*bundle.Manifest)
}

// Write makes a bundle directory in a temporary directory of the test and returns its path.
func Write(tb testing.TB, o Options) string {
	tb.Helper()
	dir := tb.TempDir()
	m := &bundle.Manifest{
		Format: bundle.FormatV1, Kubernetes: o.Kubernetes, OS: "linux", Architecture: "amd64", Toolchain: "go1.26.0",
		Recipe: bundle.DigestBytes([]byte("recipe")), ImageRepository: "bundle.example", FlagSets: o.Flags, Schemas: o.Schemas,
	}
	if m.Kubernetes == "" {
		m.Kubernetes = "v1.36.3"
	}
	if o.Contents == nil {
		o.Contents = map[string]map[string]string{
			"etcd":            {"usr/local/bin/etcd": "the etcd of a test"},
			"kubernetes-node": {"usr/local/bin/kubelet": "the kubelet of a test", "usr/local/bin/kubeadm": "the kubeadm of a test"},
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Contents)) {
		content, blob := Archive(tb, name, o.Contents[name])
		m.Contents = append(m.Contents, content)
		write(tb, filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(content.Digest, "sha256:")), blob)
	}
	if o.Change != nil {
		o.Change(m)
	}
	data, err := m.Encode()
	if err != nil {
		tb.Fatalf("encoding the test's manifest: %v", err)
	}
	write(tb, filepath.Join(dir, bundle.ManifestName), data)
	return dir
}

// Open writes a bundle and opens it; the test closes it.
func Open(tb testing.TB, o Options) *bundle.Bundle {
	tb.Helper()
	b, err := bundle.Open(Write(tb, o))
	if err != nil {
		tb.Fatalf("opening the test's bundle: %v", err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("closing the test's bundle: %v", err)
		}
	})
	return b
}

// Archive packs files (path -> text) into a role archive and describes it.
func Archive(tb testing.TB, name string, files map[string]string) (bundle.Content, []byte) {
	tb.Helper()
	content := bundle.Content{Name: name, Kind: bundle.KindFiles}
	var buffer bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buffer, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	archive := tar.NewWriter(zip)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		text := files[path]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o755, Size: int64(len(text))}
		if err := archive.WriteHeader(header); err != nil {
			tb.Fatalf("packing %s: %v", path, err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			tb.Fatalf("packing %s: %v", path, err)
		}
		sum := sha256.Sum256([]byte(text))
		content.Files = append(content.Files, bundle.File{Path: path, Mode: fmt.Sprintf("%04o", header.Mode), Size: header.Size, SHA256: hex.EncodeToString(sum[:])})
		content.UnpackedSize += header.Size
	}
	if err := archive.Close(); err != nil {
		tb.Fatalf("packing %s: %v", name, err)
	}
	if err := zip.Close(); err != nil {
		tb.Fatalf("packing %s: %v", name, err)
	}
	content.Digest, content.Size = bundle.DigestBytes(buffer.Bytes()), int64(buffer.Len())
	return content, buffer.Bytes()
}

func write(tb testing.TB, path string, data []byte) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		tb.Fatal(err)
	}
}
