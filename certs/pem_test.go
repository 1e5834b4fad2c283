package certs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteAndReadPair(t *testing.T) {
	issuer, _ := newIssuer(t)
	ca := must[Pair](t)(issuer.NewCA("x"))
	dir := filepath.Join(t.TempDir(), "pki")
	cert, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	if empty, err := ReadPair(cert, key); err != nil || !empty.Empty() {
		t.Fatalf("files that do not exist: %v, error %v", empty, err)
	}
	for range 2 { // the second time replaces
		if err := WritePair(cert, key, ca); err != nil {
			t.Fatal(err)
		}
	}
	got := must[Pair](t)(ReadPair(cert, key))
	if !cmp.Equal(ca, got) {
		t.Error("what was read is not what was written")
	}
	stat := must[os.FileInfo](t)(os.Stat(key))
	if stat.Mode().Perm() != 0o600 {
		t.Errorf("key has mode %o", stat.Mode().Perm())
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files left in the directory, want 2", len(files))
	}
}

func TestPublicKeyHash(t *testing.T) {
	// Made with: openssl x509 -pubkey -in ca.crt | openssl pkey -pubin -outform der | sha256sum
	data := must[[]byte](t)(os.ReadFile("testdata/ca.crt"))
	want := strings.TrimSpace(string(must[[]byte](t)(os.ReadFile("testdata/ca.sha256"))))
	if got := must[string](t)(PublicKeyHash(data)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReadDamaged(t *testing.T) {
	for name, data := range map[string]string{
		"refuses nothing": "", "refuses text": "hello", "refuses a key": "-----BEGIN EC PRIVATE KEY-----\nMTIz\n-----END EC PRIVATE KEY-----\n",
		"refuses damaged bytes": "-----BEGIN CERTIFICATE-----\nMTIz\n-----END CERTIFICATE-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read([]byte(data)); err == nil {
				t.Error("accepted")
			}
		})
	}
}
