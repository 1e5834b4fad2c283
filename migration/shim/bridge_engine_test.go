//go:build engine

package shim

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/test/engine"
)

// Everything here is real but small: scrapes and rules every second, windows of 10 s.
const (
	shards = 4
	window = 10
)

// exporter is what both servers scrape: a counter of milliseconds on every shard. The new servers get it 500 ms late: the counter
// they see is then ahead of what the old server sees a moment later, as a slow exporter has it.
func exporter(t *testing.T) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.UserAgent(), "Prometheus/3") {
			time.Sleep(500 * time.Millisecond) // is the latency of the exporter; nobody waits for something here
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE ticks_total counter\nticks_total %d\n", time.Now().UnixMilli())
	}))
	t.Cleanup(h.Close)
	return strings.TrimPrefix(h.URL, "http://")
}

func scrapes(address string) string {
	var b strings.Builder
	b.WriteString("scrape_configs:\n- job_name: app\n  static_configs:\n")
	for i := range shards {
		fmt.Fprintf(&b, "  - {targets: ['%s'], labels: {__metrics_path__: /%d, shard: '%d'}}\n", address, i, i)
	}
	return b.String()
}

const rules = `groups:
- name: g
  interval: 1s
  rules:
  - {record: "shard:ticks:count", expr: "count_over_time(ticks_total[10s])"}
  - {record: "shard:ticks:rate", expr: "rate(ticks_total[10s])"}
  - {record: "shard:past:count", expr: "count_over_time(ticks_total[5s] offset 15s)"}
  - {record: "shard:past:max", expr: "max_over_time(ticks_total[5s] offset 15s)"}
  - {record: "history:sum", expr: "sum(sum_over_time(history[6h]))"}
`

// history is a block of the source from 5 to 3 hours ago: two series, a sample a minute.
func history(t *testing.T, dir string, now time.Time) {
	t.Helper()
	var list []storage.Series
	from := now.Add(-5 * time.Hour).Truncate(time.Minute).UnixMilli()
	for _, name := range []string{"a", "b"} {
		var ss []chunks.Sample
		for i := range int64(120) {
			ss = append(ss, point{from + i*60_000, float64(i) * 0.1})
		}
		list = append(list, storage.NewListSeries(labels.FromStrings("__name__", "history", "name", name), ss))
	}
	if _, err := tsdb.CreateBlock(list, dir, 0, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

type point struct {
	t int64
	v float64
}

func (point) ST() int64                     { return 0 }
func (p point) T() int64                    { return p.t }
func (p point) F() float64                  { return p.v }
func (point) H() *histogram.Histogram       { return nil }
func (point) FH() *histogram.FloatHistogram { return nil }
func (point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample         { return p }

// runShim runs a shim as its command does, and gives its address.
func runShim(t *testing.T, o Options) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, RunOptions{Options: o, Listen: "127.0.0.1:0", Ready: func(a net.Addr) { ready <- a }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-ready:
		return "http://" + a.String()
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return ""
}

func TestBridgeFromAnOldServerToANewOne(t *testing.T) {
	app := exporter(t)
	ruleFile := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(ruleFile, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(external, more string) string {
		return "global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s, external_labels: {" + external + "}}\nrule_files: ['" + ruleFile + "']\n" + scrapes(app) + more
	}
	dir := t.TempDir()
	history(t, dir, time.Now())
	old := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Dir: dir, Config: config("", "")})
	began := time.Now()
	engine.Eventually(t, "the old server scrapes for a window", func() error { return full(old, began, window*time.Second) })

	address := engine.FreeAddress(t) // of the bridged server, which the shim must know, and the other way round
	shimURL := runShim(t, Options{Source: server.Options{URL: old.URL}, Target: server.Options{URL: "http://" + address},
		State: filepath.Join(t.TempDir(), "state.json"), Settle: 2 * time.Second})
	bridged := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Address: address,
		Config: config("prometheus: new", "remote_read: [{url: '"+shimURL+"/api/v1/read', read_recent: false, filter_external_labels: false}]\n")})
	plain := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316,
		Config: config("prometheus: plain", "remote_read: [{url: '"+old.URL+"/api/v1/read', read_recent: false, filter_external_labels: false}]\n")})
	began = time.Now()
	engine.Eventually(t, "the shim is ready", func() error {
		if code, text := get(t, shimURL+"/-/ready"); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, text)
		}
		return nil
	})
	for _, s := range []*engine.Server{bridged, plain} {
		engine.Eventually(t, "the new servers scrape for longer than a window", func() error { return full(s, began, (window+4)*time.Second) })
	}
	end := time.Now()
	boundary := metric(t, shimURL, "slipway_shim_boundary_timestamp_seconds")

	t.Run("rules recorded through the shim are those of the old server", func(t *testing.T) {
		for rule, expr := range map[string]string{"shard:past:count": "count_over_time(ticks_total[5s] offset 15s)",
			"shard:past:max": "max_over_time(ticks_total[5s] offset 15s)", "history:sum": "sum(sum_over_time(history[6h]))"} {
			sameRule(t, old, expr, boundary, recorded(t, bridged, rule, boundary, end))
		}
	})
	t.Run("no rule reads two scrapes of a series, as it does with plain remote_read", func(t *testing.T) {
		for _, s := range []*engine.Server{old, bridged, plain} {
			t.Logf("%s: samples in a window %v, rate %v", s.URL, extremes(recorded(t, s, "shard:ticks:count", boundary, end)), extremes(recorded(t, s, "shard:ticks:rate", boundary, end)))
		}
		// A scrape a second: a window of 10 s holds 10, and one more where the servers do not scrape at the same moment.
		if got := extremes(recorded(t, bridged, "shard:ticks:count", boundary, end)); got[1] > window+1 {
			t.Errorf("the bridged server recorded %v samples in a window of %d s", got, window)
		}
		if got := extremes(recorded(t, plain, "shard:ticks:count", boundary, end)); got[1] <= window+1 {
			t.Errorf("plain remote_read recorded %v samples in a window of %d s: the trap is gone?", got, window)
		}
		// The counter runs 1000 a second. One that goes backwards once would give 1e11.
		if got := extremes(recorded(t, bridged, "shard:ticks:rate", boundary, end)); got[1] > 3000 {
			t.Errorf("the bridged server recorded the rate %v", got)
		}
	})
	t.Run("the whole past is the same bit for bit", func(t *testing.T) {
		if diff := cmp.Diff(past(t, old, boundary), past(t, bridged, boundary)); diff != "" {
			t.Errorf("(-old +bridged)\n%s", diff)
		}
	})
	t.Run("a dead source is an error, and is not missed where it is not needed", func(t *testing.T) { withoutSource(t, old, bridged, plain, boundary) })
}

// full says whether a server has scraped all shards since a moment, and that long.
func full(s *engine.Server, since time.Time, long time.Duration) error {
	if left := long - time.Since(since); left > 0 {
		return fmt.Errorf("%s are left", left)
	}
	a, err := s.Ask("/api/v1/query", url.Values{"query": {fmt.Sprintf("count(count_over_time(shard:ticks:count[%ds]) >= %d)", window, window-2)}})
	if err != nil {
		return err
	}
	list, err := a.Series()
	if err != nil {
		return err
	}
	if len(list) != 1 || string(list[0].Value[1]) != strconv.Quote(strconv.Itoa(shards)) {
		return fmt.Errorf("it has recorded for %+v shards", list)
	}
	return nil
}

// recorded are the values that a rule gave from the boundary on, by shard and time.
func recorded(t *testing.T, s *engine.Server, rule string, boundary float64, end time.Time) map[string]float64 {
	t.Helper()
	last := float64(end.UnixMilli()) / 1000
	a, err := s.Ask("/api/v1/query", url.Values{"query": {fmt.Sprintf("%s[%dms]", rule, int((last-boundary)*1000))}, "time": {seconds(last)}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.Series()
	if err != nil || len(a.Warnings) > 0 || len(list) == 0 {
		t.Fatalf("%s of %s: %d series, %q, %v", rule, s.URL, len(list), a.Warnings, err)
	}
	values := map[string]float64{}
	for _, series := range list {
		for _, v := range series.Values {
			text, err := strconv.Unquote(string(v[1]))
			if err != nil {
				t.Fatal(err)
			}
			if values[series.Metric["shard"]+" "+string(v[0])], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return values
}

// sameRule compares what the bridged server recorded with what the old server says at the very same moments: 2.42 and 3.16 evaluate one
// group of one file at different moments. What looks 15 s back sees the old server's scrapes alone for so long after the boundary.
func sameRule(t *testing.T, old *engine.Server, expr string, boundary float64, bridged map[string]float64) {
	t.Helper()
	compared := 0
	for key, got := range bridged {
		shard, at, _ := strings.Cut(key, " ")
		when, err := strconv.ParseFloat(at, 64)
		if err != nil {
			t.Fatal(err)
		}
		if when > boundary+14 {
			continue
		}
		want, ok := valueAt(t, old, expr, shard, at)
		if !ok || got != want {
			t.Errorf("%s of shard %q at %s: the bridged server recorded %v, the old one says %v (%v)", expr, shard, at, got, want, ok)
		}
		compared++
	}
	if compared < 3 {
		t.Errorf("%s: %d values could be compared, want more: %v", expr, compared, bridged)
	}
	t.Logf("%s: %d recorded values are what the old server says", expr, compared)
}

func valueAt(t *testing.T, s *engine.Server, expr, shard, at string) (float64, bool) {
	t.Helper()
	a, err := s.Ask("/api/v1/query", url.Values{"query": {expr}, "time": {at}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.Series()
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range list {
		if series.Metric["shard"] == shard {
			text, err := strconv.Unquote(string(series.Value[1]))
			if err != nil {
				t.Fatal(err)
			}
			v, err := strconv.ParseFloat(text, 64)
			return v, err == nil
		}
	}
	return 0, false
}

func extremes(values map[string]float64) [2]float64 {
	e := [2]float64{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		e = [2]float64{min(e[0], v), max(e[1], v)}
	}
	return e
}

func seconds(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func metric(t *testing.T, base, name string) float64 {
	t.Helper()
	_, text := get(t, base+"/metrics")
	_, rest, ok := strings.Cut(text, "\n"+name+" ")
	if !ok {
		t.Fatalf("no %s", name)
	}
	rest, _, _ = strings.Cut(rest, "\n")
	v, err := strconv.ParseFloat(rest, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// past is every raw sample of everything before the boundary, as text.
func past(t *testing.T, s *engine.Server, boundary float64) []string {
	t.Helper()
	a, err := s.Ask("/api/v1/query", url.Values{"query": {`{__name__=~".+"}[6h]`}, "time": {seconds(boundary - 0.001)}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.Series()
	if err != nil || len(a.Warnings) > 0 {
		t.Fatal(a.Warnings, err)
	}
	if len(list) < 2+2*shards {
		t.Fatalf("%d series", len(list))
	}
	var lines []string
	for _, series := range list {
		text, err := json.Marshal(series)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	slices.Sort(lines)
	return lines
}

func withoutSource(t *testing.T, old, bridged, plain *engine.Server, boundary float64) {
	before := past(t, bridged, boundary)
	old.Kill()
	form := url.Values{"query": {`{__name__=~".+"}[6h]`}}
	a, err := bridged.Ask("/api/v1/query", form)
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != "error" {
		t.Errorf("with a dead source the bridged server says %s with the warnings %q", a.Status, a.Warnings)
	}
	t.Logf("bridged: %s: %s", a.ErrorType, a.Error)
	if a, err = plain.Ask("/api/v1/query", form); err != nil || a.Status != "success" || len(a.Warnings) == 0 {
		t.Errorf("plain remote_read: %s, %q, %v: the trap is gone?", a.Status, a.Warnings, err)
	}
	t.Logf("plain: %s, warnings %q", a.Status, a.Warnings)
	a, err = bridged.Ask("/api/v1/query", url.Values{"query": {fmt.Sprintf("count(count_over_time(ticks_total[%ds]))", window-2)}})
	if list, serr := a.Series(); err != nil || serr != nil || len(list) != 1 || len(a.Warnings) > 0 {
		t.Errorf("what the new server has itself: %v, %v, %q, %v", list, serr, a.Warnings, err)
	}
	old.Restart()
	if diff := cmp.Diff(before, past(t, bridged, boundary)); diff != "" {
		t.Errorf("after the source came back (-before +after)\n%s", diff)
	}
}
