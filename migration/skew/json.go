package skew

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const maxDepth = 100

// jsonNode is a value of a JSON file with its place.
type jsonNode struct {
	kind   byte // '{', '[', '"' or 0 for all others
	value  string
	start  int // of its first byte in the file
	keys   []string
	values []*jsonNode
}

type jsonReader struct {
	dec *json.Decoder
	src *source
}

// readJSON reads one JSON value and nothing after it.
func readJSON(src *source) (*jsonNode, error) {
	r := &jsonReader{dec: json.NewDecoder(bytes.NewReader(src.data)), src: src}
	r.dec.UseNumber()
	n, err := r.read(0)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		line, _ := src.place(min(int(r.dec.InputOffset()), len(src.data)))
		return nil, fmt.Errorf("reading JSON near line %d: %w", line, err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading JSON: there is something after the value")
	}
	return n, nil
}

func (r *jsonReader) read(depth int) (*jsonNode, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	start := r.next()
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &jsonNode{start: start}
	switch t := token.(type) {
	case json.Delim:
		n.kind = byte(t)
		return n, r.members(n, depth)
	case string:
		n.kind, n.value = '"', t
	case json.Number:
		n.value = t.String()
	}
	return n, nil
}

func (r *jsonReader) members(n *jsonNode, depth int) error {
	for r.dec.More() {
		if n.kind == '{' {
			key, err := r.dec.Token()
			if err != nil {
				return err
			}
			n.keys = append(n.keys, key.(string))
		}
		v, err := r.read(depth + 1)
		if err != nil {
			return err
		}
		n.values = append(n.values, v)
	}
	_, err := r.dec.Token()
	return err
}

// next is where the next token begins: behind white space, colon and comma.
func (r *jsonReader) next() int {
	at := int(r.dec.InputOffset())
	for at < len(r.src.data) && (space(r.src.data[at]) || r.src.data[at] == ':' || r.src.data[at] == ',') {
		at++
	}
	return at
}

// get is a member of an object; nil where there is none, also of nil.
func (n *jsonNode) get(key string) *jsonNode {
	if n == nil || n.kind != '{' {
		return nil
	}
	for i := len(n.keys) - 1; i >= 0; i-- { // the last of equal keys counts
		if n.keys[i] == key {
			return n.values[i]
		}
	}
	return nil
}

// str is a string, empty where it is none.
func (n *jsonNode) str() string {
	if n == nil || n.kind != '"' {
		return ""
	}
	return n.value
}

// text is a string with its place.
func (n *jsonNode) text(src *source) text {
	value := n.value
	if !utf8.ValidString(value) {
		value = string([]rune(value))
	}
	return text{value: value, src: src, start: n.start + 1, style: backslash}
}
