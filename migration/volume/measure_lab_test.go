//go:build lab

package volume

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMeasureTellsWhatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	r, err := Measure(t.Context(), small(dir))
	if err != nil {
		t.Fatal(err)
	}
	want := []Ability{{MakeDirectory, "mkdir: read-only file system"}}
	if diff := cmp.Diff(want, r.Abilities); diff != "" || r.Measured {
		t.Error(diff)
	}
	if r.FileSystem.Type != "tmpfs" {
		t.Errorf("type %q", r.FileSystem.Type)
	}
}

func TestMeasureRefusesAVolumeThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=20m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(dir, 0) }()
	r, err := Measure(t.Context(), small(dir))
	if err != nil || r.Measured || !strings.Contains(r.Failure, "are needed to measure") {
		t.Errorf("measured on 20 MiB: %+v, %v", r, err)
	}
	expectNothing(t, dir)
}
