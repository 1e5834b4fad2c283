package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// measure counts the nodes below a node with every alias followed, each of them once, and refuses keys that come twice.
type measure struct {
	sizes map[*yaml.Node]int
}

const inProgress = -1

func (m *measure) of(n *yaml.Node, depth int) (line int, err error) {
	if depth > maxDepth {
		return n.Line, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if known, ok := m.sizes[n]; ok {
		if known == inProgress {
			return n.Line, fmt.Errorf("an alias holds itself")
		}
		return 0, nil
	}
	if line, err := twice(n); err != nil {
		return line, err
	}
	m.sizes[n] = inProgress
	total, below := 1+len(n.Value)/64, n.Content // text counts, too
	if n.Kind == yaml.AliasNode {
		below = []*yaml.Node{n.Alias}
	}
	for _, b := range below {
		if line, err := m.of(b, depth+1); err != nil {
			return line, err
		}
		if total += m.sizes[b]; total > maxNodes {
			return b.Line, fmt.Errorf("more than %d values once aliases are followed", maxNodes)
		}
	}
	m.sizes[n] = total
	return 0, nil
}

func twice(n *yaml.Node) (int, error) {
	if n.Kind != yaml.MappingNode {
		return 0, nil
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return key.Line, fmt.Errorf("a key is no plain text")
		}
		if first, ok := seen[key.Value]; ok {
			return key.Line, fmt.Errorf("%s stands in line %d already; Prometheus refuses such a file", key.Value, first)
		}
		seen[key.Value] = key.Line
	}
	return 0, nil
}

// scalar is a value as YAML reads it.
type scalar struct{ tag, value string }

// plain is a node as maps, lists and scalars, with aliases followed; measure has seen that they end. Merges stay what they are.
func plain(n *yaml.Node) any {
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, c := range n.Content {
			l[i] = plain(c)
		}
		return l
	default:
		return scalar{n.Tag, n.Value}
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// child is the value of a key, or the item of a list.
func child(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case int:
		if n != nil && n.Kind == yaml.SequenceNode && step >= 0 && step < len(n.Content) {
			return n.Content[step]
		}
	}
	return nil
}

// verify says whether a file means what was wanted.
func (f *File) verify(edited *File, wanted map[string]any) error {
	if reflect.DeepEqual(edited.tree, wanted) {
		return nil
	}
	names := maps.Clone(wanted)
	maps.Copy(names, edited.tree)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if reflect.DeepEqual(edited.tree[name], wanted[name]) {
			continue
		}
		line := 0
		if s := f.section(name); s != nil {
			line = s.key.Line
		}
		return f.refuse(line, "the edit would change section %s into something else than what is wanted (an anchor, a block of text or a list in one line may stand in its way); edit it by hand", name)
	}
	return f.refuse(0, "the edit would change something else than what is wanted; edit it by hand")
}

// splice puts text in the place of bytes and holds the result against what is wanted.
func (f *File) splice(from, to int, text string, wanted map[string]any) (*File, error) {
	data := slices.Concat([]byte(f.mark), f.data[:from], []byte(text), f.data[to:])
	edited, err := Parse(f.name, data)
	if err != nil {
		return nil, fmt.Errorf("checking the edited file: %w", err)
	}
	if err := f.verify(edited, wanted); err != nil {
		return nil, err
	}
	return edited, nil
}
