package plane

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testArchive writes a small archive and returns its path.
func testArchive(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	var sources []source
	for name, text := range map[string]string{snapshotName: strings.Repeat("snapshot", 1000), "plane/state.json": goodState} {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, source{name, path})
	}
	target := filepath.Join(dir, "backup")
	if err := writeArchive(target, Manifest{Version: archiveVersion, ID: "ab"}, sources); err != nil {
		t.Fatal(err)
	}
	return target
}

func TestArchiveRoundTrip(t *testing.T) {
	file := testArchive(t)
	got := map[string]int{}
	m, err := readArchive(file, func(f ArchiveFile, content io.Reader) error {
		data, err := io.ReadAll(content)
		got[f.Name] = len(data)
		return err
	})
	if err != nil || m.ID != "ab" {
		t.Fatalf("readArchive = %+v, %v", m, err)
	}
	if diff := cmp.Diff(map[string]int{snapshotName: 8000, "plane/state.json": len(goodState)}, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != fileMode {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := writeArchive(file, m, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second backup of the same name: %v, want ErrExist", err)
	}
}

func TestVerifyNamesDamage(t *testing.T) {
	file := testArchive(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 7 {
		flipped := append([]byte(nil), whole...)
		flipped[at] ^= 0x10
		checkDamaged(t, flipped, at)
	}
	for at := 0; at < len(whole); at += 50 {
		checkDamaged(t, whole[:at], at)
	}
}

// checkDamaged accepts a change that changes nothing (a header field that nobody reads), and no other.
func checkDamaged(t *testing.T, data []byte, at int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(file, data, fileMode); err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	m, err := readArchive(file, func(f ArchiveFile, content io.Reader) error {
		sums[f.Name] = f.SHA256
		_, err := io.Copy(io.Discard, content)
		return err
	})
	if err == nil && (m.ID != "ab" || len(sums) != 2) {
		t.Errorf("damage at byte %d was not seen: %+v", at, m)
	}
	if err != nil && !strings.Contains(err.Error(), file) {
		t.Errorf("damage at byte %d: %v does not name the file", at, err)
	}
}

func FuzzReadArchive(f *testing.F) {
	whole, err := os.ReadFile(testArchive(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "backup")
		if err := os.WriteFile(file, data, fileMode); err != nil {
			t.Fatal(err)
		}
		_ = extract(file, t.TempDir()) // must neither panic nor write elsewhere (os.Root refuses)
	})
}
