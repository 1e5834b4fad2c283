package skew

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// variablePattern is Grafana's own (packages/grafana-data, VARIABLE_REGEX): $name, [[name:format]], ${name.field:format}.
func variablePattern() *regexp.Regexp {
	return regexp.MustCompile(`\$\w+|\[\[\w+(?::\w+)?\]\]|\$\{\w+(?:\.[^:}]+)?(?::[^}]+)?\}`)
}

// span is a piece of an expression that was replaced to make it parse.
type span struct {
	start, end       int // in the text with the variable
	newStart, newEnd int // in the text that was parsed
}

// parsed is an expression with the way back to the text that it was made of.
type parsed struct {
	expr  parser.Expr
	text  string // what was parsed
	spans []span
}

// original maps a position of the parsed text to the text with variables.
func (p *parsed) original(pos int) int {
	shift := 0
	for _, s := range p.spans {
		if pos < s.newStart {
			break
		}
		if pos < s.newEnd {
			return s.start
		}
		shift = s.end - s.newEnd
	}
	return pos + shift
}

// touches says that a piece of the parsed text stands for a variable, wholly or in part.
func (p *parsed) touches(start, end int) bool {
	for _, s := range p.spans {
		if start < s.newEnd && s.newStart < end {
			return true
		}
	}
	return false
}

// parse parses an expression; where it holds variables of Grafana, with stand-ins that make it parse.
func parse(p parser.Parser, text string, grafana bool) (*parsed, error) {
	expr, err := p.ParseExpr(text)
	if err == nil || !grafana {
		return &parsed{expr: expr, text: text}, err
	}
	found := outsideStrings(text)
	if len(found) == 0 {
		return nil, err
	}
	choices := make([][]string, len(found))
	for i, f := range found {
		choices[i] = standIns(text, f[0], f[1])
	}
	pick := make([]int, len(found))
	for range maxAttempts {
		try := substitute(text, found, choices, pick)
		if try.expr, err = p.ParseExpr(try.text); err == nil {
			return try, nil
		}
		if !advance(pick, choices) {
			break
		}
	}
	for i := range pick { // the words of the first attempt are about the likeliest reading
		pick[i] = 0
	}
	_, err = p.ParseExpr(substitute(text, found, choices, pick).text)
	return nil, err
}

// maxAttempts bounds the combinations of stand-ins that are tried.
const maxAttempts = 64

func advance(pick []int, choices [][]string) bool {
	for i := range pick {
		if pick[i]++; pick[i] < len(choices[i]) {
			return true
		}
		pick[i] = 0
	}
	return false
}

func substitute(text string, found [][]int, choices [][]string, pick []int) *parsed {
	var b strings.Builder
	p := &parsed{}
	at := 0
	for i, f := range found {
		b.WriteString(text[at:f[0]])
		s := span{start: f[0], end: f[1], newStart: b.Len()}
		b.WriteString(choices[i][pick[i]])
		s.newEnd = b.Len()
		p.spans = append(p.spans, s)
		at = f[1]
	}
	b.WriteString(text[at:])
	p.text = b.String()
	return p
}

// standIns are what a variable may stand for, the likeliest first.
func standIns(text string, start, end int) []string {
	before := strings.TrimRight(text[:start], " \n\t\r")
	switch {
	case strings.HasSuffix(before, "[") || strings.HasSuffix(before, ":") || strings.HasSuffix(strings.ToLower(before), "offset"):
		return []string{"5m", "5", "1"}
	case end < len(text) && word(text[end]) || start > 0 && word(text[start-1]):
		return []string{"v", "5"}
	}
	return []string{"v", "5", "5m", "sum"}
}

func word(b byte) bool {
	return b == '_' || b == ':' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// outsideStrings finds variables that are no part of a string of PromQL: there they parse as they are.
func outsideStrings(text string) [][]int {
	quoted := quotedSpans(text)
	var found [][]int
	for _, f := range variablePattern().FindAllStringIndex(text, -1) {
		if !slices.ContainsFunc(quoted, func(s [2]int) bool { return s[0] <= f[0] && f[0] < s[1] }) {
			found = append(found, f)
		}
	}
	return found
}

// quotedSpans are the strings of a piece of PromQL with their quotes.
func quotedSpans(text string) [][2]int {
	var spans [][2]int
	for i := 0; i < len(text); i++ {
		quote := text[i]
		if quote != '"' && quote != '\'' && quote != '`' {
			continue
		}
		start := i
		for i++; i < len(text) && text[i] != quote; i++ {
			if text[i] == '\\' && quote != '`' {
				i++
			}
		}
		spans = append(spans, [2]int{start, i})
	}
	return spans
}
