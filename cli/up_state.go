package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/plane"
)

// phase is how far `slipway up` is.
type phase string

const (
	phaseStarting phase = "Starting"
	phaseRunning  phase = "Running"
	phaseStopping phase = "Stopping"
	phaseFailed   phase = "Failed"
)

// upState is what `slipway up` writes down for other commands: who runs, and where to find what.
type upState struct {
	Process      plane.Process `json:"process"`
	Phase        phase         `json:"phase"`
	Message      string        `json:"message,omitempty"` // why it failed
	Started      time.Time     `json:"started"`
	Version      string        `json:"version"`
	Executor     string        `json:"executor"`
	Controllers  []string      `json:"controllers,omitempty"`
	Kubeconfig   string        `json:"kubeconfig,omitempty"`
	API          string        `json:"api,omitempty"`
	Mirrors      []string      `json:"mirrors,omitempty"`
	MirrorListen string        `json:"mirrorListen,omitempty"`
	Bundles      []upBundle    `json:"bundles,omitempty"`
	Content      string        `json:"content,omitempty"`
	Metrics      string        `json:"metrics,omitempty"`
	Log          string        `json:"log,omitempty"`
}

type upBundle struct {
	Kubernetes string `json:"kubernetes"`
	Digest     string `json:"digest"`
}

// upHome is the home directory of one installation.
type upHome string

func (h upHome) plane() string   { return filepath.Join(string(h), "plane") }
func (h upHome) content() string { return filepath.Join(string(h), "content") }
func (h upHome) bundles() string { return filepath.Join(string(h), "bundles") }
func (h upHome) mirror() string  { return filepath.Join(string(h), "mirror") }
func (h upHome) world() string   { return filepath.Join(string(h), "simulated") }
func (h upHome) up() string      { return filepath.Join(string(h), "up") }
func (h upHome) state() string   { return filepath.Join(h.up(), "state.json") }
func (h upHome) log() string     { return filepath.Join(h.up(), "slipway.log") }

// findHome is the home that a flag names, or the default one, as an absolute path.
func findHome(flag string) (upHome, error) {
	if flag == "" {
		var err error
		if flag, err = homeDir(); err != nil {
			return "", err
		}
	}
	path, err := filepath.Abs(flag)
	if err != nil {
		return "", fmt.Errorf("finding the data directory: %w", err)
	}
	return upHome(path), nil
}

var errRunning = errors.New("slipway runs here already")

// lock makes sure that one `slipway up` at a time works in a home; it ends with the process that took it.
func (h upHome) lock() (unlock func(), err error) {
	if err := os.MkdirAll(h.up(), 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	file, err := durable.TryLock(filepath.Join(h.up(), "lock"))
	switch {
	case errors.Is(err, durable.ErrHeld):
		return nil, errRunning
	case err != nil:
		return nil, fmt.Errorf("locking %s: %w", h.up(), err)
	}
	return func() { _ = file.Close() }, nil
}

// readState tells what the last `slipway up` wrote; a zero state when there was none.
func (h upHome) readState() (upState, error) {
	data, err := os.ReadFile(h.state())
	if errors.Is(err, fs.ErrNotExist) {
		return upState{}, nil
	}
	if err != nil {
		return upState{}, fmt.Errorf("reading the state: %w", err)
	}
	state, err := decodeUpState(data)
	if err != nil {
		return upState{}, fmt.Errorf("reading %s (it can be deleted when no slipway runs): %w", h.state(), err)
	}
	return state, nil
}

func decodeUpState(data []byte) (upState, error) {
	var state upState
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&state); err != nil {
		return upState{}, fmt.Errorf("decoding: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return upState{}, errors.New("decoding: there is something after the end")
	}
	return state, nil
}

func (h upHome) writeState(state upState) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the state: %w", err)
	}
	if err := durable.Replace(h.state(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	return nil
}

// print tells a person where everything is.
func (s upState) print(w io.Writer) {
	fmt.Fprintf(w, "Slipway %s is running (process %d, for %s)\n", s.Version, s.Process.PID, age(time.Now(), s.Started))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-12s%s\n", name, value)
		}
	}
	line("kubeconfig", s.Kubeconfig)
	line("API", s.API)
	for _, b := range s.Bundles {
		line("bundle", b.Kubernetes+" "+b.Digest)
	}
	for _, url := range s.Mirrors {
		line("mirror", url)
	}
	line("executor", s.Executor)
	line("content", s.Content)
	line("metrics", s.Metrics)
	line("log", s.Log)
}
