package survey

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
)

// Observation is what a server tells of itself at one time.
type Observation struct {
	// Name is source or target, URL the address that was asked.
	Name string `json:"name"`
	URL  string `json:"url"`
	// Version is what the server calls itself; empty when it does not say.
	Version string `json:"version"`
	// At is when it was asked, StartedAt when it started, both by its own clock.
	At        time.Time `json:"at"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	Clock     Clock     `json:"clock"`
	Flags     Flags     `json:"flags"`
	Retention Retention `json:"retention"`
	Storage   Storage   `json:"storage"`
	Config    Config    `json:"config"`
	Targets   []Target  `json:"targets"`
	Groups    []Group   `json:"ruleGroups"`
	// Alertmanagers are those that the server sends to now, without paths.
	Alertmanagers []string `json:"alertmanagers,omitempty"`

	// Itself are the labels of targets by which the server scrapes itself.
	Itself []string `json:"itself,omitempty"`

	flags map[string]string
	yaml  string
	start float64 // of its process, in seconds; 0 where it does not tell
}

// Clock is how far the server's clock is ahead of this host's: between Min and Max milliseconds. The truth is within, by the time
// that the question took.
type Clock struct {
	MinMillis int64 `json:"minMilliseconds"`
	MaxMillis int64 `json:"maxMilliseconds"`
}

// Storage is what the metrics tell; sizes in bytes, times in Unix milliseconds.
type Storage struct {
	Blocks     int   `json:"blocks"`
	BlockBytes int64 `json:"blockBytes"`
	// WALBytes is measured where the server measures it, else estimated from what was written (WALEstimated).
	WALBytes       int64 `json:"walBytes"`
	WALEstimated   bool  `json:"walEstimated,omitempty"`
	HeadChunkBytes int64 `json:"headChunkBytes"`
	Lowest         int64 `json:"lowestTimestamp"`
	HeadMin        int64 `json:"headMinTime"`
	HeadMax        int64 `json:"headMaxTime"`
	HeadEmpty      bool  `json:"headEmpty,omitempty"`
	Series         int64 `json:"headSeries"`
	// SamplesPerSecond is the mean since the server started.
	SamplesPerSecond float64 `json:"samplesPerSecond"`
	LateSamples      int64   `json:"outOfOrderSamples"`
	ReloadFailures   int64   `json:"reloadFailures"`
	FailedCompaction int64   `json:"failedCompactions"`
}

// version is nil where the server does not tell one that can be read.
func (o *Observation) version() *skew.Version {
	text, _, _ := strings.Cut(o.Version, "+") // Debian's 2.42.0+ds
	v, err := skew.ParseVersion(text)
	if err != nil {
		return nil
	}
	return &v
}

// Readable says that the storage is of 2.0 or newer, whose blocks others can read.
func (o *Observation) readable() bool {
	v := o.version()
	return v == nil || v.Major >= 2
}

// Observe asks a server for all of an Observation. Of a server of 1.x it tells the version alone.
func Observe(ctx context.Context, c *server.Client) (*Observation, error) {
	o := &Observation{Name: c.Name(), URL: c.URL()}
	if err := o.askVersion(ctx, c); err != nil {
		return nil, err
	}
	if !o.readable() {
		return o, nil
	}
	for _, ask := range []func(context.Context, *server.Client) error{
		o.askClock, o.askFlags, o.askRuntime, o.askConfig, o.askStorage, o.askTargets, o.askItself, o.askRules, o.askAlertmanagers,
	} {
		if err := ask(ctx, c); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// get asks for JSON; what an older server does not know stays as it is.
func get(ctx context.Context, c *server.Client, address string, params url.Values, into any) error {
	_, err := c.Call(ctx, http.MethodGet, address, params, server.Into(into))
	if server.IsAbsent(err) {
		return nil
	}
	return err
}

func (o *Observation) askVersion(ctx context.Context, c *server.Client) error {
	var build struct{ Version string }
	_, err := c.Call(ctx, http.MethodGet, "/api/v1/status/buildinfo", nil, server.Into(&build))
	if server.IsAbsent(err) { // before 2.14
		build.Version, err = versionOfMetrics(ctx, c)
	}
	o.Version = server.Clip(build.Version, 80)
	return err
}

// buildInfo is the version in the labels of prometheus_build_info, which every version has.
var buildInfo = regexp.MustCompile(`^prometheus_build_info\{(?:\w+="(?:[^"\\]|\\.)*",)*version="([^"\\]*)"`)

func versionOfMetrics(ctx context.Context, c *server.Client) (version string, err error) {
	err = c.Ask(ctx, http.MethodGet, "/metrics", http.Header{"Accept": {"text/plain; version=0.0.4"}}, nil, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return server.Refusal(res.StatusCode, body)
		}
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if m := buildInfo.FindStringSubmatch(lines.Text()); m != nil {
				version = m[1]
			}
		}
		if lines.Err() == nil && version == "" {
			return fmt.Errorf("it has no prometheus_build_info (is this the address of a Prometheus server?): %w", server.ErrBroken)
		}
		return lines.Err()
	})
	return version, err
}

func (o *Observation) askFlags(ctx context.Context, c *server.Client) error {
	if err := get(ctx, c, "/api/v1/status/flags", nil, &o.flags); err != nil {
		return err
	}
	o.Flags = readFlags(o.flags)
	o.Retention = o.Flags.retention()
	return nil
}

func (o *Observation) askRuntime(ctx context.Context, c *server.Client) error {
	var info struct {
		StartTime        time.Time
		CWD              string
		StorageRetention *string
	}
	if err := get(ctx, c, "/api/v1/status/runtimeinfo", nil, &info); err != nil {
		return err
	}
	o.StartedAt = info.StartTime.UTC()
	if dir := o.Flags.DataDir; dir != "" && info.CWD != "" && !path.IsAbs(dir) {
		o.Flags.DataDir = path.Join(server.Clip(info.CWD, 300), dir)
	}
	if info.StorageRetention != nil {
		o.Retention = readRetention(*info.StorageRetention)
	}
	return nil
}

func (o *Observation) askConfig(ctx context.Context, c *server.Client) error {
	var data struct{ YAML string }
	if err := get(ctx, c, "/api/v1/status/config", nil, &data); err != nil {
		return err
	}
	config, err := ReadConfig([]byte(data.YAML))
	if err != nil {
		return fmt.Errorf("reading the configuration of the %s: %w", o.Name, err)
	}
	o.Config, o.yaml = config, data.YAML
	return nil
}

const tsdbPrefix = "prometheus_tsdb_"

func tsdbMetrics(names ...string) []string {
	for i := range names {
		names[i] = tsdbPrefix + names[i]
	}
	return names
}

func (o *Observation) askStorage(ctx context.Context, c *server.Client) error {
	m, err := c.Metrics(ctx, server.Wanted{
		Required: tsdbMetrics("blocks_loaded", "lowest_timestamp", "head_min_time", "head_max_time"),
		Optional: append(tsdbMetrics("storage_blocks_bytes", "storage_blocks_bytes_total", "wal_storage_size_bytes", "wal_completed_pages_total", "head_chunks_storage_size_bytes", "head_series",
			"reloads_failures_total", "compactions_failed_total", "retention_limit_bytes"), server.ProcessStart),
		Summed: tsdbMetrics("head_samples_appended_total", "head_out_of_order_samples_appended_total"),
	})
	if err != nil {
		return err
	}
	o.storage(m)
	return nil
}

// storage makes the numbers of the metrics.
func (o *Observation) storage(m map[string]float64) {
	of := func(name string) int64 { return server.Int(m[tsdbPrefix+name]) }
	started := m[server.ProcessStart]
	o.start = started
	if o.StartedAt.IsZero() && started > 0 {
		o.StartedAt = time.UnixMilli(server.Int(started * 1000)).UTC()
	}
	s := Storage{
		Blocks: int(of("blocks_loaded")), BlockBytes: max(of("storage_blocks_bytes"), of("storage_blocks_bytes_total")),
		WALBytes: of("wal_storage_size_bytes"), HeadChunkBytes: of("head_chunks_storage_size_bytes"),
		Lowest: of("lowest_timestamp"), HeadMin: of("head_min_time"), HeadMax: of("head_max_time"), Series: of("head_series"),
		LateSamples: of("head_out_of_order_samples_appended_total"), ReloadFailures: of("reloads_failures_total"), FailedCompaction: of("compactions_failed_total"),
	}
	s.HeadEmpty = s.HeadMin > s.HeadMax
	if up := o.At.Sub(o.StartedAt).Seconds(); !o.StartedAt.IsZero() && up > 0 {
		s.SamplesPerSecond = m[tsdbPrefix+"head_samples_appended_total"] / up
		if _, told := m[tsdbPrefix+"wal_storage_size_bytes"]; !told {
			s.WALEstimated, s.WALBytes = true, walEstimate(m[tsdbPrefix+"wal_completed_pages_total"], up, o.Flags.minBlock())
		}
	}
	o.Storage = s
	if limit := of("retention_limit_bytes"); limit > 0 {
		o.Retention.Bytes = limit // exact, where the text is rounded
	}
}

// walEstimate is the log of a server that does not measure it. Pages are of 32 KiB (tsdb/wlog); a log reaches back over the head, at
// most one and a half ranges, and over the checkpoint of what was before.
func walEstimate(pages, up float64, minBlock time.Duration) int64 {
	bytes, span := pages*32*1024, 2.5*minBlock.Seconds()
	if up > span {
		bytes *= span / up
	}
	return server.Int(bytes)
}

func (o *Observation) askTargets(ctx context.Context, c *server.Client) (err error) {
	o.Targets, err = askTargets(ctx, c, &o.Config)
	return err
}

func askTargets(ctx context.Context, c *server.Client, config *Config) ([]Target, error) {
	var data targetsAnswer
	if err := get(ctx, c, "/api/v1/targets", url.Values{"state": {"active"}}, &data); err != nil {
		return nil, err
	}
	return data.targets(config), nil
}

func (o *Observation) askRules(ctx context.Context, c *server.Client) error {
	var data rulesAnswer
	if err := get(ctx, c, "/api/v1/rules", nil, &data); err != nil {
		return err
	}
	o.Groups = data.groups()
	return nil
}

func (o *Observation) askAlertmanagers(ctx context.Context, c *server.Client) error {
	var data struct{ ActiveAlertmanagers []struct{ URL string } }
	if err := get(ctx, c, "/api/v1/alertmanagers", nil, &data); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, a := range data.ActiveAlertmanagers {
		u, err := url.Parse(a.URL)
		if err != nil || u.Host == "" {
			return fmt.Errorf("reading the Alertmanagers of the %s: one of them has no address: %w", o.Name, server.ErrBroken)
		}
		seen[server.Clip(u.Scheme+"://"+u.Host, 200)] = true
	}
	o.Alertmanagers = slices.Sorted(maps.Keys(seen))
	return nil
}

// askClock asks three times for the time of an evaluation, which is the server's own, and keeps what all answers allow.
func (o *Observation) askClock(ctx context.Context, c *server.Client) error {
	for i := range 3 {
		sent := time.Now()
		var data struct {
			Result []json.RawMessage `json:"result"`
		}
		if _, err := c.Call(ctx, http.MethodPost, "/api/v1/query", url.Values{"query": {"time()"}}, server.Into(&data)); err != nil {
			return err
		}
		received := time.Now()
		var text string
		if len(data.Result) != 2 || json.Unmarshal(data.Result[1], &text) != nil {
			return fmt.Errorf("asking the %s for its time: %w", o.Name, server.ErrBroken)
		}
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("asking the %s for its time: %w: %w", o.Name, err, server.ErrBroken)
		}
		ms := server.Int(seconds * 1000)
		if ms <= 0 || ms > 1<<50 {
			return fmt.Errorf("asking the %s for its time: it is %s: %w", o.Name, server.Clip(text, 40), server.ErrBroken)
		}
		o.At = time.UnixMilli(ms).UTC()
		one := Clock{MinMillis: ms - received.UnixMilli() - 1, MaxMillis: ms - sent.UnixMilli() + 1}
		if i == 0 || one.MinMillis > o.Clock.MaxMillis || one.MaxMillis < o.Clock.MinMillis { // a clock that was set meanwhile
			o.Clock = one
			continue
		}
		o.Clock = Clock{MinMillis: max(o.Clock.MinMillis, one.MinMillis), MaxMillis: min(o.Clock.MaxMillis, one.MaxMillis)}
	}
	return nil
}
