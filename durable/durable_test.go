package durable

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for _, text := range []string{"one", "another"} {
		if err := Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Errorf("it holds %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReplaceWithKeepsWhatIsThereWhenWritingEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	broken := errors.New("no more")
	for _, end := range []error{nil, broken} {
		err := ReplaceWith(path, 0o600, func(w io.Writer) error {
			_, err := io.WriteString(w, "whole")
			return errors.Join(err, end)
		})
		if !errors.Is(err, end) {
			t.Errorf("%v, want %v", err, end)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Errorf("it holds %q, %v", got, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReplaceKeepsWhatIsThereWhenItCannot(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := Replace(filepath.Join(dir, "no", "such"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrHeld) {
		t.Errorf("a second one: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := Lock(ctx, path); err == nil || err.Error() != "waiting for "+path+": enough" {
		t.Errorf("waiting in vain: %v", err)
	}
	got := make(chan error)
	go func() {
		f, err := Lock(t.Context(), path)
		if err == nil {
			err = f.Close()
		}
		got <- err
	}()
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("after the first let go: %v", err)
	}
}

func TestOneWorksAndTheOthersWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, most int
	var guard sync.Mutex
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			held, err := Lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			guard.Lock()
			inside++
			most = max(most, inside)
			guard.Unlock()
			guard.Lock()
			inside--
			guard.Unlock()
			_ = held.Close()
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
	held, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ended, path); err == nil {
		t.Error("a lock that another holds was taken")
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if _, err := Read(path, 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := Read(path, 4); err != nil || string(data) != "four" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := Read(path, 3); err == nil {
		t.Error("a file that is too large is cut short")
	}
}
