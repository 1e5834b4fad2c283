package skew

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

const holtWinters = "holt_winters"

// maxExpression is the longest expression that is parsed, in bytes.
const maxExpression = 64 << 10

// expression is a PromQL expression in a file.
type expression struct {
	text    text
	where   string
	grafana bool
	group   *ruleGroup // of the rule that it belongs to
}

// exprCheck is an expression being checked.
type exprCheck struct {
	c      *Checker
	e      expression
	p      *parsed
	edits  []edit
	found  []Finding
	edited []int // findings that have an edit
	dots   *dots
}

// edit is a change of the text as it stands in the file.
type edit struct {
	start, end int
	text       string
}

// dots counts regular expressions of a file in which a dot may stand for a newline.
type dots struct {
	count int
	first text
	at    int
	where string
}

func (d *dots) note(t text, at int, where string) {
	if d.count == 0 {
		d.first, d.at, d.where = t, at, where
	}
	d.count++
}

// report tells about all of them at once: a label value with a newline is rare, and .* is everywhere.
func (c *Checker) reportDots(d *dots) {
	if d.count == 0 {
		return
	}
	line, column := d.first.place(d.at)
	what := "a dot in a regular expression matches a newline, too"
	if d.count > 1 {
		what = "a dot in regular expressions matches a newline, too: " + plural(d.count, "regular expression") + " in this file, the first one here"
	}
	c.add(Finding{
		Rule: ruleNewline, Severity: Look, File: d.first.src.name, Line: line, Column: column, Where: d.where, What: what,
		Why: "the s flag is set in matchers and relabelling from 3.0.0 on; it matters only where a label value holds a newline",
		Fix: `ask the old server for such values, label by label: count({LABEL=~"(?s:.*\n.*)"}); where there are some, write [^\n] for the dot`,
	})
}

// checkExpression looks at one expression.
func (c *Checker) checkExpression(e expression, d *dots) {
	if strings.TrimSpace(e.text.value) == "" {
		return
	}
	if len(e.text.value) > maxExpression {
		c.unparsed(e, 0, "the expression is longer than is parsed here")
		return
	}
	if e.grafana && wholeVariable(e.text.value) {
		c.unparsed(e, 0, "the expression is a variable; what it holds is not in this file")
		return
	}
	p, err := parse(c.parser, e.text.value, e.grafana)
	if err != nil {
		c.unparsed(e, 0, strings.TrimSpace(err.Error()))
		return
	}
	x := &exprCheck{c: c, e: e, p: p, dots: d}
	parser.Inspect(p.expr, func(n parser.Node, path []parser.Node) error {
		x.node(n, path)
		return nil
	})
	x.finish()
}

func wholeVariable(s string) bool {
	s = strings.TrimSpace(s)
	return variablePattern().FindString(s) == s
}

func (c *Checker) unparsed(e expression, at int, words string) {
	line, column := e.text.place(at)
	c.add(Finding{
		Rule: ruleUnparsed, Severity: Look, File: e.text.src.name, Line: line, Column: column, Where: e.where, What: words,
		Why: "nothing else could be checked here; in a rule file the new server refuses what its parser refuses",
		Fix: "try the expression on the new server",
	})
}

func (x *exprCheck) node(n parser.Node, path []parser.Node) {
	switch n := n.(type) {
	case *parser.Call:
		x.call(n)
	case *parser.VectorSelector:
		x.selector(n)
	case *parser.MatrixSelector:
		x.matrix(n, path)
	case *parser.SubqueryExpr:
		x.subquery(n, path)
	}
}

// note records a finding at a piece of the parsed text; with a replacement it is also an edit of the expression.
func (x *exprCheck) note(f Finding, start, end int, replacement string) {
	if !x.c.has(f.Rule) && f.Since == nil || !x.c.crosses(f.Since) {
		return
	}
	from, to := x.p.original(start), x.p.original(end)
	f.File, f.Where = x.e.text.src.name, x.e.where
	f.Line, f.Column = x.e.text.place(from)
	if replacement != "" && from <= to && to <= len(x.e.text.value) && !x.p.touches(start, end) {
		f.Old, f.New = x.e.text.value[from:to], replacement
		x.edits = append(x.edits, edit{from, to, replacement})
		x.edited = append(x.edited, len(x.found))
	}
	x.found = append(x.found, f)
}

// finish applies all edits and hands the findings over.
func (x *exprCheck) finish() {
	if len(x.edits) > 0 {
		whole := apply(x.e.text.value, x.edits)
		for _, i := range x.edited {
			x.found[i].Expression = whole
		}
	}
	for _, f := range x.found {
		x.c.add(f)
	}
}

// apply makes edits that do not overlap.
func apply(text string, edits []edit) string {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return a.start - b.start })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		if e.start < at {
			continue
		}
		b.WriteString(text[at:e.start])
		b.WriteString(e.text)
		at = e.end
	}
	b.WriteString(text[at:])
	return b.String()
}

func (x *exprCheck) call(n *parser.Call) {
	at := int(n.PosRange.Start)
	if n.Func.Name == holtWinters {
		x.note(Finding{
			Rule: ruleHoltWinters, Severity: Breaks, What: "holt_winters is no function any more",
			Why: "it is called double_exponential_smoothing from 3.0.0 on and is experimental: without the feature flag the parser refuses it",
			Fix: "rename it and start the new server with --enable-feature=promql-experimental-functions",
		}, at, at+len(holtWinters), "double_exponential_smoothing")
	}
	if n.Func.Name == "histogram_quantile" || n.Func.Name == "histogram_fraction" {
		x.nativeQuantile(n)
	}
}

// nativeQuantile: the bounds of a bucket are interpolated exponentially; classic buckets are read as before.
func (x *exprCheck) nativeQuantile(n *parser.Call) {
	if !x.c.opts.Flags.feature("native-histograms") || len(n.Args) == 0 {
		return
	}
	native := false
	parser.Inspect(n.Args[len(n.Args)-1], func(in parser.Node, _ []parser.Node) error {
		if vs, ok := in.(*parser.VectorSelector); ok && vs.Name != "" && !strings.HasSuffix(vs.Name, "_bucket") {
			native = true
		}
		return nil
	})
	if !native {
		return
	}
	x.note(Finding{
		Rule: ruleNativeQuantile, Severity: Differs, What: n.Func.Name + " over a native histogram gives other values",
		Why: "within a bucket it interpolates exponentially from 3.0.0 on, linearly before; classic histograms are not touched",
		Fix: "compare the values and, for alerts near their threshold, the threshold",
	}, int(n.PosRange.Start), int(n.PosRange.End), "")
}

// interval is how often the series of a selector get a sample, and whether that is at the very times of evaluation.
func (x *exprCheck) interval(vs *parser.VectorSelector) (every time.Duration, aligned, known bool) {
	moved := vs.OriginalOffset != 0 || vs.OriginalOffsetExpr != nil || vs.Timestamp != nil || vs.StartOrEnd != 0
	if g := x.e.group; g != nil && g.records[vs.Name] && !moved {
		return g.interval, true, true
	}
	jobs := x.c.server.jobs
	for _, m := range vs.LabelMatchers {
		if d, ok := jobs[m.Value]; ok && m.Name == "job" && m.Type == labels.MatchEqual {
			return d, false, true
		}
	}
	intervals := slices.Compact(slices.Sorted(maps.Values(jobs)))
	if len(intervals) != 1 {
		return 0, false, false
	}
	return intervals[0], false, true
}
