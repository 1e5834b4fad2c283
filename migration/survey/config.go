package survey

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/migration/server"
)

// Config is what of a server's configuration a move depends on. No secret is kept, and of addresses neither users nor queries.
type Config struct {
	ExternalLabels map[string]string `json:"externalLabels,omitempty"`
	RuleFiles      []string          `json:"ruleFiles,omitempty"`
	RemoteWrite    []string          `json:"remoteWrite,omitempty"`
	RemoteRead     []string          `json:"remoteRead,omitempty"`
	// Alerting is the number of places that Alertmanagers are found by.
	Alerting         int            `json:"alerting"`
	OutOfOrderMillis int64          `json:"outOfOrderMilliseconds"`
	Storage          []string       `json:"storageFeatures,omitempty"` // formats of storage.tsdb that older servers cannot read
	Jobs             map[string]Job `json:"jobs"`
}

// Job is a scrape configuration.
type Job struct {
	IntervalSeconds float64 `json:"intervalSeconds"`
}

var errNoConfig = errors.New("it is no configuration of Prometheus")

type yamlConfig struct {
	Global struct {
		ScrapeInterval string            `yaml:"scrape_interval"`
		ExternalLabels map[string]string `yaml:"external_labels"`
	} `yaml:"global"`
	RuleFiles []string `yaml:"rule_files"`
	Alerting  struct {
		Alertmanagers []any `yaml:"alertmanagers"`
	} `yaml:"alerting"`
	RemoteWrite []yamlRemote `yaml:"remote_write"`
	RemoteRead  []yamlRemote `yaml:"remote_read"`
	Scrape      []struct {
		Name     string `yaml:"job_name"`
		Interval string `yaml:"scrape_interval"`
	} `yaml:"scrape_configs"`
	Storage struct {
		TSDB map[string]any `yaml:"tsdb"`
	} `yaml:"storage"`
}

type yamlRemote struct {
	URL string `yaml:"url"`
}

// ReadConfig reads a configuration as /api/v1/status/config tells it, whatever the version.
func ReadConfig(text []byte) (Config, error) {
	var y yamlConfig
	if err := yaml.Unmarshal(text, &y); err != nil {
		return Config{}, errNoConfig // the error would quote it, secrets and all
	}
	c := Config{Alerting: len(y.Alerting.Alertmanagers), ExternalLabels: map[string]string{}, Jobs: map[string]Job{}}
	for name, value := range y.Global.ExternalLabels {
		c.ExternalLabels[server.Clip(name, 100)] = server.Clip(value, 200)
	}
	for _, f := range y.RuleFiles {
		c.RuleFiles = append(c.RuleFiles, server.Clip(f, 300))
	}
	for _, r := range y.RemoteWrite {
		c.RemoteWrite = append(c.RemoteWrite, withoutSecrets(r.URL))
	}
	for _, r := range y.RemoteRead {
		c.RemoteRead = append(c.RemoteRead, withoutSecrets(r.URL))
	}
	global := seconds(y.Global.ScrapeInterval)
	if global == 0 {
		global = 60
	}
	for _, s := range y.Scrape {
		every := intervalOf(s.Interval)
		if every == 0 {
			every = float64(global)
		}
		c.Jobs[server.Clip(s.Name, 200)] = Job{IntervalSeconds: every}
	}
	c.readStorage(y.Storage.TSDB)
	return c, nil
}

// readStorage keeps the window of late samples, and names every other setting that is on: formats among them.
func (c *Config) readStorage(tsdb map[string]any) {
	text := fmt.Sprint(tsdb["out_of_order_time_window"])
	if s := intervalOf(text); s > 0 {
		c.OutOfOrderMillis = int64(s * 1000)
	} else if ms, err := strconv.ParseInt(fmt.Sprint(tsdb["outofordertimewindow"]), 10, 64); err == nil && ms > 0 {
		c.OutOfOrderMillis = ms // the server prints its own field, too
	}
	for _, name := range slices.Sorted(maps.Keys(tsdb)) {
		switch name {
		case "out_of_order_time_window", "outofordertimewindow", "retention":
			continue
		}
		if v := tsdb[name]; v != nil && v != false && v != 0 && v != "" && v != "0s" {
			c.Storage = append(c.Storage, server.Clip(name+": "+fmt.Sprint(v), 120))
		}
	}
}

// withoutSecrets is an address without user, query and fragment; of what is no address nothing is told.
func withoutSecrets(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "(no address)"
	}
	return server.Clip((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String(), 300)
}
