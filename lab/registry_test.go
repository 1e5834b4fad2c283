package lab

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func testRegistry(t *testing.T, used ...string) registry {
	t.Helper()
	return registry{dir: t.TempDir(), nets: func() ([]netip.Prefix, error) {
		var nets []netip.Prefix
		for _, text := range used {
			nets = append(nets, netip.MustParsePrefix(text))
		}
		return nets, nil
	}}
}

func TestReserveNeverGivesAnIndexTwice(t *testing.T) {
	r := testRegistry(t, "198.18.2.0/24", "10.0.0.0/8")
	var group sync.WaitGroup
	indices := make([]int, 8)
	for i := range indices {
		group.Go(func() {
			index, err := r.reserve(t.Context(), "lab", "/labs/lab", 0)
			if err != nil {
				t.Error(err)
			}
			indices[i] = index
		})
	}
	group.Wait()
	slices.Sort(indices)
	if want := []int{1, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(indices, want) {
		t.Errorf("got %v, want %v: the host uses 198.18.2.0/24 itself", indices, want)
	}
}

func TestReserve(t *testing.T) {
	t.Run("gives a released index again", func(t *testing.T) {
		r := testRegistry(t)
		first, err := r.reserve(t.Context(), "a", "/labs/a", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.release(first); err != nil {
			t.Fatal(err)
		}
		if second, err := r.reserve(t.Context(), "b", "/labs/b", 0); err != nil || second != first {
			t.Errorf("got %d, %v", second, err)
		}
	})
	t.Run("refuses a wanted index that is taken", func(t *testing.T) {
		r := testRegistry(t, "198.18.5.1/32")
		if index, err := r.reserve(t.Context(), "a", "/labs/a", 5); err == nil {
			t.Errorf("got %d", index)
		}
	})
	t.Run("refuses when everything is taken", func(t *testing.T) {
		r := testRegistry(t, "198.18.0.0/16")
		if index, err := r.reserve(t.Context(), "a", "/labs/a", 0); err == nil {
			t.Errorf("got %d", index)
		}
	})
}

func TestReserveBesideOthers(t *testing.T) {
	t.Run("ignores claims of an earlier boot and counts torn ones as taken", func(t *testing.T) {
		r := testRegistry(t)
		for name, text := range map[string]string{"1.json": `{"index":1,"boot":"before"}`, "2.json": `{"ind`, "x.json": "{}"} {
			if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int{1, 3} {
			if index, err := r.reserve(t.Context(), "a", "/labs/a", 0); err != nil || index != want {
				t.Errorf("got %d, %v, want %d", index, err, want)
			}
		}
	})
	t.Run("waits for the lock until its time is up", func(t *testing.T) {
		r := testRegistry(t)
		unlock, err := r.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 5*pollInterval)
		defer cancel()
		if index, err := r.reserve(ctx, "a", "/labs/a", 0); err == nil {
			t.Errorf("got %d from under the lock", index)
		}
	})
}

func TestClaimStale(t *testing.T) {
	me := processOf(os.Getpid())
	dead := process{PID: me.PID, StartTime: me.StartTime + 1}
	for _, c := range []struct {
		name, state string
		creator     process
		want        string
	}{
		{"keeps a lab that is ready", sampleStateText(t), process{}, ""},
		{"keeps a lab that is being made", "", me, ""},
		{"keeps a lab while the process that it belongs to lives", belongingText(t), me, ""},
		{"gives up a lab whose process is gone", belongingText(t), dead, "the process that it belonged to is gone"},
		{"gives up a lab whose creator died before it wrote", "", dead, "its state is gone"},
		{"gives up a state that cannot be read", "{", dead, "its state does not name it"},
		{"gives up a half-made lab", replaceOnce(sampleStateText(t), `"ready"`, `"creating"`), dead, "its creator died half-way"},
		{"gives up a state of another index", replaceOnce(sampleStateText(t), `"index":7`, `"index":8`), process{}, "its state does not name it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.state != "" {
				if err := os.WriteFile(filepath.Join(dir, "lab.json"), []byte(c.state), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := (claim{Index: 7, Dir: dir, Creator: c.creator}).stale(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func belongingText(t *testing.T) string {
	return replaceOnce(sampleStateText(t), `"spec":{`, `"spec":{"withCreator":true,`)
}

func replaceOnce(text, old, with string) string {
	for i := range len(text) - len(old) + 1 {
		if text[i:i+len(old)] == old {
			return text[:i] + with + text[i+len(old):]
		}
	}
	return text
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	// The holder deletes the directory, as lab delete does; who waits must not believe in the deleted lock.
	waiter := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		release, err := lockFile(ctx, path)
		if err == nil {
			if !exists(path) {
				t.Error("locked a file that does not exist")
			}
			release()
		}
		waiter <- err
	}()
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-waiter; err != nil {
		t.Error(err)
	}
}
