package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

const (
	stateVersion  = 1
	phaseCreating = "creating"
	phaseReady    = "ready"
)

// state is what lab.json holds. It is a note for people and for the next command; deletion does without it.
type state struct {
	Version   int            `json:"version"`
	Name      string         `json:"name"`
	Index     int            `json:"index"`
	Phase     string         `json:"phase"`
	CreatedAt time.Time      `json:"createdAt"`
	Spec      Spec           `json:"spec"`
	Machines  []machineState `json:"machines"`
}

type machineState struct {
	Machine
	Process process `json:"process"`
	Relays  []relay `json:"relays,omitempty"`
}

type relay struct {
	Process process `json:"process"`
	Listen  string  `json:"listen"`
	To      string  `json:"to"`
	DelayMS int64   `json:"delayMS"`
}

// process names a process for good: a pid alone may be somebody else's tomorrow.
type process struct {
	PID int `json:"pid"`
	// StartTime is field 22 of /proc/PID/stat: clock ticks since the host booted.
	StartTime uint64 `json:"startTime"`
}

func decodeState(data []byte) (state, error) {
	var s state
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("decoding lab state: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return s, errors.New("decoding lab state: something follows the object")
	}
	return s, s.validate()
}

func (s state) validate() error {
	switch {
	case s.Version != stateVersion:
		return fmt.Errorf("lab state: version %d is not %d", s.Version, stateVersion)
	case s.Phase != phaseCreating && s.Phase != phaseReady:
		return fmt.Errorf("lab state: unknown phase %q", s.Phase)
	case s.Index < firstIndex || s.Index > lastIndex:
		return fmt.Errorf("lab state: index %d is not between %d and %d", s.Index, firstIndex, lastIndex)
	case len(s.Machines) > MaxMachines+1:
		return fmt.Errorf("lab state: %d machines are more than %d", len(s.Machines), MaxMachines+1)
	}
	if err := validateLabName(s.Name); err != nil {
		return fmt.Errorf("lab state: %w", err)
	}
	for _, m := range s.Machines {
		if !labName.MatchString(m.Name) {
			return fmt.Errorf("lab state: machine name %q", m.Name)
		}
	}
	return nil
}

func (l *Lab) statePath() string { return filepath.Join(l.Dir(), "lab.json") }

func (l *Lab) load() error {
	data, err := os.ReadFile(l.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("lab %q: %w", l.opts.Name, ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("reading lab %s: %w", l.opts.Name, err)
	}
	s, err := decodeState(data)
	if err != nil {
		return fmt.Errorf("%s: %w", l.statePath(), err)
	}
	l.state = s
	return nil
}

func (l *Lab) save() error {
	data, err := json.MarshalIndent(l.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding lab %s: %w", l.opts.Name, err)
	}
	return durable.Replace(l.statePath(), append(data, '\n'), 0o600)
}

func processOf(pid int) process {
	start, _ := startTime(pid)
	return process{PID: pid, StartTime: start}
}

// alive tells whether that very process still exists and is not a zombie.
func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	start, dead := startTime(p.PID)
	return start != 0 && start == p.StartTime && !dead
}

func startTime(pid int) (ticks uint64, dead bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, true
	}
	// The command in field 2 may hold anything, so count from its closing bracket.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, true
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, err != nil || fields[0] == "Z" || fields[0] == "X"
}
