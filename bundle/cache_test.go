package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func testCache(t *testing.T) *cache {
	t.Helper()
	c, err := newCache(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writer(text string) func(context.Context, string) (any, error) {
	return func(_ context.Context, dir string) (any, error) {
		return "note", os.WriteFile(filepath.Join(dir, "program"), []byte(text), 0o755)
	}
}

func refuse(t *testing.T) func(context.Context, string) (any, error) {
	return func(context.Context, string) (any, error) {
		t.Error("a finished entry was made again")
		return nil, nil
	}
}

func TestCacheMakesAnEntryOnce(t *testing.T) {
	c := testCache(t)
	e, err := c.make(t.Context(), "key", "program", writer("v1"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.make(t.Context(), "key", "program", refuse(t)); err != nil || again.path("program") != e.path("program") || string(again.Note) != `"note"` {
		t.Errorf("the second time: %+v %v", again, err)
	}
	if err := e.check(); err != nil {
		t.Error(err)
	}
}

func TestCacheLeavesNothingOfAFailedStep(t *testing.T) {
	c := testCache(t)
	broken := errors.New("cut off")
	_, err := c.make(t.Context(), "key", "program", func(ctx context.Context, dir string) (any, error) {
		_, _ = writer("half")(ctx, dir)
		return nil, broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(c.dir, "entries")); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	if _, err := c.make(t.Context(), "key", "program", writer("whole")); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestCacheRemovesWhatAKilledStepLeft(t *testing.T) {
	c := testCache(t)
	left := filepath.Join(c.dir, "entries", partialPrefix+"key-123")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := c.make(t.Context(), "key", "program", writer("whole")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the partial entry is still there: %v", err)
	}
}

func TestCacheMakesADamagedEntryAgain(t *testing.T) {
	c := testCache(t)
	e, err := c.make(t.Context(), "key", "program", writer("whole"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(e.path("program"), 1); err != nil {
		t.Fatal(err)
	}
	if e, err = c.make(t.Context(), "key", "program", writer("whole")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(e.path("program")); err != nil || string(data) != "whole" {
		t.Errorf("got %q %v", data, err)
	}
	edit(t, e.path("program"), func([]byte) []byte { return []byte("WHOLE") })
	if err := e.check(); err == nil || !strings.Contains(err.Error(), "was changed after it was built") {
		t.Errorf("bytes changed in place: got %v", err)
	}
}

func TestCacheLetsOneOfManyWork(t *testing.T) {
	c := testCache(t)
	var calls atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := c.make(t.Context(), "key", "program", func(ctx context.Context, dir string) (any, error) {
				calls.Add(1)
				return writer("v1")(ctx, dir)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := calls.Load(); n != 1 {
		t.Errorf("the step ran %d times", n)
	}
}

func TestCacheWaitEndsWithTheContext(t *testing.T) {
	c := testCache(t)
	unlock, err := c.lock(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.make(ctx, "key", "program", refuse(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
