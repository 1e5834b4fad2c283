//go:build engine

package replica

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/engine"
)

// history writes a block of two hours for each number of some, counted backwards from two hours ago. Each replica scrapes at times of
// its own.
func history(t *testing.T, dir string, offset int64, numbers ...int64) {
	t.Helper()
	end := time.Now().Truncate(2 * time.Hour).Add(-2 * time.Hour).UnixMilli()
	for _, n := range numbers {
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 2*time.Hour.Milliseconds())
		if err != nil {
			t.Fatal(err)
		}
		from := end - n*2*time.Hour.Milliseconds()
		app := w.Appender(t.Context())
		for i := range int64(480) {
			if _, err := app.Append(0, labels.FromStrings("__name__", "ticket", "job", "shop", "instance", "x"), from+i*15_000+offset, float64(-n*1000-i)); err != nil {
				t.Fatal(err)
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

// twin is one of two real servers that scrape the same.
type twin struct {
	*engine.Server
	member Member
	read   *proof.Server
}

func newTwin(t *testing.T, version string, dir, config string, flags []string) *twin {
	t.Helper()
	s := engine.Start(t, engine.Prometheus{Version: version, Dir: dir, Config: config, Flags: flags})
	x := &twin{Server: s, member: Member{Name: s.Dir}}
	o := server.Options{Name: filepath.Base(s.Dir), URL: s.URL}
	var err error
	if x.read, err = proof.NewServer(o); err != nil {
		t.Fatal(err)
	}
	if x.member.Server, err = transfer.NewPrometheus(o); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *twin) open(t *testing.T) {
	t.Helper()
	local, err := transfer.OpenLocal(transfer.LocalOptions{Data: x.Dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() }) // it was only read
	x.member.Source = local
}

// samples of a range, as text with the bits of the value.
func (x *twin) samples(t *testing.T, from, to int64) (all []string) {
	t.Helper()
	sel := proof.Selection{From: from, To: to, Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "ticket")}}
	if err := x.read.Read(t.Context(), sel, func(s *proof.Series) error {
		for _, one := range s.Samples {
			all = append(all, fmt.Sprint(one.Time, " ", one.String()))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// scraped waits until a server has some samples that are younger than a time.
func (x *twin) scraped(t *testing.T, since time.Time, n int) {
	t.Helper()
	engine.Eventually(t, "scraping", func() error {
		a, err := x.Ask("/api/v1/query", url.Values{"query": {fmt.Sprintf("count_over_time(ticket[%dms]) >= %d", time.Since(since).Milliseconds()+1, n)}})
		if err != nil {
			return err
		}
		if list, err := a.Series(); err != nil || len(list) != 1 {
			return fmt.Errorf("it has not scraped %d times: %w", n, err)
		}
		return nil
	})
}

// damage flips a bit of the samples of the block that begins at a time.
func damage(t *testing.T, dir string, from int64) {
	t.Helper()
	local, err := transfer.OpenLocal(transfer.LocalOptions{Data: dir, Still: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = local.Close() }() // it was only read
	list, err := local.Blocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Blocks {
		if e.Meta.MinTime/7_200_000 == from/7_200_000 {
			path := filepath.Join(dir, e.Name, "chunks", "000001")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no block begins there")
}

// TestPairBecomesOneServer moves two replicas with different holes, one of them with a damaged block, under one new server, while all three
// scrape one exporter. Each range of the new server is that of one replica, sample by sample, and what one of them missed is there.
func TestPairBecomesOneServer(t *testing.T) {
	var tickets atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "ticket %d\n", tickets.Add(1))
	}))
	t.Cleanup(exporter.Close)
	config := func(name string) string {
		return fmt.Sprintf("global: {scrape_interval: 1s, external_labels: {replica: %s}}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s'], labels: {instance: x}}]}]\n",
			name, strings.TrimPrefix(exporter.URL, "http://"))
	}
	flags := []string{"--storage.tsdb.min-block-duration=6s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=30d"}
	dirs := [2]string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	history(t, dirs[0], 0, 4, 3, 1)     // it missed the second
	history(t, dirs[1], 4_200, 4, 3, 2) // it missed the first
	end := time.Now().Truncate(2 * time.Hour).Add(-2 * time.Hour).UnixMilli()
	broken := end - 3*7_200_000
	damage(t, dirs[0], broken)
	a, b := newTwin(t, engine.Prometheus242, dirs[0], config("a"), flags), newTwin(t, engine.Prometheus242, dirs[1], config("b"), flags)
	began := time.Now()
	a.scraped(t, began, 8)
	b.scraped(t, began, 8)
	a.Stop()
	stopped := time.Now()
	b.scraped(t, stopped, 14)
	started := time.Now()
	a.Restart()
	a.scraped(t, started, 3)
	a.open(t)
	b.open(t)
	target := newTwin(t, engine.Prometheus316, "", config("a"), append(flags, "--storage.tsdb.block-reload-interval=1s"))

	var told []string
	state := t.TempDir()
	pair, err := New(Options{Members: [2]Member{a.member, b.member}, StateDir: state, Target: target.Dir, Tell: func(text string) { told = append(told, text) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := pair.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	servers := [2]*proof.Server{a.read, b.read}
	moved, err := pair.Run(ctx, move.Options{
		StateDir: state, TargetData: target.Dir, TargetServer: target.member.Server, Cutter: move.InProcess{},
		Coverage: func(context.Context) (string, error) {
			if len(target.samples(t, started.UnixMilli(), time.Now().UnixMilli())) < 3 {
				return "the target has not scraped three times", nil
			}
			return "", nil
		},
		SeamSpan: 4 * time.Second, Every: 200 * time.Millisecond, Installer: transfer.InstallerOptions{Every: 100 * time.Millisecond},
		Tell: func(d *move.Decision) { told = append(told, fmt.Sprint(time.Now().Format("05.0 "), d)) },
		Proof: func(ctx context.Context, in move.ProofInput) (*proof.Report, error) {
			var parts []proof.Part
			for _, x := range pair.Parts(in.Seam) {
				parts = append(parts, proof.Part{Name: string(rune('a' + x.Member)), Source: servers[x.Member], From: x.From, To: x.To})
			}
			return proof.RunParts(ctx, proof.Options{Target: target.read, Seam: in.Seam, SourceBlocks: in.SourceBlocks, TargetBlocks: in.TargetBlocks,
				Seed: 7, Samples: 40, SeamSpan: 5 * time.Second}, parts)
		},
	})
	t.Log(strings.Join(told, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if moved.Proof == nil || moved.Proof.Verdict != proof.Proved {
		t.Fatalf("%+v", moved.Proof)
	}
	checkCells(t, pair, moved.Seam, [2]*twin{a, b}, target)
	checkHoles(t, target, end, stopped, started)
	target.Stop()
	target.Restart()
	checkCells(t, pair, moved.Seam, [2]*twin{a, b}, target)
	for _, x := range pair.Choice().Cells {
		if x.From/7_200_000 == broken/7_200_000 && x.Member != 1 {
			t.Errorf("the damaged range is from the replica that has it damaged: %+v", x)
		}
	}
}

// checkCells holds every range against its replica: nothing is missing, and nothing of the other one is there.
func checkCells(t *testing.T, pair *Pair, seam int64, twins [2]*twin, target *twin) {
	t.Helper()
	used := [2]int{}
	for _, c := range pair.Choice().Cells {
		to := min(c.To, seam)
		if c.From >= to {
			continue
		}
		want, got := twins[c.Member].samples(t, c.From, to), target.samples(t, c.From, to)
		if !slices.Equal(want, got) || len(want) == 0 {
			t.Errorf("[%d, %d) of replica %d has %d samples there and %d on the target", c.From, to, c.Member, len(want), len(got))
		}
		used[c.Member] += len(got)
	}
	if used[0] == 0 || used[1] == 0 {
		t.Errorf("%v samples of the two replicas", used)
	}
}

// checkHoles looks for what each replica missed: two of four blocks of history, and the time in which one was stopped.
func checkHoles(t *testing.T, target *twin, end int64, stopped, started time.Time) {
	t.Helper()
	for n := int64(1); n <= 4; n++ {
		from := end - n*7_200_000
		if got := target.samples(t, from, from+7_200_000); len(got) != 480 {
			t.Errorf("%d samples in the block %d before the last, want 480", len(got), n)
		}
	}
	if got := target.samples(t, stopped.UnixMilli(), started.UnixMilli()); len(got) < 11 {
		t.Errorf("%d samples of the time in which one was stopped", len(got))
	}
}
