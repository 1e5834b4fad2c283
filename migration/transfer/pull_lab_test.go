//go:build lab

package transfer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestPullKeepsEverythingWhenTheDiskIsFull(t *testing.T) {
	dir, names := sourceDir(t)
	local := openLocal(t, LocalOptions{Data: dir})
	t.Run("and asks before a byte travels", func(t *testing.T) {
		source := &between{Source: local}
		_, err := Pull(t.Context(), pullOptions(source, smallDisk(t, "1m"), names))
		var full *NoSpaceError
		if !errors.As(err, &full) || full.Needed < 1<<20 || len(source.reads) > 0 {
			t.Fatalf("%d reads, %v", len(source.reads), err)
		}
	})
	t.Run("and goes on when there is room again", func(t *testing.T) {
		target := smallDisk(t, "2m")
		var reads atomic.Int32
		o := pullOptions(&between{Source: local, before: func(Range) error {
			if reads.Add(1) == 8 {
				_ = os.WriteFile(filepath.Join(target, "else"), make([]byte, 2<<20), 0o600) // until the disk is full
			}
			return nil
		}}, target, names)
		_, err := Pull(t.Context(), o)
		var full *NoSpaceError
		if !errors.As(err, &full) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "run again") {
			t.Fatalf("%v", err)
		}
		if err := os.Remove(filepath.Join(target, "else")); err != nil {
			t.Fatal(err)
		}
		o.Source = local
		r := mustPull(t, o)
		sameBlocks(t, r, names)
		if r.BytesKept < 7*10_000 || r.BytesKept+r.BytesFetched != totalBytes(t, names) {
			t.Errorf("%+v", r)
		}
	})
}

// smallDisk mounts a file system in memory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	target := t.TempDir()
	if err := syscall.Mount("tmpfs", target, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "size="+size); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return target
}
