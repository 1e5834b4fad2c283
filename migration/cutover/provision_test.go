package cutover

import (
	"strings"
	"testing"
)

const oldAddress, newAddress = "http://old:9090", "http://new:9090"

func wanted() wantedSource {
	return wantedSource{uid: "main", name: "Prom", old: oldAddress, new: newAddress}
}

func TestReplaceURL(t *testing.T) {
	for name, c := range map[string]struct{ text, wrong string }{
		"by uid":                           {"datasources:\n- uid: a\n  url: http://old:9090\n- uid: main\n  url: http://OLD # here\n", ""},
		"by name where there is no uid":    {"datasources:\n  - {name: Prom, url: 'http://OLD'}\n", ""},
		"with a slash at the end":          {"datasources:\n- uid: main\n  url: \"http://OLD/\"\n", ""},
		"in the second document":           {"a: b\n---\ndatasources:\n- uid: main\n  url: http://OLD\n", ""},
		"in a manifest":                    {"kind: ConfigMap\ndata:\n  other.yaml: |\n    datasources: []\n  ds.yaml: |-\n    # ours\n    datasources:\n      - uid: main\n        url: http://OLD  # x\nmetadata: {name: m}\n", ""},
		"in a manifest after blank lines":  {"kind: ConfigMap\ndata:\n  ds.yaml: |\n\n\n    datasources:\n    - uid: main\n      url: http://OLD\n", ""},
		"not of another name":              {"datasources:\n- {name: Prom, uid: x, url: 'http://old:9090'}\n", "no data source of this uid"},
		"not a variable":                   {"datasources:\n- {uid: main, url: $PROM}\n", "made of a variable, $PROM"},
		"not a third address":              {"datasources:\n- {uid: main, url: 'http://u:p@third'}\n", "url is http://u:xxxxx@third"},
		"not in a folded block":            {"kind: ConfigMap\ndata:\n  ds.yaml: >\n    datasources:\n\n    - {uid: main, url: http://old:9090}\n", "block of lines"},
		"not where there is no address":    {"datasources:\n- uid: main\n", "has no url"},
		"not where it stands twice":        {"datasources:\n- {uid: main, url: http://old:9090, old: http://old:9090}\n", "does not stand there once"},
		"not in another kind of manifest":  {"kind: Secret\ndata: {ds: x}\n", "no data source"},
		"not in an empty file":             {"", "no data source"},
		"not in something else than YAML":  {"a: [", "reading YAML"},
		"not where a list is no list":      {"datasources: {uid: main}\n", "no data source"},
		"not where the address is a list":  {"datasources:\n- {uid: main, url: [a]}\n", "no plain text"},
		"not where it is written escaped":  {"datasources:\n- {uid: main, url: \"http:\\x2f/old:9090\"}\n", "does not stand there"},
		"not where the mapping is aliased": {"x: &x {uid: main, url: http://old:9090}\ndatasources:\n- *x\n", "no data source"},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := replaceURL([]byte(strings.ReplaceAll(c.text, "http://OLD", oldAddress)), wanted())
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("%v; want %q", err, c.wrong)
				}
				return
			}
			want := strings.ReplaceAll(strings.ReplaceAll(c.text, "http://OLD/", newAddress), "http://OLD", newAddress)
			if err != nil || string(after) != want {
				t.Errorf("%v\n%s", err, after)
			}
		})
	}
}

func TestLineDiffShowsNoOtherLine(t *testing.T) {
	if got := lineDiff("f", []byte("password: a\n"), []byte("password: b\n")); got != "f differs from line 1 to line 1\n" {
		t.Errorf("%q", got)
	}
}

// FuzzReplaceURL: whatever the file, one line changes or nothing does.
func FuzzReplaceURL(f *testing.F) {
	f.Add("datasources:\n- uid: main\n  url: http://old:9090\n")
	f.Add("kind: ConfigMap\ndata:\n  ds.yaml: |\n    datasources:\n    - uid: main\n      url: http://old:9090\n")
	f.Add("datasources:\n- {name: Prom, url: 'http://old:9090'}\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		after, err := replaceURL([]byte(text), wanted())
		if err != nil {
			return
		}
		from, to := strings.Split(text, "\n"), strings.Split(string(after), "\n")
		if len(from) != len(to) {
			t.Fatalf("%d lines became %d", len(from), len(to))
		}
		changed := 0
		for i := range from {
			if from[i] != to[i] {
				changed++
			}
		}
		if changed > 1 {
			t.Fatalf("%d lines changed", changed)
		}
	})
}
