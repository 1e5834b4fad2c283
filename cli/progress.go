package cli

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/spf13/cobra"
)

// progressFlag adds --progress: text for people, or json for programs, one line for each change on standard output.
func progressFlag(cmd *cobra.Command, target *string) {
	*target = "text"
	choiceFlag(cmd, target, "progress", "text for people, or json: one line for each change on standard output", "text", "json")
}

// quietTime is how long numbers alone make no new line.
const quietTime = 2 * time.Second

// progressLines writes the progress of a move as JSON lines: at once where something else than numbers changed, otherwise every
// two seconds at most.
type progressLines struct {
	w   io.Writer
	now func() time.Time

	mu    sync.Mutex
	last  string // without numbers
	at    time.Time
	ended bool
}

// tell writes a line where one is due. A writer that takes nothing is the reader's loss.
func (l *progressLines) tell(p move.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	key := p
	key.Time, key.Transfer.BytesDone, key.Transfer.BytesPerSecond, key.Transfer.ETASeconds = time.Time{}, 0, 0, 0
	text, err := json.Marshal(key)
	if err != nil || string(text) == l.last && now.Sub(l.at) < quietTime {
		return
	}
	if string(text) == l.last && key.Transfer.LimitedBy == "" { // nothing travels
		return
	}
	l.last, l.at, l.ended = string(text), now, p.Done || p.Stop != nil
	p.Time = now.UTC().Truncate(time.Second)
	_ = json.NewEncoder(l.w).Encode(p)
}

// report writes a proof in full. It is a line that tells nothing else.
func (l *progressLines) report(r *proof.Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(l.w).Encode(map[string]*proof.Report{"report": r})
}

// end says why a command ended that said nothing yet of its end.
func (l *progressLines) end(err error) {
	if !l.ended && err != nil {
		l.tell(move.Progress{Phase: move.Pin, Steps: []string{}, Waits: []string{}, Notes: []string{}, Transfer: move.TransferProgress{Signals: []string{}, ETASeconds: -1}, Stop: move.StopOf(err)})
	}
}
