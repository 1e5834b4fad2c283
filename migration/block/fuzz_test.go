package block

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/tsdb/index"
)

func sumBytes(b []byte) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli))
}

func uvarintBytes(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// mendSums makes every sum of a file right again that can be found, so that a fuzzer reaches what lies behind the sums.
func mendSums(file string, b []byte) {
	switch {
	case file == indexFile:
		mendIndex(b)
	case file == tombstonesFile && len(b) >= 9:
		copy(b[len(b)-4:], sumBytes(b[5:len(b)-4]))
	case filepath.Dir(file) == chunksDir:
		for off := 8; off < len(b); {
			next := mendEntry(b, off, 1)
			if next == 0 {
				return
			}
			off = next
		}
	}
}

// mendEntry mends what begins with a length as uvarint: extra bytes belong to the sum but not to the length.
func mendEntry(b []byte, off, extra int) int {
	n, used := uvarint(b[off:])
	start := off + used
	if used <= 0 || n > uint64(len(b)) || start+int(n)+extra+4 > len(b) {
		return 0
	}
	end := start + int(n) + extra
	copy(b[end:], sumBytes(b[start:end]))
	return end + 4
}

func mendBlob(b []byte, off uint64) uint64 {
	if off+8 > uint64(len(b)) || off+8 < off {
		return 0
	}
	end := off + 4 + uint64(be32(b[off:]))
	if end+4 > uint64(len(b)) {
		return 0
	}
	copy(b[end:], sumBytes(b[off+4:end]))
	return end + 4
}

func mendIndex(b []byte) {
	if len(b) < tocLen+5 {
		return
	}
	tail := b[len(b)-tocLen:]
	copy(tail[48:], sumBytes(tail[:48]))
	toc, err := index.NewTOCFromByteSlice(bytesOf(b))
	if err != nil {
		return
	}
	for _, off := range []uint64{toc.Symbols, toc.LabelIndicesTable, toc.PostingsTable} {
		mendBlob(b, off)
	}
	for off := toc.Series; off < toc.LabelIndices && off < uint64(len(b)); {
		next := mendEntry(b, int(off), 0)
		if next == 0 {
			break
		}
		off = uint64(align(int64(next), 16))
	}
	for off := toc.Postings; off < toc.PostingsTable; {
		next := mendBlob(b, uint64(align(int64(off), 4)))
		if next == 0 {
			break
		}
		off = next
	}
}

func FuzzMeta(f *testing.F) {
	_, files := small()
	f.Add([]byte(files[metaFile]))
	f.Add([]byte(`{"version":1,"ulid":"01DXXFZDYD1MQW6079WK0K6EDQ","minTime":1e3,"maxTime":9223372036854775807,"stats":{"numSamples":18446744073709551615}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMeta(data)
		if damage := (*Damage)(nil); err != nil && !errors.As(err, &damage) {
			t.Fatalf("%T: %v", err, err)
		}
		if err == nil && (m.Version != 1 || m.MinTime >= m.MaxTime || m.wrong() != "") {
			t.Fatalf("%+v passes", m)
		}
	})
}

// change is what a fuzzer does to one file: at off, del bytes go and patch comes. Small inputs, so that mutations hit.
func change(text string, off uint16, del uint8, patch []byte) []byte {
	at := min(int(off), len(text))
	return slices.Concat([]byte(text[:at]), patch, []byte(text[min(at+int(del), len(text)):]))
}

// seed gives places in every file of the small block to a fuzzer, with and without mended sums.
func seed(f *testing.F) (string, map[string]string, []string) {
	name, files := small()
	names := sortedNames(files)
	for i, n := range names {
		for _, off := range []int{0, 4, 5, 8, 9, 10, 11, 12, len(files[n]) / 3, len(files[n]) / 2, len(files[n]) - 60, len(files[n]) - 8} {
			f.Add(uint8(i), uint16(max(off, 0)), uint8(2), []byte{0xff, 1}, true)
			f.Add(uint8(i), uint16(max(off, 0)), uint8(4), []byte{0, 0, 0, 9}, false)
		}
	}
	return name, files, names
}

// FuzzScrub changes one file. Scrub must come back with a verdict, and what it calls whole must be readable to the last
// sample by the library.
func FuzzScrub(f *testing.F) {
	name, files, names := seed(f)
	f.Fuzz(func(t *testing.T, which uint8, off uint16, del uint8, patch []byte, mend bool) {
		dir := t.TempDir()
		file := names[int(which)%len(names)]
		r := scrubChanged(t, dir, name, files, file, change(files[file], off, del, patch), mend)
		if r.Verdict == OK {
			if n := countSamples(samplesOf(t, filepath.Join(dir, name))); n > int(r.Found.NumSamples) {
				t.Fatalf("the library reads %d samples, scrub counted %d", n, r.Found.NumSamples)
			}
		}
	})
}

func scrubChanged(t *testing.T, dir, name string, files map[string]string, file string, data []byte, mend bool) *Report {
	t.Helper()
	if mend {
		mendSums(file, data)
	}
	changed := maps.Clone(files)
	changed[file] = string(data)
	writeBlock(t, filepath.Join(dir, name), changed)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := d.Scrub(t.Context(), name, ScrubOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// FuzzCut cuts a changed block. It must refuse, or write a piece that is whole, and leave nothing behind when it refuses.
func FuzzCut(f *testing.F) {
	name, files, names := seed(f)
	f.Fuzz(func(t *testing.T, which uint8, off uint16, del uint8, patch []byte, mend bool) {
		dir := t.TempDir()
		file := names[int(which)%len(names)]
		scrubChanged(t, dir, name, files, file, change(files[file], off, del, patch), mend)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		staging := t.TempDir()
		staged, err := d.Cut(t.Context(), CutOptions{Block: name, At: fixtureStart + 20*fixtureStep, Keep: Before, Staging: staging})
		if err != nil {
			if left, _ := os.ReadDir(staging); len(left) > 0 {
				t.Fatalf("%s is left after: %v", left[0].Name(), err)
			}
			return
		}
		samplesOf(t, staged.Folder)
	})
}
