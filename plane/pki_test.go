package plane

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPKI(t *testing.T) {
	tests := map[string]struct {
		damage func(t *testing.T, p *pki)
		fresh  bool
		err    string
		kept   bool
	}{
		"keeps everything when nothing is missing":         {func(*testing.T, *pki) {}, false, "", true},
		"makes a leaf that is missing":                     {func(t *testing.T, p *pki) { remove(t, p.cert("admin")) }, false, "", false},
		"makes an authority that a first start left half":  {func(t *testing.T, p *pki) { remove(t, p.cert(apiAuthority)) }, true, "", false},
		"refuses half an authority when there is data":     {func(t *testing.T, p *pki) { remove(t, p.cert(apiAuthority)) }, false, "backup", false},
		"refuses a missing authority when there is data":   {func(t *testing.T, p *pki) { remove(t, p.cert(etcdAuthority), p.key(etcdAuthority)) }, false, "backup", false},
		"refuses a damaged service account key with words": {func(t *testing.T, p *pki) { damage(t, p.key("sa")) }, false, "service account key", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := newPKI(dir, true).ensure(loopback); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			p := newPKI(dir, test.fresh)
			test.damage(t, p)
			err := p.ensure(loopback)
			if (err == nil) != (test.err == "") || (err != nil && !strings.Contains(err.Error(), test.err)) {
				t.Fatalf("ensure: %v, want %q", err, test.err)
			}
			if err == nil && cmp.Equal(before, contents(t, dir)) != test.kept {
				t.Errorf("kept = %v, want %v", !test.kept, test.kept)
			}
		})
	}
}

func TestEncryptionKeyIsNeverMadeAnew(t *testing.T) {
	dir := t.TempDir()
	if err := ensureEncryption(dir, true); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if err := ensureEncryption(dir, false); err != nil || !cmp.Equal(before, contents(t, dir)) {
		t.Errorf("the key was not kept: %v", err)
	}
	remove(t, filepath.Join(dir, encryptionFile))
	if err := ensureEncryption(dir, false); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a missing key with data: %v, want what to do", err)
	}
}

func remove(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func damage(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"), fileMode); err != nil {
		t.Fatal(err)
	}
}
