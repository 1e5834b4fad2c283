package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Taken is a section that was taken out, with what is needed to put it back where it was. It may hold secrets: whoever
// stores it keeps it as closely as the configuration.
type Taken struct {
	Section string `json:"section"`
	// Text is the section as it stood, in whole lines.
	Text string `json:"text"`
	// After is the section before it, empty if it was the first; Gap is what stood between the two.
	After string `json:"after,omitempty"`
	Gap   string `json:"gap,omitempty"`
	// Meaning is a digest of the section as YAML reads it.
	Meaning string `json:"meaning"`
}

// TakeOut removes a section. Comments above and below it stay. It refuses when other sections use its anchors.
func (f *File) TakeOut(name string) (*File, *Taken, error) {
	s := f.section(name)
	if s == nil {
		return nil, nil, f.refuse(0, "taking out section %s: there is none", name)
	}
	if err := f.anchorsUsedElsewhere(s); err != nil {
		return nil, nil, err
	}
	t := &Taken{Section: name, Text: string(f.data[s.from:s.to]), Meaning: meaning(f.tree[name])}
	start := 0
	if before := f.before(s); before != nil {
		t.After, start = before.name, before.to
	}
	t.Gap = string(f.data[start:s.from])
	wanted := maps.Clone(f.tree)
	delete(wanted, name)
	edited, err := f.splice(s.from, s.to, "", wanted)
	if err != nil {
		return nil, nil, fmt.Errorf("taking out section %s: %w", name, err)
	}
	return edited, t, nil
}

// PutBack puts a section back where it was: in a file that was not changed since, the bytes are the same as before TakeOut.
// In one that was, it comes behind the section that it followed, or before all others, or at the end.
func (f *File) PutBack(t *Taken) (*File, error) {
	if s := f.section(t.Section); s != nil {
		return nil, f.refuse(s.key.Line, "putting back section %s: somebody put one there meanwhile; remove it, or leave it and be done", t.Section)
	}
	own, err := Parse(t.Section, []byte(t.Text))
	if err == nil && (len(own.sections) != 1 || own.sections[0].name != t.Section) {
		return nil, f.refuse(0, "putting back section %s: its text holds sections %s", t.Section, strings.Join(own.Sections(), ", "))
	}
	at := f.placeOf(t)
	text := f.fit(at, t.Text)
	data := string(f.data[:at]) + text + string(f.data[at:])
	edited, err := Parse(f.name, []byte(f.mark+data))
	if err != nil {
		return nil, fmt.Errorf("putting back section %s: %w", t.Section, err)
	}
	if got := meaning(edited.tree[t.Section]); got != t.Meaning {
		return nil, f.refuse(0, "putting back section %s: it would mean something else than before, since an anchor that it uses was changed", t.Section)
	}
	wanted := maps.Clone(f.tree)
	wanted[t.Section] = edited.tree[t.Section]
	if err := f.verify(edited, wanted); err != nil {
		return nil, fmt.Errorf("putting back section %s: %w", t.Section, err)
	}
	return edited, nil
}

// placeOf finds where a section that was taken out goes.
func (f *File) placeOf(t *Taken) int {
	start := 0
	if before := f.section(t.After); t.After != "" {
		if before == nil {
			return f.end
		}
		start = before.to
	}
	if strings.HasPrefix(string(f.data[start:]), t.Gap) {
		return start + len(t.Gap)
	}
	if t.After == "" && len(f.sections) > 0 {
		return f.sections[0].from
	}
	return start
}

// fit gives text an end of line where something follows, and one before it where the line before has none.
func (f *File) fit(at int, text string) string {
	if at < len(f.data) && !strings.HasSuffix(text, "\n") {
		text += f.eol
	}
	if at > 0 && f.data[at-1] != '\n' {
		text = f.eol + text
	}
	return text
}

// Replace puts a section in the place of the one of its name, or at the end. The text is YAML with the section's name as its
// only top-level key, and without anchors of other sections.
func (f *File) Replace(name, text string) (*File, error) {
	own, err := Parse("the new section "+name, []byte(text))
	if err != nil {
		return nil, err
	}
	if len(own.sections) != 1 || own.sections[0].name != name {
		return nil, f.refuse(0, "replacing section %s: the text holds sections %q", name, own.Sections())
	}
	wanted := maps.Clone(f.tree)
	wanted[name] = own.tree[name]
	from, to := f.end, f.end
	if s := f.section(name); s != nil {
		if err := f.anchorsUsedElsewhere(s); err != nil {
			return nil, err
		}
		from, to = s.from, s.to
	}
	lines := f.indented(string(own.data[own.sections[0].from:own.sections[0].to]), f.indent())
	edited, err := f.splice(from, to, f.fit(from, lines), wanted)
	if err != nil {
		return nil, fmt.Errorf("replacing section %s: %w", name, err)
	}
	return edited, nil
}

// Set is Replace with a value.
func (f *File) Set(name string, value any) (*File, error) {
	text, err := encode(map[string]any{name: value})
	if err != nil {
		return nil, fmt.Errorf("writing section %s: %w", name, err)
	}
	return f.Replace(name, text)
}

// indent is how far sections are indented, usually not at all.
func (f *File) indent() int {
	if len(f.sections) == 0 {
		return 0
	}
	return f.sections[0].key.Column - 1
}

func (f *File) before(s *section) *section {
	var last *section
	for i := range f.sections {
		if f.sections[i].name == s.name {
			return last
		}
		last = &f.sections[i]
	}
	return nil
}

// anchorsUsedElsewhere refuses where another section holds an alias of what stands in this one.
func (f *File) anchorsUsedElsewhere(s *section) error {
	inside := map[*yaml.Node]bool{}
	walk(s.value, func(n *yaml.Node) { inside[n] = true })
	for i := range f.sections {
		if f.sections[i].name == s.name {
			continue
		}
		var err error
		walk(f.sections[i].value, func(n *yaml.Node) {
			if n.Kind == yaml.AliasNode && inside[n.Alias] && err == nil {
				err = f.refuse(n.Line, "section %s uses *%s, which stands in section %s in line %d; write it out before %s is changed",
					f.sections[i].name, n.Value, s.name, n.Alias.Line, s.name)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walk visits a node and all below it; aliases are not followed.
func walk(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, c := range n.Content {
		walk(c, visit)
	}
}

// meaning is a digest of a value as YAML reads it.
func meaning(v any) string {
	data, err := json.Marshal(exported(v))
	if err != nil { // maps, lists and text always have a JSON form
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func exported(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[key] = exported(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, value := range v {
			l[i] = exported(value)
		}
		return l
	case scalar:
		return [2]string{v.tag, v.value}
	}
	return v
}
