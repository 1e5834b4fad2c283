package doctor

import (
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/test/golden"
)

func printed(t *testing.T, r *Report, o PrintOptions) string {
	t.Helper()
	var b strings.Builder
	if err := Print(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPrint(t *testing.T) {
	ill := healthy()
	ill.Settings.Persistent = map[string]string{concurrentRecoveries: "50"}
	ill.Indices[2].Filters = map[string]string{"require._name": "gone-1"}
	ill.Unseen = []state.Unseen{{Part: state.PartSnapshots, Why: "403: no permission for cluster:admin/snapshot/get"}}
	golden.Check(t, "testdata/print.golden", printed(t, examine(t, ill, Options{}), PrintOptions{}))
	golden.Check(t, "testdata/print_all.golden", printed(t, examine(t, healthy(), Options{KeepDays: 30}), PrintOptions{All: true}))
}

// TestPrintObeysNoCluster: what a cluster calls its indices must reach neither the terminal nor the shell that a request is typed into.
func TestPrintObeysNoCluster(t *testing.T) {
	c := healthy()
	c.Name = "web\x1b[31m\u202e"
	c.Indices[5].Name = "a'$(reboot)"
	c.Indices[5].Filters = map[string]string{"require._name": "gone\x1b"}
	text := printed(t, examine(t, c, Options{KeepDays: 30}), PrintOptions{})
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("control characters are printed:\n%q", text)
	}
	for _, want := range []string{`"$URL"'/a%27$%28reboot%29/_settings'`, "web?[31m?  Elasticsearch"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing:\n%s", want, text)
		}
	}
	if got := shellQuoted("a'; reboot"); got != `'a'\''; reboot'` {
		t.Error(got)
	}
}

func TestRequestsCanBeTyped(t *testing.T) {
	q := Request{Method: "PUT", Path: "/a/_settings", Body: `{"b":null}`}
	for want, o := range map[string]PrintOptions{
		`curl -X PUT "$URL"'/a/_settings' -H 'Content-Type: application/json' -d '{"b":null}'`: {},
		`curl --cacert 'my ca.pem' -u ops -X PUT 'https://logs:9200/es/a/_settings' -H 'Content-Type: application/json' -d '{"b":null}'`: {
			URL: "https://logs:9200/es/", Curl: []string{"--cacert", "my ca.pem", "-u", "ops"}},
	} {
		if got := o.curl(q); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
