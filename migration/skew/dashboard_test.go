package skew

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// board is a dashboard with one target, which begins at line 2, column 11.
func board(target string) string {
	return "{\"panels\":[{\"targets\":[\n {\"expr\": " + target + "}]}]}"
}

func TestDashboards(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"a panel":                                 {board(`"x{le=\"1\"}"`), []string{`bucket-value Breaks 2:17 "1" => "1.0"`}},
		"a panel in a row":                        {`{"panels":[{"panels":[{"targets":[{"expr":"x{le='1'}"}]}]}]}`, []string{`bucket-value Breaks 1:49 '1' => '1.0'`}},
		"a row of old":                            {`{"rows":[{"panels":[{"targets":[{"expr":"x{le='1'}"}]}]}]}`, []string{`bucket-value Breaks 1:47 '1' => '1.0'`}},
		"a dashboard of the HTTP API":             {`{"meta":{},"dashboard":{"panels":[{"targets":[{"expr":"x{le='1'}"}]}]}}`, []string{`bucket-value Breaks 1:61 '1' => '1.0'`}},
		"an annotation":                           {`{"panels":[],"annotations":{"list":[{"expr":"x{le='1'}"}]}}`, []string{`bucket-value Breaks 1:51 '1' => '1.0'`}},
		"a variable of values":                    {`{"panels":[],"templating":{"list":[{"type":"query","query":"label_values(x{le='1'}, job)"}]}}`, []string{`bucket-value Breaks 1:79 '1' => '1.0'`}},
		"a variable of a result":                  {`{"panels":[],"templating":{"list":[{"type":"query","query":{"query":"query_result(x{le='1'})"}}]}}`, []string{`bucket-value Breaks 1:88 '1' => '1.0'`}},
		"a variable of all values of a label":     {`{"panels":[],"templating":{"list":[{"type":"query","query":"label_values(le)"}]}}`, nil},
		"a variable of constants":                 {`{"panels":[],"templating":{"list":[{"type":"custom","query":"1,2"}]}}`, nil},
		"another data source":                     {`{"panels":[{"datasource":{"type":"loki"},"targets":[{"expr":"{a='b'} |= 'c'"}]}]}`, nil},
		"a target of its own data source":         {`{"panels":[{"datasource":{"type":"loki"},"targets":[{"datasource":{"type":"prometheus"},"expr":"x{le='1'}"}]}]}`, []string{`bucket-value Breaks 1:102 '1' => '1.0'`}},
		"an interval by a variable":               {board(`"rate(x{le=\"1\"}[$__rate_interval])"`), []string{`bucket-value Breaks 2:22 "1" => "1.0"`}},
		"a change behind a variable":              {board(`"rate(x[${range:raw}]) > $limit or x{le=\"1\"}"`), []string{`bucket-value Breaks 2:51 "1" => "1.0"`}},
		"a name by a variable of old":             {board(`"[[metric]]_bucket{le=\"1\"}"`), []string{`bucket-value Breaks 2:33 "1" => "1.0"`}},
		"a count and an aggregation by variables": {board(`"topk($n, $agg(x{le=\"1\"}) by ($label))"`), []string{`bucket-value Breaks 2:31 "1" => "1.0"`}},
		"a subquery by variables tells nothing":   {board(`"max_over_time(x[$range:$step])"`), nil},
		"a subquery of one step":                  {board(`"rate(x[1m:1m])"`), []string{`left-open-subquery Breaks 2:19 1m => 1m1ms`}},
		"an expression that is a variable":        {board(`"${query}"`), []string{`unparsed-expression Look 2:12`}},
		"a value by a variable is left alone":     {board(`"x{le=\"$le\"}"`), nil},
		"what cannot be parsed":                   {board(`"sum(rate(x[5m])"`), []string{`unparsed-expression Look 2:12`}},
		"an empty expression":                     {board(`""`), nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := check(t, "2.42.0", "3.16.0", nil, map[string]string{"d.json": test.text})
			if len(r.Files) != 1 || r.Files[0].Kind != Dashboard {
				t.Fatalf("taken for %v, %v", r.Files, r.Unrecognised)
			}
			if diff := cmp.Diff(append([]string{}, test.want...), found(r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExpressionsKeepTheirVariables(t *testing.T) {
	r := check(t, "2.42.0", "3.16.0", nil, map[string]string{"d.json": board(`"sum by ($by) (rate(x{le=\"1\", job=~\"$job\"}[$__rate_interval])) > ${limit}"`)})
	want := `sum by ($by) (rate(x{le="1.0", job=~"$job"}[$__rate_interval])) > ${limit}`
	if got := r.Findings[len(r.Findings)-1].Expression; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestRecognition(t *testing.T) {
	tests := map[string]struct {
		name, text string
		want       Kind
	}{
		"a configuration":                 {"a.yml", "global: {scrape_interval: 1m}", Configuration},
		"a part of a configuration":       {"a.yml", "scrape_configs: []", Configuration},
		"rules as JSON":                   {"a.json", `{"groups":[{"name":"a","rules":[]}]}`, RuleFile},
		"rules in braces":                 {"a.yml", `{groups: [{name: a, rules: []}]}`, RuleFile},
		"rules of Grafana are not these":  {"a.yml", "apiVersion: 1\ngroups: [{orgId: 1, rules: []}]", ""},
		"a test of rules is none":         {"a.yml", "rule_files: [a]\ntests: []", ""},
		"a configuration of Alertmanager": {"a.yml", "global: {}\nroute: {}\nreceivers: []", ""},
		"any other JSON":                  {"a.json", `{"name":"a"}`, ""},
		"a list":                          {"a.json", `[1, 2]`, ""},
		"a ConfigMap of something else":   {"a.yml", "kind: ConfigMap\ndata: {a.yml: 'x: y', b: '{'}", ""},
		"an empty file":                   {"a.yml", ``, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := check(t, "2.42.0", "3.16.0", nil, map[string]string{test.name: test.text})
			var got Kind
			if len(r.Files) > 0 {
				got = r.Files[0].Kind
			}
			if got != test.want || (got == "") != (len(r.Unrecognised) == 1) || r.Unread() > 0 {
				t.Errorf("taken for %q, unrecognised %v, findings %v", got, r.Unrecognised, r.Findings)
			}
		})
	}
}

func TestHostileFilesAreRefused(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for _, i := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		before := string(i[0] - 1)
		bomb += "a" + i + ": &a" + i + " [" + strings.TrimSuffix(strings.Repeat("*a"+before+",", 10), ",") + "]\n"
	}
	tests := map[string]struct {
		name, text, want string
	}{
		"YAML that is nested deep":                {"a.yml", "groups: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested deeper"},
		"YAML with very many open brackets":       {"a.yml", strings.Repeat("[", 1_000_000), "exceeded max depth"},
		"YAML whose aliases explode":              {"a.yml", bomb + "groups: *a9\n", "once aliases are followed"},
		"YAML whose alias holds itself":           {"a.yml", "groups: &a [*a]\n", "holds itself"},
		"YAML whose text explodes":                {"a.yml", "x: &x {rules: [{expr: '" + strings.Repeat("a", 1<<20) + "'}]}\ngroups: [" + strings.Repeat("*x,", 1000) + "]\n", "once aliases are followed"},
		"JSON that is nested deep":                {"a.json", `{"panels":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", "nested deeper"},
		"JSON that ends early":                    {"a.json", `{"panels":[`, "unexpected EOF"},
		"JSON with something behind it":           {"a.json", `{} {}`, "something after"},
		"a file that is too large":                {"a.yml", strings.Repeat(" ", defaultMaxBytes+1), "more than the 16777216"},
		"an entry of a ConfigMap that is no JSON": {"a.yml", "kind: ConfigMap\ndata: {b.json: '{'}", "entry b.json"},
		"a template":                              {"a.yml", "{{ if .Values.a }}\ngroups: []\n{{ end }}\n", "reading YAML"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := check(t, "2.42.0", "3.16.0", nil, map[string]string{test.name: test.text})
			if r.Unread() != 1 || !strings.Contains(r.Findings[len(r.Findings)-1].What, test.want) {
				t.Errorf("%v", found(r))
			}
		})
	}
}

func TestLongExpressionsAreNotParsed(t *testing.T) {
	r := check(t, "2.42.0", "3.16.0", nil, map[string]string{"r.yml": alert("x" + strings.Repeat("+x", maxExpression))})
	if got := found(r); len(got) != 1 || !strings.HasPrefix(got[0], ruleUnparsed) {
		t.Errorf("%v", got)
	}
}
