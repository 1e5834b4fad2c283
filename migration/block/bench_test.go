package block

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// BenchmarkScrub reads one block in turn by scrub, by sha256sum and by the library (every chunk decoded, nothing else
// checked: the floor), and reports MB/s of each and how they compare. Absolute numbers mean nothing on a shared machine.
func BenchmarkScrub(b *testing.B) {
	dir := b.TempDir()
	name := benchBlock(b, dir)
	d := openDir(b, dir)
	folder := filepath.Join(dir, name)
	readers := []struct {
		name string
		read func() error
	}{
		{"scrub", func() error { return scrubWhole(b, d, name, ScrubOptions{}) }},
		{"sums", func() error { return scrubWhole(b, d, name, ScrubOptions{SumsOnly: true}) }},
		{"digest", func() error { _, err := d.Digest(b.Context(), name, nil); return err }},
		{"sha256sum", func() error {
			return exec.Command("sha256sum", filepath.Join(folder, indexFile), filepath.Join(folder, segmentName(1))).Run()
		}},
		{"library", func() error { return libraryReads(b, folder) }},
	}
	l, err := d.List()
	if err != nil {
		b.Fatal(err)
	}
	took := map[string]time.Duration{}
	for b.Loop() {
		for _, r := range readers {
			start := time.Now()
			if err := r.read(); err != nil {
				b.Fatalf("%s: %v", r.name, err)
			}
			took[r.name] += time.Since(start)
		}
	}
	megabytes := float64(l.Blocks[0].Bytes) * float64(b.N) / 1e6
	for _, r := range readers {
		b.ReportMetric(megabytes/took[r.name].Seconds(), r.name+"-MB/s")
	}
	b.ReportMetric(took["scrub"].Seconds()/took["library"].Seconds(), "scrub/library")
	b.ReportMetric(took["sums"].Seconds()/took["sha256sum"].Seconds(), "sums/sha256sum")
	b.ReportMetric(0, "ns/op")
}

func scrubWhole(b *testing.B, d *Dir, name string, o ScrubOptions) error {
	r, err := d.Scrub(b.Context(), name, o)
	if err == nil && r.Verdict != OK {
		err = r.Err()
	}
	return err
}

// BenchmarkCutWithout cuts the last hour of a block of five, of which another directory has everything but one outage, and holds the time
// against that of the same cut without a look at the other one.
func BenchmarkCutWithout(b *testing.B) {
	source, target := b.TempDir(), b.TempDir()
	name := makeBlock(b, source, shape{series: 3000, samples: 1200})
	o := CutOptions{Block: name, At: fixtureStart + 960*fixtureStep, Keep: After}
	without := &Without{Dir: target, Lacking: Gaps}
	for _, begin := range []int64{0, 1100} {
		without.Blocks = append(without.Blocks, makeBlock(b, target, shape{series: 3000, samples: 1080 - int(begin)*9/10, start: fixtureStart + begin*fixtureStep + 7000}))
	}
	d := openDir(b, source)
	took := map[bool]time.Duration{}
	for b.Loop() {
		for _, look := range []bool{false, true} {
			if o.Without = nil; look {
				o.Without = without
			}
			o.Staging = b.TempDir()
			start := time.Now()
			if _, err := d.Cut(b.Context(), o); err != nil {
				b.Fatal(err)
			}
			took[look] += time.Since(start)
		}
	}
	b.ReportMetric(took[true].Seconds()/took[false].Seconds(), "without/whole")
	b.ReportMetric(took[true].Seconds()/float64(b.N), "s/cut")
	b.ReportMetric(0, "ns/op")
}

// benchBlock makes some 100 MB: half counters, which pack well, half random values, which do not.
func benchBlock(b *testing.B, dir string) string {
	w, err := tsdb.NewBlockWriter(quiet, dir, tsdb.DefaultBlockDuration)
	if err != nil {
		b.Fatal(err)
	}
	app := w.Appender(b.Context())
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 6000 {
		lset := labels.FromStrings("__name__", fmt.Sprintf("metric_%d", i%50), "instance", fmt.Sprintf("host-%d", i/50), "job", "bench")
		for k := range 3000 {
			v := float64(k * i)
			if i%2 == 0 {
				v = random.Float64()
			}
			if _, err := app.Append(0, lset, fixtureStart+int64(k)*1000, v); err != nil {
				b.Fatal(err)
			}
		}
		if i%100 == 99 {
			if err := app.Commit(); err != nil {
				b.Fatal(err)
			}
			app = w.Appender(b.Context())
		}
	}
	if err := app.Commit(); err != nil {
		b.Fatal(err)
	}
	id, err := w.Flush(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return id.String()
}

// libraryReads decodes every sample through the library.
func libraryReads(b *testing.B, folder string) error {
	block, err := tsdb.OpenBlock(quiet, folder, nil, nil)
	if err != nil {
		return err
	}
	defer block.Close()
	ir, err := block.Index()
	if err != nil {
		return err
	}
	defer ir.Close()
	cr, err := block.Chunks()
	if err != nil {
		return err
	}
	defer cr.Close()
	name, value := index.AllPostingsKey()
	all, err := ir.Postings(b.Context(), name, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	var metas []chunks.Meta
	var it chunkenc.Iterator
	for all.Next() {
		if err := ir.Series(all.At(), &builder, &metas); err != nil {
			return err
		}
		for _, m := range metas {
			c, _, err := cr.ChunkOrIterable(m)
			if err != nil {
				return err
			}
			it = c.Iterator(it)
			for it.Next() != chunkenc.ValNone {
			}
			if err := it.Err(); err != nil {
				return err
			}
		}
	}
	return all.Err()
}

// BenchmarkDigest holds the sum of a piece against what else could be it, in steps of the size in which a piece is read.
func BenchmarkDigest(b *testing.B) {
	data := make([]byte, stepHot)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // never fails
	crc := crc32.New(castagnoli)
	for name, sum := range map[string]io.Writer{"XXH3-128": NewSummer(), "SHA-256": sha256.New(), "SHA-512/256": sha512.New512_256(), "CRC32C": crc} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				_, _ = sum.Write(data) // never fails
			}
		})
	}
}
