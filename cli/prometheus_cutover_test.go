package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

// dashboards answers as Grafana does for its one data source.
type dashboards struct {
	mu     sync.Mutex
	source map[string]any
}

func (d *dashboards) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var answer any = d.source
	switch {
	case r.URL.Path == "/api/datasources":
		answer = []any{d.source}
	case strings.HasSuffix(r.URL.Path, "/health"):
		answer = map[string]string{"status": "OK"}
	case r.Method == http.MethodPut:
		var sent map[string]any
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		d.source["url"] = sent["url"]
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// asked answers like a Prometheus that somebody asks all the time, or nobody.
func asked(t *testing.T, step int) string {
	t.Helper()
	requests := 0
	var mu sync.Mutex
	answers := map[string]string{
		"/api/v1/status/config": `{"yaml":"global: {}\n"}`, "/api/v1/status/flags": `{"storage.tsdb.path":"/data/prometheus"}`,
		"/api/v1/query": `{"resultType":"vector","result":[]}`, "/api/v1/label/__name__/values": `["up"]`, "/api/v1/label/job/values": `["shop"]`, "/api/v1/label/instance/values": `[]`,
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/metrics" {
			requests += step
			fmt.Fprintf(w, "prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query_range\"} %d\n", requests)
			return
		}
		if r.URL.Path == "/-/ready" {
			return
		}
		text, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"status":"success","data":%s}`, text)
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// TestPrometheusCutover is a golden file of a person who sends Grafana to the new server, back, there again, and ends the move.
func TestPrometheusCutover(t *testing.T) {
	dir := t.TempDir()
	busy, source, target := asked(t, 3), asked(t, 0), asked(t, 0)
	people := &dashboards{source: map[string]any{"uid": "prom-main", "name": "Prometheus", "type": "prometheus", "access": "proxy", "url": source, "version": 1}}
	grafana := httptest.NewServer(people)
	t.Cleanup(grafana.Close)
	for name, text := range map[string]string{
		"cutover.yaml": fmt.Sprintf("source: {url: %q}\ntarget: {url: %q}\ngrafana: [{url: %q}]\n", source, target, grafana.URL),
		"busy.yaml":    fmt.Sprintf("source: {url: %q}\ntarget: {url: %q}\ngrafana: [{url: %q, oldURL: %q}]\n", busy, target, grafana.URL, source),
		"wrong.yaml":   "source: {url: http://old}\ncolour: red\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct{ name, line string }{
		{"needs a directory for what was there before", "cutover -f DIR/cutover.yaml"},
		{"knows no such field", "cutover -f DIR/wrong.yaml --state DIR/state"},
		{"has nothing to put back", "rollback --state DIR/state"},
		{"says what would be done", "cutover -f DIR/cutover.yaml --state DIR/state --dry-run"},
		{"does it", "cutover -f DIR/cutover.yaml --state DIR/state"},
		{"does nothing the second time", "cutover --state DIR/state -o json"},
		{"tells a program", "cutover --state DIR/state --progress json"},
		{"tells a program in one way alone", "cutover --state DIR/state --progress json --dry-run"},
		{"says what would be put back", "rollback --state DIR/state --dry-run"},
		{"puts it back", "rollback --state DIR/state"},
		{"does it again", "cutover --state DIR/state -q"},
		{"does not end while somebody asks the old server", "finalize -f DIR/busy.yaml --state DIR/state --watch 10ms -q"},
		{"ends", "finalize --state DIR/state --watch 10ms"},
		{"puts nothing back after that", "rollback --state DIR/state"},
		{"reads no log that is not there", "finalize --state DIR/state --query-log DIR/none"},
	}
	paths := strings.NewReplacer(dir, "DIR", source, "http://old:9090", busy, "http://busy:9090", target, "http://new:9090", grafana.URL, "http://grafana:3000")
	times := regexp.MustCompile(`"time":"[^"]*"`)
	var all strings.Builder
	for _, s := range steps {
		code, out, errs := runCLI(t, append([]string{"prometheus"}, strings.Fields(strings.ReplaceAll(s.line, "DIR", dir))...)...)
		text := fmt.Sprintf("# %s\n$ slipway prometheus %s\n%s%s", s.name, s.line, out, prefixed("stderr: ", errs))
		if code != ExitDone {
			text += fmt.Sprintf("exit code: %d\n", code)
		}
		all.WriteString(regexp.MustCompile(` +\n`).ReplaceAllString(times.ReplaceAllString(paths.Replace(text), `"time":"T"`), "\n") + "\n")
	}
	golden.Check(t, "testdata/prometheus_cutover.golden", all.String())
}
