package cutover

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// street is a whole world of servers of our own, which answer as the documents of the real ones say. Grafana is in no registry of programs,
// so this is the only Grafana that these tests see; the hand-over with real Prometheus and Alertmanager servers is TestHandOverTellsPeopleOnce.
type street struct {
	t              *testing.T
	dir            string
	source, target *fakePrometheus
	manager        *fakeAlertmanager
	grafana        *fakeGrafana
	managerURL     string
	grafanaURL     string
	spec           string

	mu   sync.Mutex
	time time.Time
}

const managedPart = `
# who is called
alerting:
  alertmanagers:
  - static_configs: [{targets: [MANAGER]}]
    basic_auth: {username: u, password: geheim}
remote_write:
- url: http://archive/write
# the end
`

func newStreet(t *testing.T) *street {
	t.Helper()
	w := &street{t: t, dir: t.TempDir(), time: time.Unix(1_700_000_000, 0)}
	w.manager = &fakeAlertmanager{street: w}
	w.managerURL = w.serve(w.manager)
	part := strings.ReplaceAll(managedPart, "MANAGER", strings.TrimPrefix(w.managerURL, "http://"))
	common := "# ours\nglobal: {evaluation_interval: 1s, external_labels: {site: north}}\n"
	w.source, w.target = w.prometheus("source.yml", common+part), w.prometheus("target.yml", common)
	w.grafana = &fakeGrafana{token: "t0ken", healthy: map[string]bool{w.source.url: true, w.target.url: true}, sources: map[string]dataSource{}}
	for _, uid := range []string{"main", "other"} {
		w.grafana.add(uid, w.source.url, false)
	}
	w.grafana.add("logs", "http://loki:3100", false)
	w.grafana.sources["logs"]["type"] = "loki"
	w.grafanaURL = w.serve(http.StripPrefix("/grafana", w.grafana)) + "/grafana"
	w.write("token", "t0ken\n")
	w.spec = fmt.Sprintf(`source: {url: %q, configFile: source.yml, reloadBy: HTTP}
target: {url: %q, configFile: target.yml, reloadBy: HTTP}
grafana:
- {url: %q, tokenFile: token, orgID: 7}
alerting: {}
remoteWrite: {}
`, w.source.url, w.target.url, w.grafanaURL)
	return w
}

func (w *street) serve(h http.Handler) string {
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	return s.URL
}

func (w *street) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o640); err != nil {
		w.t.Fatal(err)
	}
}

func (w *street) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// now is a clock that goes on by a quarter of a second whenever somebody looks.
func (w *street) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(250 * time.Millisecond)
	return w.time
}

func (w *street) options() Options {
	w.t.Helper()
	spec, err := ReadSpec([]byte(w.spec), w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return Options{Spec: spec, StateDir: filepath.Join(w.dir, "state"), Approved: []string{StepSourceAlerting, StepSourceRemoteWrite}, Write: true,
		Patience: 20 * time.Second, Poll: time.Microsecond, Watch: time.Millisecond, now: w.now}
}

// shape is everything that a rollback must bring back.
func (w *street) shape() map[string]string {
	shape := map[string]string{"source.yml": w.read("source.yml"), "target.yml": w.read("target.yml"), "source": w.source.text(), "target": w.target.text()}
	w.grafana.mu.Lock()
	defer w.grafana.mu.Unlock()
	for uid, d := range w.grafana.sources {
		shape[uid] = d.text("url")
	}
	return shape
}

func (w *street) run() (*Report, error) { return Run(context.Background(), w.options()) }

func answer(out http.ResponseWriter, data any) {
	_ = json.NewEncoder(out).Encode(map[string]any{"status": "success", "data": data})
}

// fakePrometheus runs with what its file held at the last reload.
type fakePrometheus struct {
	street *street
	url    string
	file   string

	mu       sync.Mutex
	loaded   string
	failed   bool
	refuses  string // text that it does not load
	alerts   []alert
	rules    []alertingRule
	sent     float64
	requests float64
	names    []string
	instance string              // beside a
	vectors  map[string][]string // jobs with that instance, by the first word of a query
	mute     bool                // it loads the section and sends nothing
	silent   bool                // as one that was stopped
}

func (w *street) prometheus(file, text string) *fakePrometheus {
	w.write(file, text)
	p := &fakePrometheus{street: w, file: filepath.Join(w.dir, file), loaded: text, names: []string{"up", "prometheus_of_" + file}}
	p.alerts = []alert{{Labels: labels.FromStrings("alertname", "Broken", "severity", "page"), State: firing, ActiveAt: w.time}}
	p.rules = []alertingRule{{Name: "Broken", Query: "up == 0", Duration: 60, Labels: labels.FromStrings("severity", "page"), Health: "ok"}}
	p.url = w.serve(p)
	return p
}

func (p *fakePrometheus) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded
}

func (p *fakePrometheus) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *fakePrometheus) sends() bool { return strings.Contains(p.loaded, "\nalerting:") && !p.mute }

func (p *fakePrometheus) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent {
		http.Error(out, "nobody is here", http.StatusBadGateway)
		return
	}
	switch r.URL.Path {
	case "/-/ready":
	case "/-/reload":
		data, err := os.ReadFile(p.file)
		if p.failed = err != nil || p.refuses != "" && strings.Contains(string(data), p.refuses); p.failed {
			http.Error(out, "failed to reload config", http.StatusInternalServerError)
			return
		}
		p.loaded = string(data)
	case "/api/v1/status/config":
		answer(out, map[string]string{"yaml": p.loaded})
	case "/api/v1/status/flags":
		answer(out, map[string]string{"rules.alert.resend-delay": "1s", "storage.tsdb.path": "/data"})
	case "/api/v1/alertmanagers":
		active := []map[string]string{}
		if strings.Contains(p.loaded, "\nalerting:") {
			active = append(active, map[string]string{"url": p.street.managerURL + "/api/v2/alerts"})
		}
		answer(out, map[string]any{"activeAlertmanagers": active})
	case "/api/v1/alerts":
		answer(out, map[string]any{"alerts": p.alerts})
	case "/api/v1/rules":
		answer(out, map[string]any{"groups": []any{map[string]any{"rules": p.rules}}})
	case "/api/v1/query":
		result := []any{}
		word, _, _ := strings.Cut(r.FormValue("query"), " ")
		for _, job := range p.vectors[word] {
			result = append(result, map[string]any{"metric": map[string]string{"job": job, "instance": p.instance}, "value": []any{1, "1"}})
		}
		answer(out, map[string]any{"resultType": "vector", "result": result})
	case "/metrics":
		p.metrics(out)
	default:
		if strings.HasPrefix(r.URL.Path, "/api/v1/label/") {
			names := []string{"a"}
			if strings.Contains(r.URL.Path, "__name__") {
				names = p.names
			}
			if strings.Contains(r.URL.Path, "instance") && p.instance != "" {
				names = append(names, p.instance)
			}
			answer(out, names)
			return
		}
		http.NotFound(out, r)
	}
}

func (p *fakePrometheus) metrics(out io.Writer) {
	if p.sends() {
		p.sent += float64(len(p.alerts))
		p.street.manager.hear(p)
	}
	p.requests += map[bool]float64{true: 1}[p.requests > 0]
	fmt.Fprintln(out, "process_start_time_seconds 1.7e+09")
	fmt.Fprintf(out, "prometheus_config_last_reload_successful %d\n", map[bool]int{false: 1}[p.failed])
	fmt.Fprintf(out, "prometheus_notifications_sent_total{alertmanager=%q} %g\n", p.street.managerURL+"/api/v2/alerts", p.sent)
	fmt.Fprintf(out, "prometheus_notifications_errors_total{alertmanager=%q} 0\nprometheus_notifications_dropped_total 0\n", p.street.managerURL)
	fmt.Fprintf(out, "prometheus_http_requests_total{code=\"200\",handler=\"/api/v1/query_range\"} %g\n", p.requests)
	if strings.Contains(p.loaded, "\nremote_write:") {
		fmt.Fprintln(out, "prometheus_remote_storage_samples_total{remote_name=\"a\",url=\"http://archive/write\"} 12\nprometheus_remote_storage_bytes_total{remote_name=\"a\"} 400")
	}
}

type fakeAlertmanager struct {
	street *street
	mu     sync.Mutex
	held   map[string]heldAlert
}

// hear takes what a server sends; the caller holds the server's lock.
func (m *fakeAlertmanager) hear(p *fakePrometheus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = map[string]heldAlert{}
	}
	s, err := parseSettings([]byte(p.loaded))
	if err != nil {
		return
	}
	for _, a := range p.alerts {
		for _, ls := range newSender(s, s.Alerting).sent(a.Labels) {
			m.held[ls.String()] = heldAlert{Labels: ls, UpdatedAt: p.street.now()}
		}
	}
}

func (m *fakeAlertmanager) ServeHTTP(out http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []heldAlert{}
	for _, a := range m.held {
		list = append(list, a)
	}
	_ = json.NewEncoder(out).Encode(list)
}

// fakeGrafana enforces what the documented API of Grafana 9 to 12 does (pkg/api/datasources.go, pkg/services/datasources/service/store.go).
type fakeGrafana struct {
	token string

	mu      sync.Mutex
	sources map[string]dataSource
	secrets map[string]string
	healthy map[string]bool
	// between is called after a data source was read, as somebody else who works at the same time.
	between func(uid string)
	// provisioned is read when an administrator asks for it.
	provisioned string
	puts        []dataSource
	old         bool // before 9.0: no health
}

func (g *fakeGrafana) add(uid, url string, readOnly bool) {
	g.sources[uid] = dataSource{"id": json.Number("4"), "uid": uid, "orgId": json.Number("7"), "name": "Prom " + uid, "type": "prometheus", "access": "proxy", "url": url,
		"basicAuth": true, "basicAuthUser": "u", "isDefault": uid == "main", "jsonData": map[string]any{"httpMethod": "POST", "n": json.Number("12345678901234567890")},
		"secureJsonFields": map[string]any{"basicAuthPassword": true}, "version": json.Number("3"), "readOnly": readOnly}
	if g.secrets == nil {
		g.secrets = map[string]string{}
	}
	g.secrets[uid] = "pass"
}

func (g *fakeGrafana) say(out http.ResponseWriter, code int, message string) {
	out.WriteHeader(code)
	_ = json.NewEncoder(out).Encode(map[string]string{"message": message})
}

func (g *fakeGrafana) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+g.token || r.Header.Get("X-Grafana-Org-Id") != "7" {
		g.say(out, http.StatusUnauthorized, "Unauthorized")
		return
	}
	if r.URL.Path == "/api/datasources" {
		list := []dataSource{}
		for _, d := range g.sources {
			list = append(list, d)
		}
		_ = json.NewEncoder(out).Encode(list)
		return
	}
	if r.URL.Path == "/api/admin/provisioning/datasources/reload" {
		g.reload(out)
		return
	}
	uid, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/datasources/uid/"), "/")
	d, ok := g.sources[uid]
	switch {
	case rest == "health" && ok && !g.old:
		if !g.healthy[d.text("url")] {
			out.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(out).Encode(map[string]string{"status": "ERROR", "message": "connection refused"})
			return
		}
		_ = json.NewEncoder(out).Encode(map[string]string{"status": "OK", "message": "Successfully queried the Prometheus API."})
	case !ok || rest != "":
		if p, found := strings.CutPrefix(r.URL.Path, "/api/datasources/proxy/uid/"); found && g.old {
			if p, _, _ = strings.Cut(p, "/"); g.healthy[g.sources[p].text("url")] {
				return
			}
		}
		g.say(out, http.StatusNotFound, "Data source not found")
	case r.Method == http.MethodPut:
		g.put(out, r, uid, d)
	default:
		_ = json.NewEncoder(out).Encode(d)
		if g.between != nil {
			g.between(uid)
		}
	}
}

func (g *fakeGrafana) put(out http.ResponseWriter, r *http.Request, uid string, d dataSource) {
	var sent dataSource
	dec := json.NewDecoder(r.Body)
	dec.UseNumber()
	if err := dec.Decode(&sent); err != nil || sent.text("name") == "" || sent.text("type") == "" || sent.text("access") == "" {
		g.say(out, http.StatusBadRequest, "bad request data")
		return
	}
	g.puts = append(g.puts, maps.Clone(sent))
	version, _ := sent["version"].(json.Number)
	has, _ := d["version"].(json.Number)
	sentVersion, _ := version.Int64()
	hasVersion, _ := has.Int64()
	switch {
	case d.readOnly():
		g.say(out, http.StatusForbidden, "Cannot update read-only data source")
	case version != "" && hasVersion > sentVersion:
		g.say(out, http.StatusConflict, "Datasource has already been updated by someone else. Please reload and try again")
	default:
		if sent["secureJsonData"] != nil {
			g.secrets[uid] = fmt.Sprint(sent["secureJsonData"])
		}
		for k, v := range d { // what the command does not know is not stored
			if k == "id" || k == "orgId" || k == "secureJsonFields" || k == "readOnly" {
				sent[k] = v
			}
		}
		sent["version"] = json.Number(fmt.Sprint(hasVersion + 1))
		delete(g.sources, uid)
		g.sources[sent.text("uid")] = sent
		_ = json.NewEncoder(out).Encode(map[string]any{"message": "Datasource updated"})
	}
}

// reload reads url lines after uid lines; that is all that the files of these tests have.
func (g *fakeGrafana) reload(out http.ResponseWriter) {
	data, err := os.ReadFile(g.provisioned)
	if err != nil {
		g.say(out, http.StatusForbidden, "Permission denied")
		return
	}
	uid := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "- "))
		if v, ok := strings.CutPrefix(line, "uid: "); ok {
			uid = v
		}
		if v, ok := strings.CutPrefix(line, "url: "); ok && g.sources[uid] != nil {
			v, _, _ = strings.Cut(v, " ")
			g.sources[uid]["url"] = v
		}
	}
}
