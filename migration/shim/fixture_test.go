package shim

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/slipway-dev/slipway/migration/server"
)

const (
	start    = int64(1_700_000_000_000)
	step     = int64(15_000)
	samples  = 500
	splitAt  = start + 200*step + 1 // the boundary of most tests
	allUntil = start + samples*step
)

func newDB(t testing.TB) *tsdb.DB {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.WALSegmentSize = -1
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.DisableCompactions()
	return db
}

// fill gives a storage a counter, a gauge with a NaN, and both kinds of native histograms.
func fill(t testing.TB, db *tsdb.DB, from, to int64) {
	t.Helper()
	app := db.Appender(t.Context())
	add := func(metric string, ts int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) {
		l, err := labels.FromStrings("__name__", metric, "job", "a"), error(nil)
		if h == nil && fh == nil {
			_, err = app.Append(0, l, ts, v)
		} else {
			_, err = app.AppendHistogram(0, l, ts, h, fh)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for ts := from; ts < to; ts += step {
		n := (ts - start) / step
		add("counter", ts, float64(n)*1.5, nil, nil)
		gauge := math.Sin(float64(n))
		if n%7 == 0 {
			gauge = math.NaN()
		}
		add("gauge", ts, gauge, nil, nil)
		add("ints", ts, 0, tsdbutil.GenerateTestHistogram(n), nil)
		add("floats", ts, 0, nil, tsdbutil.GenerateTestFloatHistogram(n))
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

// source is the old server: its storage, and the real handler of remote read.
type source struct {
	db       *tsdb.DB
	external labels.Labels
	frame    int
	asked    atomic.Int64
	// before may answer a read instead; true if it did.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func (s *source) serve(t testing.TB) string {
	t.Helper()
	if s.frame == 0 {
		s.frame = 1 << 20
	}
	read := remote.NewReadHandler(slog.New(slog.DiscardHandler), nil, s.db, func() config.Config {
		return config.Config{GlobalConfig: config.GlobalConfig{ExternalLabels: s.external}}
	}, 5e7, 10, s.frame)
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/read", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.before == nil || !s.before(w, r) {
			read.ServeHTTP(w, r)
		}
	})
	mux.HandleFunc("/api/v1/status/config", func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.Marshal(map[string]any{"external_labels": s.external.Map()})
		if err != nil {
			t.Error(err)
		}
		data(w, map[string]string{"yaml": "global: " + string(text)})
	})
	mux.HandleFunc("/api/v1/label/{name}/values", func(w http.ResponseWriter, r *http.Request) {
		q, err := s.db.Querier(0, math.MaxInt64)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = q.Close() }()
		values, _, err := q.LabelValues(r.Context(), r.PathValue("name"), nil)
		if err != nil {
			t.Error(err)
		}
		data(w, values)
	})
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h.URL
}

func data(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": v})
}

// target is what a shim asks of the new server.
type target struct {
	config   string
	min, max atomic.Int64
	blocks   atomic.Int64
}

func newTarget(lowest int64) *target {
	var x target
	x.min.Store(lowest)
	x.max.Store(lowest + 1000)
	return &x
}

func (x *target) serve(t testing.TB) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "prometheus_tsdb_head_min_time %g\nprometheus_tsdb_head_max_time %g\nprometheus_tsdb_blocks_loaded %d\n",
			float64(x.min.Load()), float64(x.max.Load()), x.blocks.Load())
	})
	mux.HandleFunc("/api/v1/status/config", func(w http.ResponseWriter, _ *http.Request) { data(w, map[string]string{"yaml": x.config}) })
	h := httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h.URL
}

// newShim makes a shim that has looked once at both servers, and gives its address.
func newShim(t testing.TB, o Options) (*Shim, string) {
	t.Helper()
	if o.State == "" {
		o.State = filepath.Join(t.TempDir(), "state.json")
	}
	if o.Settle == 0 {
		o.Settle = time.Nanosecond
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.look(t.Context())
	s.look(t.Context())
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

// pair is a source with data, a target whose head begins at splitAt, and a shim between them.
func pair(t testing.TB, s *source) (*Shim, string) {
	t.Helper()
	if s.db == nil {
		s.db = newDB(t)
		fill(t, s.db, start, allUntil)
	}
	return newShim(t, Options{Source: server.Options{URL: s.serve(t)}, Target: server.Options{URL: newTarget(splitAt).serve(t)}})
}

// client is the code with which a Prometheus reads from another.
func client(t testing.TB, address string, types ...prompb.ReadRequest_ResponseType) storage.SampleAndChunkQueryable {
	t.Helper()
	u, err := url.Parse(address + "/api/v1/read")
	if err != nil {
		t.Fatal(err)
	}
	c, err := remote.NewReadClient("test", &remote.ClientConfig{URL: &config_util.URL{URL: u}, Timeout: model.Duration(20 * time.Second),
		ChunkedReadLimit: config.DefaultChunkedReadLimit, AcceptedResponseTypes: types})
	if err != nil {
		t.Fatal(err)
	}
	return remote.NewSampleAndChunkQueryableClient(c, labels.EmptyLabels(), nil, true, func() (int64, error) { return 0, nil })
}
