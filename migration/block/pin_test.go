package block

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

func pinned(t *testing.T) (dir, name, folder string, p *Pin) {
	t.Helper()
	name, files := small()
	dir = t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	folder = filepath.Join(dir, "slipway-pin")
	p, err := openDir(t, dir).Pin(t.Context(), []string{name}, PinOptions{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	return dir, name, folder, p
}

func TestPinSurvivesTheDeletionOfTheBlock(t *testing.T) {
	dir, name, folder, p := pinned(t)
	_, files := small()
	one, _ := os.Stat(filepath.Join(dir, name, indexFile))
	two, _ := os.Stat(filepath.Join(folder, name, indexFile))
	if !os.SameFile(one, two) {
		t.Error("the index is a copy")
	}
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, contentsOf(t, filepath.Join(folder, name))); diff != "" {
		t.Error(diff)
	}
	if r := mustScrub(t, folder, name); r.Verdict != OK {
		t.Errorf("%s %v", r.Verdict, r.Err())
	}
	if err := p.Unpin(); err != nil {
		t.Fatal(err)
	}
	if fileExists(folder) {
		t.Error("the pin is still there")
	}
}

func TestPinIsRepeatable(t *testing.T) {
	dir, name, folder, _ := pinned(t)
	// A run that died while it linked.
	if err := os.Rename(filepath.Join(folder, name), filepath.Join(folder, name+partial)); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, dir)
	for range 2 {
		if _, err := d.Pin(t.Context(), []string{name}, PinOptions{Folder: folder}); err != nil {
			t.Fatal(err)
		}
	}
	if r := mustScrub(t, folder, name); r.Verdict != OK || fileExists(filepath.Join(folder, name+partial)) {
		t.Errorf("%s %v", r.Verdict, r.Err())
	}
	other := t.TempDir()
	writeBlock(t, filepath.Join(other, name), map[string]string{metaFile: "{}"})
	if _, err := openDir(t, other).Pin(t.Context(), []string{name}, PinOptions{Folder: folder}); err == nil {
		t.Error("a pin of another directory is taken")
	}
}

func TestPinReportsADeletedBlockAndPinsTheOthers(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	folder := filepath.Join(dir, "pin")
	gone := ulid.MustNew(1, zeroes{}).String()
	_, err := openDir(t, dir).Pin(t.Context(), []string{gone, name}, PinOptions{Folder: folder})
	var damage *Damage
	if !errors.As(err, &damage) || damage.Kind != MissingFile || !strings.Contains(err.Error(), gone) {
		t.Errorf("%v", err)
	}
	if !fileExists(filepath.Join(folder, name, indexFile)) {
		t.Error("the other block is not pinned")
	}
}

func TestUnpinRemovesOnlyWhatItMade(t *testing.T) {
	_, _, folder, p := pinned(t)
	mine := filepath.Join(folder, "mine")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Unpin(); err == nil {
		t.Error("no error although a file was left")
	}
	if !fileExists(mine) {
		t.Error("somebody's file is gone")
	}
	plain := t.TempDir()
	if err := (&Pin{Folder: plain}).Unpin(); err == nil || !fileExists(plain) {
		t.Error("a folder that is no pin was removed")
	}
}

func TestWatchDropsThePinBeforeTheServerRunsShort(t *testing.T) {
	_, _, folder, p := pinned(t)
	var free atomic.Uint64
	free.Store(100)
	looked := make(chan struct{}, 1000)
	p.free = func(string) (uint64, error) {
		looked <- struct{}{}
		return free.Load(), nil
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Watch(t.Context(), time.Millisecond, 50) }()
	<-looked
	<-looked
	if !fileExists(folder) {
		t.Error("dropped although there is space")
	}
	free.Store(49)
	var space *SpaceError
	if err := <-ended; !errors.As(err, &space) || space.Free != 49 {
		t.Errorf("%v", err)
	}
	if fileExists(folder) {
		t.Error("the pin is still there")
	}
}

// TestPinOnAnotherFileSystem needs a second file system that the test may write to.
func TestPinOnAnotherFileSystem(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "pin")
	if err != nil {
		t.Skipf("no second file system: %v", err)
	}
	defer os.RemoveAll(other)
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	if sameDevice(t, dir, other) {
		t.Skip("no second file system")
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

func TestLinkErrorsSayWhatHelps(t *testing.T) {
	forbidden := (&LinkError{File: "index", Forbidden: true, Owner: 1234, Err: syscall.EPERM}).Error()
	for _, want := range []string{"user 1234", "fs.protected_hardlinks", "as root"} {
		if !strings.Contains(forbidden, want) {
			t.Errorf("%q lacks %q", forbidden, want)
		}
	}
	if e := (&LinkError{File: "index", Err: syscall.EXDEV}).Error(); !strings.Contains(e, "allow copies") {
		t.Error(e)
	}
}

// TestPinOfFilesOfOthersIsForbidden acts as another user where the kernel protects hard links. It needs root.
func TestPinOfFilesOfOthersIsForbidden(t *testing.T) {
	protected, err := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	if os.Getuid() != 0 || err != nil || strings.TrimSpace(string(protected)) != "1" {
		t.Skip("needs root and fs.protected_hardlinks")
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
