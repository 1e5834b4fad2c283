package block

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
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

// TestPinIsMadeAfterAKill: killed while it wrote what makes the folder a pin.
func TestPinIsMadeAfterAKill(t *testing.T) {
	for _, left := range []string{"", pinFile + partial} {
		dir, name, folder, p := pinned(t)
		if err := p.Unpin(); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if left != "" {
			if err := os.WriteFile(filepath.Join(folder, left), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d := openDir(t, dir)
		again, err := d.Pin(t.Context(), []string{name}, PinOptions{Folder: folder})
		if err != nil || mustScrub(t, folder, name).Verdict != OK {
			t.Fatalf("%q was left: %v", left, err)
		}
		if err := again.Unpin(); err != nil || fileExists(folder) {
			t.Errorf("%q was left: %v, or the folder is there", left, err)
		}
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
