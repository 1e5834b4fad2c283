package transfer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// TargetServer is the running server that blocks are installed under.
type TargetServer interface {
	// Observe says what the server sees now.
	Observe(ctx context.Context) (*Observation, error)
}

// Observation is what a server says of itself. Counters count from its start.
type Observation struct {
	Head              Head
	Retention         Retention
	BlocksLoaded      int64
	LowestTimestamp   int64 // Unix milliseconds of the oldest block's beginning
	Reloads           int64
	ReloadFailures    int64
	CompactionsFailed int64
	RetentionDeletes  int64 // times that retention deleted blocks, by time or size
}

// PrometheusOptions say where a server answers.
type PrometheusOptions struct {
	URL     string        // as http://127.0.0.1:9090, with the path prefix where there is one
	Timeout time.Duration // of one request; default 30 s
}

// Prometheus is a TargetServer: its /metrics, and for retention /api/v1/status/runtimeinfo. Names and units as in
// Prometheus 3.16 (tsdb/db.go newDBMetrics, tsdb/head.go newHeadMetrics, web/web.go runtimeInfo).
type Prometheus struct {
	base string
	http *http.Client
}

// NewPrometheus makes a Prometheus; it asks nothing yet.
func NewPrometheus(o PrometheusOptions) (*Prometheus, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("reading the server's address: want http://host:port or https://host:port")
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	return &Prometheus{base: strings.TrimRight(o.URL, "/"), http: &http.Client{Timeout: o.Timeout}}, nil
}

// Observe asks for the metrics and the retention.
func (p *Prometheus) Observe(ctx context.Context) (*Observation, error) {
	var o *Observation
	err := p.get(ctx, "/metrics", func(r io.Reader) (err error) { o, err = readMetrics(r); return err })
	if err != nil {
		return nil, fmt.Errorf("asking the target server for its metrics: %w", err)
	}
	err = p.get(ctx, "/api/v1/status/runtimeinfo", func(r io.Reader) error { return readRetention(r, &o.Retention) })
	if err != nil {
		return nil, fmt.Errorf("asking the target server for its retention: %w", err)
	}
	return o, nil
}

func (p *Prometheus) get(ctx context.Context, path string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	if err != nil {
		return withoutAddress(err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return withoutAddress(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return read(io.LimitReader(resp.Body, maxAnswer))
}

// wanted are the metrics that an observation needs; all of them have no labels. The second half is not in every version.
func wanted() map[string]float64 {
	nan := math.NaN()
	return map[string]float64{
		"prometheus_tsdb_head_min_time": nan, "prometheus_tsdb_head_max_time": nan, "prometheus_tsdb_blocks_loaded": nan, "prometheus_tsdb_lowest_timestamp": nan,
		"prometheus_tsdb_reloads_total": nan, "prometheus_tsdb_reloads_failures_total": nan, "prometheus_tsdb_compactions_failed_total": nan,
		"prometheus_tsdb_time_retentions_total": nan, "prometheus_tsdb_size_retentions_total": nan,

		"prometheus_tsdb_wal_storage_size_bytes": 0, "prometheus_tsdb_head_chunks_storage_size_bytes": 0, "prometheus_tsdb_retention_limit_bytes": 0,
	}
}

// readMetrics takes the few metrics that are needed from the text format: lines of a name without labels and a value.
func readMetrics(r io.Reader) (*Observation, error) {
	m := wanted()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if _, ok := m[name]; !ok {
			continue
		}
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a time may follow
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		m[name] = v
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	for name, v := range m {
		if math.IsNaN(v) {
			return nil, fmt.Errorf("reading metrics: there is no %s: is this the address of a Prometheus server?", name)
		}
	}
	of := func(name string) int64 { return clamp(m["prometheus_tsdb_"+name]) }
	return &Observation{
		// A head without samples has MinTime MaxInt64 and MaxTime MinInt64 (tsdb/head.go resetInMemoryState).
		Head:            Head{MinTime: of("head_min_time"), Empty: m["prometheus_tsdb_head_min_time"] > m["prometheus_tsdb_head_max_time"], Bytes: of("wal_storage_size_bytes") + of("head_chunks_storage_size_bytes")},
		Retention:       Retention{Bytes: of("retention_limit_bytes")},
		BlocksLoaded:    of("blocks_loaded"),
		LowestTimestamp: of("lowest_timestamp"),
		Reloads:         of("reloads_total"), ReloadFailures: of("reloads_failures_total"), CompactionsFailed: of("compactions_failed_total"),
		RetentionDeletes: of("time_retentions_total") + of("size_retentions_total"),
	}, nil
}

// clamp turns a metric into a whole number: the ends of int64 are not exact as floats.
func clamp(v float64) int64 {
	switch {
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}

// readRetention takes the time from "15d", "15d or 10GiB", "10GiB", "15d or 80%"; the bytes come from the metrics, where
// they are exact.
func readRetention(r io.Reader, to *Retention) error {
	var answer struct {
		Data struct {
			StorageRetention *string `json:"storageRetention"`
		} `json:"data"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return fmt.Errorf("reading runtimeinfo: %w", err)
	}
	if answer.Data.StorageRetention == nil {
		return errors.New("reading runtimeinfo: it has no storageRetention")
	}
	for part := range strings.SplitSeq(*answer.Data.StorageRetention, " or ") {
		if d, err := model.ParseDuration(part); err == nil {
			to.Milliseconds = time.Duration(d).Milliseconds()
		}
		if strings.HasSuffix(part, "%") {
			return fmt.Errorf("the server keeps %s of its disk: set a size or a time, a share cannot be planned with", part)
		}
	}
	return nil
}
