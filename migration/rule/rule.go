// Package rule is how every check of a migration says what it found: the name of a rule, a verdict, what was seen, what to do. It judges
// nothing itself.
package rule

import "slices"

// Verdict says what a finding means for the move.
type Verdict string

// Verdicts, the worst last.
const (
	Fine Verdict = "Fine"
	// Note is something that the person who moves should know and need not mend.
	Note Verdict = "Note"
	// Look is something that only a person can judge.
	Look       Verdict = "Look"
	Warns      Verdict = "Warns"
	Overridden Verdict = "Overridden"
	// Unknown is what could not be seen or tried.
	Unknown Verdict = "Unknown"
	Refused Verdict = "Refused"
)

// Stops says that a verdict stands in the way of the move.
func (v Verdict) Stops() bool { return v == Refused || v == Unknown }

// Finding is the judgement of one rule.
type Finding struct {
	Rule    string  `json:"rule"`
	Verdict Verdict `json:"verdict"`
	// Where is a file with its line, a flag, a field or an object; empty where the rule says it.
	Where string `json:"where,omitempty"`
	// Says holds what was seen, with its numbers.
	Says string `json:"says"`
	// Fix is what to do; empty when nothing is.
	Fix string `json:"fix,omitempty"`
}

// Worst is the worst verdict of all; Fine where there are none.
func Worst(findings []Finding) Verdict {
	order := []Verdict{Fine, Note, Look, Warns, Overridden, Unknown, Refused}
	worst := Fine
	for _, f := range findings {
		if slices.Index(order, f.Verdict) > slices.Index(order, worst) {
			worst = f.Verdict
		}
	}
	return worst
}

// Stops counts the findings that stand in the way.
func Stops(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Verdict.Stops() {
			n++
		}
	}
	return n
}

// Override lets those pass that are named; they stay listed.
func Override(findings []Finding, names []string) []Finding {
	for i := range findings {
		if findings[i].Verdict.Stops() && slices.Contains(names, findings[i].Rule) {
			findings[i].Verdict = Overridden
		}
	}
	return findings
}
