package state

import (
	"slices"
	"strings"
)

// Sharer lets indices share what most of them have in common: at 100,000 indices texts such as green, and maps of one filter, would be a
// third of the memory. What is shared must not be changed. The zero value is ready.
type Sharer struct {
	texts   map[string]string
	filters map[string]map[string]string
	key     []string
}

// Text is an equal text that was seen before, or this one.
func (s *Sharer) Text(text string) string {
	if known, ok := s.texts[text]; ok {
		return known
	}
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	if len(s.texts) < 10_000 { // those that repeat are few
		s.texts[text] = text
	}
	return text
}

// Index shares everything of an index but its name and UUID.
func (s *Sharer) Index(x *Index) {
	for _, text := range []*string{&x.Health, &x.Mounted, &x.AutoExpandReplicas, &x.TierPreference} {
		*text = s.Text(*text)
	}
	x.Filters = s.shared(x.Filters)
	if a := x.Policy; a != nil {
		s.Attachment(a)
	}
}

// Attachment shares the texts of an attachment.
func (s *Sharer) Attachment(a *Attachment) {
	a.Kind = PolicyKind(s.Text(string(a.Kind)))
	for _, text := range []*string{&a.Policy, &a.Phase, &a.Action, &a.Step, &a.Why} {
		*text = s.Text(*text)
	}
}

func (s *Sharer) shared(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	s.key = s.key[:0]
	for key, value := range m {
		s.key = append(s.key, key+"\x00"+value)
	}
	slices.Sort(s.key)
	key := strings.Join(s.key, "\x01")
	if known, ok := s.filters[key]; ok {
		return known
	}
	if s.filters == nil {
		s.filters = map[string]map[string]string{}
	}
	if len(s.filters) < 10_000 {
		s.filters[key] = m
	}
	return m
}
