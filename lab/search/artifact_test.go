package search

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestUnpackLeavesTheOuterFolderOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "server")
	err := unpack(fstest.MapFS{
		"opensearch-1.0.0/README":         {Data: []byte("text"), Mode: 0o640},
		"opensearch-1.0.0/bin/opensearch": {Data: []byte("#!"), Mode: 0o755},
	}, dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"README": 0o644, "bin/opensearch": 0o755} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestFetchTakesWhatIsInTheCache(t *testing.T) {
	s := Server{Product: OpenSearch, Version: "1.0.0", SHA256: "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"} // of aaa
	cache := t.TempDir()
	zip := filepath.Join(cache, "search", s.SHA256+".zip")
	t.Setenv("PATH", t.TempDir())
	for text, want := range map[string]string{"aaa": "", "aab": "no Maven"} {
		if err := os.MkdirAll(filepath.Dir(zip), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(zip, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := fetch(t.Context(), Options{Cache: cache}, s)
		if want == "" && (err != nil || got != zip) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}
