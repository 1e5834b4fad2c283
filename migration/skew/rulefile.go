package skew

import (
	"strings"
	"time"
)

// ruleGroup is the group that a rule belongs to.
type ruleGroup struct {
	interval time.Duration
	records  map[string]bool // names that rules before this one record
}

func (c *Checker) checkRuleGroups(src *source, n *yamlNode) int {
	groups := get(n, "groups")
	if groups == nil {
		groups = get(n, "spec", "groups")
	}
	d := &dots{}
	count := 0
	for _, group := range items(groups) {
		g := &ruleGroup{interval: c.server.evaluation, records: map[string]bool{}}
		if every, ok := duration(get(group, "interval")); ok {
			g.interval = every
		} else if !c.server.configured {
			g.interval = 0 // nobody knows how often
		}
		for _, rule := range items(get(group, "rules")) {
			where := ruleName(str(get(group, "name")), rule)
			if expr := get(rule, "expr"); expr != nil {
				count++
				c.checkExpression(expression{text: yamlText(src, expr), where: where, group: g}, d)
			}
			c.checkRuleLabels(src, rule, where)
			if record := str(get(rule, "record")); record != "" && g.interval > 0 {
				g.records[record] = true
			}
		}
	}
	c.reportDots(d)
	return count
}

func ruleName(group string, rule *yamlNode) string {
	if alert := str(get(rule, "alert")); alert != "" {
		return "group " + group + ", alert " + alert
	}
	return "group " + group + ", record " + str(get(rule, "record"))
}

// checkRuleLabels: labels that a recording rule sets are stored as written, beside scraped buckets that are not.
func (c *Checker) checkRuleLabels(src *source, rule *yamlNode, where string) {
	labels := get(rule, "labels")
	if str(get(rule, "record")) == "" || labels == nil {
		return
	}
	for _, name := range []string{"le", "quantile"} {
		n := get(labels, name)
		value, changed := normal(name, strings.TrimSpace(str(n)))
		if n == nil || !changed {
			continue
		}
		line, column := yamlText(src, n).place(0)
		c.add(Finding{
			Rule: ruleBucketValue, Severity: Look, File: src.name, Line: line, Column: column, Where: where,
			What: "the rule writes " + name + "=\"" + n.Value + "\", scraped series have \"" + value + "\" now",
			Why:  "from 3.0.0 on values of le and quantile are rewritten when they are scraped, not when a rule records them",
			Fix:  "where the recorded series is joined or shown with scraped ones, write the new form", Old: n.Value, New: `"` + value + `"`,
		})
	}
}
