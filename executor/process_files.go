package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// The files of a run.
const (
	fileSpec       = "run.json"
	fileSupervisor = "supervise.py"
	fileInventory  = "inventory.yaml"
	fileVars       = "vars.json"
	fileKnownHosts = "known_hosts"
	dirSecrets     = "secrets"
	dirKeys        = "keys"
	filePID        = "pid"
	fileControl    = "control"
	fileEvents     = "events.jsonl"
	fileLog        = "log"
	fileResult     = "result.json"
	fileCancel     = "cancel"
	fileErrors     = "supervisor.log"
)

// runSpec is run.json: what the supervisor needs, and what tells the run apart.
type runSpec struct {
	Name           string            `json:"name"`
	Digest         string            `json:"digest"`
	Created        time.Time         `json:"created,omitzero"`
	Playbook       string            `json:"playbook"`
	Content        string            `json:"content"`
	Hosts          []string          `json:"hosts"`
	Labels         map[string]string `json:"labels,omitempty"`
	Forks          int               `json:"forks"`
	TimeoutSeconds int               `json:"timeoutSeconds"`
	Work           string            `json:"work"`
	Input          string            `json:"input"`
	Secrets        string            `json:"secrets"`
	OwnSecrets     bool              `json:"ownSecrets,omitempty"`
	Stream         bool              `json:"stream,omitempty"`
}

// newSpec is the part of a spec that does not depend on the place.
func newSpec(run Run, digest string) runSpec {
	s := runSpec{
		Name: run.Name, Digest: digest, Playbook: run.Playbook, Hosts: run.Hosts, Labels: run.Labels,
		Forks: run.Forks, TimeoutSeconds: run.TimeoutSeconds,
	}
	if s.Forks == 0 {
		s.Forks = 50
	}
	if s.TimeoutSeconds == 0 {
		s.TimeoutSeconds = 3600
	}
	return s
}

// object is JSON as it is, or the empty object.
func object(b []byte) []byte {
	if len(b) == 0 {
		return []byte("{}")
	}
	return b
}

// createRun writes a run below base, all of it or nothing.
func createRun(base string, run Run, digest, content string) (*processRun, error) {
	dir := filepath.Join(base, run.Name)
	spec := newSpec(run, digest)
	spec.Created, spec.Content = time.Now(), content
	spec.Work, spec.Input, spec.Secrets, spec.OwnSecrets = dir, dir, filepath.Join(dir, dirSecrets), true
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the run: %w", err)
	}
	fresh, err := os.MkdirTemp(base, ".new-")
	if err != nil {
		return nil, fmt.Errorf("making the directory of the run: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }() // it is gone when it was renamed
	files := map[string][]byte{
		fileSpec: text, fileSupervisor: supervisor, fileInventory: run.Inventory, fileVars: object(run.Vars),
		fileKnownHosts: run.KnownHosts, fileLog: nil, fileEvents: nil,
		filepath.Join(dirSecrets, fileVars): object(run.SecretVars),
	}
	for name, key := range run.Keys {
		files[filepath.Join(dirSecrets, dirKeys, name)] = key
	}
	for name, b := range files {
		if err := writePrivate(filepath.Join(fresh, name), b); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(fresh, dir); err != nil {
		return nil, fmt.Errorf("making the directory of the run: %w", err)
	}
	if err := durable.SyncDir(base); err != nil {
		return nil, err
	}
	return newProcessRun(dir, spec), nil
}

// writePrivate writes a file that only its owner can read, and waits until the disk has it.
func writePrivate(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return nil
}

// loadRun reads a run that an earlier operator has made. One that cannot be read is Lost: nobody can say how it goes.
func loadRun(dir, name string) *processRun {
	var spec runSpec
	b, err := os.ReadFile(filepath.Join(dir, fileSpec))
	if err == nil {
		err = json.Unmarshal(b, &spec)
	}
	if err == nil && spec.Name != name {
		err = fmt.Errorf("it is that of run %q", spec.Name)
	}
	if err != nil {
		spec = runSpec{Name: name, TimeoutSeconds: 3600}
	}
	r := newProcessRun(dir, spec)
	if err != nil {
		r.damage = fmt.Errorf("reading %s: %w", fileSpec, err)
	}
	return r
}

// readEnding reads how a run ended; false while it has not. A result that is damaged is an error, not an ending.
func readEnding(dir string) (ending, bool, error) {
	var end ending
	b, err := os.ReadFile(filepath.Join(dir, fileResult))
	if errors.Is(err, fs.ErrNotExist) {
		return end, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &end)
	}
	if err == nil && !end.Phase.Finished() {
		err = fmt.Errorf("it says %q", end.Phase)
	}
	if err != nil {
		return end, false, fmt.Errorf("the result of the run cannot be read: %w", err)
	}
	return end, true, nil
}

// writeEnding writes down how a run ended, at once.
func writeEnding(dir string, end ending) error {
	b, err := json.Marshal(end)
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	fresh := filepath.Join(dir, ".result.operator")
	if err := writePrivate(fresh, b); err != nil {
		return err
	}
	if err := os.Rename(fresh, filepath.Join(dir, fileResult)); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}
