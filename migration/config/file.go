package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxBytes is the largest file that is read, maxNodes and maxDepth bound it once its aliases are followed.
const (
	maxBytes = 16 << 20
	maxNodes = 500_000
	maxDepth = 100
)

// byteOrderMark may stand before the text; YAML skips it.
const byteOrderMark = "\ufeff"

// Refusal is an edit or a file that is left alone. Line counts from 1; 0 is the file as a whole.
type Refusal struct {
	File string
	Line int
	Why  string
}

// Error is file, line and why.
func (r *Refusal) Error() string {
	if r.Line == 0 {
		return fmt.Sprintf("%s: %s", r.File, r.Why)
	}
	return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Why)
}

// File is a configuration and the places of its sections. It never changes: an edit gives a new one.
type File struct {
	name     string
	mark     string // the byte order mark, if there is one
	data     []byte // without it
	eol      string
	lines    []int // where lines begin
	end      int   // where the document ends: the end of data, or the line of a marker
	root     *yaml.Node
	sections []section
	tree     map[string]any
}

// section is a top-level key with what belongs to it, in whole lines. What stands between two sections (comments, blank
// lines) belongs to neither.
type section struct {
	name       string
	key, value *yaml.Node
	from, to   int
}

// Parse reads a configuration. The name stands in errors and diffs.
func Parse(name string, data []byte) (*File, error) {
	f := &File{name: name}
	if len(data) > maxBytes {
		return nil, f.refuse(0, "%d bytes are more than %d", len(data), maxBytes)
	}
	if rest, ok := bytes.CutPrefix(data, []byte(byteOrderMark)); ok {
		f.mark, data = byteOrderMark, rest
	}
	f.data = bytes.Clone(data)
	if err := f.readLines(); err != nil {
		return nil, err
	}
	if err := f.readDocument(); err != nil {
		return nil, err
	}
	if err := f.readSections(); err != nil {
		return nil, err
	}
	return f, nil
}

// Name is the name that was given to Parse.
func (f *File) Name() string { return f.name }

// Bytes are the file as it is to be written. They may hold secrets.
func (f *File) Bytes() []byte { return append([]byte(f.mark), f.data...) }

// Sections are the names of the top-level keys in their order.
func (f *File) Sections() []string {
	names := make([]string, len(f.sections))
	for i, s := range f.sections {
		names[i] = s.name
	}
	return names
}

// Has says that there is a section of this name, perhaps an empty one.
func (f *File) Has(name string) bool { return f.section(name) != nil }

// Node is what stands at a path, nil where nothing does; aliases are followed. It is not to be changed.
func (f *File) Node(path ...any) *yaml.Node {
	n := f.root
	for _, step := range path {
		if n = child(resolve(n), step); n == nil {
			return nil
		}
	}
	return resolve(n)
}

func (f *File) section(name string) *section {
	for i := range f.sections {
		if f.sections[i].name == name {
			return &f.sections[i]
		}
	}
	return nil
}

func (f *File) refuse(line int, format string, args ...any) error {
	return &Refusal{File: f.name, Line: line, Why: fmt.Sprintf(format, args...)}
}

// readLines finds the lines. YAML ends lines at characters at which nothing else does; with them no place could be trusted.
func (f *File) readLines() error {
	f.lines, f.eol = []int{0}, "\n"
	if !utf8.Valid(f.data) {
		return f.refuse(0, "it is no UTF-8")
	}
	crlf := 0
	for i, r := range string(f.data) {
		switch r {
		case '\n':
			f.lines = append(f.lines, i+1)
		case '\r':
			if i+1 >= len(f.data) || f.data[i+1] != '\n' {
				return f.refuse(len(f.lines), "a carriage return stands alone, which YAML takes for the end of a line; remove it")
			}
			crlf++
		case '\u0085', '\u2028', '\u2029':
			return f.refuse(len(f.lines), "it holds %U, which YAML takes for the end of a line; remove it", r)
		}
	}
	if crlf*2 > len(f.lines)-1 {
		f.eol = "\r\n"
	}
	return nil
}

// readDocument parses the one document of the file.
func (f *File) readDocument() (err error) {
	defer func() { // a parser that panics on broken input must not end the program
		if p := recover(); p != nil {
			err = f.refuse(0, "reading YAML: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(f.data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return f.refuse(0, "reading YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	default:
		f.root = doc.Content[0]
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return f.refuse(second.Line, "there is a second document, which Prometheus never reads; remove it")
	}
	if f.root == nil || f.root.Kind == yaml.ScalarNode && f.root.Tag == "!!null" {
		f.root = &yaml.Node{Kind: yaml.MappingNode}
	}
	m := &measure{sizes: map[*yaml.Node]int{}}
	if line, err := m.of(f.root, 0); err != nil {
		return f.refuse(line, "%v", err)
	}
	return nil
}

func (f *File) readSections() error {
	root := f.root
	switch {
	case root.Kind != yaml.MappingNode:
		return f.refuse(root.Line, "the file is no mapping of sections")
	case root.Style&yaml.FlowStyle != 0:
		return f.refuse(root.Line, "the sections stand in braces; write each on lines of its own")
	}
	f.findEnd()
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || f.keyStart(key) < 0:
			return f.refuse(key.Line, "a section does not begin with its name on a line of its own")
		case key.Tag == "!!merge":
			return f.refuse(key.Line, "sections are merged in with <<; write them out")
		}
		f.sections = append(f.sections, section{name: key.Value, key: key, value: root.Content[i+1], from: f.keyStart(key)})
	}
	for i := range f.sections {
		s, limit := &f.sections[i], f.end
		if i+1 < len(f.sections) {
			limit = f.sections[i+1].from
		}
		s.to = f.trim(s.from, limit, s.key.Column-1)
	}
	f.tree, _ = plain(root).(map[string]any)
	return nil
}

// findEnd looks for the marker that ends the document; after it only comments come, or there were a second document.
func (f *File) findEnd() {
	f.end = len(f.data)
	if len(f.root.Content) == 0 {
		return
	}
	for n := f.root.Content[0].Line; n < len(f.lines); n++ {
		if text := f.line(n); text == "..." || text == "---" || strings.HasPrefix(text, "... ") || strings.HasPrefix(text, "--- ") {
			f.end = f.lines[n]
			return
		}
	}
}

// line is a line by its index, without what ends it.
func (f *File) line(n int) string {
	to := len(f.data)
	if n+1 < len(f.lines) {
		to = f.lines[n+1]
	}
	return strings.TrimRight(string(f.data[f.lines[n]:to]), "\r\n")
}

// lineAt is the index of the line that holds a byte.
func (f *File) lineAt(offset int) int {
	return sort.Search(len(f.lines), func(i int) bool { return f.lines[i] > offset }) - 1
}

// keyStart is where the line of a key begins, -1 when something else stands before the key.
func (f *File) keyStart(key *yaml.Node) int {
	if key.Line < 1 || key.Line > len(f.lines) || strings.TrimLeft(f.line(key.Line - 1)[:min(key.Column-1, len(f.line(key.Line-1)))], " ") != "" {
		return -1
	}
	return f.lines[key.Line-1]
}

// offset is the byte at which a node begins; YAML counts columns in characters.
func (f *File) offset(n *yaml.Node) int {
	at := f.lines[n.Line-1]
	for column := n.Column; column > 1 && at < len(f.data); column-- {
		_, size := utf8.DecodeRune(f.data[at:])
		at += size
	}
	return at
}

// trim leaves out blank lines and comments at the end of what stands between two bytes, unless a comment is indented deeper
// than what it ends: then it belongs to it.
func (f *File) trim(from, to, indent int) int {
	for to > from {
		n := f.lineAt(to - 1)
		text := f.line(n)
		inner := strings.TrimLeft(text, " \t")
		if f.lines[n] <= from || inner != "" && (inner[0] != '#' || len(text)-len(inner) > indent) {
			break
		}
		to = f.lines[n]
	}
	return to
}
