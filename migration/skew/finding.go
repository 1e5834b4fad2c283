package skew

import (
	"cmp"
	"slices"
)

// Severity says what a change does to the user of the server.
type Severity string

// The severities, worst first.
const (
	// Breaks means that the server does not start, or that something finds nothing any more.
	Breaks Severity = "Breaks"
	// Differs means that the same file gives another result.
	Differs Severity = "Differs"
	// Look means that the file alone does not tell, and a person has to look.
	Look Severity = "Look"
)

// Finding is one place that means something else to the new server.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Hop counts from 1; Since is the version that behaves otherwise, absent where it is no matter of versions.
	Hop   int      `json:"hop"`
	Since *Version `json:"since,omitempty"`
	// File is empty for what concerns the server and no file; Line and Column count from 1, columns in bytes.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	// Where names the rule, job or panel.
	Where string `json:"where,omitempty"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Fix   string `json:"fix"`
	// Old is the text as it stands and New the one in its place, where that follows from the file.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Expression is the whole expression with the new text of all findings in it.
	Expression string `json:"expression,omitempty"`
}

// Report is what a check of a move found.
type Report struct {
	From Version `json:"from"`
	To   Version `json:"to"`
	Hops []Hop   `json:"hops"`
	// Files are those that were read, Unrecognised those that are nothing of Prometheus or Grafana.
	Files        []FileKind `json:"files"`
	Unrecognised []string   `json:"unrecognised"`
	Findings     []Finding  `json:"findings"`
	Notes        []string   `json:"notes,omitempty"`
}

// FileKind is a file and what it was taken for.
type FileKind struct {
	Name        string `json:"name"`
	Kind        Kind   `json:"kind"`
	Expressions int    `json:"expressions"`
}

// Count is the number of findings of a severity.
func (r *Report) Count(s Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Unread is the number of files that were given and could not be read.
func (r *Report) Unread() int {
	n := 0
	for _, f := range r.Findings {
		if f.Rule == ruleUnreadable {
			n++
		}
	}
	return n
}

func (s Severity) rank() int { return slices.Index([]Severity{Breaks, Differs, Look}, s) }

func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Hop, b.Hop), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(a.Rule, b.Rule))
	})
	slices.SortFunc(r.Files, func(a, b FileKind) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(r.Unrecognised)
}
