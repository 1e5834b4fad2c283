package proof

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/slipway-dev/slipway/migration/server"
)

// prove compares two worlds as a move with a seam.
func prove(t *testing.T, source, target *front, change func(*Options)) *Report {
	t.Helper()
	o := Options{Source: source.serve(t, "source"), Target: target.serve(t, "target"), Seam: seamAt, Samples: 60, Window: 30 * time.Minute, Seed: 7}
	if change != nil {
		change(&o)
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verdicts are what the checks came to, with the kinds of what they found.
func verdicts(r *Report) map[string]string {
	all := map[string]string{}
	for _, c := range r.Checks {
		kinds := map[Kind]bool{}
		text := string(c.Verdict)
		for _, f := range c.Findings {
			if !kinds[f.Kind] {
				kinds[f.Kind] = true
				text += " " + string(f.Kind)
			}
		}
		all[c.Name] = text
	}
	return all
}

func TestRunFindsAndNamesEachDifference(t *testing.T) {
	// Indexes of samples: 40 is in the history, 300 the first behind the seam.
	tests := map[string]struct {
		change  func(world) world
		verdict Verdict
		want    map[string]string
	}{
		"proves a move": {func(w world) world { return w }, Proved, nil},
		"finds a sample that is missing": {func(w world) world {
			s := w.find("temperature")
			s.Samples = append(s.Samples[:40:40], s.Samples[41:]...)
			return w
		}, Different, map[string]string{"counts": "different different-count", "samples": "different missing-sample"}},
		"finds one bit of one value": {func(w world) world {
			s := &w.find("temperature").Samples[40]
			s.Value = math.Float64frombits(math.Float64bits(s.Value) ^ 1)
			return w
		}, Different, map[string]string{"samples": "different different-value"}},
		"finds a NaN with another payload": {func(w world) world {
			w.find("temperature").Samples[50].Value = math.Float64frombits(value.NormalNaN + 1)
			return w
		}, Different, map[string]string{"samples": "different different-nan"}},
		"finds a stale marker that was lost": {func(w world) world {
			s := w[3]
			s.Samples = append(s.Samples[:200:200], s.Samples[201:]...)
			return w
		}, Different, map[string]string{"samples": "different lost-stale-marker", "seam": "different lost-stale-marker"}},
		"finds a changed native histogram": {func(w world) world {
			s := &w.find("latency").Samples[40]
			s.Int = changed(s.Int)
			return w
		}, Different, map[string]string{"samples": "different different-histogram"}},
		"finds a series that was lost": {func(w world) world { return w[1:] }, Different,
			map[string]string{"series": "different only-on-source", "counts": "different different-count", "samples": "different missing-sample", "seam": "different hole"}},
		"finds a series that came from nowhere": {func(w world) world {
			return append(w, series(func(int) Sample { return Sample{Value: 1} }, "__name__", "surplus", "job", "x"))
		}, Different, map[string]string{"series": "different only-on-target", "counts": "different different-count", "seam": "different extra-sample"}},
		"finds a hole behind the seam": {func(w world) world {
			s := w.find("requests_total")
			s.Samples = append(s.Samples[:300:300], s.Samples[304:]...)
			return w
		}, Different, map[string]string{"seam": "different hole"}},
		"finds a scrape that was stored twice": {func(w world) world {
			s := w.find("requests_total")
			twice := Sample{Time: begin + 303*step, Value: 303}
			s.Samples = append(append(append([]Sample{}, s.Samples[:304]...), twice), s.Samples[304:]...)
			return w
		}, Different, map[string]string{"seam": "different double-sample"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := prove(t, newFront(t, history()), newFront(t, test.change(handedOver())), nil)
			want := map[string]string{"servers": "printed", "blocks": "skipped", "series": "proved", "counts": "proved", "samples": "proved", "seam": "proved"}
			for check, text := range test.want {
				want[check] = text
			}
			got := verdicts(r)
			for _, later := range []string{"queries", "answers", "heaviest"} {
				delete(got, later)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if r.Verdict != test.verdict {
				t.Errorf("verdict %s: %s", r.Verdict, r.Summary)
			}
		})
	}
}

// handedOver is moved with the piece of the source behind the seam that Slipway installs: its samples up to the target's first own.
func handedOver() world {
	w := moved()
	for i, s := range history() {
		at := search(w[i].Samples, seamAt)
		w[i].Samples = append(append(append([]Sample{}, w[i].Samples[:at]...), s.Samples[at]), w[i].Samples[at:]...)
	}
	return w
}

func TestRunDoesNotProveWhatItCannotSee(t *testing.T) {
	tests := map[string]struct {
		spoil func(*front)
		kind  Kind
		text  string
	}{
		"a warning":                     {func(f *front) { f.warning = "remote storage is away" }, Warned, "remote storage is away"},
		"a server that refuses":         {func(f *front) { f.before = on("/api/v1/read", refuse) }, Refused, "status 503"},
		"a server that dies in a read":  {func(f *front) { f.before = on("/api/v1/read", die) }, Broken, "ends"},
		"a server that dies in a list":  {func(f *front) { f.before = on("/api/v1/series", die) }, Broken, "ends too early"},
		"a stream with a wrong sum":     {func(f *front) { f.before = on("/api/v1/read", stream("\x04\x00\x00\x00\x00abcd")) }, Broken, "sum"},
		"a frame that claims too much":  {func(f *front) { f.before = on("/api/v1/read", stream("\xff\xff\xff\xff\xff\x01")) }, TooLarge, "claims"},
		"samples that are no snappy":    {func(f *front) { f.before = on("/api/v1/read", whole("no snappy at all")) }, Broken, "decompressing"},
		"samples that claim too much":   {func(f *front) { f.before = on("/api/v1/read", whole("\xff\xff\xff\xff\x0fabc")) }, TooLarge, "claims"},
		"a list without an end":         {func(f *front) { f.before = on("/api/v1/series", endless) }, TooLarge, "limit"},
		"a page of another kind":        {func(f *front) { f.before = on("/api/v1/read", page) }, Broken, "text/html"},
		"a redirect to somewhere else":  {func(f *front) { f.before = on("/api/v1/read", redirect) }, Refused, "status 302"},
		"a server that asks another":    {func(f *front) { f.config = "remote_read:\n- url: http://old:9090/api/v1/read\n" }, Bridged, "remote_read"},
		"an answer that is no success":  {func(f *front) { f.before = on("/api/v1/query", half) }, Broken, "error"},
		"metrics of something else":     {func(f *front) { f.before = on("/metrics", page) }, Broken, "missing"},
		"a configuration without sense": {func(f *front) { f.config = "\t: [" }, Unreachable, "no YAML"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := newFront(t, handedOver())
			test.spoil(target)
			r := prove(t, newFront(t, history()), target, nil)
			if r.Verdict != Unknown {
				t.Errorf("verdict %s: %s", r.Verdict, r.Summary)
			}
			for _, c := range r.Checks {
				for _, f := range c.Findings {
					if f.Kind == test.kind && strings.Contains(f.Text, test.text) {
						return
					}
				}
			}
			t.Errorf("no finding %s with %q in %v", test.kind, test.text, verdicts(r))
		})
	}
}

func on(path string, do http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == path {
			do(w, r)
		}
		return r.URL.Path == path
	}
}

func refuse(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
}

func half(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"error","error":"x"}`) }

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<html>log in</html>")
}

// die cuts the connection within an answer.
func die(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/v1/read" {
		w.Header().Set("Content-Type", "application/x-streamed-protobuf")
		fmt.Fprint(w, "\x20\x00\x00\x00\x00abc")
	} else {
		fmt.Fprint(w, `{"status":"success","data":[{"__name__":"x"},`)
	}
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func stream(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
		fmt.Fprint(w, text)
	}
}

func whole(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		fmt.Fprint(w, text)
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, `{"status":"success","data":[`)
	for r.Context().Err() == nil {
		if _, err := fmt.Fprintf(w, `{"__name__":"x","y":%q},`, strings.Repeat("y", 4000)); err != nil {
			return
		}
	}
}

func TestRunTakesExternalLabelsOff(t *testing.T) {
	source, target := newFront(t, history()), newFront(t, handedOver())
	target.external = labels.FromStrings("prometheus", "monitoring/main", "replica", "0")
	target.config = "global:\n  external_labels:\n    prometheus: monitoring/main\n    replica: \"0\"\n"
	if r := prove(t, source, target, nil); r.Verdict != Proved {
		t.Errorf("%s: %v", r.Summary, verdicts(r))
	}
}

func TestRunReadsServersThatDoNotStream(t *testing.T) {
	source := newFront(t, history())
	source.oldRead = true
	source.before = func(w http.ResponseWriter, r *http.Request) bool { // neither was there before 2.14
		return on("/api/v1/status/buildinfo", http.NotFound)(w, r) || on("/api/v1/status/tsdb", http.NotFound)(w, r)
	}
	target := newFront(t, handedOver())
	if r := prove(t, source, target, nil); r.Verdict != Different { // the engine of this source is not old: it leaves a sample out
		t.Errorf("%s: %v", r.Summary, verdicts(r))
	} else if got := verdicts(r); got["samples"] != "proved" || got["seam"] != "proved" {
		t.Errorf("%v", got)
	}
}

func TestRunChoosesTheSameForTheSameSeed(t *testing.T) {
	asked := func(seed uint64) string {
		source := newFront(t, history())
		var all strings.Builder
		source.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/api/v1/series" {
				fmt.Fprintln(&all, r.FormValue("match[]"), r.FormValue("start"))
			}
			return false
		}
		prove(t, source, newFront(t, handedOver()), func(o *Options) { o.Seed, o.Samples = seed, 10 })
		return all.String()
	}
	if diff := cmp.Diff(asked(1), asked(1)); diff != "" {
		t.Errorf("one seed chooses twice:\n%s", diff)
	}
	if asked(1) == asked(2) {
		t.Error("two seeds choose the same")
	}
}

func TestRunProvesWhateverChunksTheSamplesLieIn(t *testing.T) {
	source, target := newFront(t, history()), newFront(t, handedOver())
	// Blocks of 32 minutes: chunks end elsewhere than in the target's head, and series are listed for windows beside theirs.
	for from := begin; from < seamAt; from += 128 * step {
		if err := source.db.CompactHead(tsdb.NewRangeHead(source.db.Head(), from, from+128*step-1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(source.db.Blocks()); n < 2 {
		t.Fatalf("%d blocks", n)
	}
	if r := prove(t, source, target, func(o *Options) { o.Windows = 8 }); r.Verdict != Proved {
		t.Errorf("%s: %+v", r.Summary, verdicts(r))
	}
}

func TestRunLooksAtTheSamplesOfAListedSeries(t *testing.T) {
	target := newFront(t, handedOver())
	target.before = on("/api/v1/series", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"status":"success","data":[{"__name__":"ghost"}]}`)
	})
	r := prove(t, newFront(t, history()), target, func(o *Options) { o.Windows = 1 })
	for _, f := range r.Checks[2].Findings {
		if strings.Contains(f.What, "ghost") {
			t.Errorf("a series without samples counts as %s", f.Kind)
		}
	}
}

func TestRunRefusesAHistoryThatCannotBeCompared(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"it ends before it begins":   {func(o *Options) { o.From, o.To = seamAt, begin }, "is empty"},
		"it goes on behind the seam": {func(o *Options) { o.To = seamAt + 1 }, "after the seam"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Options{Source: newFront(t, history()).serve(t, "source"), Target: newFront(t, history()).serve(t, "target"), Seam: seamAt}
			test.change(&o)
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestRunProvesACopyWithoutASeam(t *testing.T) {
	r := prove(t, newFront(t, history()), newFront(t, history()), func(o *Options) { o.Seam = 0 })
	if got := verdicts(r); r.Verdict != Proved || got["seam"] != "skipped" || r.To != end-step {
		t.Errorf("%s, up to %d: %v", r.Summary, r.To, got)
	}
}

func TestRunWaitsForATargetThatHoldsTheSeam(t *testing.T) {
	early := handedOver()
	for _, s := range early {
		s.Samples, _ = split(s.Samples, seamAt)
	}
	r := prove(t, newFront(t, history()), newFront(t, early), nil)
	if got := verdicts(r); r.Verdict != Unknown || got["seam"] != "unknown unreachable" {
		t.Errorf("%s: %v", r.Summary, got)
	}
}

func TestCountAsksOldAndNewServersForTheSameSamples(t *testing.T) {
	tests := map[string]struct{ version, want string }{
		"both ends are in the range":   {"2.42.0", "[999ms]"},
		"also without a version":       {beforeBuildinfo, "[999ms]"},
		"the left end is not":          {"3.0.0", "[1000ms]"},
		"neither in a version to come": {"v10.1", "[1000ms]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, nil)
			var expr, at string
			f.before = func(_ http.ResponseWriter, r *http.Request) bool {
				expr, at = r.FormValue("query"), r.FormValue("time")
				return false
			}
			if _, err := f.serve(t, "source").count(t.Context(), test.version, `a"b`, window{1000, 2000}); err != nil {
				t.Fatal(err)
			}
			if want := `sum(count_over_time({__name__="a\"b"}` + test.want + "))"; expr != want || at != "1.999" {
				t.Errorf("%s at %s; want %s", expr, at, want)
			}
		})
	}
}

func TestRunReadsALargeMetricInstanceByInstance(t *testing.T) {
	var source, target world
	for i := range 40 {
		one := series(func(k int) Sample { return Sample{Value: float64(k * i)} }, "__name__", "many", "instance", fmt.Sprint(i))
		other := &Series{Labels: one.Labels, Samples: slices.Clone(one.Samples)}
		if i == 17 {
			other.Samples = slices.Delete(other.Samples, 310, 315)
		}
		source, target = append(source, one), append(target, other)
	}
	small := func(o *Options) {
		for _, s := range []**Server{&o.Source, &o.Target} {
			limited, err := NewServer(server.Options{Name: (*s).Name(), URL: (*s).URL(), MaxBytes: 8 << 10})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(limited.Close)
			*s = limited
		}
		o.Windows, o.Samples = 1, 1
	}
	r := prove(t, newFront(t, source), newFront(t, target), small)
	if got := verdicts(r)["seam"]; got != "different hole" {
		t.Errorf("%s", got)
	}
	if n := r.Checks[5].Numbers[1]; n.Value != 40 || r.Load["source"].Requests < 40 {
		t.Errorf("%+v in %d requests", n, r.Load["source"].Requests)
	}
}

func TestRunStopsAskingAServerThatIsGone(t *testing.T) {
	target := newFront(t, append(handedOver(), world{
		series(func(int) Sample { return Sample{} }, "__name__", "a"), series(func(int) Sample { return Sample{} }, "__name__", "b"),
		series(func(int) Sample { return Sample{} }, "__name__", "c"), series(func(int) Sample { return Sample{} }, "__name__", "d"),
	}...))
	n := 0
	target.before = on("/api/v1/series", func(w http.ResponseWriter, r *http.Request) {
		n++
		refuse(w, r)
	})
	r := prove(t, newFront(t, history()), target, nil)
	if n != giveUp || r.Verdict != Unknown && r.Verdict != Different {
		t.Errorf("asked %d times: %s", n, r.Summary)
	}
	if !slices.Contains(r.NotChecked, NotChecked{What: "the rest of series", Why: "the servers did not answer"}) {
		t.Errorf("%v", r.NotChecked)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	source := newFront(t, history())
	ctx, cancel := context.WithCancel(t.Context())
	source.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/read" {
			cancel()
		}
		return false
	}
	_, err := Run(ctx, Options{Source: source.serve(t, "source"), Target: newFront(t, handedOver()).serve(t, "target"), Seam: seamAt})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
