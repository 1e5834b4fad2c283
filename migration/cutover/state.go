package cutover

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// stateFile and backupDir are ours within the state directory, which may hold the state of other commands too.
const (
	stateFile    = "cutover.json"
	lockFile     = "cutover.lock"
	backupDir    = "cutover-files"
	stateVersion = 1
)

// Phase is how far a step or the whole is.
type Phase string

// Phases. A step that is Begun may or may not have been made; it is looked at. Finalized is of the whole alone.
const (
	Planned   Phase = "Planned"
	Begun     Phase = "Begun"
	Done      Phase = "Done"
	Undone    Phase = "Undone"
	Finalized Phase = "Finalized"
)

// State is the journal of a cutover. It holds no secrets; the files that it names may.
type State struct {
	Version int       `json:"version"`
	Phase   Phase     `json:"phase"`
	Spec    *Spec     `json:"spec"`
	Steps   []*Record `json:"steps"`
}

// Record is one step and what there was before it.
type Record struct {
	Step    string `json:"step"`
	Subject string `json:"subject,omitempty"`
	Phase   Phase  `json:"phase"`
	// Time is when the phase was reached.
	Time time.Time `json:"time,omitzero"`
	// OldURL and NewURL are those of a data source.
	OldURL string `json:"oldURL,omitempty"`
	NewURL string `json:"newURL,omitempty"`
	// File is the file that was changed, Before and After the SHA-256 of its text; both texts are kept below the state directory.
	File   string `json:"file,omitempty"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Alertmanagers are those that the source sent to.
	Alertmanagers []string `json:"alertmanagers,omitempty"`
}

func (r *Record) key() string { return r.Step + " " + r.Subject }

// disk is the files that a cutover reads and writes.
type disk interface {
	// read returns a whole file of limited size.
	read(path string) ([]byte, error)
	// replace puts a whole file in the place of another, in one step that survives a crash. A file that exists keeps its mode and owner.
	replace(path string, data []byte) error
}

type osDisk struct{}

func (osDisk) read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, err
}

func (osDisk) replace(path string, data []byte) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode, owner := fs.FileMode(0o600), (*syscall.Stat_t)(nil)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		owner, _ = info.Sys().(*syscall.Stat_t)
	}
	// Always the same name: what a killed command left behind is written over, and not left beside a file with secrets.
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".slipway-new")
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(temporary) // is gone after the rename
	if err := errors.Join(fill(f, data, mode, owner), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

func fill(f *os.File, data []byte, mode fs.FileMode, owner *syscall.Stat_t) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && owner != nil && (int(owner.Uid) != os.Geteuid() || int(owner.Gid) != os.Getegid()) {
		if err = f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			err = fmt.Errorf("keeping its owner %d:%d (run this as that user or as root): %w", owner.Uid, owner.Gid, err)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}

// store is the state directory.
type store struct {
	dir  string
	disk disk
}

// lock keeps a second command away until the returned function is called.
func (s store) lock() (func(), error) {
	if err := os.MkdirAll(filepath.Join(s.dir, backupDir), 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	f, err := durable.TryLock(filepath.Join(s.dir, lockFile))
	if errors.Is(err, durable.ErrHeld) {
		return nil, fmt.Errorf("locking %s: another command works with it", s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// load reads the journal; nil when there is none.
func (s store) load() (*State, error) {
	path := filepath.Join(s.dir, stateFile)
	data, err := s.disk.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	st, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("reading the state %s: %w", path, err)
	}
	return st, nil
}

func parseState(data []byte) (*State, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var st State
	if err := dec.Decode(&st); err != nil {
		return nil, err
	}
	if st.Version != stateVersion || st.Spec == nil {
		return nil, fmt.Errorf("its version is %d, this program knows %d", st.Version, stateVersion)
	}
	for i, r := range st.Steps {
		if r == nil {
			return nil, fmt.Errorf("step %d is empty", i)
		}
	}
	return &st, st.Spec.complete()
}

func (s store) save(ctx context.Context, st *State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	if err := s.disk.replace(filepath.Join(s.dir, stateFile), append(data, '\n')); err != nil {
		return fmt.Errorf("keeping the state: %w", err)
	}
	return nil
}

// keep stores a text under its digest, and returns that.
func (s store) keep(data []byte) (string, error) {
	sum := digest(data)
	if _, err := s.recall(sum); err == nil {
		return sum, nil
	}
	if err := s.disk.replace(s.kept(sum), data); err != nil {
		return "", fmt.Errorf("keeping a copy: %w", err)
	}
	return sum, nil
}

// recall returns a text that was kept.
func (s store) recall(sum string) ([]byte, error) {
	if len(sum) != 2*sha256.Size || filepath.Base(sum) != sum {
		return nil, fmt.Errorf("the state names a copy %q, which is no digest", sum)
	}
	data, err := s.disk.read(s.kept(sum))
	if err != nil {
		return nil, fmt.Errorf("reading a copy: %w", err)
	}
	if digest(data) != sum {
		return nil, fmt.Errorf("the copy %s was changed; what it held is lost", s.kept(sum))
	}
	return data, nil
}

func (s store) kept(sum string) string { return filepath.Join(s.dir, backupDir, sum) }

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
