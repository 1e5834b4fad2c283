package shim

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/prometheus/prometheus/prompb"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/migration/server"
)

// configuration is the little of a server's configuration that a shim needs; nothing else of it is kept.
type configuration struct {
	Global struct {
		ExternalLabels map[string]string `json:"external_labels"`
	} `json:"global"`
	RemoteRead []struct {
		// A server prints the value in force; it leaves false out (config/config.go, RemoteReadConfig).
		FilterExternalLabels bool `json:"filter_external_labels"`
	} `json:"remote_read"`
}

func readConfiguration(ctx context.Context, c *server.Client) (*configuration, error) {
	var data struct{ YAML string }
	if _, err := c.Call(ctx, http.MethodGet, "/api/v1/status/config", nil, server.Into(&data)); err != nil {
		return nil, err
	}
	var config configuration
	if err := yaml.Unmarshal([]byte(data.YAML), &config); err != nil {
		return nil, fmt.Errorf("reading the configuration of the %s: it is no YAML", c.Name()) // the error may quote a secret
	}
	return &config, nil
}

// sourceLabels are the external labels of the source, which it puts on what it answers. A value that is also stored cannot be told
// from one that was put there.
func sourceLabels(ctx context.Context, c *server.Client) (map[string]string, error) {
	config, err := readConfiguration(ctx, c)
	if err != nil {
		return nil, err
	}
	external := config.Global.ExternalLabels
	for name, value := range external {
		var stored []string
		if _, err := c.Call(ctx, http.MethodGet, "/api/v1/label/"+url.PathEscape(name)+"/values", nil, server.Into(&stored)); err != nil {
			return nil, err
		}
		if slices.Contains(stored, value) {
			return nil, fmt.Errorf("the source's external label %s=%q is also stored in series of its own; its answers do not tell the two apart: "+
				"take the external label out of the source's configuration for the time of the move", server.Clip(name, 80), server.Clip(value, 80))
		}
	}
	return external, nil
}

// checkTarget refuses a target that asks for its own external labels: the source stores nothing with them, and every answer would
// be empty with no error.
func checkTarget(ctx context.Context, c *server.Client) error {
	config, err := readConfiguration(ctx, c)
	if err != nil {
		return err
	}
	if len(config.Global.ExternalLabels) == 0 {
		return nil
	}
	for i, r := range config.RemoteRead {
		if r.FilterExternalLabels {
			return fmt.Errorf("the target has the external labels %q, and asks for them in remote_read number %d: the source has no such series, so every "+
				"answer would be empty; set filter_external_labels: false there", slices.Sorted(maps.Keys(config.Global.ExternalLabels)), i+1)
		}
	}
	return nil
}

// strip takes the external labels off. The source puts each of them on every series that has no label of the name.
func strip(labels []prompb.Label, external map[string]string) ([]prompb.Label, error) {
	if len(external) == 0 {
		return labels, nil
	}
	seen, kept := 0, labels[:0]
	for _, l := range labels {
		value, ok := external[l.Name]
		if ok {
			seen++
		}
		if !ok || l.Value != value {
			kept = append(kept, l)
		}
	}
	if seen != len(external) {
		return nil, fmt.Errorf("a series has %d of the source's %d external labels: they have changed: %w", seen, len(external), server.ErrBroken)
	}
	return kept, nil
}
