package volume

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func small(dir string) Options { return Options{Dir: dir, FileBytes: minFile, Syncs: 20, Reads: 50} }

func TestMeasureADirectory(t *testing.T) {
	dir := t.TempDir()
	var said []string
	o := small(dir)
	o.Progress = func(what string) { said = append(said, what) }
	r, err := Measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Abilities {
		if a.Error != "" {
			t.Errorf("%s: %s", a.Name, a.Error)
		}
	}
	if !r.Measured || r.Sync.Count != 20 || r.RandomRead.Count != 50 || r.SequentialReadBytesPerSecond <= 0 || r.SequentialWriteBytesPerSecond <= 0 ||
		r.ParallelReadsPerSecond <= 0 || r.RandomWrite.Count != 50 || r.DirectWriteBytesPerSecond <= 0 {
		t.Errorf("measured %+v", r)
	}
	if l := r.Sync; l.P50 > l.P99 || l.P99 > l.Max {
		t.Errorf("syncs %+v are not in order", l)
	}
	if r.FileSystem.Type == "" || r.FileSystem.FreeBytes <= 0 || len(said) != 8 {
		t.Errorf("file system %+v, said %v", r.FileSystem, said)
	}
	expectNothing(t, dir)
}

func expectNothing(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestMeasureLeavesNothingWhenItIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	o := small(dir)
	o.Progress = func(what string) {
		if what == "random reads" {
			cancel()
		}
	}
	if _, err := Measure(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	expectNothing(t, dir)
}

func TestMeasureRemovesWhatAKilledOneLeft(t *testing.T) {
	dir := t.TempDir()
	old, fresh, other := filepath.Join(dir, probePrefix+"1"), filepath.Join(dir, probePrefix+"2"), filepath.Join(dir, "wal")
	for _, d := range []string{old, fresh, other} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-time.Hour)
	for _, d := range []string{old, other} {
		if err := os.Chtimes(d, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Measure(t.Context(), small(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there", old)
	}
	for _, d := range []string{fresh, other} {
		if _, err := os.Stat(d); err != nil {
			t.Error(err)
		}
	}
}

func TestMeasureWantsADirectoryThatIsThere(t *testing.T) {
	if _, err := Measure(t.Context(), small(filepath.Join(t.TempDir(), "none"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestLatency(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(100-i)*time.Millisecond)
	}
	want := Latency{Count: 100, P50: 51_000, P99: 100_000, Max: 100_000}
	if diff := cmp.Diff(want, latency(took)); diff != "" {
		t.Error(diff)
	}
	if got := latency(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}
