package cutover

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDataSourceKeepsEverythingButItsAddress looks at what is sent: secrets are not echoed by Grafana, and are kept if they are not sent.
func TestDataSourceKeepsEverythingButItsAddress(t *testing.T) {
	w := newStreet(t)
	before := maps.Clone(w.grafana.sources["main"])
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
	after := w.grafana.sources["main"]
	if text := differs(before, after); text != "" || after.text("url") != w.target.url {
		t.Errorf("%s differ; the address is %s", text, after.text("url"))
	}
	if w.grafana.secrets["main"] != "pass" {
		t.Error("the secrets were overwritten")
	}
	for _, put := range w.grafana.puts {
		if put["secureJsonData"] != nil || put["secureJsonFields"] != nil || put["version"] == nil {
			t.Errorf("it was sent %v", put)
		}
	}
}

func TestDataSourceChangedByTwo(t *testing.T) {
	w := newStreet(t)
	w.grafana.between = func(uid string) {
		if len(w.grafana.puts) == 0 {
			w.grafana.sources[uid] = maps.Clone(w.grafana.sources[uid])
			w.grafana.sources[uid]["version"], w.grafana.sources[uid]["name"] = json.Number("99"), "by somebody"
		}
	}
	_, err := w.run()
	if err == nil || !strings.Contains(err.Error(), "at the same moment") {
		t.Fatalf("a change of somebody else: %v", err)
	}
	for uid, d := range w.grafana.sources {
		if d.text("url") == w.target.url {
			t.Errorf("the address of %s was changed", uid)
		}
	}
}

func TestUnhealthyDataSourceGoesBackAtOnce(t *testing.T) {
	w := newStreet(t)
	w.grafana.healthy[w.target.url] = false
	if _, err := w.run(); ruleOf(err) != RuleDataSourceHealthy {
		t.Fatal(err)
	}
	var urls []string
	for _, put := range w.grafana.puts {
		urls = append(urls, put.text("url"))
	}
	if diff := cmp.Diff([]string{w.target.url, w.source.url}, urls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOldGrafanaIsAskedWithAQuery(t *testing.T) {
	w := newStreet(t)
	w.grafana.old = true
	if _, err := w.run(); err != nil {
		t.Fatal(err)
	}
}

func TestProvisionedDataSource(t *testing.T) {
	w := newStreet(t)
	w.grafana.sources["main"]["readOnly"] = true
	o := w.options()
	if _, err := Run(context.Background(), o); ruleOf(err) != RuleProvisioned || !strings.Contains(err.Error(), "name provisioningFile") {
		t.Fatal(err)
	}
	file := "# ours\ndatasources:\n- name: Prom main # people know it\n  uid: main\n  url: " + w.source.url + "   # the old one\n  secureJsonData: {basicAuthPassword: geheim}\n"
	w.write("ds.yaml", file)
	w.grafana.provisioned = w.dir + "/ds.yaml"
	o.Spec.Grafana[0].ProvisioningFile, o.Write = w.grafana.provisioned, false
	_, err := Run(context.Background(), o)
	if ruleOf(err) != RuleProvisioned || !strings.Contains(err.Error(), "@@ -5 +5 @@\n-  url: "+w.source.url) || strings.Contains(err.Error(), "geheim") {
		t.Fatal(err)
	}
	if w.read("ds.yaml") != file {
		t.Fatal("it was written without --write")
	}
	o.Write = true
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(file, w.source.url, w.target.url, 1); w.read("ds.yaml") != want || w.grafana.sources["main"].text("url") != w.target.url {
		t.Errorf("%s", w.read("ds.yaml"))
	}
	if _, err := Rollback(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if w.read("ds.yaml") != file || w.grafana.sources["main"].text("url") != w.source.url {
		t.Errorf("%s", w.read("ds.yaml"))
	}
}

// TestProvisionedByAPerson is a file that is out of our reach: the change is told, made by hand, and seen.
func TestProvisionedByAPerson(t *testing.T) {
	w := newStreet(t)
	w.grafana.sources["main"]["readOnly"], w.grafana.sources["main"]["url"] = true, w.target.url
	w.grafana.sources["other"]["url"] = w.target.url
	o := w.options()
	o.Spec.Grafana[0].DataSourceUIDs = []string{"main"}
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := Rollback(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if got := w.grafana.sources["main"].text("url"); got != w.target.url {
		t.Errorf("the rollback changed what we did not: %s", got)
	}
}
