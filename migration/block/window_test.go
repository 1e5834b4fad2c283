package block

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func testWindow(t *testing.T, data []byte, step int) *window {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := newWindow(f, step, func(int) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindowGivesTheBytesOfTheFile(t *testing.T) {
	data := make([]byte, 10_000)
	for i := range data {
		data[i] = byte(i * 7 / 3)
	}
	w := testWindow(t, data, 64)
	for _, place := range []struct{ off, n int }{{0, 1}, {0, 64}, {10, 60}, {63, 2}, {64, 200}, {5000, 5000}, {100, 3}, {9999, 1}, {10_000, 0}, {0, 10_000}} {
		got, err := w.at(int64(place.off), place.n)
		if err != nil || !bytes.Equal(got, data[place.off:place.off+place.n]) {
			t.Errorf("%+v: %v", place, err)
		}
	}
	for _, place := range []struct{ off, n int }{{0, 10_001}, {10_000, 1}, {-1, 2}, {3, -1}, {1 << 60, 1}} {
		if _, err := w.at(int64(place.off), place.n); !errors.Is(err, errShort) {
			t.Errorf("%+v: %v", place, err)
		}
	}
}

func TestWindowTellsWhereTheDiskFails(t *testing.T) {
	w := testWindow(t, make([]byte, 1000), 100)
	if err := w.file.Truncate(150); err != nil {
		t.Fatal(err)
	}
	_, err := w.at(100, 100)
	var disk *diskError
	if !errors.As(err, &disk) || disk.off != 150 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%+v", err)
	}
	mem, err := os.Open("/proc/self/mem") // nothing is mapped at its start: an input/output error
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	w = &window{file: mem, size: 4096, step: 64, pace: func(int) error { return nil }}
	if _, err := w.at(0, 10); !errors.As(err, &disk) || disk.off != 0 {
		t.Errorf("%+v", err)
	}
}

func TestScrubCallsADiskThatFailsUnreadable(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	segment := filepath.Join(dir, name, "chunks/000002")
	r, err := openDir(t, dir).Scrub(t.Context(), name, ScrubOptions{Pace: func(_ context.Context, n int) error {
		if n == len(files["chunks/000002"]) { // opened, not yet read
			return os.Truncate(segment, 100)
		}
		return nil
	}})
	if err != nil || r.Verdict != Damaged || r.Damage[0].Kind != Unreadable || r.Damage[0].File != "chunks/000002" {
		t.Errorf("%+v %v", r, err)
	}
}
