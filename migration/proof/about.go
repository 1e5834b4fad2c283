package proof

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/migration/server"
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

// Identify asks the server for all of Side, and remembers its external labels for Read. It comes before every other question.
func (s *Server) Identify(ctx context.Context) (*Side, error) {
	side := &Side{Name: s.Name(), URL: s.URL()}
	build := struct{ Version string }{Version: beforeBuildinfo}
	if _, err := s.Call(ctx, http.MethodGet, "/api/v1/status/buildinfo", nil, server.Into(&build)); err != nil && !server.IsAbsent(err) {
		return nil, err
	}
	side.Version = server.Clip(build.Version, 80)
	var flags map[string]string
	if _, err := s.Call(ctx, http.MethodGet, "/api/v1/status/flags", nil, server.Into(&flags)); err != nil {
		return nil, err
	}
	side.Retention = server.Clip(flags["storage.tsdb.retention.time"], 40)
	var tsdb struct {
		HeadStats struct{ NumSeries uint64 } `json:"headStats"`
	}
	if _, err := s.Call(ctx, http.MethodGet, "/api/v1/status/tsdb", nil, server.Into(&tsdb)); err != nil && !server.IsAbsent(err) {
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
	if _, err := s.Call(ctx, http.MethodGet, "/api/v1/status/config", nil, server.Into(&data)); err != nil {
		return err
	}
	var config struct {
		Global struct {
			ExternalLabels map[string]string `yaml:"external_labels"`
		} `yaml:"global"`
		RemoteRead []any `yaml:"remote_read"`
	}
	if err := yaml.Unmarshal([]byte(data.YAML), &config); err != nil {
		return fmt.Errorf("reading the configuration of the %s: it is no YAML", s.Name())
	}
	side.ExternalLabels, side.RemoteRead = config.Global.ExternalLabels, len(config.RemoteRead) > 0
	s.external = labels.FromMap(side.ExternalLabels)
	return nil
}

func (s *Server) readMetrics(ctx context.Context, side *Side) error {
	m, err := s.Client.Metrics(ctx, server.Wanted{Required: []string{
		"prometheus_tsdb_blocks_loaded", "prometheus_tsdb_lowest_timestamp", "prometheus_tsdb_head_min_time", "prometheus_tsdb_head_max_time",
	}})
	if err != nil {
		return err
	}
	of := func(name string) int64 { return server.Int(m["prometheus_tsdb_"+name]) }
	side.Blocks, side.Lowest, side.HeadMin, side.HeadMax = int(of("blocks_loaded")), of("lowest_timestamp"), of("head_min_time"), of("head_max_time")
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
	if _, err := s.Call(ctx, http.MethodGet, "/api/v1/rules", url.Values{}, server.Into(&data)); err != nil {
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
