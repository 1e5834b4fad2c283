package cutover

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSettingsRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an empty entry":              {"alerting: {alert_relabel_configs: [~]}", "entry 1 is empty"},
		"an entry without a target":   {"alerting: {alertmanagers: [{alert_relabel_configs: [{action: replace}]}]}", "requires 'target_label'"},
		"an expression that is none":  {"alerting: {alert_relabel_configs: [{regex: '('}]}", "reading YAML"},
		"something else than mapping": {"[]", "reading YAML"},
	} {
		if _, err := parseSettings([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

func TestReadSamples(t *testing.T) {
	text := "# HELP a b\na 1\na{b=\"c\\\"} d\",e=\"f\"} 2.5e1\nab 3\n\na{\n"
	got, err := readSamples(strings.NewReader(strings.TrimSuffix(text, "a{\n")), []string{"a"})
	if err != nil || len(got) != 2 || sum(got, "a") != 26 {
		t.Fatalf("%v %v", got, err)
	}
	if diff := cmp.Diff(map[string]string{"b": `c"} d`, "e": "f"}, got[1].labels); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := readSamples(strings.NewReader(text), []string{"a"}); err == nil {
		t.Error("half a line was taken")
	}
}

func TestManagerURL(t *testing.T) {
	for from, want := range map[string]string{
		"http://u:p@am:9093/api/v2/alerts": "http://am:9093", "https://am/sub/api/v1/alerts": "https://am/sub", "http://am:9093/x/api/v2/alerts?a=b": "http://am:9093/x",
	} {
		if got, err := managerURL(from); err != nil || got != want {
			t.Errorf("%s: %s, %v", from, got, err)
		}
	}
	if _, err := managerURL("am"); err == nil {
		t.Error("a name was taken for an address")
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add("global: {external_labels: {a: b}}\nalerting: {alert_relabel_configs: [{action: labeldrop, regex: a}], alertmanagers: [{}]}")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings([]byte(text))
		if err != nil {
			return
		}
		_ = looksSame(newSender(s, s.Alerting), newSender(s, s.Alerting), nil, nil)
	})
}

func FuzzReadSamples(f *testing.F) {
	f.Add("a{b=\"c\"} 1\na 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := readSamples(strings.NewReader(text), []string{"a"})
		for _, s := range found {
			if err == nil && s.name != "a" {
				t.Errorf("%v", s)
			}
		}
	})
}
