package lab

import (
	"errors"
	"os"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

func sampleLab(t *testing.T) *Lab {
	t.Helper()
	l := &Lab{opts: Options{Name: "dev", Home: t.TempDir()}, host: unifiedHost(), state: sampleState()}
	if err := os.MkdirAll(l.Dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.keyPath(), []byte("a private key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestManifests(t *testing.T) {
	l := sampleLab(t)
	text, err := l.Manifests(ManifestOptions{Namespace: "harbor", Labels: [][2]string{{"pool", "general"}, {"rack", "7"}}})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/manifests.yaml", text)
}

func TestManifestsFailWithoutKey(t *testing.T) {
	l := sampleLab(t)
	if err := os.Remove(l.keyPath()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Manifests(ManifestOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestMachineIsFoundByBothNames(t *testing.T) {
	l := sampleLab(t)
	for _, name := range []string{"m2", "dev-m2"} {
		if m, err := l.Machine(name); err != nil || m.Address != "198.18.7.12" {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if _, err := l.Machine("m3"); !errors.Is(err, ErrNotFound) {
		t.Errorf("m3: %v", err)
	}
}

func TestListShowsLabsAndOpenRefusesForeignNames(t *testing.T) {
	l := sampleLab(t)
	if err := l.save(); err != nil {
		t.Fatal(err)
	}
	labs, err := List(Options{Home: l.opts.Home})
	if err != nil || len(labs) != 1 || labs[0].Name() != "dev" || !labs[0].Ready() {
		t.Errorf("got %v, %v", labs, err)
	}
	if info, err := os.Stat(l.statePath()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info.Mode(), err)
	}
	if _, err := Open(Options{Home: l.opts.Home, Name: "other"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("other: %v", err)
	}
	if _, err := Open(Options{Home: l.opts.Home, Name: "../labs/dev"}); err == nil {
		t.Error("opened a path")
	}
}
