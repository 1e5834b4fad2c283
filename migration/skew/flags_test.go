package skew

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlags(t *testing.T) {
	tests := map[string]struct {
		from, to, flags string
		want            []string
	}{
		"a retention that was given gets its new name": {"2.42.0", "3.16.0", `["--storage.tsdb.retention=180d"]`,
			[]string{"removed-flag Breaks --storage.tsdb.retention=180d => --storage.tsdb.retention.time=180d"}},
		"a retention that the API tells, too": {"2.42.0", "3.16.0", `{"status":"success","data":{"storage.tsdb.retention":"180d"}}`,
			[]string{"removed-flag Breaks --storage.tsdb.retention=180d => --storage.tsdb.retention.time=180d"}},
		"a retention beside its new name is left out": {"2.42.0", "3.16.0", `["--storage.tsdb.retention=90d","--storage.tsdb.retention.time=180d"]`,
			[]string{"removed-flag Breaks --storage.tsdb.retention=90d => "}},
		"defaults that the API tells are left alone":    {"2.42.0", "3.16.0", `{"storage.tsdb.retention":"0s","alertmanager.timeout":"","storage.tsdb.allow-overlapping-blocks":"true"}`, nil},
		"defaults of an older version are others":       {"2.10.0", "3.16.0", `{"storage.tsdb.retention":"0s","alertmanager.timeout":"10s","storage.tsdb.allow-overlapping-blocks":"false"}`, nil},
		"a default that was given breaks as well":       {"2.42.0", "3.16.0", `["--alertmanager.timeout","10s"]`, []string{"removed-flag Breaks --alertmanager.timeout=10s => "}},
		"a switch has no value":                         {"2.42.0", "3.16.0", `["--storage.tsdb.allow-overlapping-blocks"]`, []string{"removed-flag Breaks --storage.tsdb.allow-overlapping-blocks => "}},
		"a flag of before 2.29 breaks in the first hop": {"2.28.0", "3.16.0", `["--storage.exemplars.exemplars-limit=5"]`, []string{"removed-flag Breaks --storage.exemplars.exemplars-limit=5 => "}},
		"features that became flags": {"2.42.0", "3.16.0", `["--enable-feature=agent,exemplar-storage","--enable-feature=promql-at-modifier"]`, []string{
			"feature-flag Breaks --enable-feature=agent,exemplar-storage,promql-at-modifier => --enable-feature=exemplar-storage --agent",
			"feature-flag Look --enable-feature=agent,exemplar-storage,promql-at-modifier => --enable-feature=exemplar-storage --agent"}},
		"native histograms are off without a word": {"2.42.0", "3.16.0", `{"enable-feature":"native-histograms"}`, []string{"feature-flag Breaks --enable-feature=native-histograms => "}},
		"before 3.9 they are not":                  {"2.42.0", "3.8.0", `{"enable-feature":"native-histograms"}`, nil},
		"nothing changes within 3.0":               {"3.0.0", "3.0.1", `["--enable-feature=agent"]`, nil},
		"links follow TLS":                         {"3.15.0", "3.16.0", `["--web.config.file=w.yml"]`, []string{"external-url Look  => "}},
		"links that are given do not":              {"3.15.0", "3.16.0", `["--web.config.file=w.yml","--web.external-url=http://a"]`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			flags, err := ReadFlags([]byte(test.flags))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range check(t, test.from, test.to, flags, nil).Findings {
				if f.Rule == ruleRemovedFlag || f.Rule == ruleFeatureFlag || f.Rule == ruleExternalURL {
					got = append(got, strings.Join([]string{f.Rule, string(f.Severity), f.Old, "=>", f.New}, " "))
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", "{}", "null", "3", `{"data":3}`, "--a=b"} {
		if _, err := ReadFlags([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestNativeHistogramsByConfigurationNeedNoFeature(t *testing.T) {
	r := check(t, "3.8.0", "3.16.0", NewFlags([]string{"--enable-feature=native-histograms"}), map[string]string{
		"prometheus.yml": "global: {scrape_native_histograms: true}\nscrape_configs: []\n",
	})
	if len(r.Findings) > 0 {
		t.Errorf("%v", r.Findings)
	}
}

func TestQuantilesOfNativeHistogramsDiffer(t *testing.T) {
	flags := NewFlags([]string{"--enable-feature=native-histograms"})
	for expr, want := range map[string]int{
		"histogram_quantile(0.9, rate(x[5m]))":                      1,
		"histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))": 0,
	} {
		r := check(t, "2.42.0", "3.16.0", flags, map[string]string{"r.yml": alert(expr)})
		if got := len(found(r)); got != want {
			t.Errorf("%s: %v", expr, found(r))
		}
	}
	if r := check(t, "2.42.0", "3.16.0", nil, map[string]string{"r.yml": alert("histogram_quantile(0.9, rate(x[5m]))")}); len(found(r)) > 0 {
		t.Errorf("without the feature: %v", found(r))
	}
}
