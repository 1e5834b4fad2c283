package executor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const journalName = "world.jsonl"

// journal keeps what cannot be computed again: which runs started when with which timetable, what was ended or
// removed from outside. Everything else follows from the clock. The nil journal keeps nothing.
type journal struct {
	file *os.File
}

// record is one line of a journal.
type record struct {
	At     time.Time                            `json:"at,omitzero"`
	Hosts  map[string]map[string]*simulatedHost `json:"hosts,omitempty"` // of all clusters, first line only
	Start  *simulatedRun                        `json:"start,omitempty"`
	End    *namedEnding                         `json:"end,omitempty"`
	Remove string                               `json:"remove,omitempty"`
}

// namedEnding is how a run was ended from outside.
type namedEnding struct {
	Name string `json:"name"`
	ending
}

func (j *journal) write(r record) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a record of the world: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the journal of the world: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}

// OpenWorld opens a world that is kept in a directory, made with mode 0700 when it is not there. What should have
// happened since it was last open has happened. One process at a time opens a directory.
func OpenWorld(dir string) (*World, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the world: %w", err)
	}
	w := NewWorld()
	path := filepath.Join(dir, journalName)
	if err := w.replay(path); err != nil {
		return nil, err
	}
	if err := w.compact(path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal of the world: %w", err)
	}
	w.journal = &journal{file: file}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arm()
	return w, nil
}

// replay reads a journal up to its end or to a line that was torn by a crash, which can only be the last one.
func (w *World) replay(path string) error {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the journal of the world: %w", err)
	}
	for number := 1; ; number++ {
		line, rest, whole := bytes.Cut(content, []byte{'\n'})
		if !whole {
			break
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("reading the journal of the world, line %d of %s: %w", number, path, err)
		}
		if err := w.replayRecord(r); err != nil {
			return fmt.Errorf("reading the journal of the world, line %d of %s: %w", number, path, err)
		}
		content = rest
	}
	w.advance(time.Now())
	return nil
}

func (w *World) replayRecord(r record) error {
	if !r.At.IsZero() {
		w.advance(r.At)
	}
	switch {
	case r.Hosts != nil:
		w.clusters = r.Hosts
	case r.Start != nil:
		if !r.Start.sound() {
			return fmt.Errorf("run %s is damaged", r.Start.Name)
		}
		w.add(r.Start)
	case r.End != nil:
		if run, ok := w.runs[r.End.Name]; ok {
			w.finish(run, r.End.Phase, r.End.Message)
		}
	case r.Remove != "":
		delete(w.runs, r.Remove)
	}
	return nil
}

// sound says that a run from a journal can be played.
func (r *simulatedRun) sound() bool {
	steps := len(r.Hosts) * (r.Tasks + 1)
	return r.Tasks > 0 && len(r.Hosts) > 0 && len(r.Plan) == len(r.Hosts) && r.Passed >= 0 && r.Passed <= steps
}

// compact replaces the journal by one of the present state, at once or not at all.
func (w *World) compact(path string) error {
	file, err := os.CreateTemp(filepath.Dir(path), journalName+".*")
	if err != nil {
		return fmt.Errorf("compacting the journal of the world: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone when it was renamed
	defer file.Close()
	out := bufio.NewWriter(file)
	encode := json.NewEncoder(out)
	records := []record{{At: time.Now(), Hosts: w.clusters}}
	for _, run := range w.runs {
		records = append(records, record{Start: run})
	}
	for _, r := range records {
		if err := encode.Encode(r); err != nil {
			return fmt.Errorf("compacting the journal of the world: %w", err)
		}
	}
	if err := errors.Join(out.Flush(), file.Sync(), os.Rename(file.Name(), path)); err != nil {
		return fmt.Errorf("compacting the journal of the world: %w", err)
	}
	return nil
}
