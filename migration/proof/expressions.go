package proof

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Expression is a query with where it comes from. One that cannot be asked says why not.
type Expression struct {
	From string
	Expr string
	Why  string
}

// Dashboard is a file of Grafana.
type Dashboard struct {
	Name string
	JSON []byte
}

// Expressions finds every query of a dashboard: of panels in rows and rows of panels, and of its variables. Variables are put in with the
// value that the file holds, time ranges with span. Nothing is dropped: a query that cannot be asked, such as one for Loki, says so.
func (d Dashboard) Expressions(span time.Duration) []Expression {
	var board map[string]any
	if err := json.Unmarshal(d.JSON, &board); err != nil {
		return []Expression{{From: d.Name, Why: "the file is no JSON of a dashboard"}}
	}
	if inner, ok := board["dashboard"].(map[string]any); ok { // as the API of Grafana wraps it
		board = inner
	}
	w := &boardWalk{name: d.Name, values: builtins(span)}
	w.templating(board)
	w.visit(board, text(board["title"]), "")
	return w.found
}

type boardWalk struct {
	name   string
	values map[string]string
	found  []Expression
}

// builtins are Grafana's own variables, for a panel over span with some 60 points.
func builtins(span time.Duration) map[string]string {
	interval := max(span/60, time.Second).Round(time.Second)
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return map[string]string{
		"__interval": seconds(interval) + "s", "__rate_interval": seconds(max(4*interval, time.Minute)) + "s", "__range": seconds(span) + "s",
		"__range_s": seconds(span), "__range_ms": seconds(span) + "000", "__interval_ms": seconds(interval) + "000", "interval": seconds(interval) + "s",
	}
}

// templating takes the values of variables, then the queries that fill them.
func (w *boardWalk) templating(board map[string]any) {
	templating, _ := board["templating"].(map[string]any)
	list, _ := templating["list"].([]any)
	for _, v := range list {
		if variable, ok := v.(map[string]any); ok {
			if value, ok := variableValue(variable); ok {
				w.values[text(variable["name"])] = value
			}
		}
	}
	for _, v := range list {
		variable, _ := v.(map[string]any)
		if text(variable["type"]) != "query" {
			continue
		}
		query := text(variable["query"])
		if inner, ok := variable["query"].(map[string]any); ok {
			query = text(inner["query"])
		}
		w.variable(text(variable["name"]), query, source(variable, ""))
	}
}

// variableValue is what the file was saved with. "All" becomes what Grafana makes of it in a regular expression.
func variableValue(variable map[string]any) (string, bool) {
	current, _ := variable["current"].(map[string]any)
	var values []string
	switch v := current["value"].(type) {
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			values = append(values, text(one))
		}
	}
	if all := text(variable["allValue"]); len(values) == 1 && values[0] == "$__all" {
		if all == "" {
			all = ".+"
		}
		return all, true
	}
	if len(values) == 1 && strings.HasPrefix(values[0], "$__auto") {
		return "5m", true
	}
	value := strings.Join(values, "|")
	return value, value != ""
}

var (
	labelValues = regexp.MustCompile(`^\s*label_values\(\s*(?:(.+),)?\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\)\s*$`)
	queryResult = regexp.MustCompile(`^\s*query_result\((.*)\)\s*$`)
	variableUse = regexp.MustCompile(`\$\{([a-zA-Z_]\w*)(?::[a-z]+)?\}|\$([a-zA-Z_]\w*)|\[\[([a-zA-Z_]\w*)(?::[a-z]+)?\]\]`)
)

func (w *boardWalk) variable(name, query, kind string) {
	from := "variable " + name
	if m := labelValues.FindStringSubmatch(query); m != nil && m[1] != "" {
		w.add(from, fmt.Sprintf("group by (%s) (%s)", m[2], m[1]), kind)
	} else if m := queryResult.FindStringSubmatch(query); m != nil {
		w.add(from, m[1], kind)
	} else {
		w.found = append(w.found, Expression{From: w.name + ", " + from, Expr: query, Why: "it is no query for samples"})
	}
}

// visit looks for queries anywhere below v: every version of Grafana puts panels somewhere else.
func (w *boardWalk) visit(v any, title, kind string) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			w.visit(one, title, kind)
		}
	case map[string]any:
		if t := text(v["title"]); t != "" {
			title = t
		}
		kind = source(v, kind)
		if expr := text(v["expr"]); expr != "" {
			w.add(title, expr, kind)
		}
		for _, key := range sortedKeys(v) {
			if key != "templating" {
				w.visit(v[key], title, kind)
			}
		}
	}
}

// source is the type of the data source of a panel, or of what it stands in.
func source(v map[string]any, above string) string {
	if d, ok := v["datasource"].(map[string]any); ok && text(d["type"]) != "" {
		return text(d["type"])
	}
	return above
}

func (w *boardWalk) add(from, expr, kind string) {
	e := Expression{From: w.name + ", " + from, Expr: expr}
	if kind != "" && kind != "prometheus" && !strings.HasPrefix(kind, "$") && !strings.Contains(kind, "Mixed") && !strings.Contains(kind, "grafana") {
		e.Why = "it is for " + kind
		w.found = append(w.found, e)
		return
	}
	unknown := ""
	e.Expr = variableUse.ReplaceAllStringFunc(expr, func(use string) string {
		name := strings.Trim(strings.TrimLeft(use, "$"), "{}[]")
		name, _, _ = strings.Cut(name, ":")
		value, ok := w.values[name]
		if !ok {
			unknown = name
		}
		return value
	})
	if unknown != "" {
		e.Expr, e.Why = expr, "the value of the variable "+unknown+" is not in the file"
	}
	w.found = append(w.found, e)
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
