package proof

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/slipway-dev/slipway/migration/server"
)

const (
	begin   = int64(1_700_000_000_000)
	step    = int64(15_000)
	scrapes = 480 // two hours
	seamAt  = begin + 300*step
	// phase is how much later than the source the target scrapes.
	phase = int64(4_000)
	end   = begin + scrapes*step
)

// world is what a server holds.
type world []*Series

// history makes counters, gauges with a NaN and a stale marker, and native histograms.
func history() world {
	var w world
	for i := range 4 {
		w = append(w, series(func(k int) Sample { return Sample{Value: float64(k * (i + 1))} }, "__name__", "requests_total", "job", "shop", "instance", fmt.Sprint(i)))
		w = append(w, series(func(k int) Sample { return gauge(i, k) }, "__name__", "temperature", "job", "room", "instance", fmt.Sprint(i)))
	}
	w = append(w,
		series(func(k int) Sample { return Sample{Int: tsdbutil.GenerateTestHistogram(int64(k))} }, "__name__", "latency", "job", "shop", "kind", "int"),
		series(func(k int) Sample { return Sample{Float: tsdbutil.GenerateTestFloatHistogram(int64(k))} }, "__name__", "latency", "job", "shop", "kind", "float"))
	return w
}

func gauge(i, k int) Sample {
	switch {
	case k%100 == 50:
		return Sample{Value: math.Float64frombits(value.NormalNaN)}
	case i == 1 && k == 200:
		return Sample{Value: math.Float64frombits(value.StaleNaN)}
	}
	return Sample{Value: math.Sin(float64(k)/9) + float64(i)}
}

func series(at func(int) Sample, pairs ...string) *Series {
	s := &Series{Labels: labels.FromStrings(pairs...)}
	for k := range scrapes {
		one := at(k)
		one.Time = begin + int64(k)*step
		s.Samples = append(s.Samples, one)
	}
	return s
}

// moved is the target after a move: the source's samples before the seam, its own, a phase later, behind it.
func moved() world {
	w := history()
	for _, s := range w {
		for k := range s.Samples {
			if s.Samples[k].Time >= seamAt {
				s.Samples[k].Time += phase
			}
		}
	}
	return w
}

// find is the first series of a metric.
func (w world) find(metric string) *Series {
	return w[slices.IndexFunc(w, func(s *Series) bool { return s.Labels.Get("__name__") == metric })]
}

// front is a server of the real code: tsdb, the handler of remote read, and the engine; the HTTP around them is written by hand.
type front struct {
	db       *tsdb.DB
	engine   *promql.Engine
	external labels.Labels
	version  string
	config   string
	rules    string
	warning  string
	// before may answer instead of the server; it says true if it did.
	before func(w http.ResponseWriter, r *http.Request) bool
	// oldRead makes the server answer remote read as before 2.13.
	oldRead bool
}

func newFront(t testing.TB, w world) *front {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.WALSegmentSize = -1
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.DisableCompactions()
	app := db.Appender(t.Context())
	for _, s := range w {
		for _, one := range s.Samples {
			if one.Type() == 1 {
				_, err = app.Append(0, s.Labels, one.Time, one.Value)
			} else {
				_, err = app.AppendHistogram(0, s.Labels, one.Time, one.Int, one.Float)
			}
			if err != nil {
				t.Fatalf("appending to %s: %v", s.Labels, err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 }})
	return &front{db: db, engine: engine, version: "3.16.0"}
}

// serve starts a server and returns the client of it.
func (f *front) serve(t testing.TB, name string) *Server {
	t.Helper()
	h := httptest.NewServer(f.handler())
	t.Cleanup(h.Close)
	return client(t, name, h.URL)
}

func client(t testing.TB, name, url string) *Server {
	t.Helper()
	s, err := NewServer(server.Options{Name: name, URL: url, Timeout: 20 * time.Second, MaxBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (f *front) handler() http.Handler {
	mux := http.NewServeMux()
	read := remote.NewReadHandler(slog.New(slog.DiscardHandler), nil, f.db, func() config.Config {
		return config.Config{GlobalConfig: config.GlobalConfig{ExternalLabels: f.external}}
	}, 5e7, 10, 1<<14)
	mux.Handle("/api/v1/read", read)
	mux.HandleFunc("/api/v1/label/__name__/values", f.names)
	mux.HandleFunc("/api/v1/series", f.series)
	mux.HandleFunc("/api/v1/query", f.query)
	mux.HandleFunc("/api/v1/query_range", f.query)
	mux.HandleFunc("/api/v1/rules", func(w http.ResponseWriter, _ *http.Request) {
		f.answer(w, json.RawMessage(`{"groups":[`+f.rules+`]}`), nil)
	})
	mux.HandleFunc("/api/v1/status/buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		f.answer(w, map[string]string{"version": f.version}, nil)
	})
	mux.HandleFunc("/api/v1/status/flags", func(w http.ResponseWriter, _ *http.Request) {
		f.answer(w, map[string]string{"storage.tsdb.retention.time": "180d"}, nil)
	})
	mux.HandleFunc("/api/v1/status/config", func(w http.ResponseWriter, _ *http.Request) { f.answer(w, map[string]string{"yaml": f.config}, nil) })
	mux.HandleFunc("/api/v1/status/tsdb", func(w http.ResponseWriter, _ *http.Request) {
		f.answer(w, map[string]any{"headStats": map[string]any{"numSeries": f.db.Head().NumSeries()}}, nil)
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		lowest, _ := f.db.StartTime()
		if blocks := f.db.Blocks(); len(blocks) == 0 {
			lowest = f.db.Head().MinTime()
		}
		fmt.Fprintf(w, "# HELP x\nprometheus_tsdb_blocks_loaded %d\nprometheus_tsdb_lowest_timestamp %d\nprometheus_tsdb_head_min_time %d\nprometheus_tsdb_head_max_time %s\n",
			len(f.db.Blocks()), lowest, f.db.Head().MinTime(), strconv.FormatFloat(float64(f.db.Head().MaxTime()), 'e', -1, 64))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.before != nil && f.before(w, r) {
			return
		}
		if f.oldRead && r.URL.Path == "/api/v1/read" {
			f.readSamples(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (f *front) answer(w http.ResponseWriter, data any, err error) {
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": "bad_data", "error": err.Error()})
		return
	}
	out := map[string]any{"status": "success", "data": data}
	if f.warning != "" {
		out["warnings"] = []string{f.warning}
	}
	_ = json.NewEncoder(w).Encode(out)
}

func millis(r *http.Request, key string) int64 {
	v, _ := strconv.ParseFloat(r.FormValue(key), 64)
	return int64(math.Round(v * 1000))
}

func (f *front) names(w http.ResponseWriter, r *http.Request) {
	q, err := f.db.Querier(millis(r, "start"), millis(r, "end"))
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	defer q.Close()
	names, _, err := q.LabelValues(r.Context(), "__name__", nil)
	f.answer(w, names, err)
}

func (f *front) series(w http.ResponseWriter, r *http.Request) {
	from, to := millis(r, "start"), millis(r, "end")
	matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector(r.FormValue("match[]"))
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	q, err := f.db.Querier(from, to)
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	defer q.Close()
	set := q.Select(r.Context(), false, &storage.SelectHints{Start: from, End: to, Func: "series"}, matchers...)
	list := []labels.Labels{}
	for set.Next() {
		list = append(list, set.At().Labels())
	}
	f.answer(w, list, set.Err())
}

func (f *front) query(w http.ResponseWriter, r *http.Request) {
	var q promql.Query
	var err error
	at := func(key string) time.Time { return time.UnixMilli(millis(r, key)) }
	if r.URL.Path == "/api/v1/query" {
		q, err = f.engine.NewInstantQuery(r.Context(), f.db, nil, r.FormValue("query"), at("time"))
	} else {
		q, err = f.engine.NewRangeQuery(r.Context(), f.db, nil, r.FormValue("query"), at("start"), at("end"), time.Duration(millis(r, "step"))*time.Millisecond)
	}
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	defer q.Close()
	res := q.Exec(r.Context())
	if res.Err != nil {
		f.answer(w, nil, res.Err)
		return
	}
	f.answer(w, map[string]any{"resultType": res.Value.Type(), "result": res.Value}, nil)
}

// readSamples takes the accepted types out of the request, so that the real handler answers as to an old client.
func (f *front) readSamples(w http.ResponseWriter, r *http.Request) {
	req, err := remote.DecodeReadRequest(r)
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	q, err := f.db.Querier(req.Queries[0].StartTimestampMs, req.Queries[0].EndTimestampMs)
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	defer q.Close()
	matchers, err := remote.FromLabelMatchers(req.Queries[0].Matchers)
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	res, _, err := remote.ToQueryResult(q.Select(r.Context(), false, nil, matchers...), 0)
	if err != nil {
		f.answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_ = remote.EncodeReadResponse(&prompb.ReadResponse{Results: []*prompb.QueryResult{res}}, w)
}

// changed copies a histogram and moves one observation into another bucket.
func changed(h *histogram.Histogram) *histogram.Histogram {
	c := h.Copy()
	c.PositiveBuckets[0]++
	c.PositiveBuckets[1] -= 2
	c.PositiveBuckets[2]++
	return c
}
