//go:build engine

package block

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/slipway-dev/slipway/test/engine"
)

// reload has the server look for new blocks every second instead of every minute (3.9 and later). Nothing else is smaller than it is.
const reload = "--storage.tsdb.block-reload-interval=1s"

// scraped starts a server that scrapes a counter every second, and waits until its head is 8 s long.
func scraped(t *testing.T, flags ...string) *engine.Server {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "ticks_total %d\n", time.Now().UnixMilli())
	}))
	t.Cleanup(h.Close)
	s := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Flags: append(flags, reload),
		Config: "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: app, static_configs: [{targets: ['" + strings.TrimPrefix(h.URL, "http://") + "']}]}]\n"})
	engine.Eventually(t, "scraping for 8 s", func() error {
		if from, to := head(t, s); from > to || to-from < 8000 {
			return fmt.Errorf("the head is from %d to %d", from, to)
		}
		return nil
	})
	return s
}

func head(t *testing.T, s *engine.Server) (from, to int64) {
	t.Helper()
	a, _ := s.Metric("prometheus_tsdb_head_min_time")
	b, _ := s.Metric("prometheus_tsdb_head_max_time")
	return int64(a), int64(b)
}

// importedBlock writes a block of one series, with a sample a second from from up to and without to.
func importedBlock(t *testing.T, dir string, from, to int64) string {
	t.Helper()
	var ss []chunks.Sample
	for ts := from; ts < to; ts += 1000 {
		ss = append(ss, trapSample(ts))
	}
	path, err := tsdb.CreateBlock([]storage.Series{storage.NewListSeries(labels.FromStrings("__name__", "imported"), ss)}, dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(path)
}

type trapSample int64

func (trapSample) ST() int64                     { return 0 }
func (s trapSample) T() int64                    { return int64(s) }
func (trapSample) F() float64                    { return 1 }
func (trapSample) H() *histogram.Histogram       { return nil }
func (trapSample) FH() *histogram.FloatHistogram { return nil }
func (trapSample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s trapSample) Copy() chunks.Sample         { return s }

func loaded(t *testing.T, s *engine.Server, want float64) {
	t.Helper()
	engine.Eventually(t, "loading blocks", func() error {
		if n, _ := s.Metric("prometheus_tsdb_blocks_loaded"); n != want {
			return fmt.Errorf("%v blocks are loaded, want %v", n, want)
		}
		return nil
	})
}

// samples counts what the server holds of a metric up to a moment.
func samples(t *testing.T, s *engine.Server, metric string, until int64) int {
	t.Helper()
	a, err := s.Ask("/api/v1/query", url.Values{"query": {"sum(count_over_time(" + metric + "[2h]))"}, "time": {strconv.FormatFloat(float64(until)/1000, 'f', 3, 64)}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.Series()
	if err != nil || len(a.Warnings) > 0 {
		t.Fatal(err, a.Warnings)
	}
	if len(list) == 0 {
		return 0
	}
	n, err := strconv.Atoi(strings.Trim(string(list[0].Value[1]), `"`))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func cutBefore(t *testing.T, dir, id string, at int64) (name, folder string) {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	piece, err := d.Cut(t.Context(), CutOptions{Block: id, At: at, Keep: Before, Staging: filepath.Join(dir, "staging")})
	if err != nil {
		t.Fatal(err)
	}
	if piece.Meta.MaxTime > at {
		t.Fatalf("the piece ends at %d, behind %d", piece.Meta.MaxTime, at)
	}
	return piece.Meta.ULID.String(), piece.Folder
}

func installByHand(t *testing.T, folder, dir, id string) {
	t.Helper()
	part := filepath.Join(dir, id+".part")
	if err := os.CopyFS(part, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(dir, id)); err != nil {
		t.Fatal(err)
	}
}

// TestABlockThatEndsInTheHeadLosesTheServersOwnSamples is why a block is installed only when it ends before the head begins.
func TestABlockThatEndsInTheHeadLosesTheServersOwnSamples(t *testing.T) {
	for name, cutFirst := range map[string]bool{"as it is: samples of the server's own are lost": false, "cut at the head's minimum: none is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scraped(t)
			from, to := head(t, s)
			elsewhere := t.TempDir()
			id := importedBlock(t, elsewhere, from-600_000, from+5000)
			folder := filepath.Join(elsewhere, id)
			if cutFirst {
				id, folder = cutBefore(t, elsewhere, id, from)
			}
			installByHand(t, folder, s.Dir, id)
			loaded(t, s, 1)
			before, imported := samples(t, s, "ticks_total", to), samples(t, s, "imported", to)
			s.Restart()
			after := samples(t, s, "ticks_total", to)
			t.Logf("own samples up to the moment of the installation: %d before the restart, %d after it; imported %d", before, after, imported)
			switch {
			case samples(t, s, "imported", to) != imported || imported < 590:
				t.Errorf("imported samples: %d, then %d", imported, samples(t, s, "imported", to))
			case cutFirst && after != before:
				t.Errorf("%d of %d own samples are lost", before-after, before)
			case !cutFirst && after >= before:
				t.Errorf("no own sample of %d is lost: is the trap gone?", before)
			}
		})
	}
}

// TestRetentionErasesImportedHistory within a reload, and only once the server has a younger block: until then all looks well.
func TestRetentionErasesImportedHistory(t *testing.T) {
	t.Parallel()
	s := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Flags: []string{"--storage.tsdb.retention.time=24h", reload}, Config: "global: {}\n"})
	now := time.Now().UnixMilli()
	old := importedBlock(t, s.Dir, now-9*24*3600_000, now-9*24*3600_000+60_000)
	loaded(t, s, 1)
	importedBlock(t, s.Dir, now-7200_000, now-7140_000)
	engine.Eventually(t, "the nine days old block goes", func() error {
		_, err := os.Stat(filepath.Join(s.Dir, old))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		return errors.New("it is still there")
	})
	loaded(t, s, 1)
	if n, _ := s.Metric("prometheus_tsdb_time_retentions_total"); n != 1 {
		t.Errorf("retention deleted %v times, want 1", n)
	}
}
