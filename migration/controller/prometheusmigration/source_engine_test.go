//go:build engine

package prometheusmigration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/engine"
)

// TestARealServerSaysWhatItIs asks a 2.42.
func TestARealServerSaysWhatItIs(t *testing.T) {
	s := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Config: "global: {scrape_interval: 1s}\n"})
	f, err := AskSource(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if f.Version == "" || !filepath.IsAbs(f.DataDir) || f.WorkingDir == "" || f.Flags["config.file"] == "" || len(f.Flags) < 30 {
		t.Errorf("%+v", f)
	}
	s.Stop()
	if _, err := AskSource(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "source") {
		t.Errorf("a server that is gone: %v", err)
	}
}
