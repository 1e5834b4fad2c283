package cli

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/test/golden"
)

// TestProgressLines goes through the lines of a move: what changes is told at once, numbers alone every two seconds.
func TestProgressLines(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	lines := &progressLines{w: &out, now: func() time.Time { return now }}
	at := func(after time.Duration, change func(p *move.Progress)) {
		now = now.Add(after)
		p := move.Progress{Phase: move.Stage, Steps: []string{"bring 2 blocks"}, Waits: []string{}, Notes: []string{}, Blocks: move.BlockCounts{Total: 2}}
		p.Transfer = move.TransferProgress{BytesTotal: 100, ETASeconds: -1, Signals: []string{"QueryLatency"}, LimitedBy: "Growth"}
		change(&p)
		lines.tell(p)
	}
	at(0, func(*move.Progress) {})
	at(time.Second, func(p *move.Progress) { p.Transfer.BytesDone = 10 }) // no line
	at(time.Second, func(p *move.Progress) { p.Transfer.BytesDone = 20 })
	at(100*time.Millisecond, func(p *move.Progress) { p.Transfer.LimitedBy = "SourceQueryLatency" })
	at(100*time.Millisecond, func(p *move.Progress) { p.Blocks.Staged, p.Blocks.Verified = 1, 1 })
	waits := func(p *move.Progress) {
		seam := now.Truncate(time.Hour)
		p.Phase, p.Steps, p.Waits, p.Seam = move.Seam, []string{}, []string{"the new server cuts its head at about 12:00"}, &seam
		p.Transfer.LimitedBy, p.Transfer.Signals = "", []string{}
	}
	at(time.Second, waits)
	at(time.Minute, waits) // no line: nothing travels
	lines.report(&proof.Report{Verdict: proof.Proved, Summary: "200 pairs"})
	at(time.Second, func(p *move.Progress) { p.Phase, p.Done = move.Done, true })
	lines.end(nil)
	golden.Check(t, "testdata/progress_lines.golden", out.String())
}

func TestProgressLinesSayWhyACommandCouldNotBegin(t *testing.T) {
	var out bytes.Buffer
	lines := &progressLines{w: &out, now: func() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC) }}
	lines.end(errors.New("connecting to old:9797: there are no certificates"))
	lines.end(errors.New("another"))
	golden.Check(t, "testdata/progress_lines_stop.golden", out.String())
}
