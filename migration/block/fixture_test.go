package block

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

const (
	fixtureStart = int64(1_700_000_000_000)
	fixtureStep  = int64(15_000)
)

var quiet = slog.New(slog.DiscardHandler)

// shape says what a block of a test holds.
type shape struct {
	series, samples int // float series; samples of each
	histograms      bool
	segmentBytes    int64 // several segments when small
	delete          bool  // tombstones
	start           int64
	respelled       bool // le as 3.x writes it
}

// makeBlock writes a block through the TSDB library and returns the name of its folder.
func makeBlock(t testing.TB, dataDir string, s shape) string {
	t.Helper()
	if s.start == 0 {
		s.start = fixtureStart
	}
	w, err := tsdb.NewBlockWriter(quiet, dataDir, tsdb.DefaultBlockDuration)
	if err != nil {
		t.Fatal(err)
	}
	app := w.Appender(t.Context())
	for i := range s.series {
		appendFloats(t, app, i, s)
	}
	if s.histograms {
		appendHistograms(t, app, s)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	id, err := w.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := id.String()
	if s.segmentBytes > 0 {
		name = rewrite(t, dataDir, name, s.segmentBytes)
	}
	if s.delete {
		deleteSome(t, filepath.Join(dataDir, name), s)
	}
	return name
}

// appendFloats makes counters, gauges and classic buckets; some start late or end early with a staleness marker.
func appendFloats(t testing.TB, app storage.Appender, i int, s shape) {
	t.Helper()
	names := []string{"requests_total", "temperature", "latency_bucket"}
	le := fmt.Sprint(i % 5)
	if s.respelled {
		le += ".0"
	}
	lset := labels.FromStrings("__name__", names[i%3], "instance", fmt.Sprintf("host-%d", i), "job", "test", "le", le)
	first, last := 0, s.samples
	if i%4 == 3 {
		first, last = s.samples/4, s.samples/2
	}
	for k := first; k < last; k++ {
		v := float64(k * (i + 1))
		switch {
		case i%4 == 3 && k == last-1:
			v = math.Float64frombits(value.StaleNaN)
		case i%3 == 1:
			v = math.Sin(float64(k)/7) + float64(i)
		case k%17 == 0:
			v = math.Inf(1 - 2*(k%2))
		}
		if _, err := app.Append(0, lset, s.start+int64(k)*fixtureStep, v); err != nil {
			t.Fatal(err)
		}
	}
}

// appendHistograms makes native histograms: integer, float, a counter reset, other buckets later, a staleness marker.
func appendHistograms(t testing.TB, app storage.Appender, s shape) {
	t.Helper()
	whole := labels.FromStrings("__name__", "latency", "kind", "integer")
	float := labels.FromStrings("__name__", "latency", "kind", "float")
	gauge := labels.FromStrings("__name__", "latency", "kind", "gauge")
	custom := labels.FromStrings("__name__", "latency", "kind", "custom")
	for k := range s.samples {
		at := s.start + int64(k)*fixtureStep
		h, fh := tsdbutil.GenerateTestHistogram(int64(k%50)), tsdbutil.GenerateTestFloatHistogram(int64(k))
		if k == s.samples-1 {
			h, fh = &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}, nil
		}
		if _, err := app.AppendHistogram(0, whole, at, h, nil); err != nil {
			t.Fatal(err)
		}
		if fh == nil {
			continue
		}
		if _, err := app.AppendHistogram(0, float, at, nil, fh); err != nil {
			t.Fatal(err)
		}
		if _, err := app.AppendHistogram(0, gauge, at, tsdbutil.GenerateTestGaugeHistogram(int64(k%9)), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := app.AppendHistogram(0, custom, at, tsdbutil.GenerateTestCustomBucketsHistogram(int64(k)), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// rewrite compacts a block into one with small segments.
func rewrite(t testing.TB, dataDir, name string, segmentBytes int64) string {
	t.Helper()
	b, err := tsdb.OpenBlock(quiet, filepath.Join(dataDir, name), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tsdb.NewLeveledCompactorWithOptions(t.Context(), nil, quiet, []int64{tsdb.DefaultBlockDuration}, chunkenc.NewPool(),
		tsdb.LeveledCompactorOptions{MaxBlockChunkSegmentSize: segmentBytes, EnableOverlappingCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := c.Write(dataDir, b, b.MinTime(), b.MaxTime(), nil)
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v %v", ids, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dataDir, name)); err != nil {
		t.Fatal(err)
	}
	return ids[0].String()
}

func deleteSome(t testing.TB, folder string, s shape) {
	t.Helper()
	b, err := tsdb.OpenBlock(quiet, folder, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	from := s.start + int64(s.samples/3)*fixtureStep
	if err := b.Delete(t.Context(), from, from+20*fixtureStep, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "requests_total|latency")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// samplesOf reads a block by the library: per series its visible samples, floats as bits.
func samplesOf(t testing.TB, folder string) map[string][]string {
	t.Helper()
	b, err := tsdb.OpenBlock(quiet, folder, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	q, err := tsdb.NewBlockQuerier(b, math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all := map[string][]string{}
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "nothing", ".*"))
	for set.Next() {
		name := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			all[name] = append(all[name], sampleText(kind, it))
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func sampleText(kind chunkenc.ValueType, it chunkenc.Iterator) string {
	switch kind {
	case chunkenc.ValFloat:
		at, v := it.At()
		return fmt.Sprintf("%d %d %016x", at, it.AtST(), math.Float64bits(v))
	case chunkenc.ValHistogram:
		at, h := it.AtHistogram(nil)
		return fmt.Sprintf("%d %d %016x %v", at, it.AtST(), math.Float64bits(h.Sum), h)
	}
	at, h := it.AtFloatHistogram(nil)
	return fmt.Sprintf("%d %d %016x %v", at, it.AtST(), math.Float64bits(h.Sum), h)
}

func countSamples(all map[string][]string) int {
	n := 0
	for _, s := range all {
		n += len(s)
	}
	return n
}

func openDir(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func mustScrub(t testing.TB, dataDir, name string) *Report {
	t.Helper()
	r, err := openDir(t, dataDir).Scrub(t.Context(), name, ScrubOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// contentsOf reads every file below a folder.
func contentsOf(t testing.TB, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, folder+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func writeBlock(t testing.TB, folder string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func sortedNames(files map[string]string) []string {
	var names []string
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// small is a block of a few kilobytes with every kind of file, made once.
var small = sync.OnceValues(func() (string, map[string]string) {
	dir, err := os.MkdirTemp("", "block")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	t := &made{}
	name := makeBlock(t, dir, shape{series: 4, samples: 40, histograms: true, delete: true, segmentBytes: 1500})
	return name, contentsOf(t, filepath.Join(dir, name))
})

// made lets makeBlock run outside a test.
type made struct{ testing.TB }

func (*made) Helper()                   {}
func (*made) Context() context.Context  { return context.Background() }
func (*made) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (*made) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
