package transfer

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMoveBetweenTwoHosts(t *testing.T) {
	dir, names := sourceDir(t)
	keys := credentials(t)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	var log bytes.Buffer
	go func() {
		done <- RunSource(ctx, SourceOptions{Local: LocalOptions{Data: dir}, Listen: "127.0.0.1:0", Credentials: filepath.Join(keys, "source"),
			Budget: Budget{Ceiling: 1 << 30}, Log: slog.New(slog.NewTextHandler(&log, nil)), Ready: func(a net.Addr) { ready <- a }})
	}()
	target := filepath.Join(t.TempDir(), "data")
	var order []string
	o := MoveOptions{From: (<-ready).String(), Credentials: filepath.Join(keys, "target"), To: target, Install: true,
		Pull: PullOptions{PieceBytes: testPiece}, Installed: func(s Step) { order = append(order, s.Block) }}
	m, err := Move(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names, order); diff != "" || len(m.Plan.Steps) != 3 || len(m.Installed) != 3 {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for i := range m.Pull.Blocks {
		m.Pull.Blocks[i].Folder = filepath.Join(target, names[i])
	}
	sameBlocks(t, m.Pull, names)
	if _, err := os.Stat(filepath.Join(dir, pinFolder)); !os.IsNotExist(err) {
		t.Errorf("the pin is left: %v", err)
	}
	again, err := Move(t.Context(), o)
	if err != nil || len(again.Plan.Present) != 3 || len(again.Pull.Blocks) != 0 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the source ended with %v", err)
	}
}

func TestMoveWritesIntoNoForeignDirectory(t *testing.T) {
	dir, _ := sourceDir(t)
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Move(t.Context(), MoveOptions{From: dir, Still: true, To: home})
	if err == nil || !strings.Contains(err.Error(), "is no data directory") {
		t.Errorf("%v", err)
	}
	if entries, _ := os.ReadDir(home); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

func TestMoveStopsBeforeItInstallsUnderAServerThatNobodyNamed(t *testing.T) {
	dir, names := sourceDir(t)
	target := t.TempDir()
	if err := os.Mkdir(filepath.Join(target, "wal"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := MoveOptions{From: dir, Still: true, To: target, Install: true}
	m, err := Move(t.Context(), o)
	if err != nil || len(m.Installed) > 0 || len(m.Plan.Refusals) != 3 || m.Plan.Refusals[0].Rule != RuleHeadIsKnown {
		t.Errorf("%+v, %v", m.Plan, err)
	}
	o.Install, o.Only = false, names[1:2]
	if m, err = Move(t.Context(), o); err != nil || len(m.Pull.Blocks) != 1 || m.Pull.Blocks[0].State != Staged {
		t.Errorf("staging alone: %+v, %v", m, err)
	}
}

func TestProgressSaysWhyItIsSlow(t *testing.T) {
	tests := map[string]struct {
		change func(p *pull)
		source *SourceStatus
		want   LimitCause
	}{
		"the source is silent":    {func(p *pull) { p.silent.Store(true) }, nil, LimitedByRetry},
		"the source holds itself": {func(*pull) {}, &SourceStatus{LimitedBy: LimitedByQueryLatency}, LimitedByQueryLatency},
		"the target's disk":       {func(p *pull) { p.writing.Store(10); p.waiting.Store(15) }, &SourceStatus{LimitedBy: LimitedByNothing}, LimitedByTarget},
		"the link":                {func(p *pull) { p.writing.Store(1); p.waiting.Store(15) }, nil, LimitedByLink},
		"it is read again":        {func(p *pull) { p.verifying.Store(1); p.fetched.add(1000) }, nil, LimitedByVerify},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := &pull{o: PullOptions{Blocks: make([]string, 3)}, states: map[string]*PulledBlock{"a": {}}}
			p.total.Store(1000)
			test.change(p)
			r := p.progress(time.Now(), test.source)
			if r.LimitedBy != test.want || r.Blocks != 3 || r.BlocksDone != 1 || r.ETASeconds != -1 {
				t.Errorf("%+v, want %s", r, test.want)
			}
		})
	}
}
