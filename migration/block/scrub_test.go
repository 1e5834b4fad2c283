package block

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScrubCountsWhatTheLibraryWrote(t *testing.T) {
	tests := map[string]shape{
		"floats":                     {series: 30, samples: 400},
		"native histograms":          {series: 2, samples: 400, histograms: true},
		"several segments":           {series: 30, samples: 400, histograms: true, segmentBytes: 4096},
		"tombstones":                 {series: 30, samples: 400, histograms: true, delete: true},
		"one series with one sample": {series: 1, samples: 1},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			id := makeBlock(t, dir, s)
			r := mustScrub(t, dir, id)
			if r.Verdict != OK || len(r.Notes) > 0 {
				t.Fatalf("verdict %s: %v %v", r.Verdict, r.Err(), r.Notes)
			}
			if diff := cmp.Diff(r.Meta.Stats, r.Found); diff != "" {
				t.Errorf("-meta +found:\n%s", diff)
			}
			if s.segmentBytes > 0 && !fileExists(filepath.Join(dir, id, "chunks/000003")) {
				t.Error("the block has no third segment")
			}
			if s.delete && r.Found.NumTombstones == 0 {
				t.Error("no tombstones")
			}
			quick, err := openDir(t, dir).Scrub(t.Context(), id, ScrubOptions{SumsOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r.Found, quick.Found); diff != "" || quick.Verdict != OK {
				t.Errorf("sums only: %s -all +sums:\n%s", quick.Verdict, diff)
			}
		})
	}
}

func fileExists(path string) bool { _, err := os.Stat(path); return err == nil }

// TestScrubFindsEveryFlippedByte flips a bit of each byte of each file. Only in meta.json may a flip stay unseen, and only where it
// changes nothing that the files could contradict.
func TestScrubFindsEveryFlippedByte(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	folder := filepath.Join(dir, name)
	writeBlock(t, folder, files)
	d := openDir(t, dir)
	if r := mustScrub(t, dir, name); r.Verdict != OK {
		t.Fatalf("the block is %s before: %v", r.Verdict, r.Err())
	}
	for _, file := range sortedNames(files) {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join(folder, file)
			defer writeBlock(t, folder, map[string]string{file: files[file]})
			unseen := 0
			for off := range len(files[file]) {
				flip := byte(1 << (off % 8))
				data := []byte(files[file])
				data[off] ^= flip
				if err := os.WriteFile(path, data, 0o644); err != nil {
					t.Fatal(err)
				}
				r, err := d.Scrub(t.Context(), name, ScrubOptions{})
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case r.Verdict == OK && file == metaFile && harmless(files[file], data):
					unseen++
				case r.Verdict == OK:
					t.Errorf("byte %d ^ %02x is not found", off, flip)
				default:
					checkBlame(t, r, file, off)
				}
			}
			t.Logf("%d bytes flipped, %d flips of meta.json cannot be seen", len(files[file]), unseen)
		})
	}
}

// checkBlame says that the damage names the file that was flipped, and in a segment a place at or before the byte.
func checkBlame(t *testing.T, r *Report, file string, off int) {
	t.Helper()
	d := r.Damage[0]
	if d.File != file {
		t.Errorf("byte %d of %s: blames %s: %s", off, file, d.File, d.What)
	}
	if d.Segment > 0 && (d.Offset > int64(off) || d.Do == "") {
		t.Errorf("byte %d: %v", off, d)
	}
}

// harmless says that a changed meta.json says nothing false that the files could show: same counts and block, a range that
// is not smaller.
func harmless(before string, after []byte) bool {
	var was, is Meta
	if json.Unmarshal([]byte(before), &was) != nil || json.Unmarshal(after, &is) != nil {
		return false
	}
	return was.ULID == is.ULID && is.MinTime <= was.MinTime && is.MaxTime >= was.MaxTime &&
		was.Stats.NumSamples == is.Stats.NumSamples && was.Stats.NumSeries == is.Stats.NumSeries && was.Stats.NumChunks == is.Stats.NumChunks
}

func TestScrubNamesTheDamage(t *testing.T) {
	name, files := small()
	cut := func(file string, keep int) func(map[string]string) {
		return func(f map[string]string) { f[file] = f[file][:keep] }
	}
	meta := func(edit func(*Meta)) func(map[string]string) {
		return func(f map[string]string) {
			m, err := parseMeta([]byte(f[metaFile]))
			if err != nil {
				t.Fatal(err)
			}
			edit(m)
			text, _ := json.Marshal(m)
			f[metaFile] = string(text)
		}
	}
	remove := func(file string) func(map[string]string) {
		return func(f map[string]string) { delete(f, file) }
	}
	put := func(file, text string) func(map[string]string) {
		return func(f map[string]string) { f[file] = text }
	}
	tests := map[string]struct {
		edit    func(map[string]string)
		kind    Kind
		file    string
		verdict Verdict
	}{
		"an index cut in half":                {cut(indexFile, len(files[indexFile])/2), DamagedIndex, indexFile, Damaged},
		"an index without its last byte":      {cut(indexFile, len(files[indexFile])-1), DamagedIndex, indexFile, Damaged},
		"an empty index":                      {cut(indexFile, 0), DamagedIndex, indexFile, Damaged},
		"no index":                            {remove(indexFile), MissingFile, indexFile, Damaged},
		"an index of version 9":               {func(f map[string]string) { f[indexFile] = f[indexFile][:4] + "\x09" + f[indexFile][5:] }, UnknownVersion, indexFile, Unsupported},
		"a segment without its last byte":     {cut("chunks/000002", len(files["chunks/000002"])-1), DamagedChunk, "chunks/000002", Damaged},
		"a segment cut in half":               {cut("chunks/000001", len(files["chunks/000001"])/2), DamagedChunk, "chunks/000001", Damaged},
		"an empty segment":                    {cut("chunks/000001", 0), DamagedChunk, "chunks/000001", Damaged},
		"the first segment missing":           {remove("chunks/000001"), MissingFile, "chunks/000001", Damaged},
		"the last segment missing":            {remove(lastSegment(files)), MissingFile, lastSegment(files), Damaged},
		"a segment of version 2":              {func(f map[string]string) { s := f["chunks/000001"]; f["chunks/000001"] = s[:4] + "\x02" + s[5:] }, UnknownVersion, "chunks/000001", Unsupported},
		"a segment with a strange number":     {put("chunks/7", "x"), DamagedChunk, `chunks/"7"`, Damaged},
		"tombstones cut off":                  {cut(tombstonesFile, 7), DamagedTombstones, tombstonesFile, Damaged},
		"tombstones of another version":       {func(f map[string]string) { s := f[tombstonesFile]; f[tombstonesFile] = s[:4] + "\x02" + s[5:] }, UnknownVersion, tombstonesFile, Unsupported},
		"no meta":                             {remove(metaFile), MissingFile, metaFile, Damaged},
		"an empty meta":                       {put(metaFile, ""), BadMeta, metaFile, Damaged},
		"a meta of version 2":                 {put(metaFile, `{"version":2}`), UnknownVersion, metaFile, Unsupported},
		"a meta without a version":            {put(metaFile, `{}`), BadMeta, metaFile, Damaged},
		"a meta with a number that is larger": {put(metaFile, `{"version":1,"minTime":0,"maxTime":1,"ulid":"`+name+`","stats":{"numSamples":99999999999999999999}}`), BadMeta, metaFile, Damaged},
		"a meta with a negative count":        {put(metaFile, `{"version":1,"minTime":0,"maxTime":1,"ulid":"`+name+`","stats":{"numSeries":-1}}`), BadMeta, metaFile, Damaged},
		"a meta of a range over all time":     {meta(func(m *Meta) { m.MinTime, m.MaxTime = -1<<62-1, 1<<62 }), BadMeta, metaFile, Damaged},
		"a meta of another block":             {meta(func(m *Meta) { m.ULID[3]++ }), BadMeta, metaFile, Damaged},
		"a meta that is its own parent":       {meta(func(m *Meta) { m.Compaction.Parents = []Desc{{ULID: m.ULID}} }), BadMeta, metaFile, Damaged},
		"a sample too many in meta":           {meta(func(m *Meta) { m.Stats.NumSamples++; m.Stats.NumFloatSamples++ }), Miscount, metaFile, Damaged},
		"a range that ends too early":         {meta(func(m *Meta) { m.MaxTime -= fixtureStep }), OutsideRange, metaFile, Damaged},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			changed := map[string]string{}
			for k, v := range files {
				changed[k] = v
			}
			test.edit(changed)
			writeBlock(t, filepath.Join(dir, name), changed)
			before := contentsOf(t, dir)
			r := mustScrub(t, dir, name)
			if r.Verdict != test.verdict {
				t.Fatalf("verdict %s, want %s: %v", r.Verdict, test.verdict, r.Err())
			}
			if !slices.ContainsFunc(r.Damage, func(d *Damage) bool { return d.Kind == test.kind && d.File == test.file && d.Do != "" }) {
				t.Errorf("no %s of %s in: %v", test.kind, test.file, r.Err())
			}
			var damage *Damage
			if !errors.As(r.Err(), &damage) {
				t.Error("the error holds no *Damage")
			}
			if diff := cmp.Diff(before, contentsOf(t, dir)); diff != "" {
				t.Errorf("scrub changed the directory:\n%s", diff)
			}
		})
	}
}

func lastSegment(files map[string]string) string {
	last := ""
	for _, n := range sortedNames(files) {
		if strings.HasPrefix(n, chunksDir+"/") {
			last = n
		}
	}
	return last
}

func TestScrubCountsLostChunksOfATruncatedSegmentOnce(t *testing.T) {
	dir := t.TempDir()
	id := makeBlock(t, dir, shape{series: 30, samples: 400})
	path := filepath.Join(dir, id, "chunks/000001")
	if err := os.Truncate(path, 3000); err != nil {
		t.Fatal(err)
	}
	r := mustScrub(t, dir, id)
	if len(r.Damage) != 1 || r.Damage[0].Count < 50 || r.Damage[0].Segment != 1 || r.Damage[0].From == nil {
		t.Errorf("want one line with all lost chunks, a segment and times: %+v", r.Damage)
	}
}

func TestScrubNamesTheSegmentAndOffsetOfADamagedChunk(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	path := filepath.Join(dir, name, "chunks/000001")
	data := []byte(files["chunks/000001"])
	data[8+5] ^= 1 // in the first chunk
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	r := mustScrub(t, dir, name)
	if len(r.Damage) != 1 || r.Damage[0].Kind != DamagedChunk || r.Damage[0].Segment != 1 || r.Damage[0].Offset != 8 {
		t.Errorf("%+v", r.Damage)
	}
}

func TestScrubAlsoChecksTheSegmentsWhenTheIndexIsDamaged(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	changed := map[string]string{}
	for k, v := range files {
		changed[k] = v
	}
	changed[indexFile] = files[indexFile][:100]
	segment := []byte(files["chunks/000002"])
	segment[20] ^= 1
	changed["chunks/000002"] = string(segment)
	writeBlock(t, filepath.Join(dir, name), changed)
	r := mustScrub(t, dir, name)
	var kinds []string
	for _, d := range r.Damage {
		kinds = append(kinds, fmt.Sprintf("%s %s", d.Kind, d.File))
	}
	if diff := cmp.Diff([]string{"damaged-index index", "damaged-chunk chunks/000002"}, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestScrubNotesWhatBelongsToNoSeries(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	files = withChange(files, "chunks/000001", func(s string) string { return s + "rubbish" })
	writeBlock(t, filepath.Join(dir, name), files)
	r := mustScrub(t, dir, name)
	if r.Verdict != OK || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "7 bytes") {
		t.Errorf("%s %v %v", r.Verdict, r.Notes, r.Err())
	}
}

func withChange(files map[string]string, name string, change func(string) string) map[string]string {
	out := map[string]string{}
	for k, v := range files {
		out[k] = v
	}
	out[name] = change(out[name])
	return out
}

func TestScrubEndsWithTheContextAndWithThePace(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	d := openDir(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Scrub(ctx, name, ScrubOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	stop := errors.New("enough")
	seen := 0
	_, err := d.Scrub(t.Context(), name, ScrubOptions{Pace: func(_ context.Context, n int) error {
		if seen += n; seen > len(files[indexFile]) {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Errorf("stopped by the pace: %v", err)
	}
}

func TestScrubSaysThatABlockIsGone(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	folder := filepath.Join(dir, name)
	writeBlock(t, folder, files)
	d := openDir(t, dir)
	once := false
	r, err := d.Scrub(t.Context(), name, ScrubOptions{Pace: func(context.Context, int) error {
		if !once {
			once = true
			if err := os.Rename(folder, folder+".tmp-for-deletion"); err != nil {
				t.Fatal(err)
			}
			return os.RemoveAll(folder + ".tmp-for-deletion/chunks")
		}
		return nil
	}})
	if err != nil || r.Verdict != Gone {
		t.Errorf("%+v %v", r, err)
	}
}

func TestScrubReadsIndexVersion1(t *testing.T) {
	root := "testdata/index-v1"
	r := mustScrub(t, root, "01DXXFZDYD1MQW6079WK0K6EDQ")
	if r.Verdict != OK || r.Found.NumSeries != 102 || r.Found.NumSamples != 102 {
		t.Errorf("%s %+v %v", r.Verdict, r.Found, r.Err())
	}
}

func TestScrubKeepsItsMemoryBounded(t *testing.T) {
	name, files := small()
	chunk := func(enc byte, data []byte) string {
		body := append([]byte{enc}, data...)
		return string(uvarintBytes(len(data))) + string(body) + string(sumBytes(body))
	}
	// A histogram chunk of one sample whose layout claims 2^32-1 buckets: zero threshold, schema 0, one span.
	bits := &bitWriter{}
	bits.write(0, 8)       // zero threshold 0
	bits.write(0, 1)       // schema 0
	bits.write(0b10001, 5) // one span
	bits.write(0xfe, 8)    // 56 bits follow
	bits.write(0xffffffff, 56)
	bits.write(0, 200)
	data := append([]byte{0, 1, 0}, bits.data...)
	if !tooManyBuckets(data[3:]) {
		t.Error("the layout is not refused")
	}
	head := files["chunks/000001"][:8]
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), withChange(files, "chunks/000001", func(string) string { return head + chunk(2, bytes.Clone(data)) }))
	if r := mustScrub(t, dir, name); r.Verdict != Damaged {
		t.Errorf("%s", r.Verdict)
	}
}

type bitWriter struct {
	data []byte
	n    int
}

func (w *bitWriter) write(v uint64, size int) {
	for i := size - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.data = append(w.data, 0)
		}
		if i < 64 {
			w.data[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		}
		w.n++
	}
}
