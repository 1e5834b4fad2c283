//go:build lab

package block

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestPinOnAnotherFileSystem needs a second file system that the test may write to.
func TestPinOnAnotherFileSystem(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "pin")
	if err != nil {
		t.Fatalf("no second file system: %v", err)
	}
	defer os.RemoveAll(other)
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	if sameDevice(t, dir, other) {
		t.Fatal("no second file system")
	}
	d := openDir(t, dir)
	folder := filepath.Join(other, "pin")
	var link *LinkError
	if _, err := d.Pin(t.Context(), []string{name}, PinOptions{Folder: folder}); !errors.As(err, &link) || link.Forbidden {
		t.Errorf("without copies: %v", err)
	}
	var space *SpaceError
	if _, err := d.Pin(t.Context(), []string{name}, PinOptions{Folder: folder, Copy: true, KeepFree: 1 << 62}); !errors.As(err, &space) {
		t.Errorf("without space: %v", err)
	}
	if _, err := d.Pin(t.Context(), []string{name}, PinOptions{Folder: folder, Copy: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, contentsOf(t, filepath.Join(folder, name))); diff != "" {
		t.Error(diff)
	}
}

func sameDevice(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y syscall.Stat_t
	if err := errors.Join(syscall.Stat(a, &x), syscall.Stat(b, &y)); err != nil {
		t.Fatal(err)
	}
	return x.Dev == y.Dev
}

// TestPinOfFilesOfOthersIsForbidden acts as another user where the kernel protects hard links. It needs root.
func TestPinOfFilesOfOthersIsForbidden(t *testing.T) {
	protected, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	if os.Getuid() != 0 || err != nil || strings.TrimSpace(string(protected)) != "1" {
		t.Fatal("needs root and fs.protected_hardlinks")
	}
	const nobody = 65534
	name, files := small()
	dir, err := os.MkdirTemp("", "pin")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	writeBlock(t, filepath.Join(dir, name), files)
	space := filepath.Join(dir, "space")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(space, 0o700), os.Chown(space, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, dir)
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	if err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody)); err != nil {
		t.Fatal(err)
	}
	_, err = d.Pin(t.Context(), []string{name}, PinOptions{Folder: filepath.Join(space, "pin"), Copy: true})
	back := errors.Join(unix.Setfsuid(0), unix.Setfsgid(0))
	if back != nil {
		t.Fatal(back)
	}
	var link *LinkError
	if !errors.As(err, &link) || !link.Forbidden || link.Owner != 0 {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(space, "pin")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
