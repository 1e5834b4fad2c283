package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecheckForgetsWhatTheDiskSpoiled(t *testing.T) {
	dir, names := sourceDir(t)
	tests := map[string]struct {
		harm  func(folder string) error
		files []string
	}{
		"nothing when nothing is wrong": {func(string) error { return nil }, nil},
		"a flipped byte of a segment":   {func(folder string) error { flip(t, filepath.Join(folder, "chunks/000002"), 9000); return nil }, []string{"chunks/000002"}},
		"a file that is gone":           {func(folder string) error { return os.Remove(filepath.Join(folder, "chunks/000001")) }, []string{"chunks/000001"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			source := &between{Source: openLocal(t, LocalOptions{Data: dir})}
			mustPull(t, pullOptions(source, target, names[:1]))
			before := source.bytes()
			if err := test.harm(filepath.Join(target, StagingFolder, names[0])); err != nil {
				t.Fatal(err)
			}
			err := Recheck(t.Context(), target, names[0])
			var spoiled *SpoiledError
			if errors.As(err, &spoiled) != (test.files != nil) || spoiled != nil && cmp.Diff(test.files, spoiled.Files) != "" {
				t.Fatalf("%v, want %q", err, test.files)
			}
			if _, err := NewInstaller(InstallerOptions{Target: target}).staged(names[0]); errors.Is(err, ErrNotStaged) != (test.files != nil) {
				t.Errorf("is it staged: %v", err)
			}
			sameBlocks(t, mustPull(t, pullOptions(source, target, names[:1])), names[:1])
			if again := source.bytes() - before; (again > 0) != (test.files != nil) || again > 200_000 {
				t.Errorf("%d bytes were fetched again", again)
			}
		})
	}
}

func TestInstallerTakesNothingThatTheDiskSpoiled(t *testing.T) {
	dir, names := sourceDir(t)
	target := t.TempDir()
	mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: dir}), target, names[:1]))
	flip(t, filepath.Join(target, StagingFolder, names[0], "chunks/000001"), 100)
	err := NewInstaller(InstallerOptions{Target: target}).Install(t.Context(), Step{Block: names[0]})
	if spoiled := (*SpoiledError)(nil); !errors.As(err, &spoiled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(target, names[0])); err == nil {
		t.Error("it went in")
	}
}
