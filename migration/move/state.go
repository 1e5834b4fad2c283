package move

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/seam"
)

const (
	stateFile    = "move.json"
	lockFile     = "lock"
	stateVersion = 2
	// maxState is far above what a move writes: some 2 KB per block.
	maxState = 256 << 20
)

// State is what cannot be seen again by looking. Times are Unix milliseconds where they are numbers.
type State struct {
	Version int       `json:"version"`
	Source  string    `json:"source"` // directory or address of the agent
	Target  string    `json:"target"` // data directory
	Begun   time.Time `json:"begun"`
	Changed time.Time `json:"changed"`
	Phase   Phase     `json:"phase"`
	// Frozen are the source's blocks as they were found and pinned; later ones join them.
	Frozen []block.Entry `json:"frozen,omitempty"`
	// Beyond are blocks of the source behind S'.
	Beyond []seam.Later `json:"beyond,omitempty"`
	// Seam is S'.
	Seam int64 `json:"seam,omitempty"`
	// Rounds are the ranges behind S' in which the source's samples fill what the target lacks.
	Rounds []seam.Round `json:"rounds,omitempty"`
	// Covered is when both servers were last seen to scrape the same.
	Covered int64 `json:"covered,omitempty"`
	// Outages are when the target scraped nothing, as far as that was noticed behind the end of a round.
	Outages []Outage `json:"outages,omitempty"`
	// TargetStarted is when the target's process began that was seen last.
	TargetStarted int64 `json:"targetStarted,omitempty"`
	// Cuts are the pieces.
	Cuts []seam.Done `json:"cuts,omitempty"`
	// Proof is the last proof, without its details.
	Proof *Proved `json:"proof,omitempty"`
	// Released says that the source was let go of, and staging emptied.
	Released bool `json:"released,omitempty"`
	// LetGo are the blocks that were found until then: what the source has compacted of them since is not pinned any more.
	LetGo []string `json:"letGo,omitempty"`
	// Expired are blocks that the source's own retention deletes, and the target's would, too.
	Expired []string `json:"expired,omitempty"`
	// Merged are blocks of the target that an undo had to leave: they hold samples of both servers.
	Merged []string `json:"merged,omitempty"`
	// Notes are what a person should know later.
	Notes []string `json:"notes,omitempty"`
	// Stopped is why the last run could not go on.
	Stopped string `json:"stopped,omitempty"`
	// Waits are what the last run waited for.
	Waits []string `json:"waits,omitempty"`
}

// Proved is the outcome of a proof.
type Proved struct {
	At      time.Time     `json:"at"`
	Verdict proof.Verdict `json:"verdict"`
	Summary string        `json:"summary"`
	Seed    uint64        `json:"seed"`
}

// Outage is when the target scraped nothing. From is 0 where nobody knows since when. Round is the one that fills it, by its number.
type Outage struct {
	seam.Range
	Why   string `json:"why"`
	Round int    `json:"round"`
}

// End is where the last round ends: up to there the target has every sample once the round is done. 0: not known yet.
func (s *State) End() int64 { return (&seam.World{Rounds: s.Rounds}).End() }

// ErrNoState says that no move was begun with a folder.
var ErrNoState = errors.New("no move was begun here")

// ReadState reads the state in a folder; ErrNoState says that there is none.
func ReadState(dir string) (*State, error) {
	path := filepath.Join(dir, stateFile)
	data, err := durable.Read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the state in %s: %w", dir, ErrNoState)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("reading the state %s: %w", path, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("reading the state %s: it is of version %d, this program writes %d", path, s.Version, stateVersion)
	}
	return &s, nil
}

// write replaces the file: whole and durable, or as it was.
func (s *State) write(dir string) error {
	s.Changed = time.Now().UTC()
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	if err := durable.Replace(filepath.Join(dir, stateFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	return nil
}

// lockState makes the folder and keeps other runs out until the file is closed.
func lockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for the state: %w", err)
	}
	f, err := durable.TryLock(filepath.Join(dir, lockFile))
	if errors.Is(err, durable.ErrHeld) {
		return nil, fmt.Errorf("locking %s: another slipway moves with this state", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the state: %w", err)
	}
	return f, nil
}

func (s *State) frozen(name string) *block.Entry {
	i := slices.IndexFunc(s.Frozen, func(e block.Entry) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Frozen[i]
}

// cut is the piece that was made for a part, nil for none.
func (s *State) cut(x seam.Part) *seam.Done {
	i := slices.IndexFunc(s.Cuts, func(d seam.Done) bool {
		return d.Round == x.Round && d.Source == x.Source && d.Side == x.Side && d.From == x.From && d.To == x.To
	})
	if i < 0 {
		return nil
	}
	return &s.Cuts[i]
}

// known are the names of all blocks that the move has to do with.
func (s *State) known() (names []string) {
	for _, e := range s.Frozen {
		names = append(names, e.Name)
	}
	for _, d := range s.Cuts {
		names = append(names, d.Block)
	}
	return names
}

func (s *State) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(s.Notes, text) {
		s.Notes = append(s.Notes, text)
	}
}
