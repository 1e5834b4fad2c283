package engine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
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

func TestOneMakesAndTheOthersWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, most int
	var guard sync.Mutex
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			unlock, err := lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			guard.Lock()
			inside++
			most = max(most, inside)
			guard.Unlock()
			guard.Lock()
			inside--
			guard.Unlock()
			unlock()
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ended, path); err == nil {
		t.Error("a lock that another holds was taken")
	}
}
