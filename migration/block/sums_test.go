package block

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sumsOf(files map[string]string, piece int) []FileSums {
	var all []FileSums
	for _, name := range sortedNames(files) {
		one := FileSums{Name: name, Bytes: int64(len(files[name]))}
		for text := files[name]; len(text) > 0; {
			n := min(piece, len(text))
			one.Pieces = append(one.Pieces, sumOf(text[:n]))
			text = text[n:]
		}
		all = append(all, one)
	}
	return all
}

func sumOf(text string) Sum {
	s := NewSummer()
	_, _ = s.Write([]byte(text)) // never fails
	return s.Sum()
}

func TestSumIsXXH3(t *testing.T) {
	// The values of the reference implementation (xxhsum -H2 of xxHash 0.8).
	for text, want := range map[string]string{"": "99aa06d3014798d86001c324468d497f", "a": "a96faf705af16834e6c632b61e964e1f"} {
		if got := sumOf(text).String(); got != want {
			t.Errorf("the sum of %q is %s, want %s", text, got, want)
		}
	}
	whole := strings.Repeat("0123456789abcdef!", 100_000)
	parts := NewSummer()
	for n := 1; len(whole) > 0; n = n*3 + 1 {
		n = min(n, len(whole))
		_, _ = parts.Write([]byte(whole[:n]))
		whole = whole[n:]
	}
	if got, want := parts.Sum(), sumOf(strings.Repeat("0123456789abcdef!", 100_000)); got != want {
		t.Errorf("in parts %s, at once %s", got, want)
	}
}

func TestScrubGivesTheSumsOfPieces(t *testing.T) {
	name, files := small()
	for what, change := range map[string]func(map[string]string){
		"of a whole block":               func(map[string]string) {},
		"of a block with a broken index": func(f map[string]string) { f[indexFile] = f[indexFile][:len(f[indexFile])/2] },
		"of a block with a bad chunk":    func(f map[string]string) { f[segmentName(1)] = f[segmentName(1)][:30] + "xx" + f[segmentName(1)][32:] },
	} {
		t.Run(what, func(t *testing.T) {
			changed := map[string]string{}
			for k, v := range files {
				changed[k] = v
			}
			change(changed)
			dir := t.TempDir()
			writeBlock(t, filepath.Join(dir, name), changed)
			r, err := openDir(t, dir).Scrub(t.Context(), name, ScrubOptions{SumsOnly: true, PieceBytes: 700})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sumsOf(changed, 700), r.Sums); diff != "" {
				t.Errorf("sums (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSumsCostNoSecondRead(t *testing.T) {
	dir := t.TempDir()
	name := makeBlock(t, dir, shape{series: 300, samples: 400, segmentBytes: 200_000})
	read := func(piece int64) (sum int64) {
		_, err := openDir(t, dir).Scrub(t.Context(), name, ScrubOptions{SumsOnly: true, PieceBytes: piece, Pace: func(_ context.Context, n int) error {
			sum += int64(n)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	without, with := read(0), read(1<<20)
	if with > without+without/20 {
		t.Errorf("read %d bytes with sums, %d without", with, without)
	}
}

func TestSumIsTextInJSON(t *testing.T) {
	want := sumOf("x")
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Sum
	if err := json.Unmarshal(data, &got); err != nil || got != want {
		t.Errorf("%s: %v, %v", data, got, err)
	}
	for _, bad := range []string{`"00"`, `"zz"`, `"` + want.String()[:30] + `zz"`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestFileGivesRangesOfWhatABlockHolds(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	d := openDir(t, dir)
	list, err := d.Files(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(files) || list[0].Name != segmentName(1) || list[0].Bytes != int64(len(files[segmentName(1)])) || list[0].Stamp == list[1].Stamp {
		t.Errorf("%+v", list)
	}
	f, err := d.OpenFile(name, segmentName(1))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	var got written
	if err := f.CopyRange(t.Context(), &got, 10, 100, nil); err != nil || string(got) != files[segmentName(1)][10:110] {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {f.Bytes(), 1}, {1 << 62, 1 << 62}, {1, f.Bytes()}} {
		if err := f.CopyRange(t.Context(), &got, r[0], r[1], nil); err == nil {
			t.Errorf("the range %v was read", r)
		}
	}
}

func TestOpenFileTakesNamesOfTheBlockAlone(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	d := openDir(t, dir)
	for _, file := range []string{"", ".", "..", "chunks", "../" + name + "/index", "/etc/passwd", "chunks/../index", "chunks//000001", "index\x00", "chunks/000099"} {
		if _, err := d.OpenFile(name, file); err == nil {
			t.Errorf("%q was opened", file)
		}
	}
	for _, block := range []string{"", ".", "..", "wal", "../" + name, name + "/chunks"} {
		if _, err := d.OpenFile(block, indexFile); err == nil {
			t.Errorf("the block %q was opened", block)
		}
	}
}

type written []byte

func (w *written) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }
