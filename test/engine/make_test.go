package engine

import (
	"os"
	"path/filepath"
	"testing"
)

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWhatIsMadeIsNotMadeAgain(t *testing.T) {
	r, err := readRecipe("prometheus-" + Prometheus242)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	dir := filepath.Join(cache, "engines", r.digest)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range r.programs() {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Make(t.Context(), r.name, Options{Cache: cache}); err != nil || got != dir {
		t.Errorf("%q, %v; want %q", got, err, dir)
	}
}
