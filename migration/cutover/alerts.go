package cutover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/promql/parser"
)

// sender turns an alert into what an Alertmanager sees (Prometheus, notifier/manager.go: external labels that the alert does
// not have, then alert_relabel_configs, then those of the Alertmanager's own entry).
type sender struct {
	external map[string]string
	section  alertingSection
}

func newSender(own *settings, section alertingSection) sender {
	return sender{external: own.Global.ExternalLabels, section: section}
}

// sent lists the label sets under which an alert arrives, one for each entry of alertmanagers that it is not dropped for.
func (s sender) sent(alert labels.Labels) []labels.Labels {
	b := labels.NewBuilder(alert)
	for name, value := range s.external {
		if alert.Get(name) == "" {
			b.Set(name, value)
		}
	}
	if !relabel.ProcessBuilder(b, s.section.Relabel...) {
		return nil
	}
	common := b.Labels()
	var sets []labels.Labels
	for _, a := range s.section.Alertmanagers {
		b.Reset(common)
		if relabel.ProcessBuilder(b, a.Relabel...) {
			sets = append(sets, b.Labels())
		}
	}
	return sets
}

// looksSame compares how both servers would send the same alerts. The alerts of rules that are quiet now are made up from the rule.
func looksSame(source, target sender, rules []alertingRule, active []alert) error {
	var examples []labels.Labels
	for _, r := range rules {
		b := labels.NewBuilder(r.Labels)
		b.Set("alertname", r.Name)
		examples = append(examples, b.Labels())
	}
	for _, a := range active {
		examples = append(examples, a.Labels)
	}
	if len(examples) == 0 {
		examples = append(examples, labels.FromStrings("alertname", "Example"))
	}
	for _, e := range examples {
		from, to := source.sent(e), target.sent(e)
		if len(from) != len(to) {
			return refuse(RuleAlertsLookSame, "alert %s is sent to %d entries of alertmanagers by the source and to %d by the target; "+
				"look at what alert_relabel_configs drop", e.Get("alertname"), len(from), len(to))
		}
		for i := range from {
			if !labels.Equal(from[i], to[i]) {
				return refuse(RuleAlertsLookSame, "Alertmanager would take %s from the target for another alert, and page again: %s", e.Get("alertname"), mend(from[i], to[i]))
			}
		}
	}
	return nil
}

// mend names what differs, and the entries of alert_relabel_configs that make it equal.
func mend(source, target labels.Labels) string {
	var parts, drop, set []string
	names := map[string]bool{}
	for _, ls := range []labels.Labels{source, target} {
		ls.Range(func(l labels.Label) { names[l.Name] = true })
	}
	for _, name := range sortedKeys(names) {
		from, to := source.Get(name), target.Get(name)
		if from == to {
			continue
		}
		parts = append(parts, fmt.Sprintf("label %s is %q on the source and %q on the target", name, from, to))
		if from == "" {
			drop = append(drop, name)
		} else {
			set = append(set, fmt.Sprintf("{target_label: %s, replacement: %q}", name, strings.ReplaceAll(from, "$", "$$")))
		}
	}
	if len(drop) > 0 {
		set = append(set, fmt.Sprintf("{action: labeldrop, regex: %q}", strings.Join(drop, "|")))
	}
	return strings.Join(parts, ", ") + "; make the external labels equal, or give alerting.sectionFile a section whose alert_relabel_configs end with " + strings.Join(set, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// sameRules finds alerting rules of the source that the target lacks, or cannot evaluate.
func sameRules(source, target []alertingRule) error {
	there := map[string]alertingRule{}
	for _, r := range target {
		there[r.identity()] = r
	}
	var problems []string
	for _, r := range source {
		t, ok := there[r.identity()]
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("%s (%s) is not on the target with the same expression, for and labels", r.Name, r.Query))
		case t.Health == "err":
			problems = append(problems, fmt.Sprintf("%s cannot be evaluated by the target: %s", r.Name, t.LastError))
		}
	}
	if len(problems) > 0 {
		return refuse(RuleSameAlertingRules, "%s", few(problems))
	}
	return nil
}

// identity is what decides which alerts a rule makes. Expressions are compared as they are parsed: versions print them differently.
func (r alertingRule) identity() string {
	query := r.Query
	if expr, err := parser.NewParser(parser.Options{EnableExperimentalFunctions: true}).ParseExpr(query); err == nil {
		query = expr.String()
	}
	return fmt.Sprintf("%s\xff%s\xff%g\xff%s", r.Name, query, r.Duration, r.Labels)
}

// few joins a list and cuts it off.
func few(list []string) string {
	const most = 5
	if len(list) > most {
		return strings.Join(list[:most], "; ") + fmt.Sprintf("; and %d more", len(list)-most)
	}
	return strings.Join(list, "; ")
}

// compared is how the alerts of two servers differ.
type compared struct {
	// Missing fire on the source and not on the target, Extra the other way round, Younger are pending on the target for less long.
	Missing, Extra, Younger []string
	Firing                  int
}

// compareAlerts compares by the labels under which alerts are sent. slack is how much later a pending alert may have begun.
func compareAlerts(source, target []alert, from, to sender, slack time.Duration) compared {
	var c compared
	here, there := bySent(source, from), bySent(target, to)
	for _, name := range sortedKeys(here) {
		s := here[name]
		t, ok := there[name]
		switch {
		case s.State == firing && ok && t.State == firing:
			c.Firing++
		case s.State == firing && ok:
			c.Missing = append(c.Missing, fmt.Sprintf("%s (%s there since %s)", name, t.State, t.ActiveAt.UTC().Format(time.TimeOnly)))
		case s.State == firing:
			c.Missing = append(c.Missing, name)
		case !ok || t.State == pending && t.ActiveAt.After(s.ActiveAt.Add(slack)):
			c.Younger = append(c.Younger, fmt.Sprintf("%s (pending on the source since %s)", name, s.ActiveAt.UTC().Format(time.TimeOnly)))
		}
	}
	c.Extra = firesAlone(there, here)
	return c
}

// firesAlone lists alerts that fire there and not here.
func firesAlone(there, here map[string]alert) (names []string) {
	for _, name := range sortedKeys(there) {
		if there[name].State == firing && here[name].State != firing {
			names = append(names, name)
		}
	}
	return names
}

// bySent orders alerts by what is sent of them. Of two alerts that are sent as one, the one that fires counts.
func bySent(alerts []alert, s sender) map[string]alert {
	all := map[string]alert{}
	for _, a := range alerts {
		if a.State != firing && a.State != pending {
			continue
		}
		for _, ls := range s.sent(a.Labels) {
			if other, ok := all[ls.String()]; !ok || other.State != firing {
				all[ls.String()] = a
			}
		}
	}
	return all
}

// err is the rule that the difference breaks, nil if none that is not switched off.
func (c compared) err(spec *Spec) error {
	switch {
	case len(c.Missing) > 0:
		return refuse(RuleFiresTheSame, "%d alerts fire on the source and not on the target: %s", len(c.Missing), few(c.Missing))
	case len(c.Extra) > 0 && !spec.overridden(RuleFiresNothingElse):
		return refuse(RuleFiresNothingElse, "%d alerts fire on the target alone: %s", len(c.Extra), few(c.Extra))
	case len(c.Younger) > 0 && !spec.overridden(RulePendingAsOld):
		return refuse(RulePendingAsOld, "%d alerts would page later from the target: %s", len(c.Younger), few(c.Younger))
	}
	return nil
}
