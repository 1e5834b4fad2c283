package skew

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

type yamlNode = yaml.Node

// maxNodes bounds a file once its aliases are followed.
const maxNodes = 500_000

// readYAML reads all documents of a file.
func readYAML(src *source) (docs []*yamlNode, err error) {
	defer func() { // a parser that panics on broken input must not end the program
		if p := recover(); p != nil {
			docs, err = nil, fmt.Errorf("reading YAML: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(src.data))
	for {
		var doc yamlNode
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			return docs, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		m := &measure{sizes: map[*yamlNode]int{}}
		if _, err := m.of(&doc, 0); err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		if len(doc.Content) > 0 {
			docs = append(docs, resolve(doc.Content[0]))
		}
	}
}

// measure counts the nodes below a node with every alias followed, each of them once.
type measure struct {
	sizes map[*yamlNode]int
}

const inProgress = -1

func (m *measure) of(n *yamlNode, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("line %d: nested deeper than %d", n.Line, maxDepth)
	}
	switch known, ok := m.sizes[n]; {
	case ok && known == inProgress:
		return 0, fmt.Errorf("line %d: an alias holds itself", n.Line)
	case ok:
		return known, nil
	}
	m.sizes[n] = inProgress
	total := 1 + len(n.Value)/64 // text counts, too
	below := n.Content
	if n.Kind == yaml.AliasNode {
		below = []*yamlNode{n.Alias}
	}
	for _, b := range below {
		size, err := m.of(b, depth+1)
		if err != nil {
			return 0, err
		}
		if total += size; total > maxNodes {
			return 0, fmt.Errorf("line %d: more than %d values once aliases are followed", n.Line, maxNodes)
		}
	}
	m.sizes[n] = total
	return total, nil
}

// resolve follows aliases; measure has seen that they end.
func resolve(n *yamlNode) *yamlNode {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// pair finds a key of a mapping and its value, also in what is merged with <<.
func pair(n *yamlNode, key string) (k, v *yamlNode) {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	var merged *yamlNode
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case key:
			return n.Content[i], resolve(n.Content[i+1])
		case "<<":
			merged = resolve(n.Content[i+1])
		}
	}
	if merged == nil {
		return nil, nil
	}
	if merged.Kind == yaml.MappingNode {
		return pair(merged, key)
	}
	for _, m := range merged.Content {
		if k, v := pair(m, key); k != nil {
			return k, v
		}
	}
	return nil, nil
}

func get(n *yamlNode, path ...string) *yamlNode {
	for _, key := range path {
		_, n = pair(n, key)
	}
	return n
}

// items are the elements of a sequence, none for anything else.
func items(n *yamlNode) []*yamlNode {
	n = resolve(n)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]*yamlNode, len(n.Content))
	for i, c := range n.Content {
		all[i] = resolve(c)
	}
	return all
}

// str is a scalar's text, empty for anything else.
func str(n *yamlNode) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

func duration(n *yamlNode) (time.Duration, bool) {
	d, err := model.ParseDuration(str(n))
	return time.Duration(d), err == nil && d > 0
}

// yamlText is a scalar with its place.
func yamlText(src *source, n *yamlNode) text {
	t := text{value: n.Value, src: src, start: src.offset(n.Line, n.Column)}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if n.Line < len(src.lines) {
			t.start = src.lines[n.Line]
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		t.start, t.style = t.start+1, singleQuote
	case n.Style&yaml.DoubleQuotedStyle != 0:
		t.start, t.style = t.start+1, backslash
	}
	return t
}
