package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/slipway-dev/slipway/durable"
)

const (
	stateFile    = "replicas.json"
	stateVersion = 1
	maxState     = 256 << 20 // some KB per block
)

// state is what was chosen. It is on the disk before the choice is offered.
type state struct {
	Version int       `json:"version"`
	Names   [2]string `json:"names"` // directories or addresses of the two
	Cells   []Cell    `json:"cells"`
	// Damaged are blocks that turned out not to be whole.
	Damaged []string `json:"damaged,omitempty"`
	// Dropped are blocks that were chosen once and are wanted no more.
	Dropped []string `json:"dropped,omitempty"`
}

// readState reads what was chosen; where nothing was, it is empty.
func readState(dir string, names [2]string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	empty := &state{Version: stateVersion, Names: names}
	data, err := durable.Read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which replica was chosen: %w", err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("reading %s: it is of version %d, this program writes %d", path, s.Version, stateVersion)
	case s.Names != names:
		return nil, fmt.Errorf("what was chosen in %s is of %s and %s: name the same two in the same order, or take another folder for another move", dir, s.Names[0], s.Names[1])
	}
	if i := slices.IndexFunc(s.Cells, func(c Cell) bool { return !c.valid() }); i >= 0 {
		return nil, fmt.Errorf("reading %s: the range from %d to %d makes no sense", path, s.Cells[i].From, s.Cells[i].To)
	}
	return &s, nil
}

func (c *Cell) valid() bool {
	unknown := func(p Piece) bool { return p.Meta == nil }
	return (c.Member == 0 || c.Member == 1) && c.From < c.To && len(c.Pieces) > 0 && !slices.ContainsFunc(c.Pieces, unknown)
}

// write replaces the file: whole and durable, or as it was.
func (s *state) write(dir string) error {
	data, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = durable.Replace(filepath.Join(dir, stateFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing which replica was chosen: %w", err)
	}
	return nil
}
