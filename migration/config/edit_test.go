package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEdits(t *testing.T) {
	rule := map[string]string{"target_label": "instance", "replacement": "new:9090"}
	cases := []struct {
		name string
		edit func(*File) (*File, error)
		want string // lines that went and came
	}{
		{"a key is added to global", func(f *File) (*File, error) { return f.SetKey(Path{"global"}, "metric_name_validation_scheme", "legacy") },
			"+  metric_name_validation_scheme: legacy\n"},
		{"a key is written anew", func(f *File) (*File, error) {
			return f.SetKey(Path{"global"}, "external_labels", map[string]string{"cluster": "on", "x": "$$"})
		}, "-    cluster: \"shop\"   # see the wiki\n+    cluster: \"on\"\n+    x: $$\n"},
		{"a key is added deeper", func(f *File) (*File, error) { return f.SetKey(Path{"global", "external_labels"}, "b", "c") },
			"+    b: c\n"},
		{"a key is added to a job", func(f *File) (*File, error) {
			return f.SetKey(Path{"scrape_configs", 0}, "fallback_scrape_protocol", "PrometheusText0.0.4")
		}, "+  fallback_scrape_protocol: PrometheusText0.0.4\n"},
		{"a list is made", func(f *File) (*File, error) { return f.Append(Path{"scrape_configs", 0, "relabel_configs"}, rule) },
			"+  relabel_configs:\n+    - replacement: new:9090\n+      target_label: instance\n"},
		{"an item is added to a list", func(f *File) (*File, error) { return f.Append(Path{"scrape_configs", 1, "relabel_configs"}, rule) },
			"+  - replacement: new:9090\n+    target_label: instance\n"},
		{"a section with a list is made", func(f *File) (*File, error) {
			return f.Append(Path{"remote_read"}, map[string]any{"url": "http://127.0.0.1:9091/api/v1/read"})
		}, "+remote_read:\n+  - url: http://127.0.0.1:9091/api/v1/read\n"},
		{"a key gets another name", func(f *File) (*File, error) {
			return f.Rename(Path{"scrape_configs", 1, "scrape_classic_histograms"}, "always_scrape_classic_histograms")
		}, "-  scrape_classic_histograms: true\n+  always_scrape_classic_histograms: true\n"},
		{"a text gets another value", func(f *File) (*File, error) {
			return f.SetText(Path{"alerting", "alertmanagers", 0, "api_version"}, "v2")
		}, "-  - api_version: v1\n+  - api_version: v2\n"},
		{"a quoted text in a list of one line gets another value", func(f *File) (*File, error) {
			return f.SetText(Path{"alerting", "alertmanagers", 0, "static_configs", 0, "targets", 0}, "am3:9093")
		}, "-    static_configs: [{targets: [\"am1:9093\", am2:9093]}]\n+    static_configs: [{targets: [am3:9093, am2:9093]}]\n"},
	}
	for variant, text := range variants(odd) {
		for _, c := range cases {
			t.Run(c.name+" "+variant, func(t *testing.T) {
				f := parse(t, text)
				got, err := c.edit(f)
				if err != nil {
					t.Fatal(err)
				}
				want := c.want
				if variant == "indented" {
					want = strings.ReplaceAll(strings.ReplaceAll(want, "+", "+  "), "-  ", "-    ")
					want = strings.ReplaceAll(want, "-  - api", "-    - api")
				}
				if diff := changed(string(f.Bytes()), string(got.Bytes())); variant != "indented" && diff != want {
					t.Errorf("%s", cmp.Diff(want, diff))
				}
			})
		}
	}
}

// changed are the lines that went and that came, without their ends.
func changed(before, after string) string {
	trim := func(text string) []string {
		return strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	}
	b, a := trim(before), trim(after)
	for len(b) > 0 && len(a) > 0 && b[0] == a[0] {
		b, a = b[1:], a[1:]
	}
	for len(b) > 0 && len(a) > 0 && b[len(b)-1] == a[len(a)-1] {
		b, a = b[:len(b)-1], a[:len(a)-1]
	}
	var out strings.Builder
	for _, line := range b {
		out.WriteString("-" + line + "\n")
	}
	for _, line := range a {
		out.WriteString("+" + line + "\n")
	}
	return out.String()
}

func TestEditsRefuse(t *testing.T) {
	const text = `global: &g {scrape_interval: 15s}
other: *g
scrape_configs:
- job_name: a
  relabel_configs: &common
  - {target_label: a}
- job_name: b
  relabel_configs: *common
- job_name: c
  relabel_configs: [{target_label: a}]
- job_name: >
    folded
- {job_name: d}
x: &x
  a: 1
y: *x
`
	cases := []struct {
		name string
		edit func(*File) (*File, error)
		want string
	}{
		{"a mapping in braces", func(f *File) (*File, error) { return f.SetKey(Path{"global"}, "a", "b") }, "setting global.a: prometheus.yml:1: global stands in brackets"},
		{"an alias", func(f *File) (*File, error) { return f.Append(Path{"scrape_configs", 1, "relabel_configs"}, "x") },
			"prometheus.yml:8: scrape_configs[1].relabel_configs is *common; write it out"},
		{"a list that another job uses", func(f *File) (*File, error) { return f.Append(Path{"scrape_configs", 0, "relabel_configs"}, "x") },
			"prometheus.yml:5: scrape_configs[0].relabel_configs has the anchor &common"},
		{"a mapping that another job uses", func(f *File) (*File, error) { return f.SetKey(Path{"x"}, "b", "c") },
			"prometheus.yml:16: the edit would change section y into something else"},
		{"a list in brackets", func(f *File) (*File, error) { return f.Append(Path{"scrape_configs", 2, "relabel_configs"}, "x") },
			"prometheus.yml:10: scrape_configs[2].relabel_configs stands in brackets"},
		{"a job that is not there", func(f *File) (*File, error) { return f.SetKey(Path{"scrape_configs", 7}, "a", "b") }, "there is no scrape_configs[7]"},
		{"a job in braces", func(f *File) (*File, error) { return f.SetKey(Path{"scrape_configs", 4}, "a", "b") }, "prometheus.yml:13: scrape_configs[4] stands in brackets"},
		{"a text of several lines", func(f *File) (*File, error) { return f.SetText(Path{"scrape_configs", 3, "job_name"}, "x") }, "prometheus.yml:11: the text does not stand in one line"},
		{"a key that is not there", func(f *File) (*File, error) { return f.Rename(Path{"global", "x"}, "y") }, "renaming global.x to y: prometheus.yml: there is no such key"},
		{"a name that is there already", func(f *File) (*File, error) { return f.Rename(Path{"other"}, "global") }, "global stands in line 1 already"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.edit(parse(t, text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
