package proof

import (
	"fmt"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
)

// perThing is how many findings of one kind are listed for one series, metric or query.
const perThing = 3

// Verdict is what a check, and a report, come to.
type Verdict string

// The verdicts. Only Proved means that the target holds what was looked at.
const (
	Proved    Verdict = "proved"
	Different Verdict = "different"
	Unknown   Verdict = "unknown"
	Skipped   Verdict = "skipped"
	// Printed is the verdict of a check that has numbers and no judgement.
	Printed Verdict = "printed"
)

// Kind names what a finding is; the words are stable.
type Kind string

// The kinds of findings: the first group are differences, the second reasons why something is unknown.
const (
	MissingSample      Kind = "missing-sample"
	ExtraSample        Kind = "extra-sample"
	LostStaleMarker    Kind = "lost-stale-marker"
	DifferentValue     Kind = "different-value"
	DifferentNaN       Kind = "different-nan"
	DifferentType      Kind = "different-type"
	DifferentHistogram Kind = "different-histogram"
	DifferentStart     Kind = "different-start-time"
	OnlySource         Kind = "only-on-source"
	OnlyTarget         Kind = "only-on-target"
	DifferentCount     Kind = "different-count"
	Hole               Kind = "hole"
	DoubleSample       Kind = "double-sample"
	NotCovered         Kind = "not-covered"
	Overlap            Kind = "overlap"
	ParentAndChild     Kind = "parent-and-child"
	DifferentResult    Kind = "different-result"
	// DifferentEngine is another answer over equal data: listed, and no difference.
	DifferentEngine Kind = "different-engine"
	// Respelled is a bucket or quantile that a newer server names otherwise: listed, and no difference.
	Respelled Kind = "respelled"

	Warned      Kind = "warning"
	TooLarge    Kind = "too-large"
	Broken      Kind = "broken-answer"
	Refused     Kind = "refused"
	TimedOut    Kind = "timeout"
	Unreachable Kind = "unreachable"
	Bridged     Kind = "bridged"
)

// uncertain says that a finding is a reason not to know, and no difference.
func (k Kind) uncertain() bool {
	switch k {
	case Warned, TooLarge, Broken, Refused, TimedOut, Unreachable, Bridged:
		return true
	}
	return false
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind Kind `json:"kind"`
	// What is the series, metric, block or query.
	What string `json:"what"`
	// Time is in milliseconds.
	Time   *int64 `json:"time,omitempty"`
	Source string `json:"source,omitempty"`
	Target string `json:"target,omitempty"`
	Text   string `json:"text,omitempty"`
}

// Number is a result with its name.
type Number struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Check is one comparison.
type Check struct {
	Name     string    `json:"name"`
	Verdict  Verdict   `json:"verdict"`
	Summary  string    `json:"summary"`
	Numbers  []Number  `json:"numbers,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// More is how many findings were left out of the list.
	More    int      `json:"more,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Timings []Timing `json:"timings,omitempty"`
	Took    float64  `json:"seconds"`

	limit     int
	different int
	uncertain int
	listed    map[string]int
}

// Timing is how long one query took on each server, in seconds.
type Timing struct {
	Query     string  `json:"query"`
	SourceP50 float64 `json:"sourceP50Seconds"`
	SourceMax float64 `json:"sourceMaxSeconds"`
	TargetP50 float64 `json:"targetP50Seconds"`
	TargetMax float64 `json:"targetMaxSeconds"`
}

// NotChecked is something that the proof did not look at.
type NotChecked struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Report is the outcome of a proof. The names of its fields are stable.
type Report struct {
	Verdict    Verdict                `json:"verdict"`
	Summary    string                 `json:"summary"`
	Started    time.Time              `json:"started"`
	Finished   time.Time              `json:"finished"`
	Seed       uint64                 `json:"seed"`
	Source     *Side                  `json:"source,omitempty"`
	Target     *Side                  `json:"target,omitempty"`
	From       int64                  `json:"from"`
	To         int64                  `json:"to"`
	Seam       *int64                 `json:"seam,omitempty"`
	Checks     []*Check               `json:"checks"`
	NotChecked []NotChecked           `json:"notChecked"`
	Load       map[string]server.Load `json:"load"`
}

// Sides are the two servers by name; nil for one that did not say who it is.
func (r *Report) Sides() map[string]*Side {
	return map[string]*Side{"source": r.Source, "target": r.Target}
}

func (c *Check) find(f Finding) {
	switch {
	case f.Kind.uncertain():
		c.uncertain++
	case f.Kind != DifferentEngine && f.Kind != Respelled:
		c.different++
	}
	// A series that is missing as a whole must not push the others off the list.
	key := string(f.Kind) + " " + f.What
	if len(c.Findings) >= c.limit || c.listed[key] >= perThing {
		c.More++
		return
	}
	if c.listed == nil {
		c.listed = map[string]int{}
	}
	c.listed[key]++
	f.What, f.Source, f.Target, f.Text = server.Clip(f.What, 400), server.Clip(f.Source, 300), server.Clip(f.Target, 300), server.Clip(f.Text, 400)
	c.Findings = append(c.Findings, f)
}

// fail notes that something could not be seen.
func (c *Check) fail(what string, err error) {
	c.find(Finding{Kind: kindOf(err), What: what, Text: err.Error()})
}

func (c *Check) number(name string, value float64, unit string) {
	c.Numbers = append(c.Numbers, Number{Name: name, Value: value, Unit: unit})
}

// conclude sets the verdict of a check that looked at n things called what. One that looked at none proves nothing.
func (c *Check) conclude(n int, what string) {
	switch {
	case c.different > 0:
		c.Verdict, c.Summary = Different, fmt.Sprintf("%d differences in %d %s", c.different, n, what)
		if c.uncertain > 0 {
			c.Summary += fmt.Sprintf(", and %d could not be seen", c.uncertain)
		}
	case c.uncertain > 0:
		c.Verdict, c.Summary = Unknown, fmt.Sprintf("%d of %d %s could not be seen", c.uncertain, n, what)
	case n == 0:
		c.Verdict, c.Summary = Unknown, fmt.Sprintf("there were no %s to compare", what)
	default:
		c.Verdict, c.Summary = Proved, fmt.Sprintf("%d %s are equal", n, what)
	}
}

// conclude sets the verdict of the whole: proved only if every check that was not skipped is.
func (r *Report) conclude() {
	by := map[Verdict][]string{}
	for _, c := range r.Checks {
		by[c.Verdict] = append(by[c.Verdict], c.Name)
	}
	switch {
	case len(by[Different]) > 0:
		r.Verdict, r.Summary = Different, "The target differs from the source: "+strings.Join(by[Different], ", ")+"."
	case len(by[Unknown]) > 0 || len(by[Proved]) == 0:
		r.Verdict, r.Summary = Unknown, "Nothing is proved: not everything could be seen."
		if len(by[Unknown]) > 0 {
			r.Summary = "Nothing is proved: not everything could be seen: " + strings.Join(by[Unknown], ", ") + "."
		}
	default:
		r.Verdict, r.Summary = Proved, "The target holds what the source holds, as far as was looked: "+strings.Join(by[Proved], ", ")+"."
	}
}

// Err is nil if the report proves the move, else ErrDiffers or ErrUnknown.
func (r *Report) Err() error {
	switch r.Verdict {
	case Proved:
		return nil
	case Different:
		return ErrDiffers
	}
	return ErrUnknown
}
