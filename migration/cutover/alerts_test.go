package cutover

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
)

func senderOf(t *testing.T, text string) sender {
	t.Helper()
	s, err := parseSettings([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return newSender(s, s.Alerting)
}

const oneManager = "alerting: {alertmanagers: [{}]}\n"

func TestLooksSame(t *testing.T) {
	for name, c := range map[string]struct{ source, target, want string }{
		"without external labels":       {oneManager, oneManager, ""},
		"with the same external labels": {"global: {external_labels: {a: b}}\n" + oneManager, "global: {external_labels: {a: b}}\n" + oneManager, ""},
		"with another one": {"global: {external_labels: {a: b}}\n" + oneManager, "global: {external_labels: {a: c$}}\n" + oneManager,
			`label a is "b" on the source and "c$" on the target; make the external labels equal, or give alerting.sectionFile a section whose alert_relabel_configs end with {target_label: a, replacement: "b"}`},
		"with one more": {oneManager, "global: {external_labels: {prometheus: k8s, replica: r0}}\n" + oneManager, `{action: labeldrop, regex: "prometheus|replica"}`},
		"with one more that is dropped": {oneManager, "global: {external_labels: {replica: r0}}\n" +
			"alerting: {alert_relabel_configs: [{action: labeldrop, regex: replica}], alertmanagers: [{}]}\n", ""},
		"with one more that the entry drops": {oneManager, "global: {external_labels: {replica: r0}}\n" +
			"alerting: {alertmanagers: [{alert_relabel_configs: [{action: labeldrop, regex: replica}]}]}\n", ""},
		"with one that the alert has itself": {oneManager, "global: {external_labels: {severity: x}}\n" + oneManager, ""},
		"with another fate":                  {oneManager, "alerting: {alert_relabel_configs: [{action: drop, source_labels: [alertname], regex: Broken}], alertmanagers: [{}]}\n", "look at what alert_relabel_configs drop"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := []alertingRule{{Name: "Broken", Labels: labels.FromStrings("severity", "page")}}
			err := looksSame(senderOf(t, c.source), senderOf(t, c.target), rules, nil)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (ruleOf(err) != RuleAlertsLookSame || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

func TestSameRules(t *testing.T) {
	rule := func(query string, duration float64, health string) alertingRule {
		return alertingRule{Name: "Broken", Query: query, Duration: duration, Health: health, LastError: "no such function"}
	}
	for name, c := range map[string]struct {
		target []alertingRule
		want   string
	}{
		"written otherwise":     {[]alertingRule{rule("sum by(a) (up)>0", 60, "ok")}, ""},
		"with another for":      {[]alertingRule{rule("sum by (a) (up) > 0", 61, "ok")}, "is not on the target"},
		"with another question": {[]alertingRule{rule("sum by (a) (up) > 1", 60, "ok")}, "is not on the target"},
		"that cannot be asked":  {[]alertingRule{rule("sum by (a) (up) > 0", 60, "err")}, "no such function"},
	} {
		t.Run(name, func(t *testing.T) {
			err := sameRules([]alertingRule{rule("sum by (a) (up) > 0", 60, "ok")}, c.target)
			if (c.want == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.want) || ruleOf(err) != RuleSameAlertingRules) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

func TestCompareAlerts(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(name, state string, after time.Duration) alert {
		return alert{Labels: labels.FromStrings("alertname", name), State: state, ActiveAt: begin.Add(after)}
	}
	one := senderOf(t, oneManager)
	for name, c := range map[string]struct {
		source, target         []alert
		rule                   string
		missing, extra, behind int
	}{
		"fires on both, whatever the times": {[]alert{at("A", firing, 0)}, []alert{at("A", firing, time.Hour)}, "", 0, 0, 0},
		"fires on one":                      {[]alert{at("A", firing, 0)}, nil, RuleFiresTheSame, 1, 0, 0},
		"is pending on the target":          {[]alert{at("A", firing, 0)}, []alert{at("A", pending, 0)}, RuleFiresTheSame, 1, 0, 0},
		"fires on the target alone":         {nil, []alert{at("A", firing, 0)}, RuleFiresNothingElse, 0, 1, 0},
		"fires too early on the target":     {[]alert{at("A", pending, 0)}, []alert{at("A", firing, 0)}, RuleFiresNothingElse, 0, 1, 0},
		"is pending for as long":            {[]alert{at("A", pending, 0)}, []alert{at("A", pending, 2*time.Second)}, "", 0, 0, 0},
		"is pending for less long":          {[]alert{at("A", pending, 0)}, []alert{at("A", pending, 9*time.Second)}, RulePendingAsOld, 0, 0, 1},
		"is pending on the source alone":    {[]alert{at("A", pending, 0)}, nil, RulePendingAsOld, 0, 0, 1},
		"is pending on the target alone":    {nil, []alert{at("A", pending, 0)}, "", 0, 0, 0},
		"is over":                           {[]alert{at("A", "inactive", 0)}, nil, "", 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := compareAlerts(c.source, c.target, one, one, 2*time.Second)
			if len(got.Missing) != c.missing || len(got.Extra) != c.extra || len(got.Younger) != c.behind {
				t.Errorf("%+v", got)
			}
			if rule := ruleOf(got.err(&Spec{})); rule != c.rule {
				t.Errorf("rule %q, want %q", rule, c.rule)
			}
		})
	}
}

func TestAlertsSentAsOneCountIfOneFires(t *testing.T) {
	s := senderOf(t, "alerting: {alert_relabel_configs: [{action: labeldrop, regex: pod}], alertmanagers: [{}]}\n")
	alerts := []alert{{Labels: labels.FromStrings("alertname", "A", "pod", "1"), State: firing}, {Labels: labels.FromStrings("alertname", "A", "pod", "2"), State: pending}}
	got := map[string]string{}
	for name, a := range bySent(alerts, s) {
		got[name] = a.State
	}
	if diff := cmp.Diff(map[string]string{`{alertname="A"}`: firing}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
