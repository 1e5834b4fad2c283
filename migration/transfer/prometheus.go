package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/slipway-dev/slipway/migration/server"
)

// TargetServer is the running server that blocks are installed under.
type TargetServer interface {
	// Observe says what the server sees now.
	Observe(ctx context.Context) (*Observation, error)
}

// Observation is what a server says of itself. Counters count from its start.
type Observation struct {
	// Started is when its process began, in Unix milliseconds.
	Started           int64
	Head              Head
	Retention         Retention
	BlocksLoaded      int64
	LowestTimestamp   int64 // Unix milliseconds of the oldest block's beginning
	Reloads           int64
	ReloadFailures    int64
	CompactionsFailed int64
	RetentionDeletes  int64 // times that retention deleted blocks, by time or size
}

// Prometheus is a TargetServer: its /metrics, and for retention /api/v1/status/runtimeinfo. Names and units as in
// Prometheus 3.16 (tsdb/db.go newDBMetrics, tsdb/head.go newHeadMetrics, web/web.go runtimeInfo).
type Prometheus struct{ client *server.Client }

// NewPrometheus makes a Prometheus; it asks nothing yet. Options without a name call it the target server, without a timeout wait 30 s.
func NewPrometheus(o server.Options) (*Prometheus, error) {
	if o.Name == "" {
		o.Name = "target server"
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	c, err := server.New(o)
	if err != nil {
		return nil, err
	}
	return &Prometheus{c}, nil
}

// Observe asks for the metrics and the retention.
func (p *Prometheus) Observe(ctx context.Context) (*Observation, error) {
	m, err := p.client.Metrics(ctx, wanted())
	if err != nil {
		return nil, err
	}
	var info runtimeInfo
	if _, err := p.client.Call(ctx, http.MethodGet, "/api/v1/status/runtimeinfo", nil, server.Into(&info)); err != nil {
		return nil, err
	}
	o := observation(m)
	if !info.StartTime.IsZero() {
		o.Started = info.StartTime.UnixMilli()
	}
	if o.Retention.Milliseconds, err = info.retention(); err != nil {
		return nil, fmt.Errorf("reading the retention of %s: %w", p.client.URL(), err)
	}
	return o, nil
}

// BlockRange is how long the blocks are that the server writes from its head, in milliseconds (--storage.tsdb.min-block-duration).
func (p *Prometheus) BlockRange(ctx context.Context) (int64, error) {
	const name = "storage.tsdb.min-block-duration"
	flags := map[string]string{}
	if _, err := p.client.Call(ctx, http.MethodGet, "/api/v1/status/flags", nil, server.Into(&flags)); err != nil {
		return 0, err
	}
	d, err := model.ParseDuration(flags[name])
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("reading the flags of %s: --%s is %q", p.client.URL(), name, server.Clip(flags[name], 40))
	}
	return time.Duration(d).Milliseconds(), nil
}

// wanted are the metrics that an observation needs; the optional ones are not in every version.
func wanted() server.Wanted {
	return server.Wanted{
		Required: []string{
			"prometheus_tsdb_head_min_time", "prometheus_tsdb_head_max_time", "prometheus_tsdb_blocks_loaded", "prometheus_tsdb_lowest_timestamp",
			"prometheus_tsdb_reloads_total", "prometheus_tsdb_reloads_failures_total", "prometheus_tsdb_compactions_failed_total",
			"prometheus_tsdb_time_retentions_total", "prometheus_tsdb_size_retentions_total",
		},
		Optional: []string{"prometheus_tsdb_wal_storage_size_bytes", "prometheus_tsdb_head_chunks_storage_size_bytes", "prometheus_tsdb_retention_limit_bytes"},
	}
}

func observation(m map[string]float64) *Observation {
	of := func(name string) int64 { return server.Int(m["prometheus_tsdb_"+name]) }
	return &Observation{
		// A head without samples has MinTime MaxInt64 and MaxTime MinInt64 (tsdb/head.go resetInMemoryState).
		Head:            Head{MinTime: of("head_min_time"), MaxTime: of("head_max_time"), Empty: m["prometheus_tsdb_head_min_time"] > m["prometheus_tsdb_head_max_time"], Bytes: of("wal_storage_size_bytes") + of("head_chunks_storage_size_bytes")},
		Retention:       Retention{Bytes: of("retention_limit_bytes")},
		BlocksLoaded:    of("blocks_loaded"),
		LowestTimestamp: of("lowest_timestamp"),
		Reloads:         of("reloads_total"), ReloadFailures: of("reloads_failures_total"), CompactionsFailed: of("compactions_failed_total"),
		RetentionDeletes: of("time_retentions_total") + of("size_retentions_total"),
	}
}

// runtimeInfo is the data of /api/v1/status/runtimeinfo.
type runtimeInfo struct {
	StartTime        time.Time `json:"startTime"`
	StorageRetention *string   `json:"storageRetention"`
}

// retention is the time in milliseconds from "15d", "15d or 10GiB", "10GiB", "15d or 80%"; the bytes come from the metrics, where
// they are exact.
func (r runtimeInfo) retention() (ms int64, err error) {
	if r.StorageRetention == nil {
		return 0, errors.New("runtimeinfo has no storageRetention")
	}
	for part := range strings.SplitSeq(*r.StorageRetention, " or ") {
		if d, err := model.ParseDuration(part); err == nil {
			ms = time.Duration(d).Milliseconds()
		}
		if strings.HasSuffix(part, "%") {
			return ms, fmt.Errorf("the server keeps %s of its disk: set a size or a time, a share cannot be planned with", server.Clip(part, 40))
		}
	}
	return ms, nil
}
