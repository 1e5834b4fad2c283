package search

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestACreationThatDiedIsTakenAway(t *testing.T) {
	o := Options{Home: t.TempDir(), Cache: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(o.Home, "search", "half", "nodes"), 0o755); err != nil {
		t.Fatal(err)
	}
	if names, err := Names(o); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := Open(o, "half"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := Delete(t.Context(), o, "half"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"half", "../half", ""} {
		if err := Delete(t.Context(), o, name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestCreateRefusesANameThatIsNone(t *testing.T) {
	if _, err := Create(t.Context(), Options{Home: t.TempDir()}, "../x", Spec{}); err == nil || !strings.Contains(err.Error(), "cluster name") {
		t.Errorf("%v", err)
	}
}
