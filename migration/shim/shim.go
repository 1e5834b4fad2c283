package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

// Options say between which servers a shim stands.
type Options struct {
	// Source is the old server, Target the new one, whose remote_read asks the shim. Their Timeout, MaxBytes and Parallel are set here.
	Source, Target server.Options
	// State is the file that keeps the boundary; its folder is made where it is missing, not those above.
	State string
	// Boundary sets it, in Unix milliseconds; 0: the target's own first sample, read as soon as there is one.
	Boundary int64
	// Settle is how long the target's head must have begun at the same time before that is the boundary; default 30 s. It should be
	// longer than the longest scrape takes.
	Settle time.Duration
	// Parallel is how many requests the source is asked at once, others wait; default 4.
	Parallel int
	// Timeout ends one request; default 5 minutes. The target has its own (remote_timeout, 1 minute).
	Timeout time.Duration
	// MaxBytes bounds one answer of the source; default 4 GiB. A streamed answer is not held in memory.
	MaxBytes int64
	Log      *slog.Logger
}

// Shim is an http.Handler: POST /api/v1/read, GET /metrics, /-/healthy and /-/ready.
type Shim struct {
	http.Handler
	source   *server.Client // for reading
	ask      *server.Client // the source, for small questions: they do not wait behind reads
	target   *server.Client
	boundary *boundary
	meter    meter
	log      *slog.Logger

	mu       sync.Mutex
	external map[string]string
	err      error // why the shim does not answer; nil: it does
}

// New reads the state and the files with secrets. It asks no server: Follow does.
func New(o Options) (*Shim, error) {
	if o.Settle <= 0 {
		o.Settle = 30 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4 << 30
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Shim{log: o.Log, err: fmt.Errorf("nothing has been asked yet: %w", ErrNotReady)}
	small := func(name string, to server.Options) (*server.Client, error) {
		to.Name, to.Timeout = name, 30*time.Second
		return server.New(to)
	}
	var err error
	if s.ask, err = small("source", o.Source); err != nil {
		return nil, err
	}
	if s.target, err = small("target", o.Target); err != nil {
		return nil, err
	}
	o.Source.Name, o.Source.Timeout, o.Source.MaxBytes, o.Source.Parallel = "source", o.Timeout, o.MaxBytes, o.Parallel
	if s.source, err = server.New(o.Source); err != nil {
		return nil, err
	}
	if s.boundary, err = newBoundary(o, s.target); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/read", s.read)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		s.writeMetrics(w)
	})
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "The shim runs.") })
	mux.HandleFunc("GET /-/ready", s.ready)
	s.Handler = mux
	return s, nil
}

// Boundary is S' in Unix milliseconds; false as long as it is not known.
func (s *Shim) Boundary() (int64, bool) { return s.boundary.get() }

// Metrics are the counters up to now.
func (s *Shim) Metrics() Metrics { return s.meter.read() }

func (s *Shim) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Shim) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.problem(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	at, _ := s.boundary.get()
	fmt.Fprintf(w, "The shim answers what is before %s.\n", instant(at))
}

// Follow looks at both servers until the context is done: every second as long as the shim is not ready, then every minute.
func (s *Shim) Follow(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		s.look(ctx)
		pause := time.Minute
		if s.problem() != nil {
			pause = time.Second
		}
		timer.Reset(pause)
	}
}

// look learns the boundary and the labels. Once they are known, a server that does not answer changes nothing.
func (s *Shim) look(ctx context.Context) {
	err := s.boundary.observe(ctx)
	at, known := s.boundary.get()
	if known && !refuses(err) {
		err = nil
	}
	if err == nil {
		err = s.learn(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	before := s.err
	s.err = err
	s.mu.Unlock()
	switch {
	case err == nil && before != nil:
		s.log.Info("Shim ready", "boundary", instant(at))
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.log.Warn("Shim not ready", "reason", err)
	}
	if s.boundary.crossed() {
		s.log.Warn("The target holds samples before the boundary", "boundary", instant(at))
	}
}

// refuses tells a server that was understood from one that did not answer.
func refuses(err error) bool {
	var ask *server.AskError
	return err != nil && !errors.As(err, &ask)
}

func (s *Shim) learn(ctx context.Context) error {
	external, err := sourceLabels(ctx, s.ask)
	if err == nil {
		err = checkTarget(ctx, s.target)
	}
	s.mu.Lock()
	known := s.external != nil
	s.mu.Unlock()
	if err != nil && known && !refuses(err) {
		return nil // it is away for a while; what it said last holds, and reads tell when it no longer does
	}
	if err != nil {
		return err
	}
	if external == nil {
		external = map[string]string{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := !maps.Equal(s.external, external)
	s.external = external
	if changed {
		s.log.Info("External labels of the source", "labels", external)
	}
	return nil
}

// read answers POST /api/v1/read.
func (s *Shim) read(w http.ResponseWriter, r *http.Request) {
	s.meter.add(func(m *Metrics) { m.Running++ })
	defer s.meter.add(func(m *Metrics) { m.Running-- })
	at, known := s.boundary.get()
	s.mu.Lock()
	external, problem := s.external, s.err
	s.mu.Unlock()
	if !known {
		at = math.MaxInt64 // everything would have to be asked, and nothing is
	}
	q, err := readQuestion(r.Body, at, external)
	if err != nil {
		s.meter.add(func(m *Metrics) { m.Refused++ })
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := &answer{q: q, at: at, external: external, to: w, cutter: block.NewChunkCutter()}
	if problem != nil && q.ask != nil {
		s.meter.add(func(m *Metrics) { m.Refused++ })
		s.fail(a, problem, http.StatusServiceUnavailable)
		return
	}
	err = s.answer(r.Context(), a)
	s.meter.add(func(m *Metrics) {
		m.Queries, m.Away = m.Queries+uint64(q.queries), m.Away+uint64(q.away)
		m.Series, m.Bytes, m.CutChunks = m.Series+uint64(a.series), m.Bytes+uint64(a.bytes), m.CutChunks+uint64(a.cut)
		if err == nil {
			m.Answered++
		} else {
			m.Failed++
		}
	})
	if err != nil {
		s.fail(a, err, http.StatusBadGateway)
	}
}

func (s *Shim) answer(ctx context.Context, a *answer) error {
	if a.q.ask == nil {
		return a.nothing()
	}
	body, err := encode(a.q.ask)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {samplesType}, "Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Read-Version": {"0.1.0"}}
	return s.source.Ask(ctx, http.MethodPost, "/api/v1/read", header, body, func(res *http.Response, body io.Reader) error { return a.forward(res, body) })
}

func encode(req *prompb.ReadRequest) ([]byte, error) {
	data, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("writing a read request: %w", err)
	}
	return snappy.Encode(nil, data), nil
}

// fail tells the target. It never lets a query go on with a part of the answer where the target reads streams; one that does not
// shows the error as a warning.
func (s *Shim) fail(a *answer, err error, code int) {
	s.log.Error("Request failed", "reason", err, "series", a.series)
	if a.q.streamed || a.started {
		a.abort()
	}
	http.Error(a.to, err.Error(), code)
}
