package shim

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// read takes everything that a storage says from from up to and with to: by series, each sample as text of its bits.
func read(t testing.TB, q storage.Queryable, from, to int64, matchers ...*labels.Matcher) (map[string][]string, []string, error) {
	t.Helper()
	querier, err := q.Querier(from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = querier.Close() }()
	if len(matchers) == 0 {
		matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+")}
	}
	set := querier.Select(t.Context(), true, nil, matchers...)
	got := map[string][]string{}
	for set.Next() {
		name := set.At().Labels().String()
		if _, twice := got[name]; twice {
			t.Errorf("%s comes twice", name)
		}
		got[name] = nil
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			got[name] = append(got[name], sample(it, kind))
		}
		if it.Err() != nil {
			return nil, nil, it.Err()
		}
	}
	var warnings []string
	for _, w := range set.Warnings() {
		warnings = append(warnings, w.Error())
	}
	return got, warnings, set.Err()
}

func sample(it chunkenc.Iterator, kind chunkenc.ValueType) string {
	switch kind {
	case chunkenc.ValHistogram:
		t, h := it.AtHistogram(nil)
		return fmt.Sprintf("%d %s", t, h)
	case chunkenc.ValFloatHistogram:
		t, h := it.AtFloatHistogram(nil)
		return fmt.Sprintf("%d %s", t, h)
	}
	t, v := it.At()
	return fmt.Sprintf("%d %x", t, math.Float64bits(v))
}

func TestWhatIsBeforeTheBoundaryComesBitForBitAndNothingElse(t *testing.T) {
	for name, types := range map[string][]prompb.ReadRequest_ResponseType{
		"streamed": nil,
		"samples":  {prompb.ReadRequest_SAMPLES},
	} {
		t.Run(name, func(t *testing.T) {
			src := &source{}
			s, address := pair(t, src)
			want, _, err := read(t, src.db, 0, splitAt-1)
			if err != nil || len(want) != 4 {
				t.Fatalf("%d series, %v", len(want), err)
			}
			got, warnings, err := read(t, client(t, address, types...), 0, math.MaxInt64)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if m := s.Metrics(); m.Answered != 1 || m.Series != 4 || m.Bytes == 0 {
				t.Errorf("%+v", m)
			}
		})
	}
}

// TestASourceThatSendsTooMuchIsCut: the handler of a server cuts by itself; this one does not.
func TestASourceThatSendsTooMuchIsCut(t *testing.T) {
	for name, types := range map[string][]prompb.ReadRequest_ResponseType{
		"streamed": nil,
		"samples":  {prompb.ReadRequest_SAMPLES},
	} {
		t.Run(name, func(t *testing.T) {
			src := &source{}
			src.before = func(_ http.ResponseWriter, r *http.Request) bool {
				q, err := readQuestion(r.Body, math.MaxInt64, nil)
				if err != nil {
					t.Error(err)
				}
				q.ask.Queries[0].EndTimestampMs = math.MaxInt64
				body, err := encode(q.ask)
				if err != nil {
					t.Error(err)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				return false
			}
			s, address := pair(t, src)
			want, _, err := read(t, src.db, 0, splitAt-1)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := read(t, client(t, address, types...), 0, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if len(types) == 0 && s.Metrics().CutChunks == 0 {
				t.Error("no chunk was cut: this test tests nothing")
			}
		})
	}
}

func TestASeriesInManyFramesComesAsOne(t *testing.T) {
	src := &source{frame: 200}
	_, address := pair(t, src)
	want, _, err := read(t, src.db, 0, splitAt-1)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := read(t, client(t, address), 0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestAFailureIsAnErrorAndNeverAPartOfTheAnswer: fanout is what a Prometheus queries.
func TestAFailureIsAnErrorAndNeverAPartOfTheAnswer(t *testing.T) {
	tests := map[string]struct {
		before func(w http.ResponseWriter, r *http.Request) bool
	}{
		"an error": {func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "disk full", http.StatusInternalServerError)
			return true
		}},
		"a connection that breaks": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }},
		"a stream that breaks": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", streamedType)
			_, _ = w.Write([]byte{100, 1, 2, 3, 4, 5})
			return true
		}},
		"text behind a stream, as old servers end it": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", streamedType)
			http.Error(w, "query processing would load too many samples", http.StatusInternalServerError)
			return true
		}},
		"a page of a proxy": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>sign in</html>"))
			return true
		}},
		"an answer of no known end": {func(w http.ResponseWriter, _ *http.Request) bool {
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return true
			}
			_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Type: " + streamedType + "\r\nConnection: close\r\n\r\n")
			_ = buf.Flush()
			conn.Close()
			return true
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			src := &source{}
			s, address := pair(t, src)
			src.before = test.before
			own := newDB(t)
			fill(t, own, splitAt+step-1, allUntil)
			fanout := storage.NewFanout(slog.New(slog.DiscardHandler), own, readOnly{Storage: own, from: client(t, address)})
			got, warnings, err := read(t, fanout, 0, math.MaxInt64)
			if err == nil {
				t.Fatalf("%d series, warnings %q, no error", len(got), warnings)
			}
			src.before = nil
			got, warnings, err = read(t, fanout, 0, math.MaxInt64)
			if err != nil || len(warnings) > 0 || len(got) != 4 {
				t.Fatalf("afterwards: %d series, %q, %v", len(got), warnings, err)
			}
			if m := s.Metrics(); m.Failed != 1 || m.Answered != 1 || m.Running != 0 {
				t.Errorf("%+v", m)
			}
		})
	}
}

// TestWithoutAShimAnErrorIsAPartOfTheAnswer is why there is a shim: the same failure, with the same code around it.
func TestWithoutAShimAnErrorIsAPartOfTheAnswer(t *testing.T) {
	src := &source{db: newDB(t), before: func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "disk full", http.StatusInternalServerError)
		return true
	}}
	own := newDB(t)
	fill(t, own, splitAt+step-1, allUntil)
	fanout := storage.NewFanout(slog.New(slog.DiscardHandler), own, readOnly{Storage: own, from: client(t, src.serve(t))})
	got, warnings, err := read(t, fanout, 0, math.MaxInt64)
	if err != nil || len(got) != 4 || len(warnings) != 1 || !strings.Contains(warnings[0], "disk full") {
		t.Errorf("%d series, %q, %v", len(got), warnings, err)
	}
}

// readOnly is a storage that reads from elsewhere.
type readOnly struct {
	storage.Storage
	from storage.SampleAndChunkQueryable
}

func (r readOnly) Querier(mint, maxt int64) (storage.Querier, error) {
	return r.from.Querier(mint, maxt)
}
