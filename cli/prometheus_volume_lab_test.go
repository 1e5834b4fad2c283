//go:build lab

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVolumeAsAnotherUser runs the program as root; it lies in a directory that is closed to the other user.
func TestVolumeAsAnotherUser(t *testing.T) {
	top, err := os.MkdirTemp("", "slipway-volume-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name  string
		owner int
		mode  os.FileMode
		want  string // part of the output of a refusal; empty: it passes
	}{
		{"what belongs to root is refused", 0, 0o755, "mkdir: permission denied as uid 65534, gid 65534, groups [2000]"},
		{"what belongs to the user passes", 65534, 0o755, ""},
		{"what cannot be entered is named", 0, 0o700, "measuring as uid 65534: looking at the file system of"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(top, strings.ReplaceAll(c.name, " ", "-"))
			data := filepath.Join(dir, "data")
			if err := os.MkdirAll(data, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(data, c.owner, c.owner); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "../bin/slipway", "prometheus", "volume", data, "--uid", "65534", "--groups", "2000", "--file-size", "16Mi")
			out, err := cmd.CombinedOutput()
			if (err != nil) != (c.want != "") || !strings.Contains(string(out), c.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
