package proof

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func board(t *testing.T) Dashboard {
	t.Helper()
	data, err := os.ReadFile("testdata/shop.json")
	if err != nil {
		t.Fatal(err)
	}
	return Dashboard{Name: "shop.json", JSON: data}
}

func TestDashboardExpressionsAreNeverDropped(t *testing.T) {
	want := []Expression{
		{From: "shop.json, variable instance", Expr: "group by (instance) (requests_total)"},
		{From: "shop.json, variable kind", Expr: "label_values(kind)", Why: "it is no query for samples"},
		{From: "shop.json, Requests", Expr: `sum(rate(requests_total{instance=~"0|1"}[120s]))`},
		{From: "shop.json, Latency", Expr: `histogram_quantile(0.9, rate(latency{kind=~".+"}[5m]))`},
		{From: "shop.json, Late", Expr: `temperature{instance="[[late]]"}`, Why: "the value of the variable late is not in the file"},
		{From: "shop.json, Logs", Expr: `{app="shop"}`, Why: "it is for loki"},
		{From: "shop.json, Old", Expr: "max_over_time(temperature[1800s])"},
		{From: "shop.json, Old", Expr: "sum("},
	}
	if diff := cmp.Diff(want, board(t).Expressions(30*time.Minute)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got := Dashboard{Name: "bad.json", JSON: []byte("{")}.Expressions(time.Hour)
	if len(got) != 1 || got[0].Why == "" {
		t.Errorf("a file that is no JSON: %v", got)
	}
}

const recorded = `{"name":"g","rules":[{"name":"r","query":"sum by (job) (rate(requests_total[5m]))"},{"name":"late","query":"avg_over_time(temperature[10m:])"},` +
	`{"name":"bad","query":"temperature * on () requests_total"},{"name":"text","query":"\"x\""}]}`

func TestRunAsksTheQueriesOfRulesAndDashboards(t *testing.T) {
	source, target := newFront(t, history()), newFront(t, handedOver())
	source.rules = recorded
	r := prove(t, source, target, func(o *Options) { o.Dashboards = []Dashboard{board(t)} })
	got := verdicts(r)
	for check, want := range map[string]string{"queries": "proved", "answers": "proved", "heaviest": "printed"} {
		if got[check] != want {
			t.Errorf("%s is %q, want %q", check, got[check], want)
		}
	}
	var left []string
	for _, n := range r.NotChecked {
		if strings.HasPrefix(n.What, "the query") {
			left = append(left, n.What+": "+strings.SplitN(n.Why, ":", 2)[0])
		}
	}
	want := []string{
		`the query "x" of rule g/text: it is a string, which has no value over time`,
		"the query label_values(kind) of shop.json, variable kind: it is no query for samples",
		`the query temperature{instance="[[late]]"} of shop.json, Late: the value of the variable late is not in the file`,
		`the query {app="shop"} of shop.json, Logs: it is for loki`,
		"the query sum( of shop.json, Old: it cannot be parsed",
		"the query temperature * on () requests_total of rule g/bad: it fails on both",
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left out -want +got:\n%s", diff)
	}
}

func TestRunTellsDataFromEngines(t *testing.T) {
	rules := `{"name":"g","rules":[{"name":"r","query":"sum by (job) (rate(requests_total[5m]))"}]}`
	other := on("/api/v1/query_range", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"job":"shop"},"values":[[1700000000,"1"]]}]}}`)
	})
	lost := func(w world) world {
		for _, s := range w {
			s.Samples = append(s.Samples[:100:100], s.Samples[110:]...)
		}
		return w
	}
	tests := map[string]struct {
		change           func(source, target *front)
		world            func(world) world
		queries, answers string
	}{
		"equal data and engines":                   {func(_, _ *front) {}, nil, "proved", "proved"},
		"another engine is listed apart":           {func(s, _ *front) { s.version, s.before = "2.55.0", other }, nil, "proved", "printed different-engine"},
		"one version has no such excuse":           {func(s, _ *front) { s.before = other }, nil, "proved", "different different-result"},
		"other data are found by our engine":       {func(_, _ *front) {}, lost, "different different-result", "different different-result"},
		"a server that does not answer its reads":  {func(_, t *front) { t.before = on("/api/v1/read", refuse) }, nil, "unknown refused", "proved"},
		"a source that does not tell its rules":    {func(s, _ *front) { s.before = on("/api/v1/rules", refuse) }, nil, "unknown refused", "unknown"},
		"a warning about the query is not partial": {func(s, _ *front) { s.warning = "PromQL warning: metric might not be a counter" }, nil, "proved", "proved"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := handedOver()
			if test.world != nil {
				w = test.world(w)
			}
			source, target := newFront(t, history()), newFront(t, w)
			source.rules = rules
			test.change(source, target)
			// One window over the whole history, so that every loss is in it.
			r := prove(t, source, target, func(o *Options) { o.Window, o.Samples = 24*time.Hour, 1 })
			got := verdicts(r)
			if got["queries"] != test.queries || got["answers"] != test.answers {
				t.Errorf("queries %q, answers %q; want %q, %q", got["queries"], got["answers"], test.queries, test.answers)
			}
		})
	}
}

func TestNearlyForgivesRoundingAlone(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"equal":              {`[[1,"2"]]`, `[[1,"2"]]`, true},
		"the last digit":     {`[[1,"0.30000000000000004"]]`, `[[1,"0.3"]]`, true},
		"another value":      {`[[1,"0.3"]]`, `[[1,"0.300001"]]`, false},
		"a point more":       {`[[1,"2"]]`, `[[1,"2"],[2,"2"]]`, false},
		"nothing":            {`[[1,"2"]]`, ``, false},
		"NaN":                {`[[1,"NaN"]]`, `[[1,"NaN"]]`, true},
		"NaN and a number":   {`[[1,"NaN"]]`, `[[1,"2"]]`, false},
		"the same infinity":  {`[[1,"+Inf"]]`, `[[1,"+Inf"]]`, true},
		"other infinities":   {`[[1,"+Inf"]]`, `[[1,"-Inf"]]`, false},
		"infinity and a sum": {`[[1,"+Inf"]]`, `[[1,"3"]]`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := nearly(test.a, test.b); got != test.want {
				t.Errorf("%v", got)
			}
		})
	}
}
