//go:build engine

package move

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/engine"
)

// scrapes is how often both servers scrape in this test.
const scrapes = 500 * time.Millisecond

// missing is a pair of real servers whose target is killed and frozen while everything moves.
type missing struct {
	ends
	t       *testing.T
	server  *engine.Server // the target
	options Options
	clients [2]*server.Client
	wait    sync.WaitGroup
	last    Progress
	told    []string
}

// served waits until the exporter has answered the source so often that the target has missed some scrapes.
func (m *missing) served(n int) {
	m.t.Helper()
	count := func() (k int) {
		m.tickets.mu.Lock()
		defer m.tickets.mu.Unlock()
		for _, who := range m.tickets.scraper {
			if strings.Contains(who, "/2.42") {
				k++
			}
		}
		return k
	}
	until := count() + n
	engine.Eventually(m.t, "the source scrapes on", func() error {
		if k := count(); k < until {
			return fmt.Errorf("%d scrapes of %d", k, until)
		}
		return nil
	})
}

func (m *missing) kill() {
	m.server.Kill()
	m.served(8)
	m.server.Restart()
}

func (m *missing) freeze() {
	if err := syscall.Kill(m.server.PID(), syscall.SIGSTOP); err != nil {
		m.t.Error(err)
	}
	m.served(8)
	if err := syscall.Kill(m.server.PID(), syscall.SIGCONT); err != nil {
		m.t.Error(err)
	}
}

// run runs to the end, which is proved.
func (m *missing) run(tell func(*Decision)) {
	m.t.Helper()
	m.told = nil
	o := m.options
	o.Tell = func(d *Decision) {
		m.told = append(m.told, fmt.Sprint(time.Now().Format("05.0 "), d))
		tell(d)
	}
	o.Report = func(p Progress) { m.last = p }
	ctx, cancel := context.WithTimeout(m.t.Context(), 3*time.Minute)
	defer cancel()
	var err error
	m.state, err = Run(ctx, o)
	m.wait.Wait()
	if err != nil || !m.last.Done || !m.state.proved() {
		m.t.Fatalf("%v, %+v\n%s", err, m.last, strings.Join(m.told, "\n"))
	}
}

// filled holds the target's samples against the source's: each gap between two scrapes of its own has the source's.
func (m *missing) filled(moment string) {
	m.t.Helper()
	source, target := m.read(m.t, m.source, "ticket"), m.read(m.t, m.target, "ticket")
	m.tickets.mu.Lock()
	defer m.tickets.mu.Unlock()
	brought := 0
	for series, samples := range target {
		var own []int64
		has := map[int64]bool{}
		for _, s := range samples {
			if has[s.Time] = true; s.Time >= m.state.Seam && !s.Stale() && strings.Contains(m.tickets.scraper[s.Value], m.own) {
				own = append(own, s.Time)
			}
		}
		for _, s := range source[series] {
			i, _ := slices.BinarySearch(own, s.Time)
			lacked := s.Time < m.state.Seam || i == 0
			if !lacked && i < len(own) {
				far := scrapes.Milliseconds() * 7 / 10
				lacked = own[i]-own[i-1] > 21*scrapes.Milliseconds()/10 && s.Time-own[i-1] > far && own[i]-s.Time > far
			}
			if !lacked || s.Time >= m.state.End() || s.Stale() {
				continue
			}
			if !has[s.Time] {
				m.t.Errorf("%s, %s: the source's sample at %d is missing (S' %d, end %d)", moment, series, s.Time, m.state.Seam, m.state.End())
			} else if i > 0 {
				brought++
			}
		}
	}
	if brought < 20*6*len(m.state.Rounds) {
		m.t.Errorf("%s: %d samples were brought into gaps of 20 series in %d rounds", moment, brought, len(m.state.Rounds))
	}
}

// TestMoveFillsWhatTheTargetMissed moves from 2.42 to 3.16. The target is killed before the first end, frozen while pieces are cut and installed, and
// killed again after everything was proved: then the same is run again.
func TestMoveFillsWhatTheTargetMissed(t *testing.T) {
	m := &missing{t: t, ends: ends{tickets: newExporter(t), own: "/" + engine.Prometheus316}}
	config := fmt.Sprintf("global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s'], labels: {instance: x}}]}]\n", strings.TrimPrefix(m.tickets.URL, "http://"))
	flags := []string{"--storage.tsdb.min-block-duration=5s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=30d"}
	dir := t.TempDir()
	history(t, dir, 2)
	old := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Dir: dir, Config: config, Flags: flags})
	m.server = engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: config, Flags: append(flags, "--storage.tsdb.block-reload-interval=1s")})
	m.open(old)
	first, frozen := false, false
	m.run(func(d *Decision) {
		switch {
		case len(d.Steps) == 0:
		case d.Steps[0].Kind == stepEnd && !first:
			first = true
			m.wait.Go(m.kill)
		case d.Steps[0].Kind == stepCut && d.Steps[0].Part.Side == seam.After && !frozen:
			frozen = true
			m.wait.Go(m.freeze)
		}
	})
	if len(m.state.Rounds) < 2 || len(m.state.Filled()) == 0 || !first || !frozen {
		t.Errorf("%+v, filled %v\n%s", m.state.Rounds, m.state.Filled(), strings.Join(m.told, "\n"))
	}
	m.filled("at the end")
	rounds := len(m.state.Rounds)
	m.kill()
	m.run(func(*Decision) {})
	if len(m.state.Rounds) != rounds+1 || m.last.TargetStarted == nil || m.last.Covered.Before(*m.last.TargetStarted) {
		t.Errorf("%+v\n%s", m.last, strings.Join(m.told, "\n"))
	}
	m.filled("when it was run again")
	for _, g := range m.last.Gaps {
		if !g.Filled {
			t.Errorf("told as not filled: %+v", g)
		}
	}
	m.run(func(*Decision) {})
	if len(m.state.Rounds) != rounds+1 || !strings.Contains(strings.Join(m.told, ""), "missed nothing since") {
		t.Errorf("nothing was missed:\n%s", strings.Join(m.told, "\n"))
	}
}

// open makes the options of a move between two servers.
func (m *missing) open(old *engine.Server) {
	m.t.Helper()
	local, err := transfer.OpenLocal(transfer.LocalOptions{Data: old.Dir})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = local.Close() }) // it was only read
	var observed [2]Server
	var compared [2]*proof.Server
	for i, s := range []*engine.Server{old, m.server} {
		o := server.Options{Name: []string{"source", "target"}[i], URL: s.URL}
		if m.clients[i], err = server.New(o); err != nil {
			m.t.Fatal(err)
		}
		if observed[i], err = transfer.NewPrometheus(o); err != nil {
			m.t.Fatal(err)
		}
		if compared[i], err = proof.NewServer(o); err != nil {
			m.t.Fatal(err)
		}
	}
	m.source, m.target = compared[0], compared[1]
	m.options = Options{
		StateDir: m.t.TempDir(), Source: local, SourceName: old.Dir, TargetData: m.server.Dir, SourceServer: observed[0], TargetServer: observed[1], Cutter: InProcess{},
		SeamSpan: 3 * time.Second, Every: 200 * time.Millisecond, Installer: transfer.InstallerOptions{Every: 100 * time.Millisecond},
		Coverage: func(ctx context.Context) (string, error) {
			why, err := covered(m.server)(ctx)
			if err != nil { // it is down just now
				why = err.Error()
			}
			return why, nil
		},
		Outages: func(ctx context.Context, since int64) (list []seam.Range, err error) {
			found, err := survey.Outages(ctx, survey.OutageOptions{Source: m.clients[0], Target: m.clients[1], Since: time.UnixMilli(since)})
			for _, x := range found {
				list = append(list, seam.Range{From: x.From.UnixMilli(), To: x.To.UnixMilli()})
			}
			return list, err
		},
		Proof: func(ctx context.Context, in ProofInput) (*proof.Report, error) {
			return proof.Run(ctx, proof.Options{Source: compared[0], Target: compared[1], Seam: in.Seam, SeamEnd: in.End, Filled: in.Filled, SourceBlocks: in.SourceBlocks,
				TargetBlocks: in.TargetBlocks, Seed: 7, Samples: 20, SeamSpan: 5 * time.Second})
		},
	}
}
