package skew

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// judge runs all checks over a file; whatever it holds, every finding must name a place in it and a rule that exists.
func judge(t *testing.T, name string, data []byte) {
	t.Helper()
	if len(data) > 64<<10 {
		return
	}
	c, err := New(Options{From: Version{2, 0, 0}, To: Known(), Flags: NewFlags([]string{"--enable-feature=native-histograms,no-default-scrape-port"})})
	if err != nil {
		t.Fatal(err)
	}
	c.Add(name, data)
	lines := strings.Count(string(data), "\n") + 1
	for _, f := range c.Report().Findings {
		if f.File != "" && f.Rule != ruleUnreadable && (f.Line < 1 || f.Line > lines || f.Column < 1) {
			t.Errorf("%s is said to be at %d:%d of %d lines", f.Rule, f.Line, f.Column, lines)
		}
		if _, known := c.since[f.Rule]; !known || f.Severity.rank() < 0 || f.Hop < 1 || f.Hop > 2 {
			t.Errorf("%+v", f)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add([]byte(job("  static_configs: [{targets: [a, 'b:80']}]\n  relabel_configs: [{source_labels: [le], regex: 'a.*'}]\n")))
	f.Add([]byte("global: {external_labels: {a: $b}}\nremote_write: [{queue_config: {max_retries: 1}}]\nalerting: {alertmanagers: [{api_version: v1}]}\n"))
	f.Add([]byte("x: &x {api_version: v1}\nalerting: {alertmanagers: [<<: *x]}\nrule_files: []\n"))
	f.Add([]byte("scrape_configs:\n- &a {metric_relabel_configs: [{source_labels: [le, b], separator: x, regex: '1x2'}]}\n- *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) { judge(t, "a.yml", data) })
}

func FuzzRules(f *testing.F) {
	f.Add([]byte(alert(`sum(rate(x{le=~"1|5"}[1m:1m])) > holt_winters(y[5m], 1, 1)`)))
	f.Add([]byte("groups:\n- rules:\n  - record: r\n    expr: |\n      x{a=~\".\"}\n    labels: {le: 1}\n"))
	f.Add([]byte("kind: ConfigMap\ndata:\n  b.json: |\n    {\"panels\":[{\"expr\":\"x{le='1'} \\u00e9 > y{le='2'}\"}]}\n  r.yml: \"groups: [{rules: [{expr: 'x{le=''1''}'}]}]\"\n"))
	f.Add([]byte("kind: PrometheusRule\nspec: {groups: [{rules: [{expr: \"x{le=\\\"1\\\", a=\\\"\\u00e9\\\"}\"}]}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) { judge(t, "a.yml", data) })
}

func FuzzDashboard(f *testing.F) {
	f.Add([]byte(board(`"sum by ($by) (rate(x{le=\"1\"}[$__rate_interval])) > ${limit:raw} [[a]]"`)))
	f.Add([]byte(`{"dashboard":{"rows":[{"panels":[{"targets":[{"expr":"rate(x[1m:1m]) \u00e9"}]}]}],"templating":{"list":[{"type":"query","query":"label_values(x{le='1'}, a)"}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) { judge(t, "a.json", data) })
}

// FuzzExpression holds what is proposed against the parser: a text that parsed must parse with all changes made.
func FuzzExpression(f *testing.F) {
	for _, expr := range []string{`x{le="1"}`, `rate(x[1m:1m] offset 1h)`, `holt_winters(x[5m], 0.5, 0.5)`, "x{le=~`1|5`,a!~\".\"}", `{"a.b","le"="5"}`, `max_over_time(rate(x[1m])[5m:1m] @ 3)`} {
		f.Add(expr)
	}
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true})
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := New(Options{From: Version{2, 0, 0}, To: Known()})
		if err != nil || len(expr) > 4096 {
			return
		}
		src := newSource("a", []byte(expr))
		c.checkExpression(expression{text: text{value: expr, src: src}}, &dots{})
		for _, finding := range c.report.Findings {
			if finding.Expression == "" {
				continue
			}
			if _, err := p.ParseExpr(finding.Expression); err != nil {
				t.Errorf("%q becomes %q: %v", expr, finding.Expression, err)
			}
		}
	})
}
