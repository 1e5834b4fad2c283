package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Path leads to a place: names of keys, and numbers of items from 0.
type Path []any

// String is the path as people write it: scrape_configs[0].relabel_configs.
func (p Path) String() string {
	var b strings.Builder
	for _, step := range p {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			fmt.Fprint(&b, step)
		}
	}
	return b.String()
}

// SetKey gives the mapping at a path a key with a value. A key that is there is written anew, with the comments in it lost;
// a new one comes last. A section that is not there is made, deeper mappings are not. The value is what yaml.Marshal takes.
func (f *File) SetKey(at Path, key string, value any) (*File, error) {
	doing := "setting " + append(slices.Clone(at), key).String()
	if len(at) == 0 {
		return f.Set(key, value)
	}
	want, err := decoded(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	name, _ := at[0].(string)
	if len(at) == 1 && f.emptyAt(at) {
		return f.Set(name, map[string]any{key: value})
	}
	m, err := f.holder(at, yaml.MappingNode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	wanted := change(f.tree, at, func(v any) any {
		with := maps.Clone(v.(map[string]any))
		with[key] = want
		return with
	}).(map[string]any)
	if m.Style&yaml.FlowStyle != 0 {
		return f.setInBraces(doing, m, key, value, wanted)
	}
	text, err := encode(map[string]any{key: value})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	from, to, err := f.entry(m, at, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	edited, err := f.splice(from, to, f.fit(from, f.indented(text, m.Content[0].Column-1)), wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return edited, nil
}

// setInBraces puts a new key first into a mapping that stands in braces.
func (f *File) setInBraces(doing string, m *yaml.Node, key string, value any, wanted map[string]any) (*File, error) {
	from := f.offset(m)
	if keyOf(m, key) != nil || f.data[from] != '{' {
		return nil, fmt.Errorf("%s: %w", doing, f.refuse(m.Line, "the mapping stands in braces; write it on lines of its own"))
	}
	var n yaml.Node
	if err := n.Encode(map[string]any{key: value}); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	n.Style = yaml.FlowStyle
	text, err := encode(&n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "{"), "}")
	edited, err := f.splice(from+1, from+1, inner+", ", wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return edited, nil
}

// Append adds an item at the end of the list at a path. A list that is not there, or is empty, is made.
func (f *File) Append(at Path, item any) (*File, error) {
	doing := "adding to " + at.String()
	want, err := decoded(item)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	name, isName := at[len(at)-1].(string)
	if isName && f.emptyAt(at) {
		return f.SetKey(at[:len(at)-1], name, []any{item})
	}
	l, err := f.block(at, yaml.SequenceNode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	wanted := change(f.tree, at, func(v any) any { return append(slices.Clone(v.([]any)), want) }).(map[string]any)
	text, err := encode([]any{item})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	// The dash of an item stands where YAML says that the list begins.
	end := f.blockEnd(at, l.Column-1)
	edited, err := f.splice(end, end, f.fit(end, f.indented(text, l.Column-1)), wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return edited, nil
}

// Rename gives the key at a path another name.
func (f *File) Rename(at Path, name string) (*File, error) {
	doing := fmt.Sprintf("renaming %s to %s", at, name)
	last := len(at) - 1
	old, _ := at[last].(string)
	m := f.Node(at[:last]...)
	key := keyOf(m, old)
	if key == nil {
		return nil, fmt.Errorf("%s: %w", doing, f.refuse(0, "there is no such key"))
	}
	wanted := change(f.tree, at[:last], func(v any) any {
		with := maps.Clone(v.(map[string]any))
		with[name] = with[old]
		delete(with, old)
		return with
	}).(map[string]any)
	return f.token(doing, key, name, wanted)
}

// SetText gives the text at a path another value: one that stands in one line, plain or quoted.
func (f *File) SetText(at Path, value string) (*File, error) {
	doing := "changing " + at.String()
	n := f.Node(at...)
	if n == nil || n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("%s: %w", doing, f.refuse(0, "there is no text at this place"))
	}
	want, err := decoded(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	wanted := change(f.tree, at, func(any) any { return want }).(map[string]any)
	text, err := encode(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return f.token(doing, n, strings.TrimRight(text, "\n"), wanted)
}

// token puts text in the place of a scalar that stands in one line.
func (f *File) token(doing string, n *yaml.Node, text string, wanted map[string]any) (*File, error) {
	from, to := f.extent(n)
	if to < 0 {
		return nil, fmt.Errorf("%s: %w", doing, f.refuse(n.Line, "the text does not stand in one line; edit it by hand"))
	}
	edited, err := f.splice(from, to, text, wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return edited, nil
}

// extent is where a scalar of one line begins and ends; to is -1 where it has more lines.
func (f *File) extent(n *yaml.Node) (from, to int) {
	from = f.offset(n)
	line := f.line(n.Line - 1)[from-f.lines[n.Line-1]:]
	switch {
	case n.Anchor != "" || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0:
		return from, -1
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		if length := quoted(line); length > 0 {
			return from, from + length
		}
	case strings.HasPrefix(line, n.Value):
		return from, from + len(n.Value)
	}
	return from, -1
}

// quoted is how long the quoted text is that a line begins with, 0 where its end is not in the line.
func quoted(line string) int {
	for i := 1; i < len(line); i++ {
		switch {
		case line[0] == '"' && line[i] == '\\':
			i++
		case line[i] == line[0] && line[0] == '\'' && strings.HasPrefix(line[i+1:], "'"):
			i++
		case line[i] == line[0]:
			return i + 1
		}
	}
	return 0
}

// emptyAt says that nothing stands at a path, or something with nothing in it.
func (f *File) emptyAt(at Path) bool {
	n := f.Node(at...)
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" || n.Kind != yaml.ScalarNode && len(n.Content) == 0
}

// block finds a mapping or list that stands on lines of its own.
func (f *File) block(at Path, kind yaml.Kind) (*yaml.Node, error) {
	n, err := f.holder(at, kind)
	if err == nil && n.Style&yaml.FlowStyle != 0 {
		return nil, f.refuse(n.Line, "%s stands in brackets; write it on lines of its own", at)
	}
	return n, err
}

// holder finds a mapping or list that is no alias.
func (f *File) holder(at Path, kind yaml.Kind) (*yaml.Node, error) {
	n := f.root
	for i, step := range at {
		if n = child(n, step); n == nil {
			return nil, f.refuse(0, "there is no %s", at[:i+1])
		}
		if n.Kind == yaml.AliasNode {
			return nil, f.refuse(n.Line, "%s is *%s; write it out before it is changed", at[:i+1], n.Value)
		}
	}
	switch {
	case n.Kind != kind:
		return nil, f.refuse(n.Line, "%s is something else than expected", at)
	case n.Anchor != "" && kind == yaml.SequenceNode:
		return nil, f.refuse(n.Line, "%s has the anchor &%s, and what uses it would change, too; write it out first", at, n.Anchor)
	case len(n.Content) == 0:
		return nil, f.refuse(n.Line, "%s is empty", at)
	}
	return n, nil
}

// entry is where a key of a mapping stands with its value, or where it would come.
func (f *File) entry(m *yaml.Node, at Path, key string) (from, to int, err error) {
	end := f.blockEnd(at, m.Content[0].Column-1)
	old := keyOf(m, key)
	if old == nil {
		return end, end, nil
	}
	if from = f.keyStart(old); from < 0 {
		return 0, 0, f.refuse(old.Line, "%s does not begin on a line of its own", key)
	}
	return from, f.blockEnd(append(slices.Clone(at), key), old.Column-1), nil
}

// blockEnd is where what stands at a path ends: before the next key or item of whatever holds it. Comments that are indented
// no deeper than indent do not belong to it.
func (f *File) blockEnd(at Path, indent int) int {
	name, _ := at[0].(string)
	s := f.section(name)
	limit, n := s.to, f.root
	for _, step := range at {
		if next := sibling(n, step); next != nil {
			limit = min(limit, f.lines[next.Line-1])
		}
		n = resolve(child(n, step))
	}
	return f.trim(s.from, limit, indent)
}

// sibling is the key or item behind another one.
func sibling(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		for i := 0; i+3 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+2]
			}
		}
	case int:
		return child(n, step+1)
	}
	return nil
}

func keyOf(m *yaml.Node, name string) *yaml.Node {
	for i := 0; m != nil && m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i]
		}
	}
	return nil
}

// change is a tree with one place changed; the tree stays as it is.
func change(v any, at Path, edit func(any) any) any {
	if len(at) == 0 {
		return edit(v)
	}
	switch step := at[0].(type) {
	case string:
		m := maps.Clone(v.(map[string]any))
		m[step] = change(m[step], at[1:], edit)
		return m
	default:
		l := slices.Clone(v.([]any))
		l[step.(int)] = change(l[step.(int)], at[1:], edit)
		return l
	}
}

// encode writes a value as YAML in block style.
func encode(value any) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(value); err != nil {
		return "", err
	}
	return b.String(), enc.Close()
}

// decoded is a value as it is read again.
func decoded(value any) (any, error) {
	text, err := encode(value)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, err
	}
	return plain(doc.Content[0]), nil
}

// indented moves lines to the right, with the line ends of the file. Text with line breaks in it would change its meaning;
// the check of the result sees that.
func (f *File) indented(text string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line != "" {
			b.WriteString(strings.Repeat(" ", by) + line)
		}
		b.WriteString(f.eol)
	}
	return b.String()
}

// PathAt leads to the value or key that begins at a line and column, both from 1, the column in bytes; nil where nothing does.
func (f *File) PathAt(line, column int) Path {
	if line < 1 || line > len(f.lines) {
		return nil
	}
	offset := f.lines[line-1] + column - 1
	var found Path
	var below func(n *yaml.Node, at Path)
	below = func(n *yaml.Node, at Path) {
		if n.Kind == yaml.ScalarNode && len(at) > 0 && f.offset(n) == offset && found == nil {
			found = at
		}
		for i, c := range n.Content {
			switch {
			case n.Kind == yaml.SequenceNode:
				below(c, append(slices.Clone(at), i))
			case i%2 == 1:
				inner := append(slices.Clone(at), n.Content[i-1].Value)
				if f.offset(n.Content[i-1]) == offset {
					found = inner
				}
				below(c, inner)
			}
		}
	}
	below(f.root, nil)
	return found
}
