package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	cases := []struct {
		name, text string
		sections   string
	}{
		{"an empty file has no sections", "", ""},
		{"comments alone have no sections", "# nothing yet\n", ""},
		{"sections keep their order", odd, "global alerting rule_files scrape_configs remote_write"},
		{"a marker before the document is one", "---\nglobal: {}\n", "global"},
		{"a directive and a marker after it are fine", "%YAML 1.1\n---\nglobal: {}\n...\n# done\n", "global"},
		{"a byte order mark is skipped", "\ufeffglobal: {}\nalerting: {}\n", "global alerting"},
		{"sections may be indented", "  global: {}\n  alerting: {}\n", "global alerting"},
		{"line ends of Windows are lines", "global: {}\r\nalerting: {}\r\n", "global alerting"},
		{"a last line needs no end", "global: {}\nalerting: {}", "global alerting"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := parse(t, c.text)
			if got := strings.Join(f.Sections(), " "); got != c.sections {
				t.Errorf("sections %q, want %q", got, c.sections)
			}
			if diff := cmp.Diff(c.text, string(f.Bytes())); diff != "" {
				t.Errorf("other bytes:\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	deep := "a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n"
	bomb := "a: &a [1,2,3,4,5,6,7,8,9]\n"
	for _, n := range []string{"b", "c", "d", "e", "f", "g", "h"} {
		last := string(n[0] - 1)
		bomb += n + ": &" + n + " [" + strings.Repeat("*"+last+",", 9) + "]\n"
	}
	cases := []struct {
		name, text, want string
	}{
		{"sections in braces", "{global: {}}\n", "prometheus.yml:1: the sections stand in braces"},
		{"a list", "- a\n", "prometheus.yml:1: the file is no mapping"},
		{"a second document", "global: {}\n---\nalerting: {}\n", "prometheus.yml:2: there is a second document"},
		{"a section that comes twice", "global: {}\nalerting: {}\nglobal: {}\n", "prometheus.yml:3: global stands in line 1 already"},
		{"a key that comes twice further down", "global:\n  a: 1\n  a: 2\n", "prometheus.yml:3: a stands in line 2 already"},
		{"a tab as indentation", "global:\n\ta: 1\n", "found character that cannot start any token"},
		{"sections merged in", "x: &x {a: 1}\n<<: *x\n", "prometheus.yml:2: sections are merged in"},
		{"a name of several parts", "? [a, b]\n: 1\n", "a key is no plain text"},
		{"a name behind a question mark", "? global\n: {}\n", "prometheus.yml:1: a section does not begin with its name"},
		{"a lone carriage return", "global: {}\n#\rx\n", "prometheus.yml:2: a carriage return stands alone"},
		{"a line separator of Unicode", "global: {}\n# a\u2028b\n", "prometheus.yml:2: it holds U+2028"},
		{"other text than UTF-8", "global: {a: \xff}\n", "it is no UTF-8"},
		{"deep nesting", deep, "nested deeper than 100"},
		{"a bomb of aliases", bomb, "more than 500000 values"},
		{"an unknown alias", "a: *b\n", "unknown anchor 'b' referenced"},
		{"a file that is too large", strings.Repeat("#", maxBytes+1), "16777217 bytes are more than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("prometheus.yml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if r := (*Refusal)(nil); !errors.As(err, &r) {
				t.Errorf("%T is no refusal", err)
			}
		})
	}
}
