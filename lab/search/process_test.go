package search

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestEndFindsWhatRunsForAClusterAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	start := func(home string) *exec.Cmd {
		cmd := exec.Command("sleep", "600")
		cmd.Env = append(os.Environ(), dirVariable+"="+home)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	mine, other := start(filepath.Join(dir, "old", "nodes", "a")), start(filepath.Join(dir, "older", "nodes", "a"))
	gone := make(chan error, 1)
	go func() { gone <- mine.Wait() }()
	if err := end(t.Context(), filepath.Join(dir, "old")); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err == nil {
		t.Error("it ended by itself")
	}
	found, err := processes(filepath.Join(dir, "older"))
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v: the other cluster's has to run", found, err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait() // it was killed
}
