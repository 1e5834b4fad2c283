package transfer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/slipway-dev/slipway/migration/block"
)

// TestAdoptMakesAPieceAStagedBlock cuts a block and installs the piece as one that was pulled.
func TestAdoptMakesAPieceAStagedBlock(t *testing.T) {
	from, _ := sourceDir(t)
	target := t.TempDir()
	staging := filepath.Join(target, StagingFolder)
	d, err := block.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }() // it was only read
	list, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	at := (list.Blocks[0].Meta.MinTime + list.Blocks[0].Meta.MaxTime) / 2
	made, err := d.Cut(t.Context(), block.CutOptions{Block: list.Blocks[0].Name, At: at, Keep: block.Before, Staging: staging})
	if err != nil {
		t.Fatal(err)
	}
	name := made.Meta.ULID.String()
	if staged, _, err := StagedBlocks(target); err != nil || len(staged) > 0 {
		t.Errorf("before: %v, %v", staged, err)
	}
	if err := Adopt(t.Context(), target, made); err != nil {
		t.Fatal(err)
	}
	staged, installing, err := StagedBlocks(target)
	if err != nil || !slices.Equal(staged, []string{name}) || installing != "" {
		t.Errorf("%v, %q, %v", staged, installing, err)
	}
	if err := NewInstaller(InstallerOptions{Target: target}).Install(t.Context(), Step{Block: name}); err != nil {
		t.Fatal(err)
	}
	if err := Uninstall(target, name); err != nil {
		t.Fatal(err)
	}
	if err := Uninstall(target, name); err != nil {
		t.Errorf("again: %v", err)
	}
	if isFolder(filepath.Join(target, name)) || isFolder(filepath.Join(staging, name)) {
		t.Error("it is still there")
	}
	t.Run("refuses a piece that is damaged", func(t *testing.T) {
		bad, err := d.Cut(t.Context(), block.CutOptions{Block: list.Blocks[0].Name, At: at, Keep: block.After, Staging: staging})
		if err != nil {
			t.Fatal(err)
		}
		flip(t, filepath.Join(bad.Folder, "index"), 40)
		if err := Adopt(t.Context(), target, bad); err == nil {
			t.Error("it was adopted")
		}
		if staged, _, err := StagedBlocks(target); err != nil || len(staged) > 0 {
			t.Errorf("%v, %v", staged, err)
		}
		if err := UnstageOthers(target, nil); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(staging); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.IsDir() }) {
			t.Errorf("%v, %v", left, err)
		}
	})
}
