package skew

import (
	"iter"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/strutil"
)

// token is a matcher as it is written.
type token struct {
	label, op, value string
	start, end       int  // of the value with its quotes, in the parsed text
	at               int  // of the label
	quote            byte // around the value
}

// tokens finds the matchers of a selector with their places, by the parser's own lexer.
func (x *exprCheck) tokens(vs *parser.VectorSelector) []token {
	from, to := int(vs.PosRange.Start), int(vs.PosRange.End)
	if from < 0 || to > len(x.p.text) || from >= to {
		return nil
	}
	var all []token
	var label, op parser.Item
	inside := false
	for item := range lexed(x.p.text[from:to]) {
		switch {
		case item.Typ == parser.RIGHT_BRACE:
			return all
		case item.Typ == parser.LEFT_BRACE:
			inside = true
		case !inside || item.Typ == parser.COMMA:
			label, op = parser.Item{}, parser.Item{}
		case isOperator(item.Typ):
			op = item
		case op.Val == "":
			label = item
		default:
			if t, ok := newToken(label, op, item, from); ok {
				all = append(all, t)
			}
			label, op = parser.Item{}, parser.Item{}
		}
	}
	return all
}

// lexed are the items of a piece of PromQL up to its end or its first error.
func lexed(text string) iter.Seq[parser.Item] {
	return func(yield func(parser.Item) bool) {
		lexer := parser.Lex(text)
		for {
			var item parser.Item
			lexer.NextItem(&item)
			if item.Typ == parser.EOF || item.Typ == parser.ERROR || !yield(item) {
				return
			}
		}
	}
}

func isOperator(t parser.ItemType) bool {
	return t == parser.EQL || t == parser.NEQ || t == parser.EQL_REGEX || t == parser.NEQ_REGEX
}

func newToken(label, op, value parser.Item, from int) (token, bool) {
	t := token{label: label.Val, op: op.Val, at: from + int(label.Pos), start: from + int(value.Pos)}
	t.end = t.start + len(value.Val)
	if unquoted, err := strutil.Unquote(label.Val); err == nil {
		t.label = unquoted
	}
	unquoted, err := strutil.Unquote(value.Val)
	if value.Typ != parser.STRING || err != nil {
		return t, false
	}
	t.value, t.quote = unquoted, value.Val[0]
	return t, true
}

func (x *exprCheck) selector(vs *parser.VectorSelector) {
	x.selfMetric(vs)
	for _, t := range x.tokens(vs) {
		switch number := t.label == "le" || t.label == "quantile"; {
		case number && x.c.has(ruleBucketValue):
			x.bucket(t)
		case !number && (t.op == "=~" || t.op == "!~") && dotted(t.value) && x.c.has(ruleNewline):
			x.dots.note(x.e.text, x.p.original(t.at), x.e.where)
		}
	}
}

// bucket: from 3.0.0 on values of le and quantile are stored as OpenMetrics writes numbers, 1 as 1.0.
func (x *exprCheck) bucket(t token) {
	written := t.label + t.op + x.p.text[t.start:t.end]
	judge := byPattern
	if t.op == "=" || t.op == "!=" {
		judge = byValue
	}
	severity, what, replacement := judge(t)
	if what == "" {
		return
	}
	f := Finding{
		Rule: ruleBucketValue, Severity: severity, What: written + what,
		Why: "from 3.0.0 on le and quantile are stored as OpenMetrics writes numbers; the text format of 2.x kept them as the target wrote them",
		Fix: "change it together with the server; a panel that shows both sides of the move needs both values (=~)",
	}
	if x.c.server.keeps[t.label] {
		f.Severity = Look
		f.Fix = "nothing for jobs whose metric_relabel_configs write the old values back; for all others, " + f.Fix
	}
	x.note(f, t.start, t.end, replacement)
}

func byValue(t token) (severity Severity, what, replacement string) {
	value, changed := normal(t.label, t.value)
	switch {
	case !changed:
		return "", "", ""
	case t.op == "!=":
		return Differs, " excludes nothing any more: it is " + value, quote(t.quote, value)
	}
	return Breaks, " finds nothing any more: it is " + value, quote(t.quote, value)
}

func byPattern(t token) (severity Severity, what, replacement string) {
	lost, values := lostValues(t.label, t.value)
	if len(lost) == 0 {
		return "", "", ""
	}
	what = " does not match what these are stored as any more: " + examples(lost, values)
	if values == nil {
		return Look, what, ""
	}
	severity = Breaks
	if t.op == "!~" || len(lost) < len(values) {
		severity = Differs
	}
	return severity, what, quote(t.quote, strings.Join(values, "|"))
}

// normal is how a value is stored from 3.0.0 on; not ok where that is as before, or no bound of a bucket or quantile.
func normal(label, value string) (string, bool) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || label == "quantile" && (n < 0 || n > 1) {
		return "", false
	}
	stored := labels.FormatOpenMetricsFloat(n)
	return stored, stored != value
}

// lostValues are the values that a regular expression matches as they were stored before and not as they are now. Where
// it is a list of values, values is that list as it has to be now; else it is tried with common values.
func lostValues(label, pattern string) (lost, values []string) {
	m, err := labels.NewMatcher(labels.MatchRegexp, label, pattern)
	if err != nil {
		return nil, nil
	}
	for _, written := range alternatives(m) {
		v := strings.ReplaceAll(written, `\`, "")
		stored, changed := normal(label, v)
		if changed {
			written = regexp.QuoteMeta(stored)
			if !m.Matches(stored) {
				lost = append(lost, v)
			}
		}
		values = append(values, written)
	}
	if values != nil {
		return lost, slices.Compact(values)
	}
	for _, v := range commonValues(label) {
		if stored, changed := normal(label, v); changed && m.Matches(v) && !m.Matches(stored) {
			lost = append(lost, v)
		}
	}
	return lost, nil
}

// alternatives are the members of a regular expression that is a list of values, escaped as members of one. The dot of
// 0.5 is taken for a dot, as it is meant.
func alternatives(m *labels.Matcher) []string {
	written := strings.Split(m.Value, "|")
	if !slices.ContainsFunc(written, func(w string) bool {
		_, err := strconv.ParseFloat(strings.ReplaceAll(w, `\`, ""), 64)
		return err != nil
	}) {
		return written
	}
	var all []string
	for _, v := range m.SetMatches() {
		all = append(all, regexp.QuoteMeta(v))
	}
	return all
}

// examples names some values that a regular expression lost.
func examples(lost, values []string) string {
	if values == nil {
		return "such as " + strings.Join(lost[:min(3, len(lost))], ", ")
	}
	return list(lost, 5)
}

func commonValues(label string) []string {
	if label == "quantile" {
		return []string{"0", "1"}
	}
	all := []string{"0"}
	for _, scale := range []int{1, 10, 100, 1000, 10_000, 100_000} {
		for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 25, 75} {
			all = append(all, strconv.Itoa(n*scale))
		}
	}
	return all
}

// quote writes a string of PromQL with a quote of choice.
func quote(q byte, s string) string {
	switch q {
	case '`':
		return "`" + s + "`"
	case '\'':
		s = strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `'`, `\'`)
		return "'" + s + "'"
	}
	return strconv.Quote(s)
}

// dotted says that a regular expression has a dot that stands for any character but a newline.
func dotted(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && holdsDot(re)
}

func holdsDot(re *syntax.Regexp) bool {
	return re.Op == syntax.OpAnyCharNotNL || slices.ContainsFunc(re.Sub, holdsDot)
}
