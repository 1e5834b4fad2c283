package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/block"
)

const someBlock = "01DXXFZDYD1MQW6079WK0K6EDQ"

// someLines are a block of two files, three pieces of which are there.
func someLines() []line {
	sum := sumText("x")
	return []line{
		{Kind: lineBegin, Block: someBlock, Bytes: 100, Files: []block.FileInfo{{Name: "chunks/000001", Bytes: 250, Stamp: "a"}, {Name: "index", Bytes: 100, Stamp: "b"}}},
		{Kind: linePiece, Block: someBlock, File: "chunks/000001", Piece: 0, Sum: &sum},
		{Kind: linePiece, Block: someBlock, File: "chunks/000001", Piece: 2, Sum: &sum},
		{Kind: linePiece, Block: someBlock, File: "index", Piece: 0, Sum: &sum},
	}
}

func format(t testing.TB, lines ...line) []byte {
	t.Helper()
	var all []byte
	for _, l := range lines {
		text, err := formatLine(l)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}

func TestReadJournal(t *testing.T) {
	lines := someLines()
	whole := format(t, lines...)
	sum := sumText("y")
	body := fmt.Sprintf(`{"k":"piece","b":"%s","f":"index","s":"%064x"}`, someBlock, 1)
	older := fmt.Sprintf("%08x %s\n", crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)), body)
	change := func(off int) []byte {
		b := bytes.Clone(whole)
		b[off] ^= 1
		return b
	}
	tests := map[string]struct {
		text          []byte
		good          int
		missing, less int // pieces that are missing at the end; whole lines that are not taken
	}{
		"takes all lines":                            {text: whole, missing: 1},
		"stops at a line that is cut off":            {text: whole[:len(whole)-1], missing: 2, less: 1},
		"stops at a line that was changed":           {text: change(len(whole) - 20), missing: 2, less: 1},
		"stops at zeroes that a crash left":          {text: append(bytes.Clone(whole), make([]byte, 4096)...), missing: 1},
		"stops at a piece that the file cannot have": {text: append(bytes.Clone(whole), format(t, line{Kind: linePiece, Block: someBlock, File: "index", Piece: 1, Sum: &sum})...), missing: 1},
		"stops at a block that was not begun":        {text: append(bytes.Clone(whole), format(t, line{Kind: lineWhole, Block: "01DXXFZDYD1MQW6079WK0K6EDR"})...), missing: 1},
		"stops at a sum of another version":          {text: append(format(t, lines[0]), older...), missing: 4, less: 3},
		"forgets a piece":                            {text: append(bytes.Clone(whole), format(t, line{Kind: lineForget, Block: someBlock, File: "chunks/000001", Piece: 2})...), missing: 2, less: -1},
		"forgets a file":                             {text: append(bytes.Clone(whole), format(t, line{Kind: lineForget, Block: someBlock, File: "chunks/000001", Piece: -1})...), missing: 3, less: -1},
		"begins again":                               {text: append(bytes.Clone(whole), format(t, lines[0])...), missing: 4, less: -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			state, good, err := readJournal(bytes.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			want := len(whole)
			if test.less > 0 {
				want = len(format(t, lines[:len(lines)-test.less]...))
			} else if test.less < 0 {
				want = len(test.text)
			}
			if int(good) != want || state[someBlock].missing() != test.missing {
				t.Errorf("good %d, want %d; missing %d, want %d", good, want, state[someBlock].missing(), test.missing)
			}
		})
	}
}

func TestJournalIsTheSameWhenItIsOpenedAgain(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, someBlock), 0o755); err != nil {
		t.Fatal(err)
	}
	open := func() *journal {
		j, err := openJournal(folder)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.close() })
		return j
	}
	first := open()
	if err := first.add(someLines()...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.state, open().state, cmp.AllowUnexported(stagedBlock{})); diff != "" {
		t.Errorf("(-first +again):\n%s", diff)
	}
	if err := first.add(line{Kind: linePiece, Block: someBlock, File: "none", Sum: &block.Sum{}}); err == nil {
		t.Error("a piece of no file was taken")
	}
	if err := os.Remove(filepath.Join(folder, someBlock)); err != nil {
		t.Fatal(err)
	}
	if again := open(); len(again.state) > 0 {
		t.Errorf("a block whose folder is gone is still known: %+v", again.state)
	}
}

// FuzzJournal reads anything, and anything behind good lines: what was good stays, and what is taken can be written and
// read again.
func FuzzJournal(f *testing.F) {
	whole := format(f, someLines()...)
	f.Add(whole, true)
	f.Add([]byte("00000000 {}\n"), true)
	f.Add([]byte(`{"k":"begin","b":"`+someBlock+`","n":1,"fs":[{"name":"../x","bytes":9223372036854775807}]}`), false)
	f.Fuzz(func(t *testing.T, text []byte, raw bool) {
		if !raw { // with its sum made right
			var l line
			if json.Unmarshal(text, &l) != nil {
				return
			}
			text = format(t, l)
		}
		state, good, err := readJournal(bytes.NewReader(append(bytes.Clone(whole), text...)))
		if err != nil || good < int64(len(whole)) {
			t.Fatalf("good %d of %d, %v", good, len(whole), err)
		}
		var out bytes.Buffer
		for name, b := range state {
			if err := b.write(&out, name); err != nil {
				t.Fatal(err)
			}
		}
		again, n, err := readJournal(bytes.NewReader(out.Bytes()))
		if err != nil || n != int64(out.Len()) || len(again) != len(state) {
			t.Fatalf("read %d of %d again, %v", n, out.Len(), err)
		}
	})
}
