//go:build lab

package move

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// smallVolume mounts a volume for a new server, which asks for 512 MB whenever it writes a block.
func smallVolume(t *testing.T) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "volume")
	out, err := exec.CommandContext(t.Context(), "sh", "-euc", `truncate -s 1536M "$1"; mkfs.ext4 -q -F -m 0 "$1"; mount -o loop "$1" "$2"`, "sh", image, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("mounting a small volume: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes half of the new server's volume: what is left is enough for the server, which ends itself without, and less than is to stay free.
func (f *faulty) fill() {
	file, err := os.Create(f.ballast())
	if err == nil {
		err = errors.Join(syscall.Fallocate(int(file.Fd()), 0, 0, 800<<20), file.Close())
	}
	if err != nil {
		f.t.Fatalf("filling the volume: %v", err)
	}
}

func (f *faulty) ballast() string { return filepath.Join(f.target.Dir, "ballast") }

// TestMoveWithAFullVolumeAndNoPressure moves from a host whose kernel tells no pressure to a volume that somebody fills.
func TestMoveWithAFullVolumeAndNoPressure(t *testing.T) {
	s := newSite(t)
	o := s.old("30d")
	before := o.owned(t)
	masked := []string{"unshare", "--mount", "sh", "-euc", `mount --bind "$1" /proc/pressure; shift; exec "$@"`, "sh", t.TempDir()}
	f := s.faulty(t, o, faultOptions{before: masked, targetData: smallVolume(t)})
	f.words = append(f.words, "--keep-free", "900MiB")
	f.fill()
	f.through(fault{
		stops: RuleTargetFull, says: []string{"make room and run again"},
		mend: func(f *faulty) {
			if err := os.Remove(f.ballast()); err != nil {
				f.t.Fatal(err)
			}
		},
	})
	if diff := cmp.Diff(map[string]bool{"QueryLatency": true, "DiskStats": true}, f.signals); diff != "" {
		t.Errorf("what the throttle had to go by (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, o.owned(t)); diff != "" {
		t.Errorf("the old server is not as it was (-want +got):\n%s", diff)
	}
}
