package volume

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPresentCountsTheSourcesBlocks(t *testing.T) {
	dir := t.TempDir()
	const name = "01KANG4XAYTSVW8JZ7E1MRZYK6"
	for path, size := range map[string]int{name + "/chunks/000001": 100, name + "/index": 10, "slipway-staging/x/index": 5, "wal/000001": 1000, "backup/" + name + "/index": 7} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := present(dir, false); got != 5 {
		t.Errorf("on its way: %d bytes", got)
	}
	if got := present(dir, true); got != 115 {
		t.Errorf("of a seeded volume: %d bytes", got)
	}
	if err := useWhatIsThere(dir); err != nil {
		t.Error(err)
	}
	if got := present(filepath.Join(dir, "none"), true); got != 0 {
		t.Errorf("of nothing: %d bytes", got)
	}
}
