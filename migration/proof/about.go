package proof

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// Side is what a server says about itself.
type Side struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Version string `json:"version"`
	// Retention is the flag, which a configuration file may override since 3.11.
	Retention string `json:"retention,omitempty"`
	// ExternalLabels are put on what remote read answers, and taken off again here.
	ExternalLabels map[string]string `json:"externalLabels,omitempty"`
	// RemoteRead says that the server asks another one for what it does not hold: its answers prove nothing about its own data.
	RemoteRead bool `json:"remoteRead"`
	// Series is how many series the head holds.
	Series uint64 `json:"headSeries"`
	// Blocks, Lowest, HeadMin and HeadMax are from /metrics, times in milliseconds.
	Blocks  int   `json:"blocksLoaded"`
	Lowest  int64 `json:"lowestTimestamp"`
	HeadMin int64 `json:"headMinTime"`
	HeadMax int64 `json:"headMaxTime"`
}

// beforeBuildinfo is the version of a server that has no API to tell it.
const beforeBuildinfo = "2 (before 2.14)"

// absent says that a server does not know what it was asked for, being too old.
func absent(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

// Identify asks the server for all of Side, and remembers its external labels for Read. It comes before every other question.
func (s *Server) Identify(ctx context.Context) (*Side, error) {
	side := &Side{Name: s.name, URL: s.URL()}
	build := struct{ Version string }{Version: beforeBuildinfo}
	if _, err := s.call(ctx, http.MethodGet, "/api/v1/status/buildinfo", nil, into(&build)); err != nil && !absent(err) {
		return nil, err
	}
	side.Version = clip(build.Version, 80)
	var flags map[string]string
	if _, err := s.call(ctx, http.MethodGet, "/api/v1/status/flags", nil, into(&flags)); err != nil {
		return nil, err
	}
	side.Retention = clip(flags["storage.tsdb.retention.time"], 40)
	var tsdb struct {
		HeadStats struct{ NumSeries uint64 } `json:"headStats"`
	}
	if _, err := s.call(ctx, http.MethodGet, "/api/v1/status/tsdb", nil, into(&tsdb)); err != nil && !absent(err) {
		return nil, err
	}
	side.Series = tsdb.HeadStats.NumSeries
	if err := s.readConfig(ctx, side); err != nil {
		return nil, err
	}
	return side, s.readMetrics(ctx, side)
}

// readConfig keeps two things of the configuration; nothing else of it leaves this function.
func (s *Server) readConfig(ctx context.Context, side *Side) error {
	var data struct{ YAML string }
	if _, err := s.call(ctx, http.MethodGet, "/api/v1/status/config", nil, into(&data)); err != nil {
		return err
	}
	var config struct {
		Global struct {
			ExternalLabels map[string]string `yaml:"external_labels"`
		} `yaml:"global"`
		RemoteRead []any `yaml:"remote_read"`
	}
	if err := yaml.Unmarshal([]byte(data.YAML), &config); err != nil {
		return fmt.Errorf("reading the configuration of the %s: it is no YAML", s.name)
	}
	side.ExternalLabels, side.RemoteRead = config.Global.ExternalLabels, len(config.RemoteRead) > 0
	s.external = labels.FromMap(side.ExternalLabels)
	return nil
}

func (s *Server) readMetrics(ctx context.Context, side *Side) error {
	want := map[string]float64{}
	for _, name := range []string{"prometheus_tsdb_blocks_loaded", "prometheus_tsdb_lowest_timestamp", "prometheus_tsdb_head_min_time", "prometheus_tsdb_head_max_time"} {
		want[name] = 0
	}
	err := s.ask(ctx, http.MethodGet, "/metrics", http.Header{"Accept": {"text/plain; version=0.0.4"}}, nil, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return statusError(res.StatusCode, body)
		}
		return scanMetrics(body, want)
	})
	side.Blocks, side.Lowest = int(want["prometheus_tsdb_blocks_loaded"]), int64(want["prometheus_tsdb_lowest_timestamp"])
	side.HeadMin, side.HeadMax = int64(want["prometheus_tsdb_head_min_time"]), int64(want["prometheus_tsdb_head_max_time"])
	return err
}

// scanMetrics fills in the values of metrics without labels; one that is not there is an error.
func scanMetrics(body io.Reader, want map[string]float64) error {
	missing := len(want)
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if _, ok := want[name]; !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return fmt.Errorf("%s is %q: %w", name, clip(text, 40), ErrBroken)
		}
		want[name] = v
		missing--
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = ErrTooLarge
		}
		return fmt.Errorf("reading lines: %w", err)
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d metrics about the storage are missing (is this Prometheus itself?): %w", missing, len(want), ErrBroken)
	}
	return nil
}

// Rule is an expression that a server evaluates by itself.
type Rule struct{ Group, Name, Expr string }

// Rules lists the rules of the server.
func (s *Server) Rules(ctx context.Context) ([]Rule, error) {
	var data struct {
		Groups []struct {
			Name  string
			Rules []struct{ Name, Query string }
		}
	}
	if _, err := s.call(ctx, http.MethodGet, "/api/v1/rules", url.Values{}, into(&data)); err != nil {
		return nil, err
	}
	var rules []Rule
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			rules = append(rules, Rule{Group: g.Name, Name: r.Name, Expr: r.Query})
		}
	}
	return rules, nil
}
