package shim

import (
	"fmt"
	"io"
	"sync"
)

// Metrics are what a shim has done since it was started.
type Metrics struct {
	Answered  uint64 // requests with data or without, whole
	Failed    uint64 // requests that the source, or the way to it, did not answer whole
	Refused   uint64 // requests that were broken, or came before the shim was ready
	Queries   uint64 // within the requests
	Away      uint64 // queries that lie behind the boundary, and were not asked
	Series    uint64
	Bytes     uint64 // sent to the target
	CutChunks uint64 // chunks that reached over the boundary
	Running   int64  // requests now
}

type meter struct {
	mu sync.Mutex
	m  Metrics
}

func (m *meter) add(change func(*Metrics)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.m)
}

func (m *meter) read() Metrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.m
}

// writeMetrics writes the text format of Prometheus.
func (s *Shim) writeMetrics(w io.Writer) {
	m := s.meter.read()
	at, ready := s.boundary.get()
	const requests = "slipway_shim_requests_total"
	fmt.Fprintf(w, "# HELP %s Requests of the target, by how they ended.\n# TYPE %s counter\n", requests, requests)
	fmt.Fprintf(w, "%s{result=\"answered\"} %d\n%s{result=\"failed\"} %d\n%s{result=\"refused\"} %d\n", requests, m.Answered, requests, m.Failed, requests, m.Refused)
	for _, c := range []struct {
		name, kind, help string
		value            any
	}{
		{"slipway_shim_queries_total", "counter", "Queries within the requests.", m.Queries},
		{"slipway_shim_queries_away_total", "counter", "Queries that lie behind the boundary: the source was not asked.", m.Away},
		{"slipway_shim_series_total", "counter", "Series that were answered.", m.Series},
		{"slipway_shim_sent_bytes_total", "counter", "Bytes of answers.", m.Bytes},
		{"slipway_shim_cut_chunks_total", "counter", "Chunks of the source that reached over the boundary and were cut.", m.CutChunks},
		{"slipway_shim_requests_running", "gauge", "Requests that are being answered.", m.Running},
		{"slipway_shim_boundary_timestamp_seconds", "gauge", "The boundary; 0 as long as it is not known.", float64(at) / 1000},
		{"slipway_shim_ready", "gauge", "1 when the shim answers.", number(ready && s.problem() == nil)},
		{"slipway_shim_target_samples_below_boundary", "gauge", "1 when the target's head holds samples before the boundary.", number(s.boundary.crossed())},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", c.name, c.help, c.name, c.kind, c.name, c.value)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
