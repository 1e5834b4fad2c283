package skew

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func version(t *testing.T, text string) Version {
	t.Helper()
	v, err := ParseVersion(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// check runs a move over files and gives the report.
func check(t *testing.T, from, to string, flags *Flags, files map[string]string) *Report {
	t.Helper()
	c, err := New(Options{From: version(t, from), To: version(t, to), Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		c.Add(name, []byte(text))
	}
	return c.Report()
}

// brief is a finding in one line: rule, severity, place and change.
func brief(f Finding) string {
	text := fmt.Sprintf("%s %s %d:%d", f.Rule, f.Severity, f.Line, f.Column)
	if f.Old != "" || f.New != "" {
		text += fmt.Sprintf(" %s => %s", f.Old, f.New)
	}
	return text
}

// found are the findings in files, without the rules left out.
func found(r *Report, without ...string) []string {
	all := []string{}
	for _, f := range r.Findings {
		if f.File != "" && !slices.Contains(without, f.Rule) {
			all = append(all, brief(f))
		}
	}
	return all
}

// alert is a rule file with one alert, its expression at line 5, column 15.
func alert(expr string) string {
	return "groups:\n- name: g\n  rules:\n  - alert: A\n    expr:     " + expr + "\n"
}

func TestExpressions(t *testing.T) {
	tests := map[string]struct {
		expr string
		want []string
	}{
		"a bucket by an integer breaks":                      {`x_bucket{le="1"}`, []string{`bucket-value Breaks 5:27 "1" => "1.0"`}},
		"the quote stays as it is":                           {`x_bucket{le='10'}`, []string{`bucket-value Breaks 5:27 '10' => '10.0'`}},
		"a bucket by a large integer gets an exponent":       {`x_bucket{le="1000000"}`, []string{`bucket-value Breaks 5:27 "1000000" => "1e+06"`}},
		"a bucket by a float is left alone":                  {`x_bucket{le="0.5"}`, nil},
		"the last bucket is left alone":                      {`x_bucket{le="+Inf"}`, nil},
		"an excluded bucket is in again":                     {`x_bucket{le!="1"}`, []string{`bucket-value Differs 5:28 "1" => "1.0"`}},
		"a list of buckets breaks when all are integers":     {`x_bucket{le=~"1|5"}`, []string{`bucket-value Breaks 5:28 "1|5" => "1\\.0|5\\.0"`}},
		"a list of buckets differs when some are":            {`x_bucket{le=~"0.5|5"}`, []string{`bucket-value Differs 5:28 "0.5|5" => "0.5|5\\.0"`}},
		"a list in backticks is not escaped twice":           {"x_bucket{le=~`1|5`}", []string{"bucket-value Breaks 5:28 `1|5` => `1\\.0|5\\.0`"}},
		"a list with both forms is left alone":               {`x_bucket{le=~"1|1\\.0"}`, nil},
		"a pattern of digits is to be looked at":             {`x_bucket{le=~"[0-9]+"}`, []string{`bucket-value Look 5:28`}},
		"a pattern of digits and dots misses exponents":      {`x_bucket{le=~"[0-9.]+"}`, []string{`bucket-value Look 5:28`}},
		"a pattern of all forms is left alone":               {`x_bucket{le=~"[0-9.e+]+"}`, nil},
		"a median is left alone and the maximum breaks":      {`x{quantile="0.5"} or x{quantile="1"}`, []string{`bucket-value Breaks 5:47 "1" => "1.0"`}},
		"a quantile above 1 is none":                         {`x{quantile="95"}`, nil},
		"a label in quotes is found":                         {`'{"x_bucket","le"="1"}'`, []string{`bucket-value Breaks 5:33 "1" => "1.0"`}},
		"a value in a string that is no matcher is none":     {`label_replace(x, "le", "1", "a", "b")`, nil},
		"holt_winters is renamed":                            {`holt_winters(x[5m], 0.5, 0.5)`, []string{`holt-winters Breaks 5:15 holt_winters => double_exponential_smoothing`}},
		"a dot is told once":                                 {`x{a=~"b.*",c!~"d.e"}`, []string{`regex-newline Look 5:17`}},
		"no dot, nothing to tell":                            {`x{a=~"b|c[^\n]*|d\\."}`, nil},
		"a subquery of a rule is to be looked at":            {`rate(x[1m:1m])`, []string{`left-open-subquery Look 5:22 1m => 1m1ms`}},
		"a subquery between its steps is left alone":         {`rate(x[90s:1m])`, nil},
		"a subquery in one of the same step loses its point": {`max_over_time(rate(x[1m:1m])[61m:2m])`, []string{`left-open-subquery Breaks 5:36 1m => 1m1ms`}},
		"a subquery with a step by default is told with it":  {`max_over_time(x[5m:])`, []string{`left-open-subquery Look 5:31 5m => 5m1ms`}},
		"a range is told for the move, not for each place":   {`rate(x[5m])`, nil},
		"a metric that was renamed is renamed":               {`prometheus_remote_storage_samples_bytes_total`, []string{`self-metric Breaks 5:15 prometheus_remote_storage_samples_bytes_total => prometheus_remote_storage_bytes_total`}},
		"a metric that is gone is told":                      {`prometheus_sd_configs_failed_total`, []string{`self-metric Breaks 5:15`}},
		"what cannot be parsed is told":                      {`sum(rate(x[5m])`, []string{`unparsed-expression Look 5:15`}},
		"an experimental function is parsed":                 {`sort_by_label(x{le="1"}, "a")`, []string{`bucket-value Breaks 5:34 "1" => "1.0"`}},
		"two changes keep their places":                      {`x_bucket{le="1"} / x_bucket{le="2"}`, []string{`bucket-value Breaks 5:27 "1" => "1.0"`, `bucket-value Breaks 5:46 "2" => "2.0"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := check(t, "2.10.0", "3.16.0", nil, map[string]string{"rules.yml": alert(test.expr)})
			if diff := cmp.Diff(append([]string{}, test.want...), found(r)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.expr, diff)
			}
		})
	}
}

func TestExpressionHoldsAllChanges(t *testing.T) {
	r := check(t, "2.42.0", "3.16.0", nil, map[string]string{"r.yml": alert(`holt_winters(x{le="1"}[5m], 0.5, 0.5) > y{le=~"2|3"}`)})
	want := `double_exponential_smoothing(x{le="1.0"}[5m], 0.5, 0.5) > y{le=~"2\\.0|3\\.0"}`
	n := 0
	for _, f := range r.Findings {
		if f.File == "" {
			continue
		}
		n++
		if f.Expression != want {
			t.Errorf("%s: %s", f.Rule, f.Expression)
		}
	}
	if n != 3 {
		t.Errorf("%d findings, want 3", n)
	}
}

func TestNothingIsToldForVersionsThatTheMoveDoesNotCross(t *testing.T) {
	text := alert(`x{le="1"} > holt_winters(y{a=~".*"}[5m], 1, 1) + rate(z[1m:1m])`)
	for _, move := range [][2]string{{"2.42.0", "2.55.1"}, {"3.0.0", "3.16.0"}, {"3.5.0", "3.5.0"}} {
		if got := found(check(t, move[0], move[1], nil, map[string]string{"r.yml": text})); len(got) > 0 {
			t.Errorf("%v: %v", move, got)
		}
	}
}

func TestHops(t *testing.T) {
	tests := map[string]struct {
		from, to string
		want     string
	}{
		"an old server goes by way of 2.55": {"2.42.0", "3.16.0", "[{2.42.0 2.55.1} {2.55.1 3.16.0}]"},
		"2.55.0 goes straight":              {"2.55.0", "3.16.0", "[{2.55.0 3.16.0}]"},
		"within 2.x is one hop":             {"2.10.0", "2.42.0", "[{2.10.0 2.42.0}]"},
		"within 3.x is one hop":             {"3.0.0", "3.16.0", "[{3.0.0 3.16.0}]"},
		"a step back is refused":            {"3.16.0", "2.55.1", "step back"},
		"1.x is refused":                    {"1.8.0", "2.55.1", "cannot read the storage of 1.x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hops, err := Hops(version(t, test.from), version(t, test.to))
			got := fmt.Sprint(hops)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestFindingsNameTheirHop(t *testing.T) {
	r := check(t, "2.10.0", "3.16.0", nil, map[string]string{"r.yml": alert(`prometheus_sd_configs_failed_total + x{le="1"}`)})
	hops := map[string]int{}
	for _, f := range r.Findings {
		hops[f.Rule] = f.Hop
	}
	if hops[ruleSelfMetric] != 1 || hops[ruleBucketValue] != 2 || hops[ruleDowngrade] != 2 {
		t.Errorf("%v", hops)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{"2.42": "2.42.0", "v3.16.0": "3.16.0", "3.0.0-rc.1": "3.0.0", "2.53.0+ds1": "2.53.0"} {
		if got := version(t, text).String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "3", "a.b", "3.1.2.3", "-1.2", "3.99999999999"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q is read as %v", text, v)
		}
	}
}

func TestUnknownVersionsAreSaid(t *testing.T) {
	if r := check(t, "3.0.0", "3.17.0", NewFlags(nil), nil); len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "3.16.0") {
		t.Errorf("%v", r.Notes)
	}
}
