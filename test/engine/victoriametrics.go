package engine

import (
	"path/filepath"
	"testing"
)

// VictoriaMetricsRecipe makes victoria-metrics and vmctl, for benchmarks alone.
const VictoriaMetricsRecipe = "bench-victoriametrics-1.130"

// VictoriaMetrics is one that runs. Stop and Kill are those of its process.
type VictoriaMetrics struct {
	*process
	URL string // as http://127.0.0.1:40001
}

// StartVictoriaMetrics starts an empty VictoriaMetrics that keeps everything, and waits until it is ready. It ends with the test.
func StartVictoriaMetrics(t testing.TB) *VictoriaMetrics {
	t.Helper()
	own := t.TempDir()
	address := FreeAddress(t)
	v := &VictoriaMetrics{URL: "http://" + address}
	v.process = &process{t: t, name: "victoria-metrics", program: Program(t, VictoriaMetricsRecipe, "victoria-metrics"), ready: v.URL + "/health", logFile: filepath.Join(own, "log"),
		args: []string{"-storageDataPath=" + filepath.Join(own, "data"), "-httpListenAddr=" + address, "-retentionPeriod=10y"}}
	v.run()
	return v
}
