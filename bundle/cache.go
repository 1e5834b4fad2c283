package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/durable"
)

// cache keeps build results by the key of their inputs. An entry is a directory that appears by
// one rename, so what exists is whole, and a build that was cut off starts again at the first
// entry that is missing.
type cache struct {
	dir string
}

// entry is one finished result: files with their digests.
type entry struct {
	Name  string               `json:"name"`
	Files map[string]entryFile `json:"files"`
	// Note is what the step that made the entry wants to keep beside its files.
	Note json.RawMessage `json:"note,omitempty"`

	dir string
}

type entryFile struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const (
	entryRecord   = "entry.json"
	partialPrefix = ".partial-"
)

// CacheDir resolves the cache directory: the argument, $SLIPWAY_CACHE, or ~/.cache/slipway.
func CacheDir(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv("SLIPWAY_CACHE")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache directory (set SLIPWAY_CACHE): %w", err)
		}
		dir = filepath.Join(home, ".cache", "slipway")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return abs, nil
}

func newCache(dir string) (*cache, error) {
	dir, err := CacheDir(dir)
	if err != nil {
		return nil, err
	}
	c := &cache{dir: filepath.Join(dir, "bundle")}
	for _, sub := range []string{"entries", "locks", "scratch"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("making the cache directory: %w", err)
		}
	}
	return c, nil
}

// get returns the entry if it is there and its files have their recorded sizes.
func (c *cache) get(key string) (*entry, bool) {
	dir := filepath.Join(c.dir, "entries", key)
	data, err := os.ReadFile(filepath.Join(dir, entryRecord))
	if err != nil {
		return nil, false
	}
	e := &entry{dir: dir}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, false
	}
	for name, f := range e.Files {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != f.Size {
			return nil, false
		}
	}
	return e, true
}

// make returns the entry of key, and runs fill in an empty directory when it is missing. Two
// processes that want the same entry wait for each other.
func (c *cache) make(ctx context.Context, key, name string, fill func(ctx context.Context, dir string) (note any, err error)) (*entry, error) {
	if e, ok := c.get(key); ok {
		return e, nil
	}
	unlock, err := c.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if e, ok := c.get(key); ok {
		return e, nil
	}
	if err := c.removePartial(key); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(filepath.Join(c.dir, "entries"), partialPrefix+key+"-")
	if err != nil {
		return nil, fmt.Errorf("making a cache entry: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // what is left is removed by the next one
	if err := os.Chmod(temp, 0o755); err != nil {
		return nil, fmt.Errorf("making a cache entry: %w", err)
	}
	note, err := fill(ctx, temp)
	if err != nil {
		return nil, err
	}
	return c.commit(temp, key, name, note)
}

// removePartial removes what a killed build of the same entry left; the caller holds the lock.
func (c *cache) removePartial(key string) error {
	left, err := filepath.Glob(filepath.Join(c.dir, "entries", partialPrefix+key+"-*"))
	if err != nil {
		return fmt.Errorf("looking for partial cache entries: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing a partial cache entry: %w", err)
		}
	}
	return nil
}

func (c *cache) commit(temp, key, name string, note any) (*entry, error) {
	e := &entry{Name: name, Files: map[string]entryFile{}, dir: filepath.Join(c.dir, "entries", key)}
	err := filepath.WalkDir(temp, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(temp, path)
		if err != nil {
			return err
		}
		sum, size, err := digestFile(path)
		if err != nil {
			return err
		}
		e.Files[rel] = entryFile{Size: size, SHA256: sum}
		return syncPath(path)
	})
	if err != nil {
		return nil, fmt.Errorf("recording cache entry of %s: %w", name, err)
	}
	if e.Note, err = json.Marshal(note); err != nil {
		return nil, fmt.Errorf("recording cache entry of %s: %w", name, err)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("recording cache entry of %s: %w", name, err)
	}
	if err := writeFileSync(filepath.Join(temp, entryRecord), data, 0o644); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(e.dir); err != nil {
		return nil, fmt.Errorf("replacing a damaged cache entry: %w", err)
	}
	if err := os.Rename(temp, e.dir); err != nil {
		return nil, fmt.Errorf("committing cache entry of %s: %w", name, err)
	}
	return e, nil
}

// lock takes the lock file of a key, and waits for another build.
func (c *cache) lock(ctx context.Context, key string) (func(), error) {
	f, err := durable.Lock(ctx, filepath.Join(c.dir, "locks", key))
	if err != nil {
		return nil, fmt.Errorf("locking the cache entry: %w", err)
	}
	return func() { f.Close() }, nil
}

func (e *entry) path(name string) string { return filepath.Join(e.dir, name) }

// check compares the files of the entry with their recorded digests.
func (e *entry) check() error {
	for name, f := range e.Files {
		sum, _, err := digestFile(e.path(name))
		if err != nil {
			return err
		}
		if sum != f.SHA256 {
			return fmt.Errorf("cache entry %s: %s was changed after it was built; remove %s", e.Name, name, e.dir)
		}
	}
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}

func writeFileSync(path string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncPath(path)
}
