package survey

import (
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
)

// Group is a rule group as a server runs it.
type Group struct {
	Name            string  `json:"name"`
	File            string  `json:"file"`
	IntervalSeconds float64 `json:"intervalSeconds"`
	Rules           []Rule  `json:"rules"`
}

// Rule is one of a group.
type Rule struct {
	Name  string `json:"name"`
	Alert bool   `json:"alert,omitempty"`
	Expr  string `json:"expr"`
	// ReachSeconds is how far back the expression reads, ranges, subqueries and offsets together; -1 where it cannot be parsed.
	ReachSeconds int64  `json:"reachSeconds"`
	Health       string `json:"health,omitempty"`
	// ForSeconds is how long an alert waits.
	ForSeconds float64 `json:"forSeconds,omitempty"`
}

type rulesAnswer struct {
	Groups []struct {
		Name, File string
		Interval   float64
		Rules      []struct {
			Name, Query, Type, Health string
			Duration                  float64
		}
	}
}

func (a *rulesAnswer) groups() []Group {
	p := skew.NewParser()
	list := []Group{}
	for _, g := range a.Groups {
		group := Group{Name: server.Clip(g.Name, 200), File: server.Clip(g.File, 300), IntervalSeconds: g.Interval, Rules: []Rule{}}
		for _, r := range g.Rules {
			rule := Rule{Name: server.Clip(r.Name, 200), Alert: r.Type == "alerting", Expr: r.Query, Health: server.Clip(r.Health, 20), ForSeconds: r.Duration, ReachSeconds: -1}
			if expr, err := p.ParseExpr(r.Query); err == nil {
				rule.ReachSeconds = int64(reach(expr) / time.Second)
			}
			group.Rules = append(group.Rules, rule)
		}
		list = append(list, group)
	}
	return list
}

// lookback is how far back a selector without a range looks by default.
const lookback = 5 * time.Minute

// reach is how far back of its evaluation an expression reads. Offsets into the future count as none.
func reach(expr parser.Expr) time.Duration {
	var longest time.Duration
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		vector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		back, ranged := vector.OriginalOffset, false
		for _, above := range path {
			switch n := above.(type) {
			case *parser.MatrixSelector:
				back, ranged = back+n.Range, true
			case *parser.SubqueryExpr:
				back += n.Range + n.OriginalOffset
			}
		}
		if !ranged {
			back += lookback
		}
		longest = max(longest, back)
		return nil
	})
	return longest
}

// longest is the rule that reads back furthest; false where there is none.
func longest(groups []Group) (rule Rule, group Group, ok bool) {
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.ReachSeconds > 0 && (!ok || r.ReachSeconds > rule.ReachSeconds) {
				rule, group, ok = r, g, true
			}
		}
	}
	return rule, group, ok
}
