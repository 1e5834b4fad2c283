package move

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// TestNewProgress counts what a person and a controller read.
func TestNewProgress(t *testing.T) {
	old, mid, over, behind := entryOf(1, 16, 18), entryOf(2, 18, 20), entryOf(3, 20, 22), entryOf(4, 22, 24)
	base := func() *World {
		return &World{State: State{Frozen: []block.Entry{old, mid, over}, Seam: 21 * hour, Rounds: []seam.Round{{From: 21 * hour, End: 22 * hour}}}}
	}
	merged := entryOf(9, 16, 20)
	merged.Meta.Compaction.Sources = []ulid.ULID{old.Meta.ULID, mid.Meta.ULID}
	pieces := []seam.Done{{Part: seam.Part{Source: over.Name, Side: seam.Before}, Block: entryOf(7, 20, 21).Name}, {Part: seam.Part{Source: over.Name, Side: seam.After}}}
	millis := 4.0
	tests := map[string]struct {
		change   func(w *World)
		decision Decision
		pull     *transfer.Progress
		blocks   BlockCounts
		transfer TransferProgress
	}{
		"nothing is here": {func(*World) {}, Decision{Phase: Stage}, nil, BlockCounts{Total: 3}, TransferProgress{BytesTotal: 300, ETASeconds: -1}},
		"the source's disk is told while nothing travels": {func(w *World) { w.SourceDisk = &transfer.Disk{FreeBytes: 9, SizeBytes: 90} }, Decision{Phase: Seam}, nil,
			BlockCounts{Total: 3}, TransferProgress{BytesTotal: 300, ETASeconds: -1, SourceDisk: &transfer.Disk{FreeBytes: 9, SizeBytes: 90}}},
		"what a pull tells of it is newer": {func(w *World) { w.SourceDisk = &transfer.Disk{FreeBytes: 9, SizeBytes: 90} },
			Decision{Phase: Stage}, &transfer.Progress{ETASeconds: -1, SourceDisk: &transfer.Disk{FreeBytes: 8, SizeBytes: 90}},
			BlockCounts{Total: 3}, TransferProgress{BytesTotal: 300, ETASeconds: -1, LimitedBy: "Nothing", SourceDisk: &transfer.Disk{FreeBytes: 8, SizeBytes: 90}}},
		"blocks that expired, were given up or lie behind the end do not count": {func(w *World) {
			w.State.Frozen = append(w.State.Frozen, behind)
			w.Lost, w.State.Expired = []string{old.Name}, []string{mid.Name}
		}, Decision{Phase: Stage}, nil, BlockCounts{Total: 1}, TransferProgress{BytesTotal: 100, ETASeconds: -1}},
		"a block travels beside one that is here": {func(w *World) { w.Staged = []string{over.Name} },
			Decision{Phase: Stage, Steps: []Step{{Kind: stepStage, Blocks: []string{mid.Name, old.Name}}}},
			&transfer.Progress{BlocksDone: 1, BytesDone: 120, BytesPerSecond: 8, ETASeconds: 10, LimitedBy: transfer.LimitedByQueryLatency, Signals: &transfer.Signals{QueryMillis: &millis, AwaitMillis: &millis}},
			BlockCounts{Total: 3, Staged: 2, Verified: 2},
			TransferProgress{BytesDone: 220, BytesTotal: 300, BytesPerSecond: 8, ETASeconds: 10, LimitedBy: "SourceQueryLatency", Signals: []string{"QueryLatency", "DiskStats"}}},
		"the target has merged two of them": {func(w *World) { w.Target = []block.Entry{merged} }, Decision{Phase: Install}, nil,
			BlockCounts{Total: 3, Staged: 2, Verified: 2, Installed: 2}, TransferProgress{BytesDone: 200, BytesTotal: 300, ETASeconds: -1}},
		"a piece is not there": {func(w *World) { w.State.Cuts, w.Staged = pieces, []string{over.Name} }, Decision{Phase: Install}, nil,
			BlockCounts{Total: 3, Staged: 1, Verified: 1}, TransferProgress{BytesDone: 100, BytesTotal: 300, ETASeconds: -1}},
		"all pieces of a block are there, one of them empty": {func(w *World) { w.State.Cuts, w.Target = pieces, []block.Entry{entryOf(7, 20, 21)} }, Decision{Phase: Install}, nil,
			BlockCounts{Total: 3, Staged: 1, Verified: 1, Installed: 1}, TransferProgress{BytesDone: 100, BytesTotal: 300, ETASeconds: -1}},
		"all is there": {func(*World) {}, Decision{Phase: Done}, nil, BlockCounts{Total: 3, Staged: 3, Verified: 3, Installed: 3}, TransferProgress{BytesDone: 300, BytesTotal: 300}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := base()
			tt.change(w)
			got := newProgress(w, &tt.decision, tt.pull)
			if tt.transfer.Signals == nil {
				tt.transfer.Signals = []string{}
			}
			if diff := cmp.Diff(tt.blocks, got.Blocks) + cmp.Diff(tt.transfer, got.Transfer); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.Done != (tt.decision.Phase == Done) || !got.Seam.Equal(time.UnixMilli(21*hour)) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestNewProgressTellsGaps(t *testing.T) {
	piece := entryOf(7, 20, 21)
	part := seam.Part{Source: "x", Side: seam.After}
	w := &World{Target: []block.Entry{piece}, TargetServer: observed(20, 24), State: State{
		Seam: 20 * hour, Covered: 22 * hour, Rounds: []seam.Round{{End: 21 * hour, Parts: []seam.Part{part}}, {End: 23 * hour}},
		Cuts:    []seam.Done{{Part: part, Block: piece.Name, Filled: []block.Gap{{From: 20*hour + 1, To: 20*hour + 9, Samples: 3}}}},
		Outages: []Outage{{Range: seam.Range{To: 20*hour + 8}}, {Range: seam.Range{To: 22*hour - 1}, Round: 1}},
	}}
	w.TargetServer.Started = 23 * hour
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	from := at(20*hour + 1)
	want := []Gap{{From: &from, To: at(20*hour + 9), Filled: true, Samples: 3}, {To: at(22*hour - 1)}, {To: at(23 * hour)}}
	got := newProgress(w, &Decision{Phase: Seam}, nil)
	if diff := cmp.Diff(want, got.Gaps); diff != "" || got.Round != 2 || !got.End.Equal(at(23*hour)) {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
}

func TestStopOf(t *testing.T) {
	for want, err := range map[string]error{
		RuleNotProved:    fmt.Errorf("at the end: %w", &Stop{RuleNotProved, "x"}),
		RuleSourceSilent: &transfer.LostError{Err: errors.New("x")},
		RuleTargetFull:   fmt.Errorf("bringing: %w", &transfer.NoSpaceError{}),
		RuleDamaged:      &transfer.DamageError{Side: transfer.InFlight},
		RuleStepFailed:   errors.New("x"),
	} {
		if got := StopOf(err); got.Rule != want || got.Text == "" {
			t.Errorf("%v is %+v, want %s", err, got, want)
		}
	}
}
