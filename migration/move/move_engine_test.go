//go:build engine

package move

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/engine"
)

// exporter gives each scrape another number, and remembers whose it was.
type exporter struct {
	mu      sync.Mutex
	next    float64
	scraper map[float64]string // by value: the program that got it
	*httptest.Server
}

func newExporter(t *testing.T) *exporter {
	t.Helper()
	e := &exporter{scraper: map[float64]string{}}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.next++
		e.scraper[e.next] = r.UserAgent()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for i := range 20 {
			fmt.Fprintf(w, "ticket{n=\"%d\"} %g\n", i, e.next)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

// history writes blocks that end two hours ago.
func history(t *testing.T, dir string, blocks int) {
	t.Helper()
	end := time.Now().Truncate(2 * time.Hour).Add(-2 * time.Hour).UnixMilli()
	for b := range blocks {
		w, err := tsdb.NewBlockWriter(quiet, dir, 2*time.Hour.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		from := end - int64(b+1)*2*time.Hour.Milliseconds()
		app := w.Appender(t.Context())
		for i := range 480 {
			for n := range 20 {
				if _, err := app.Append(0, labels.FromStrings("__name__", "ticket", "n", fmt.Sprint(n), "job", "shop", "instance", "x"), from+int64(i)*15_000, float64(-i-n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMoveBetweenRealServers moves from 2.42 to 3.16 and to the last 2.x while both scrape one exporter, with blocks of ten seconds; then
// the target is restarted and cuts its head, and is looked at after each.
func TestMoveBetweenRealServers(t *testing.T) {
	for version, flags := range map[string][]string{engine.Prometheus316: {"--storage.tsdb.block-reload-interval=1s"}, engine.Prometheus255: nil} {
		t.Run("to "+version, func(t *testing.T) {
			t.Parallel()
			moveTo(t, version, flags)
		})
	}
}

func moveTo(t *testing.T, version string, more []string) {
	t.Helper()
	tickets := newExporter(t)
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s'], labels: {instance: x}}]}]\n", strings.TrimPrefix(tickets.URL, "http://"))
	flags := []string{"--storage.tsdb.min-block-duration=10s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=30d"}
	dir := t.TempDir()
	history(t, dir, 3)
	source := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Dir: dir, Config: config, Flags: flags})
	target := engine.Start(t, engine.Prometheus{Version: version, Config: config, Flags: append(flags, more...)})
	local, err := transfer.OpenLocal(transfer.LocalOptions{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = local.Close() }() // it was only read
	both := map[string]*proof.Server{}
	servers := map[string]Server{}
	for name, at := range map[string]string{"source": source.URL, "target": target.URL} {
		o := server.Options{Name: name, URL: at}
		if both[name], err = proof.NewServer(o); err != nil {
			t.Fatal(err)
		}
		if servers[name], err = transfer.NewPrometheus(o); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	state, err := Run(ctx, Options{
		StateDir: t.TempDir(), Source: local, SourceName: dir, TargetData: target.Dir, SourceServer: servers["source"], TargetServer: servers["target"], Cutter: InProcess{},
		Coverage: covered(target), SeamSpan: 4 * time.Second, Every: 200 * time.Millisecond, Installer: transfer.InstallerOptions{Every: 100 * time.Millisecond},
		Tell: func(d *Decision) { told = append(told, fmt.Sprint(time.Now().Format("05.0 "), d)) },
		Proof: func(ctx context.Context, in ProofInput) (*proof.Report, error) {
			return proof.Run(ctx, proof.Options{Source: both["source"], Target: both["target"], Seam: in.Seam, SourceBlocks: in.SourceBlocks, TargetBlocks: in.TargetBlocks,
				Seed: 7, Samples: 40, SeamSpan: 5 * time.Second})
		},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(told, "\n"))
	}
	e := &ends{tickets: tickets, own: "/" + version, source: both["source"], target: both["target"], state: state}
	e.check(t, "at once")
	target.Stop()
	target.Restart()
	e.check(t, "after a restart")
	before, _ := target.Metric("prometheus_tsdb_head_min_time")
	engine.Eventually(t, "cutting the head", func() error {
		if now, ok := target.Metric("prometheus_tsdb_head_min_time"); !ok || now <= before {
			return fmt.Errorf("it begins at %v", now)
		}
		return nil
	})
	e.check(t, "after a head cut")
	target.Kill()
	target.Restart()
	e.check(t, "after a kill")
}

// covered says that the target scrapes.
func covered(target *engine.Server) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		a, err := target.Ask("/api/v1/query", url.Values{"query": {"count_over_time(up[10s]) >= 3"}})
		if err != nil {
			return "", err
		}
		if list, err := a.Series(); err != nil || len(list) != 1 {
			return "the target has not scraped three times", err
		}
		return "", nil
	}
}

// ends holds the target against the source and against what each of them was given.
type ends struct {
	tickets        *exporter
	own            string // of the target's user agent
	source, target *proof.Server
	state          *State
}

func (e *ends) read(t *testing.T, s *proof.Server, metric string) map[string][]proof.Sample {
	t.Helper()
	all := map[string][]proof.Sample{}
	sel := proof.Selection{From: 0, To: time.Now().UnixMilli(), Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", metric)}}
	if err := s.Read(t.Context(), sel, func(x *proof.Series) error { all[x.Labels.String()] = x.Samples; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func (e *ends) check(t *testing.T, moment string) {
	t.Helper()
	source, target := e.read(t, e.source, "ticket"), e.read(t, e.target, "ticket")
	if len(source) != 20 || len(target) != 20 {
		t.Fatalf("%s: %d and %d series", moment, len(source), len(target))
	}
	failed := 0 // scrapes of the target: on a busy machine some time out
	for _, samples := range e.read(t, e.target, "up") {
		for _, s := range samples {
			if s.Time >= e.state.Seam && s.Value == 0 {
				failed++
			}
		}
	}
	e.tickets.mu.Lock()
	defer e.tickets.mu.Unlock()
	for series, has := range target {
		e.series(t, moment+", "+series, source[series], has, failed)
	}
}

// series: everything of the source up to the target's first own sample, everything of the target's own, and nothing else but what lies
// where the target missed a scrape.
func (e *ends) series(t *testing.T, where string, source, target []proof.Sample, failed int) {
	t.Helper()
	first, stale := int64(1)<<62, 0
	own, ownTimes := map[float64]int{}, []int64{}
	theirs, taken := map[int64]bool{}, map[int64]int{}
	for _, s := range source {
		theirs[s.Time] = true
	}
	for _, s := range target {
		taken[s.Time]++
		switch {
		case s.Time < e.state.Seam:
		case s.Stale() && !theirs[s.Time]:
			stale++ // of its own: after a scrape that failed, or when it was stopped
		case strings.Contains(e.tickets.scraper[s.Value], e.own):
			own[s.Value]++
			ownTimes = append(ownTimes, s.Time)
			first = min(first, s.Time)
		}
	}
	want := len(own) + stale
	for _, s := range source {
		if s.Time >= e.state.Seam && s.Time >= e.state.End() {
			continue
		}
		if i, both := slices.BinarySearch(ownTimes, s.Time); s.Time >= first {
			if !both && taken[s.Time] == 1 && (i == len(ownTimes) || ownTimes[i]-ownTimes[i-1] > 1500) {
				want++
			}
			continue
		}
		want++
		if taken[s.Time] != 1 {
			t.Errorf("%s: the source's sample at %d is there %d times (S' %d)", where, s.Time, taken[s.Time], e.state.Seam)
		}
	}
	if len(target) != want {
		t.Errorf("%s: %d samples, want %d", where, len(target), want)
	}
	// What the target was given up to its last sample, it has.
	var last float64
	for value := range own {
		last = max(last, value)
	}
	missing := 0
	for value, who := range e.tickets.scraper {
		if strings.Contains(who, e.own) && value < last && own[value] == 0 {
			missing++
		} else if own[value] > 1 {
			t.Errorf("%s: the target's own sample %v is there %d times", where, value, own[value])
		}
	}
	if missing > failed || len(own) < 10 {
		t.Errorf("%s: %d of the target's own samples are missing, %d scrapes failed, %d are there", where, missing, failed, len(own))
	}
}
