package skew

import (
	"strings"
)

// panel is where in a dashboard the walk is.
type panel struct {
	title string
	ref   string
	// source is the type of data source that counts here, empty where it is not told.
	source string
}

type dashboardCheck struct {
	c     *Checker
	src   *source
	dots  *dots
	count int
}

func (c *Checker) checkDashboard(src *source, n *jsonNode) int {
	x := &dashboardCheck{c: c, src: src, dots: &dots{}}
	x.walk(n, panel{})
	c.reportDots(x.dots)
	return x.count
}

// walk finds expressions wherever they stand: in panels, rows of any age, panels in rows, annotations and alerts. Only
// those of variables stand under other names.
func (x *dashboardCheck) walk(n *jsonNode, p panel) {
	if n.kind == '{' {
		p = p.into(n)
		if expr := n.get("expr"); expr != nil && expr.kind == '"' && p.prometheus() {
			x.expression(expr.text(x.src), p.where())
		}
		for _, v := range variables(n) {
			x.variable(v, p)
		}
	}
	for _, v := range n.values {
		x.walk(v, p)
	}
}

// into is the place in an object: what it does not tell is as around it.
func (p panel) into(n *jsonNode) panel {
	if t := n.get("title").str(); t != "" {
		p.title = t
	}
	if r := n.get("refId").str(); r != "" {
		p.ref = r
	}
	if t := n.get("datasource").get("type").str(); t != "" {
		p.source = t
	} else if n.get("datasource").str() != "" {
		p.source = "" // a name alone
	}
	if group := n.get("group").str(); group != "" && n.get("kind").str() == "DataQuery" {
		p.source = group
	}
	return p
}

// prometheus says that expressions here may be PromQL; mixed panels tell it for each target.
func (p panel) prometheus() bool {
	return p.source == "" || strings.Contains(p.source, "prometheus") || p.source == "datasource" || p.source == "mixed"
}

func (p panel) where() string {
	where := "dashboard"
	if p.title != "" {
		where = "panel " + p.title
	}
	if p.ref != "" {
		where += ", query " + p.ref
	}
	return where
}

// variables are the queries of a templating list.
func variables(n *jsonNode) []*jsonNode {
	list := n.get("templating").get("list")
	if list == nil || list.kind != '[' {
		return nil
	}
	return list.values
}

func (x *dashboardCheck) variable(v *jsonNode, p panel) {
	if v.kind != '{' || v.get("type").str() != "query" {
		return
	}
	p = panel{source: p.source}.into(v)
	query := v.get("query")
	if query != nil && query.kind == '{' {
		query = query.get("query")
	}
	if query == nil || query.kind != '"' || !p.prometheus() {
		return
	}
	whole := query.text(x.src)
	if start, end := inner(whole.value); start < end {
		x.expression(whole.part(start, end), "variable "+v.get("name").str())
	}
}

// inner is the PromQL in a query of a variable: label_values(PromQL, label), query_result(PromQL).
func inner(query string) (start, end int) {
	trimmed := strings.TrimRight(query, " \n\t")
	open := strings.IndexByte(trimmed, '(')
	if open < 0 || !strings.HasSuffix(trimmed, ")") {
		return 0, 0
	}
	end = len(trimmed) - 1
	switch strings.TrimSpace(trimmed[:open]) {
	case "query_result":
		return open + 1, end
	case "label_values":
		comma := strings.LastIndexByte(trimmed, ',')
		switch {
		case comma > open && !strings.ContainsAny(trimmed[comma:], "\"'`{}"):
			return open + 1, comma
		case strings.Contains(trimmed, "{"): // no label behind the selector
			return open + 1, end
		}
	}
	return 0, 0
}

func (x *dashboardCheck) expression(t text, where string) {
	x.count++
	x.c.checkExpression(expression{text: t, where: where, grafana: true}, x.dots)
}

// part is a piece of a text with its place.
func (t text) part(start, end int) text {
	t.start = t.offset(start)
	t.value = t.value[start:end]
	return t
}
