package move

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/transfer"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	second     = int64(1000)
	interval   = 5 * second
	length     = 120 * second // of a block
	virtualDay = int64(1_700_000_040_000) / length * length
)

// sample is a time and the bits of a value.
type sample struct {
	T int64
	V uint64
}

// store is the real storage of Prometheus behind the endpoints that a move asks, with what was put into it. Time in it is
// made by who appends.
type store struct {
	dir, url string
	options  *tsdb.Options
	mu       sync.RWMutex // held while the storage is exchanged
	db       *tsdb.DB
	registry *prometheus.Registry
	failing  atomic.Bool
	down     atomic.Bool  // it scrapes nothing
	started  atomic.Int64 // when its process began
	offset   int64        // of its scrapes
	late     int          // scrapes by which the last series comes later
	logged   map[string][]sample
}

func openStore(t testing.TB, dir string, offset int64) *store {
	t.Helper()
	s := &store{dir: dir, offset: offset, logged: map[string][]sample{}, options: tsdb.DefaultOptions()}
	s.options.RetentionDuration, s.options.BlockReloadInterval = 0, time.Second
	s.options.MinBlockDuration, s.options.MaxBlockDuration = length, 9*length
	s.open(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
	answer := func(path, data string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
		})
	}
	mux.HandleFunc("/api/v1/status/runtimeinfo", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":"success","data":{"storageRetention":"0s","startTime":%q}}`, time.UnixMilli(s.started.Load()).UTC().Format(time.RFC3339Nano))
	})
	answer("/api/v1/status/flags", `{"storage.tsdb.min-block-duration":"2m"}`)
	web := httptest.NewServer(mux)
	s.url = web.URL
	t.Cleanup(func() {
		web.Close()
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *store) open(t testing.TB) {
	t.Helper()
	s.registry = prometheus.NewRegistry()
	db, err := tsdb.Open(s.dir, quiet, s.registry, s.options, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
}

// restart closes the storage and opens it again, as a server that is restarted.
func (s *store) restart(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	s.open(t)
}

// scrape puts one sample of each of some series into the head, at a time of this server's own; values tell servers apart.
func (s *store) scrape(t testing.TB, round int64) {
	t.Helper()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.down.Load() {
		return
	}
	app := s.db.Appender(context.Background())
	at := virtualDay + round*interval + s.offset
	for i := range 7 {
		if i == 6 && round%40 < 20 {
			continue // a target that comes and goes
		}
		if i == 5 && len(s.logged) < 5+s.late {
			continue
		}
		ls := labels.FromStrings("__name__", "requests_total", "instance", fmt.Sprint("host-", i))
		v := float64(round*10 + int64(i) + s.offset)
		if _, err := app.Append(0, ls, at, v); err != nil {
			t.Error(err)
			return
		}
		s.logged[ls.String()] = append(s.logged[ls.String()], sample{at, math.Float64bits(v)})
	}
	if err := app.Commit(); err != nil {
		t.Error(err)
	}
}

func (s *store) server(t testing.TB, name string) Server {
	t.Helper()
	p, err := transfer.NewPrometheus(server.Options{Name: name, URL: s.url})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// read gives all samples that a query sees, doubles included.
func (s *store) read(t testing.TB) map[string][]sample {
	t.Helper()
	q, err := s.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all := map[string][]sample{}
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "requests_total"))
	for set.Next() {
		name := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			at, v := it.At()
			all[name] = append(all[name], sample{at, math.Float64bits(v)})
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
	}
	if set.Err() != nil || len(set.Warnings()) > 0 {
		t.Fatal(set.Err(), set.Warnings())
	}
	return all
}

// pair is a source and a target that scrape on while a move runs.
type pair struct {
	source, target *store
	local          *transfer.Local
	round          int64
	now            atomic.Int64 // the round, for others than who scrapes
	state          string
	stop           func()
	wait           sync.WaitGroup
}

// newPair makes a source with a history of some blocks and a target that has nothing yet.
func newPair(t testing.TB, history int64) *pair {
	t.Helper()
	p := &pair{source: openStore(t, t.TempDir(), 0), target: openStore(t, filepath.Join(t.TempDir(), "data"), 1700), state: t.TempDir()}
	for ; p.round < history*length/interval; p.round++ {
		p.source.scrape(t, p.round)
	}
	if err := p.source.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	local, err := transfer.OpenLocal(transfer.LocalOptions{Data: p.source.dir})
	if err != nil {
		t.Fatal(err)
	}
	p.local = local
	t.Cleanup(func() { _ = local.Close() })
	return p
}

// live lets both scrape, a round every few milliseconds, until it is stopped.
func (p *pair) live(t testing.TB) {
	t.Helper()
	end := make(chan struct{})
	p.stop = sync.OnceFunc(func() { close(end); p.wait.Wait() })
	t.Cleanup(p.stop)
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		ticker := time.NewTicker(8 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C:
				p.source.scrape(t, p.round)
				p.target.scrape(t, p.round)
				p.round++
				p.now.Store(p.round)
			}
		}
	}()
}

// outage has the target scrape and answer nothing for some rounds; then it goes on, or is started again.
func (p *pair) outage(t testing.TB, rounds int64, restarted bool) {
	t.Helper()
	p.target.down.Store(true)
	p.target.failing.Store(true)
	from := p.now.Load()
	for deadline := time.Now().Add(time.Minute); p.now.Load() < from+rounds; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("nobody scrapes any more")
			return
		}
	}
	if restarted {
		p.target.restart(t)
		p.target.started.Store(virtualDay + p.now.Load()*interval)
	}
	p.target.failing.Store(false)
	p.target.down.Store(false)
}

// outages are what survey.Outages finds on real servers: times without a scrape.
func (p *pair) outages(_ context.Context, since int64) (list []seam.Range, err error) {
	p.target.mu.Lock() // nothing is scraped meanwhile
	defer p.target.mu.Unlock()
	last := int64(0)
	for _, x := range p.target.logged[labels.FromStrings("__name__", "requests_total", "instance", "host-0").String()] {
		if last > 0 && x.T > since && x.T-last > 2*interval {
			list = append(list, seam.Range{From: last, To: x.T - 1})
		}
		last = x.T
	}
	if now := virtualDay + p.now.Load()*interval; last > 0 && now-last > 2*interval {
		list = append(list, seam.Range{From: last, To: now - 1}) // it goes on
	}
	return list, nil
}

func (p *pair) options(t testing.TB) Options {
	t.Helper()
	return Options{
		StateDir: p.state, Source: p.local, SourceName: p.source.dir, TargetData: p.target.dir,
		SourceServer: p.source.server(t, "source"), TargetServer: p.target.server(t, "target"), Cutter: InProcess{},
		Coverage: func(context.Context) (string, error) { return "", nil },
		Outages:  p.outages,
		SeamSpan: 30 * time.Second, Every: 20 * time.Millisecond,
		Pull:      transfer.PullOptions{PieceBytes: 4096, CheckpointBytes: 8192, Patience: 20 * time.Second},
		Installer: transfer.InstallerOptions{Every: 20 * time.Millisecond, Within: 30 * time.Second},
	}
}

// wanted is what the target must hold: all that the source took before S', what it took behind it that the target lacks, and all that
// the target took.
func (p *pair) wanted(s *State) map[string][]sample {
	all := map[string][]sample{}
	for series, taken := range p.source.logged {
		for _, x := range taken {
			if x.T < s.Seam || x.T < s.End() && lacks(p.target.logged[series], x.T, s.End()) {
				all[series] = append(all[series], x)
			}
		}
	}
	for series, own := range p.target.logged {
		all[series] = append(all[series], own...)
		slices.SortFunc(all[series], func(a, b sample) int { return cmp.Compare(a.T, b.T) })
	}
	return all
}

// lacks says that a time lies before all samples, or in a gap and near none of its borders.
func lacks(own []sample, at, end int64) bool {
	from, to := int64(0), end
	for _, x := range slices.Backward(own) {
		if x.T >= at {
			to = x.T
		} else {
			from = x.T
			break
		}
	}
	return from == 0 || (to-from)*10 > interval*19 && (at-from)*20 > interval*13 && (to-at)*20 > interval*13
}

// check holds the target against what it must hold, then again after a restart and after the next cut of its head.
func (p *pair) check(t testing.TB, s *State) {
	t.Helper()
	p.stop()
	for _, moment := range []string{"at once", "after a restart", "after a head cut", "after another restart"} {
		switch moment {
		case "after a restart", "after another restart":
			p.target.restart(t)
		case "after a head cut":
			for range 3 * length / interval {
				p.target.scrape(t, p.round)
				p.round++
			}
			if err := p.target.db.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want, got := p.wanted(s), p.target.read(t)
		if diff := gocmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Fatalf("%s, series: %s", moment, diff)
		}
		for series := range want {
			if diff := gocmp.Diff(want[series], got[series]); diff != "" {
				t.Fatalf("%s, S' %d, %s (-want +got):\n%.3000s", moment, s.Seam, series, diff)
			}
		}
	}
}

func count(all map[string][]sample) (n int) {
	for _, s := range all {
		n += len(s)
	}
	return n
}

// fresh says that a folder holds no pin and no staged block.
func fresh(t testing.TB, p *pair) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(p.source.dir, "slipway-pin")); err == nil {
		t.Error("the pin is still on the source")
	}
	left, _ := filepath.Glob(filepath.Join(p.target.dir, transfer.StagingFolder, "0*"))
	if len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}
