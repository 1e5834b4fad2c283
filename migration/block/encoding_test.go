package block

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// writeChunks writes a block with one series per chunk, past everything that a server would check.
func writeChunks(t *testing.T, dir string, list []chunks.Meta) string {
	t.Helper()
	m := Meta{ULID: ulid.MustNew(77, zeroes{}), MinTime: fixtureStart, MaxTime: fixtureStart + 7_200_000, Version: 1}
	folder := filepath.Join(dir, m.ULID.String())
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	cw, err := chunks.NewWriter(filepath.Join(folder, chunksDir), chunks.WithSegmentSize(1<<16))
	if err != nil {
		t.Fatal(err)
	}
	iw, err := index.NewWriter(t.Context(), filepath.Join(folder, indexFile))
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range list {
		must(iw.AddSymbol(fmt.Sprintf("%04d", i)))
	}
	must(iw.AddSymbol("__name__"))
	for i := range list {
		must(cw.WriteChunks(list[i : i+1]...))
		must(iw.AddSeries(storage.SeriesRef(i), labels.FromStrings("__name__", fmt.Sprintf("%04d", i)), list[i]))
		n := uint64(list[i].Chunk.NumSamples())
		m.Stats.NumSeries++
		m.Stats.NumChunks++
		m.Stats.NumSamples += n
		if isFloat(list[i].Chunk.Encoding()) {
			m.Stats.NumFloatSamples += n
		} else {
			m.Stats.NumHistogramSamples += n
		}
	}
	must(cw.Close())
	must(iw.Close())
	text, err := json.Marshal(m)
	must(err)
	writeBlock(t, folder, map[string]string{metaFile: string(text)})
	return m.ULID.String()
}

// encoded makes a chunk of one encoding, with start times where it has them.
func encoded(t *testing.T, enc chunkenc.Encoding, samples int) chunks.Meta {
	t.Helper()
	c, err := chunkenc.NewEmptyChunk(enc)
	if err != nil {
		t.Fatal(err)
	}
	app, err := c.Appender()
	if err != nil {
		t.Fatal(err)
	}
	var h *histogram.Histogram
	for k := range samples {
		at, started := fixtureStart+int64(k)*fixtureStep, fixtureStart-int64(k/40)*1000
		switch enc {
		case chunkenc.EncXOR, chunkenc.EncXOR2:
			app.Append(started, at, float64(k*k))
			continue
		case chunkenc.EncHistogram, chunkenc.EncHistogramST:
			h = tsdbutil.GenerateTestHistogram(int64(k))
			_, _, app, err = app.AppendHistogram(nil, started, at, h, true)
		default:
			_, _, app, err = app.AppendFloatHistogram(nil, started, at, tsdbutil.GenerateTestFloatHistogram(int64(k)), true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return chunks.Meta{Chunk: c, MinTime: fixtureStart, MaxTime: fixtureStart + int64(samples-1)*fixtureStep}
}

func TestEveryEncodingIsScrubbedAndCut(t *testing.T) {
	var list []chunks.Meta
	for enc := chunkenc.EncXOR; chunkenc.IsValidEncoding(enc); enc++ {
		list = append(list, encoded(t, enc, 100))
	}
	if len(list) < 6 {
		t.Fatalf("the library has %d encodings", len(list))
	}
	dir := t.TempDir()
	name := writeChunks(t, dir, list)
	if r := mustScrub(t, dir, name); r.Verdict != OK {
		t.Fatalf("%s %v", r.Verdict, r.Err())
	}
	whole := samplesOf(t, filepath.Join(dir, name))
	for _, at := range []int64{fixtureStart + 1, fixtureStart + 37*fixtureStep, fixtureStart + 40*fixtureStep + 1, fixtureStart + 99*fixtureStep} {
		checkCut(t, dir, name, at, whole)
	}
}

func TestChunksThatContradictTheIndexAreDamage(t *testing.T) {
	wide, short := encoded(t, chunkenc.EncXOR, 100), encoded(t, chunkenc.EncXOR, 100)
	wide.MaxTime -= fixtureStep // a sample behind what the index says
	data := append([]byte(nil), short.Chunk.Bytes()...)
	data[1]++ // claims one sample more than it holds
	more, err := chunkenc.FromData(chunkenc.EncXOR, data)
	if err != nil {
		t.Fatal(err)
	}
	short.Chunk = more
	tests := map[string]chunks.Meta{"a sample outside the times of the index": wide, "a sample less than the head says": short}
	for what, chunk := range tests {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			r := mustScrub(t, dir, writeChunks(t, dir, []chunks.Meta{chunk}))
			if r.Verdict != Damaged || r.Damage[0].Kind != DamagedChunk {
				t.Errorf("%s %v", r.Verdict, r.Err())
			}
		})
	}
}

func TestAnUnknownEncodingIsUnsupported(t *testing.T) {
	dir := t.TempDir()
	name := writeChunks(t, dir, []chunks.Meta{encoded(t, chunkenc.EncXOR, 10)})
	path := filepath.Join(dir, name, "chunks/000001")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[9] = 99 // the encoding, behind a length of one byte
	mendSums("chunks/000001", data)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := mustScrub(t, dir, name); r.Verdict != Unsupported || r.Damage[0].Kind != UnknownVersion {
		t.Errorf("%s %v", r.Verdict, r.Err())
	}
}
