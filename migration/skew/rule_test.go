package skew

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/promql/parser"
)

func TestEveryRuleHasASectionAndEverySectionARule(t *testing.T) {
	text, err := os.ReadFile("../../docs/prometheus-version-skew.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections, rules []string
	for _, m := range regexp.MustCompile("(?m)^### `(.*)`").FindAllStringSubmatch(string(text), -1) {
		sections = append(sections, m[1])
	}
	for _, r := range Rules() {
		rules = append(rules, r.Name)
		for _, source := range strings.Split(r.Source, "; ") {
			if strings.HasPrefix(source, "https://") && !strings.Contains(string(text), source) {
				t.Errorf("the page does not link %s of rule %s", source, r.Name)
			}
		}
	}
	if diff := cmp.Diff(rules, sections); diff != "" {
		t.Errorf("rules and sections differ (-rules +sections):\n%s", diff)
	}
}

// The values are what textparse of 3.16 gives for them in a histogram of the text format.
func TestBucketValuesAreWhatPrometheus3Stores(t *testing.T) {
	for value, want := range map[string]string{
		"0": "0.0", "1": "1.0", "0.10": "0.1", "100": "100.0", "1000000": "1e+06", "1e3": "1000.0", "+Inf": "+Inf", "0.5": "0.5", "2.50": "2.5", "1.0": "1.0",
	} {
		if got, changed := normal("le", value); got != want || changed != (value != want) {
			t.Errorf("le=%q: %q, want %q", value, got, want)
		}
	}
}

func TestNewPatternsMatchWhatPrometheus3Stores(t *testing.T) {
	for _, pattern := range []string{"1|5", "0.5|1", "(1|10)", "[125]", `\+Inf|1000000`} {
		_, values := lostValues("le", pattern)
		m := labels.MustNewMatcher(labels.MatchRegexp, "le", strings.Join(values, "|"))
		for _, v := range []string{"0.5", "1", "2", "5", "10", "1000000", "+Inf"} {
			before := labels.MustNewMatcher(labels.MatchRegexp, "le", pattern).Matches(v)
			now, _ := strconv.ParseFloat(v, 64)
			if after := m.Matches(labels.FormatOpenMetricsFloat(now)); before != after {
				t.Errorf("%s matched %s: %v; %s matches it: %v", pattern, v, before, m.Value, after)
			}
		}
	}
}

func TestADotMatchesANewlineInPrometheus3(t *testing.T) {
	if !labels.MustNewMatcher(labels.MatchRegexp, "a", "b.c").Matches("b\nc") || !relabel.MustNewRegexp("b.c").MatchString("b\nc") {
		t.Error("it does not")
	}
}

func TestWhatIsGoneIsUnknownToTheParserOfPrometheus3(t *testing.T) {
	options := parser.Options{EnableExperimentalFunctions: true}
	if _, err := parser.NewParser(options).ParseExpr("holt_winters(x[5m], 0.5, 0.5)"); err == nil {
		t.Error("holt_winters is known")
	}
	if f := parser.Functions["double_exponential_smoothing"]; f == nil || !f.Experimental {
		t.Error("double_exponential_smoothing is not experimental")
	}
}

func TestProposedExpressionsParse(t *testing.T) {
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	for _, expr := range []string{
		"holt_winters(x[5m:1m], 0.5, 0.5)", `x{le=~"1|5",le!='3'}`, "rate(x[1m:1m])", "max_over_time(x[1h30m:30s])", "prometheus_remote_storage_pending_samples",
	} {
		r := check(t, "2.10.0", "3.16.0", nil, map[string]string{"d.json": board(fmt.Sprintf("%q", expr))})
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Expression != "" })
		if i < 0 {
			t.Errorf("%s: nothing is proposed", expr)
			continue
		}
		if _, err := p.ParseExpr(r.Findings[i].Expression); err != nil {
			t.Errorf("%s becomes %s: %v", expr, r.Findings[i].Expression, err)
		}
	}
}
