package grafana

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const provisioned = `apiVersion: 1
# the shop's own
datasources:
  - name: Prometheus
    uid: prom
    type: prometheus
    url: "http://localhost:9090" # next to it
    basicAuthPassword: hunter2
    secureJsonData: {basicAuthPassword: hunter2}
  - {name: Other, uid: other, type: prometheus, url: http://other:9090}
  - name: Variable
    type: prometheus
    url: http://$PROM_HOST:9090
  - name: Loki
    type: loki
    url: http://127.0.0.1:3100
`

func TestProvisioningIsTurnedInOneLine(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "datasources", "all.yaml")
	write(t, file, provisioned)
	write(t, filepath.Join(dir, "datasources", "notes.txt"), "url: http://localhost:9090")
	got, err := turnProvisioning(dir, oldPrometheus, usersService)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Replace(provisioned, `"http://localhost:9090"`, `"`+usersService+`"`, 1), read(t, file)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := turned{sources: []string{"Prometheus (prom, organisation 1)"}, others: []string{"Other (other, organisation 1) at http://other:9090"},
		loopback: []string{"Loki (, organisation 1) at http://127.0.0.1:3100"}, variables: []string{"Variable"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(turned{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	before := read(t, file)
	if again, err := turnProvisioning(dir, oldPrometheus, usersService); err != nil || len(again.sources) != 1 || read(t, file) != before {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestProvisioningThatCannotBeReadTellsNoSecret(t *testing.T) {
	for name, text := range map[string]string{
		"is no YAML":             "datasources:\n  - password: hunter2\n bad: [",
		"has it twice on a line": "datasources: [{type: prometheus, url: http://localhost:9090, password: 'hunter2 http://localhost:9090'}]\n",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "datasources", "x.yml"), text)
		_, err := turnProvisioning(dir, oldPrometheus, usersService)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "x.yml") {
			t.Errorf("one that %s: %v", name, err)
		}
	}
}

func TestDashboardFoldersAreFound(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "dashboards", "shop.yaml"), "providers:\n  - {name: a, type: file, options: {path: /var/lib/grafana/dashboards/}}\n  - {name: b, options: {folder: /srv/old}}\n  - {name: c}\n")
	got, err := dashboardDirs(dir)
	if diff := cmp.Diff([]string{"/var/lib/grafana/dashboards", "/srv/old"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// FuzzTurnFile: no file makes it panic, and what it gives is turned already.
func FuzzTurnFile(f *testing.F) {
	for _, seed := range []string{provisioned, "datasources: [1, {url: [x]}]", "---\n---\ndatasources:\n- url: http://localhost:9090\n  type: prometheus\n", "&a [*a]", "datasources: {url: 1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		after, first, err := turnFile(data, oldPrometheus, usersService)
		if err != nil {
			return
		}
		again, second, err := turnFile(after, oldPrometheus, usersService)
		if err != nil || string(again) != string(after) || len(first.sources) != len(second.sources) {
			t.Errorf("turned again: %v\n%q\n%q", err, after, again)
		}
	})
}
