package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// variants are ways to write the same file.
func variants(text string) map[string]string {
	return map[string]string{
		"as it is": text, "with line ends of Windows": strings.ReplaceAll(text, "\n", "\r\n"), "with a byte order mark": "\ufeff" + text,
		"without an end of the last line": strings.TrimRight(text, "\n"), "after a marker": "---\n" + text, "before a marker": text + "...\n",
		"indented": "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n",
	}
}

func TestTakeOutAndPutBackIsTheSameFile(t *testing.T) {
	for name, text := range variants(odd) {
		f := parse(t, text)
		for _, section := range f.Sections() {
			t.Run(section+" "+name, func(t *testing.T) {
				without, taken, err := f.TakeOut(section)
				if err != nil {
					t.Fatal(err)
				}
				if without.Has(section) || strings.Contains(string(without.Bytes()), taken.Text) {
					t.Errorf("it is still there:\n%s", without.Bytes())
				}
				with, err := without.PutBack(taken)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(text, string(with.Bytes())); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestTakeOutKeepsComments(t *testing.T) {
	without, taken, err := parse(t, odd).TakeOut("alerting")
	if err != nil {
		t.Fatal(err)
	}
	want := "alerting:\n  alertmanagers:\n  - api_version: v1\n    static_configs: [{targets: [\"am1:9093\", am2:9093]}]\n  # no third one\n"
	if diff := cmp.Diff(want, taken.Text); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(without.Bytes()), "# Pair of Alertmanagers in rack 3.\n\nrule_files:") {
		t.Errorf("%s", without.Bytes())
	}
}

func TestPutBackIntoAChangedFile(t *testing.T) {
	const before = "global: {}\n# alerts\nalerting: {}\n\nscrape_configs: []\n"
	cases := []struct {
		name, now, want string
	}{
		{"behind the section that it followed", "global: {a: b}\n# new\nscrape_configs: []\n", "global: {a: b}\nalerting: {}\n# new\nscrape_configs: []\n"},
		{"at the end when that section is gone", "scrape_configs: []", "scrape_configs: []\nalerting: {}\n"},
		{"at its place when a section came before", "x: 1\nglobal: {}\n# alerts\n\nscrape_configs: []\n", "x: 1\nglobal: {}\n# alerts\nalerting: {}\n\nscrape_configs: []\n"},
	}
	_, taken, err := parse(t, before).TakeOut("alerting")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(t, c.now).PutBack(taken)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got.Bytes())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSectionRefusals(t *testing.T) {
	const shared = "a: &x {k: v}\nb: *x\nc: {}\n"
	_, taken, err := parse(t, "z: &x {k: v}\n"+"alerting: *x\n").TakeOut("alerting")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		edit func() error
		want string
	}{
		{"nothing to take out", func() error { _, _, err := parse(t, shared).TakeOut("alerting"); return err }, "prometheus.yml: taking out section alerting: there is none"},
		{"others use its anchor", func() error { _, _, err := parse(t, shared).TakeOut("a"); return err }, "prometheus.yml:2: section b uses *x, which stands in section a in line 1"},
		{"others use the anchor of what is replaced", func() error { _, err := parse(t, shared).Replace("a", "a: {}\n"); return err }, "prometheus.yml:2: section b uses *x"},
		{"somebody put one there", func() error { _, err := parse(t, "\nalerting: {}\n").PutBack(taken); return err }, "prometheus.yml:2: putting back section alerting: somebody put one there"},
		{"its anchor is gone", func() error { _, err := parse(t, "z: {}\n").PutBack(taken); return err }, "putting back section alerting: prometheus.yml: reading YAML: unknown anchor 'x'"},
		{"its anchor means something else", func() error { _, err := parse(t, "z: &x {k: w}\n").PutBack(taken); return err }, "it would mean something else than before"},
		{"a text with another section", func() error { _, err := parse(t, shared).Replace("c", "c: {}\nd: {}\n"); return err }, `the text holds sections ["c" "d"]`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := c.edit(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	cases := []struct {
		name, text, section, new, want string
	}{
		{"in its place", "a: 1\n# b\nb:\n- x\n# c\nc: 3\n", "b", "b: {y: 2}\n", "a: 1\n# b\nb: {y: 2}\n# c\nc: 3\n"},
		{"at the end", "a: 1", "b", "b: 2", "a: 1\nb: 2\n"},
		{"before the marker at the end", "a: 1\n...\n", "b", "b: 2\n", "a: 1\nb: 2\n...\n"},
		{"into an empty file", "# none\n", "b", "b: 2\n", "# none\nb: 2\n"},
		{"with the file's indentation and line ends", "  a: 1\r\n", "b", "b:\n  c: 2\n", "  a: 1\r\n  b:\r\n    c: 2\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(t, c.text).Replace(c.section, c.new)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got.Bytes())); diff != "" {
				t.Error(diff)
			}
		})
	}
}
