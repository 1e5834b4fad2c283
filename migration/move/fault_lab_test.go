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

// fill takes what is free on the new server's volume but some KB, which its own log needs. The link is held meanwhile.
func (f *faulty) fill() {
	var stat syscall.Statfs_t
	err := syscall.Statfs(f.target.Dir, &stat)
	if err == nil {
		var file *os.File
		if file, err = os.Create(f.ballast()); err == nil {
			err = errors.Join(syscall.Fallocate(int(file.Fd()), 0, 0, int64(stat.Bavail)*stat.Bsize-256<<10), file.Close())
		}
	}
	if err != nil {
		f.t.Errorf("filling the volume: %v", err)
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
	f.through(fault{
		answers: func(f *faulty) []harm { return []harm{once(f.fill)} },
		stops:   RuleTargetFull, says: []string{"make room and run again"},
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
