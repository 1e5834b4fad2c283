package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/search/ledger"
)

// maxLedger is what 100,000 entries of 2 KB take, with room.
const maxLedger = 1 << 30

// FileLedger keeps a ledger in one file, which is read when it is opened and replaced when something is put: for commands, not for a daemon with
// 100,000 indices.
type FileLedger struct {
	path      string
	lifecycle string
	held      *os.File
	entries   []ledger.Entry
	at        map[string]int // by key
}

// OpenLedger opens the ledger of a folder for the entries of one lifecycle, and keeps others out until it is closed.
func OpenLedger(dir, lifecycle string) (*FileLedger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for the ledger: %w", err)
	}
	l := &FileLedger{path: filepath.Join(dir, "ledger.jsonl"), lifecycle: lifecycle, at: map[string]int{}}
	var err error
	if l.held, err = durable.TryLock(l.path + ".lock"); err != nil {
		if errors.Is(err, durable.ErrHeld) {
			return nil, fmt.Errorf("locking %s: another slipway works with this ledger", l.path)
		}
		return nil, fmt.Errorf("locking the ledger: %w", err)
	}
	data, err := durable.Read(l.path, maxLedger)
	if err == nil {
		l.entries, err = ledger.ReadLines(bytes.NewReader(data))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", l.path, err), l.Close())
	}
	for i := range l.entries {
		l.at[l.entries[i].Key()] = i
	}
	return l, nil
}

// Close lets others in.
func (l *FileLedger) Close() error { return l.held.Close() }

// Get is a copy of the entry of an index; nil when there is none.
func (l *FileLedger) Get(index string) (*ledger.Entry, error) {
	i, ok := l.at[(&ledger.Entry{Lifecycle: l.lifecycle, Index: index}).Key()]
	if !ok {
		return nil, nil
	}
	data, err := ledger.Encode(&l.entries[i])
	if err != nil {
		return nil, err
	}
	return ledger.Decode(data)
}

// Entries are the names of all indices that the lifecycle has entries of.
func (l *FileLedger) Entries() []string {
	var names []string
	for i := range l.entries {
		if l.entries[i].Lifecycle == l.lifecycle {
			names = append(names, l.entries[i].Index)
		}
	}
	return names
}

// Put writes entries; either all of them are on disk when it returns, or none.
func (l *FileLedger) Put(entries ...*ledger.Entry) error {
	next := append([]ledger.Entry{}, l.entries...)
	at := map[string]int{}
	for key, i := range l.at {
		at[key] = i
	}
	for _, e := range entries {
		if i, ok := at[e.Key()]; ok {
			next[i] = *e
			continue
		}
		at[e.Key()] = len(next)
		next = append(next, *e)
	}
	var b bytes.Buffer
	if err := ledger.WriteLines(&b, next); err != nil {
		return err
	}
	if err := durable.Replace(l.path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	l.entries, l.at = next, at
	return nil
}
