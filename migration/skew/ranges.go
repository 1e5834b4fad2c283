package skew

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// needsTwo says that a function gives nothing for a series with one sample in the range (promql/functions.go).
func needsTwo(function string) bool {
	switch function {
	case "rate", "increase", "delta", "irate", "idelta", "deriv", "predict_linear", "double_exponential_smoothing", holtWinters:
		return true
	}
	return false
}

// around is the function that a range is the argument of.
func around(path []parser.Node) string {
	for i := len(path) - 1; i >= 0; i-- {
		switch n := path[i].(type) {
		case *parser.Call:
			return n.Func.Name
		case *parser.ParenExpr, parser.Expressions:
		default:
			return ""
		}
	}
	return ""
}

// longer is what gives the samples of before: times are whole milliseconds, so one more is the old boundary.
const longer = "make the range 1ms longer for the same samples as before"

func (x *exprCheck) matrix(n *parser.MatrixSelector, path []parser.Node) {
	vs, ok := n.VectorSelector.(*parser.VectorSelector)
	if !ok || !x.c.has(ruleRange) || computed(n, vs) {
		return
	}
	start, end, found := x.bracket(int(n.PositionRange().Start), int(n.PositionRange().End), n.Range)
	if x.p.touches(start, end) {
		return // a variable: nobody knows how long it will be
	}
	every, aligned, known := x.interval(vs)
	function := around(path)
	starved := known && n.Range == every && needsTwo(function)
	switch {
	case aligned && n.Range%every == 0:
		f := recordedRange(n.Range, every)
		if starved {
			f.Severity, f.What = Breaks, function+" finds one sample where it needs two, and gives nothing"
		}
		x.note(f, start, end, x.stretched(start, end, found))
	case starved:
		x.note(Finding{
			Rule: ruleRange, Severity: Differs, What: function + " over one scrape interval never finds two samples",
			Why: "before 3.0.0 it did whenever an evaluation fell on a scrape, because both boundaries belonged to the range",
			Fix: "use a range of two intervals at least, better four",
		}, start, end, "")
	default:
		x.c.ranges++
	}
}

// computed says that a range is written in a way that only 3.x knows.
func computed(n *parser.MatrixSelector, vs *parser.VectorSelector) bool {
	return n.RangeExpr != nil || vs.Anchored || vs.Smoothed
}

func recordedRange(length, every time.Duration) Finding {
	return Finding{
		Rule: ruleRange, Severity: Differs,
		What: fmt.Sprintf("the range holds %s, %d before", plural(int(length/every), "sample"), length/every+1),
		Why: fmt.Sprintf("the series is recorded in the same group every %v, so a sample lies exactly at the left boundary, which is outside from 3.0.0 on",
			model.Duration(every)),
		Fix: longer,
	}
}

func (x *exprCheck) subquery(n *parser.SubqueryExpr, path []parser.Node) {
	if n.RangeExpr != nil || n.StepExpr != nil || !x.c.has(ruleSubquery) {
		return
	}
	from := int(n.Expr.PositionRange().End)
	start, end, found := x.bracket(from, int(n.PositionRange().End), n.Range)
	step, why := n.Step, "points of a subquery lie at multiples of its step; where the evaluation does, too, one lies exactly at the left boundary, which is outside from 3.0.0 on"
	if step == 0 {
		step = x.c.server.evaluation
		why += fmt.Sprintf(" (no step is given, so it is evaluation_interval, %v)", model.Duration(step))
	}
	if step <= 0 || n.Range%step != 0 || x.p.touches(start, int(n.PositionRange().End)) {
		return
	}
	points, function := n.Range/step, around(path)
	f := Finding{
		Rule: ruleSubquery, Severity: Differs, Why: why, Fix: longer,
		What: fmt.Sprintf("the subquery has %s, %d before where the evaluation meets its step", plural(int(points), "point"), points+1),
	}
	if points == 1 && needsTwo(function) {
		f.Severity, f.What = Breaks, function+" over a subquery of one step finds one point where it needs two, and gives nothing"
		f.Fix += "; for two points at any time of evaluation, use two steps"
	}
	if x.e.group != nil && !meets(path, step) {
		f.Severity = Look
		f.Why += "; a rule is evaluated at times of its group's own, so this one seldom meets its step, and its queries in a browser do"
	}
	x.note(f, start, end, x.stretched(start, end, found))
}

// meets says that a subquery is evaluated at times of its own step, because it is in a subquery whose steps are such times.
func meets(path []parser.Node, step time.Duration) bool {
	for i := len(path) - 1; i >= 0; i-- {
		if outer, ok := path[i].(*parser.SubqueryExpr); ok {
			return outer.Step > 0 && outer.Step%step == 0 && outer.OriginalOffset%step == 0
		}
	}
	return false
}

// stretched is the duration at a place with one millisecond more; empty where it is not written so that this can be done.
func (x *exprCheck) stretched(start, end int, found bool) string {
	if !found {
		return ""
	}
	old := x.p.text[start:end]
	if strings.HasSuffix(old, "ms") || !strings.ContainsAny(old[len(old)-1:], "smhdwy") {
		return ""
	}
	return old + "1ms"
}

// bracket finds the duration after the first bracket of a piece of text, by the parser's own lexer.
func (x *exprCheck) bracket(from, to int, want time.Duration) (start, end int, found bool) {
	if from < 0 || to > len(x.p.text) || from >= to {
		return from, to, false
	}
	open := false
	for item := range lexed(x.p.text[from:to]) {
		if open {
			start = from + int(item.Pos)
			d, err := model.ParseDuration(item.Val)
			return start, start + len(item.Val), err == nil && time.Duration(d) == want
		}
		open = item.Typ == parser.LEFT_BRACKET
	}
	return from, to, false
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
