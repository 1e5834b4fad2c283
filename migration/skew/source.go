package skew

import (
	"bytes"
	"sort"
	"strings"
	"unicode/utf8"
)

// source is a file with the places where its lines begin, or a file within a file: an entry of a ConfigMap.
type source struct {
	name  string
	data  []byte
	lines []int
	outer *text // where a file within a file stands
	// reached is the last byte of outer that was looked for and where it stood: findings come in order, and files are large.
	reached struct{ pos, at int }
}

// within is the source of a file that is a string of another one.
func within(t text) *source {
	s := newSource(t.src.name, []byte(t.value))
	s.outer, s.reached.at = &t, t.start
	return s
}

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data, lines: []int{0}}
	for i, b := range data {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// place is the line and column of a byte in the outermost file, both from 1.
func (s *source) place(offset int) (line, column int) {
	if s.outer != nil {
		return s.placeOutside(offset)
	}
	i := sort.Search(len(s.lines), func(i int) bool { return s.lines[i] > offset }) - 1
	return i + 1, offset - s.lines[i] + 1
}

// line is the text of a line without the spaces around it.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	text, _, _ := bytes.Cut(s.data[s.lines[n-1]:], []byte("\n"))
	return strings.TrimSpace(string(text))
}

// offset is the byte at a line and a column that counts characters, as YAML does.
func (s *source) offset(line, column int) int {
	if line < 1 || line > len(s.lines) {
		return len(s.data)
	}
	at := s.lines[line-1]
	for ; column > 1 && at < len(s.data); column-- {
		_, n := utf8.DecodeRune(s.data[at:])
		at += n
	}
	return at
}

// text is a string as it was decoded, with the way back to the bytes of the file.
type text struct {
	value string
	src   *source
	start int    // of the first byte that can hold text in the file
	style escape // how the file writes it
}

type escape int

const (
	plain       escape = iota // as it is, lines perhaps folded
	singleQuote               // a doubled quote is one quote
	backslash                 // with escapes of JSON and double-quoted YAML
)

// place is the line and column of a byte of the value.
func (t text) place(pos int) (line, column int) { return t.src.place(t.offset(pos)) }

// offset finds a byte of the value in the file.
func (t text) offset(pos int) int {
	at, _ := t.advance(t.start, 0, pos)
	return at
}

// advance goes on from where byte from of the value stands in the file to byte to. Folding and indenting change white space
// alone, so the other bytes are counted. It is not exact where to is within a character that the file writes as an escape.
func (t text) advance(at, from, to int) (place int, exact bool) {
	left := 0
	for _, b := range []byte(t.value[min(from, len(t.value)):min(max(to, from), len(t.value))]) {
		if !space(b) {
			left++
		}
	}
	data := t.src.data
	for at < len(data) {
		width, ink := t.step(data[at:])
		if ink > 0 && left < ink {
			break
		}
		left -= ink
		at += width
	}
	return min(at, len(data)), left == 0
}

func (s *source) placeOutside(offset int) (line, column int) {
	from := &s.reached
	if offset < from.pos {
		from.pos, from.at = 0, s.outer.start
	}
	at, exact := s.outer.advance(from.at, from.pos, offset)
	if exact {
		from.pos, from.at = offset, at
	}
	return s.outer.src.place(at)
}

// step is how many bytes the next thing in the file takes, and how many bytes that are no white space it stands for.
func (t text) step(data []byte) (width, ink int) {
	switch {
	case space(data[0]):
		return 1, 0
	case t.style == singleQuote && bytes.HasPrefix(data, []byte("''")):
		return 2, 1
	case t.style == backslash && data[0] == '\\' && len(data) > 1:
		return escaped(data)
	}
	return 1, 1
}

func escaped(data []byte) (width, ink int) {
	widths := map[byte]int{'u': 6, 'x': 4, 'U': 10}
	switch b := data[1]; b {
	case 'n', 't', 'r', ' ', '\n', 'f', 'v':
		return 2, 0
	case 'u', 'x', 'U':
		r := 0
		for _, digit := range data[2:min(widths[b], len(data))] {
			r = r<<4 | strings.IndexByte("0123456789abcdef", digit|0x20)&15
		}
		if r < utf8.RuneSelf && space(byte(r)) {
			return widths[b], 0
		}
		return widths[b], max(utf8.RuneLen(rune(r)), 1)
	}
	return 2, 1
}

func space(b byte) bool {
	return b == ' ' || b == '\n' || b == '\t' || b == '\r' || b == '\f' || b == '\v'
}
