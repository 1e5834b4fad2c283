package shim

import (
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/server"
)

func TestWhatIsBehindTheBoundaryNeedsNoSource(t *testing.T) {
	src := &source{}
	s, address := pair(t, src)
	src.before = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "gone", http.StatusServiceUnavailable)
		return true
	}
	asked := src.asked.Load()
	got, warnings, err := read(t, client(t, address), splitAt, math.MaxInt64)
	if err != nil || len(warnings)+len(got) > 0 || src.asked.Load() != asked {
		t.Errorf("%v, %q, %v, asked %d times", got, warnings, err, src.asked.Load()-asked)
	}
	if m := s.Metrics(); m.Away != 1 || m.Answered != 1 || m.Failed != 0 {
		t.Errorf("%+v", m)
	}
}

func TestBeforeItIsReadyAQueryFails(t *testing.T) {
	x := newTarget(math.MaxInt64)
	x.max.Store(math.MinInt64)
	src := &source{db: newDB(t)}
	s, address := newShim(t, Options{Source: server.Options{URL: src.serve(t)}, Target: server.Options{URL: x.serve(t)}})
	if _, _, err := read(t, client(t, address), 0, math.MaxInt64); err == nil {
		t.Error("no error")
	}
	if code, text := get(t, address+"/-/ready"); code != http.StatusServiceUnavailable || !strings.Contains(text, "no sample yet") {
		t.Errorf("%d %s", code, text)
	}
	x.min.Store(splitAt)
	x.max.Store(splitAt + 1)
	s.look(t.Context())
	s.look(t.Context())
	if code, text := get(t, address+"/-/ready"); code != http.StatusOK || !strings.Contains(text, "2023-11-14T23:03:20.001Z") {
		t.Errorf("%d %s", code, text)
	}
	if _, _, err := read(t, client(t, address), 0, math.MaxInt64); err != nil {
		t.Error(err)
	}
}

func TestServersThatAreAwayForAWhileChangeNothing(t *testing.T) {
	src, x := &source{db: newDB(t)}, newTarget(splitAt)
	o := Options{Source: server.Options{URL: src.serve(t)}, Target: server.Options{URL: x.serve(t)}, State: filepath.Join(t.TempDir(), "s")}
	s, address := newShim(t, o)
	s.ask, s.target = deaf(t, "source"), deaf(t, "target")
	s.boundary.target = s.target
	s.look(t.Context())
	if code, text := get(t, address+"/-/ready"); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
}

func deaf(t *testing.T, name string) *server.Client {
	t.Helper()
	c, err := server.New(server.Options{Name: name, URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMetrics(t *testing.T) {
	src := &source{}
	_, address := pair(t, src)
	if _, _, err := read(t, client(t, address), 0, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	_, text := get(t, address+"/metrics")
	for _, line := range []string{`slipway_shim_requests_total{result="answered"} 1`, "slipway_shim_series_total 4", "slipway_shim_ready 1",
		"slipway_shim_boundary_timestamp_seconds 1.700003000001e+09", "slipway_shim_requests_running 0", "slipway_shim_target_samples_below_boundary 0"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}
