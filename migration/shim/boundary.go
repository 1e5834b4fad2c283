package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/server"
)

// ErrNotReady says that the shim cannot answer yet: the boundary or a server's labels are not known.
var ErrNotReady = errors.New("the shim is not ready")

// state is the file that keeps the boundary.
type state struct {
	Version  int       `json:"version"`
	Boundary int64     `json:"boundary"` // Unix milliseconds
	Frozen   time.Time `json:"frozen"`
}

const stateVersion = 1

// boundary is S': it is set once and never moves.
type boundary struct {
	file   string
	target *server.Client
	settle time.Duration
	now    func() time.Time

	mu        sync.Mutex
	at        int64 // 0: not known
	candidate int64
	since     time.Time
	below     bool // the target's head holds samples before the boundary
}

// newBoundary takes the boundary from the state file, or from wish, which may be 0; both must agree.
func newBoundary(o Options, target *server.Client) (*boundary, error) {
	b := &boundary{file: o.State, target: target, settle: o.Settle, now: time.Now}
	kept, err := readState(o.State)
	switch {
	case err != nil:
		return nil, err
	case kept != 0 && o.Boundary != 0 && kept != o.Boundary:
		return nil, fmt.Errorf("the boundary is %s in %s, and %s is wanted: it never moves; for another migration use another state file",
			instant(kept), o.State, instant(o.Boundary))
	case kept != 0:
		b.at = kept
	case o.Boundary != 0:
		return b, b.freeze(o.Boundary)
	}
	return b, nil
}

func readState(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the boundary: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.Version != stateVersion || s.Boundary <= 0 {
		return 0, fmt.Errorf("reading the boundary: %s is no state of a shim (version %d)", file, stateVersion)
	}
	return s.Boundary, nil
}

// freeze writes the file before anything is answered with the boundary.
func (b *boundary) freeze(at int64) error {
	text, err := json.Marshal(state{Version: stateVersion, Boundary: at, Frozen: b.now().UTC()})
	if err != nil {
		return fmt.Errorf("keeping the boundary: %w", err)
	}
	// On a volume that is new nobody else made the folder.
	if err := os.Mkdir(filepath.Dir(b.file), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keeping the boundary: %w", err)
	}
	if err := durable.Replace(b.file, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keeping the boundary: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = at
	return nil
}

func (b *boundary) get() (int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at, b.at != 0
}

func (b *boundary) crossed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.below
}

// observe looks at the target's head. Until the boundary is set it waits for the head's minimum to stay as it is: scrapes that began
// earlier and take longer lower it. Afterwards it sees whether the head holds older samples than the boundary.
func (b *boundary) observe(ctx context.Context) error {
	const prefix = "prometheus_tsdb_"
	m, err := b.target.Metrics(ctx, server.Wanted{Required: []string{prefix + "head_min_time", prefix + "head_max_time", prefix + "blocks_loaded"}})
	if err != nil {
		return err
	}
	// A head without samples has math.MaxInt64 and math.MinInt64 as its ends (tsdb/head.go, resetInMemoryState).
	empty := m[prefix+"head_min_time"] > m[prefix+"head_max_time"]
	lowest := server.Int(m[prefix+"head_min_time"])
	if at, ok := b.get(); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.below = !empty && lowest < at
		return nil
	}
	switch {
	case m[prefix+"blocks_loaded"] > 0:
		return fmt.Errorf("the target has %.0f blocks already, so its head does not tell its first sample; give the boundary (--boundary): %w",
			m[prefix+"blocks_loaded"], ErrNotReady)
	case empty || lowest <= 0 || lowest == math.MaxInt64:
		return fmt.Errorf("the target has no sample yet: %w", ErrNotReady)
	}
	return b.consider(lowest)
}

func (b *boundary) consider(lowest int64) error {
	b.mu.Lock()
	if lowest != b.candidate {
		b.candidate, b.since = lowest, b.now()
	}
	until := b.since.Add(b.settle)
	b.mu.Unlock()
	if b.now().Before(until) {
		return fmt.Errorf("the target's head begins at %s; waiting until %s to see that it stays so: %w", instant(lowest), until.UTC().Format(time.TimeOnly), ErrNotReady)
	}
	return b.freeze(lowest)
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
