package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestPrometheusGrafana is a golden file of what a person sees who compares, or brings, by hand.
func TestPrometheusGrafana(t *testing.T) {
	serve := func(version string, dashboards ...string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			list := []map[string]string{}
			var answer any = list
			switch {
			case r.URL.Path == "/api/health":
				answer = map[string]string{"database": "ok", "version": version}
			case r.Header.Get("Authorization") != "Bearer glsa_1":
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path == "/api/org":
				answer = map[string]any{"id": 1, "name": "Main Org."}
			case r.URL.Path == "/api/search" && r.URL.Query().Get("type") == "dash-db":
				for _, d := range dashboards {
					list = append(list, map[string]string{"uid": d, "title": d})
				}
				answer = list
			}
			_ = json.NewEncoder(w).Encode(answer)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	old, now, lacks := serve("11.2.0", "shop", "nodes"), serve("12.0.0", "shop", "nodes"), serve("12.0.0", "shop")
	rest := " --credentials admin --source http://monitor:9090 --users http://prometheus.monitoring.svc:9090 --wait 0s"
	transcript{
		golden: "prometheus_grafana", files: map[string]string{"admin/token": "glsa_1\n", "wrong/token": "x\n", "none/x": "", "key": testKey(t, "")},
		steps: []step{
			{name: "finds both equal", line: "prometheus grafana compare --old " + old + " --new " + now + rest},
			{name: "finds both equal, for programs", line: "prometheus grafana compare -o json --old " + old + " --new " + now + rest},
			{name: "names what the new one lacks", line: "prometheus grafana compare --old " + old + " --new " + lacks + rest},
			{name: "lets a rule pass", line: "prometheus grafana compare --override grafana_dashboards_equal --old " + old + " --new " + lacks + rest},
			{name: "knows the rules that may be let pass", line: "prometheus grafana compare --override grafana_answers --old " + old + " --new " + lacks + rest},
			{name: "says who may not look", line: "prometheus grafana compare --old " + old + " --new " + now + " --credentials wrong --source http://monitor:9090 --users http://p:9090 --wait 0s"},
			{name: "finds no credentials", line: "prometheus grafana compare --old " + old + " --new " + now + " --credentials none --source http://monitor:9090 --users http://p:9090"},
			{name: "needs an address to bring from", line: "prometheus grafana bring data --source http://monitor:9090 --users http://p:9090"},
			{name: "needs a key to bring", line: "prometheus grafana bring data --from ssh://root@monitor/var/lib/grafana --source http://monitor:9090 --users http://p:9090"},
			{name: "needs the host's key to bring", line: "prometheus grafana bring data --from ssh://root@monitor/var/lib/grafana --ssh-key key --known-hosts none/x --source http://monitor:9090 --users http://p:9090"},
			{name: "never lets a database pass that is not whole", line: "prometheus grafana bring data --from ssh://root@monitor/g --override grafana_database_is_whole --source http://monitor:9090 --users http://p:9090"},
		},
	}.test(t)
}
