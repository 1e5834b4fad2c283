package grafana

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-dev/slipway/migration/server"
)

const (
	oldPrometheus = "http://198.18.0.21:9090"
	usersService  = "http://prometheus.monitoring.svc:9090"
)

// schema are the tables of Grafana that are looked at, with the columns that are (pkg/services/sqlstore/migrations).
const schema = `
CREATE TABLE migration_log (id INTEGER PRIMARY KEY AUTOINCREMENT, migration_id TEXT);
CREATE TABLE org (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, login TEXT);
CREATE TABLE dashboard (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT, title TEXT, data TEXT);
CREATE TABLE data_source (id INTEGER PRIMARY KEY AUTOINCREMENT, org_id INTEGER, version INTEGER, type TEXT, name TEXT, url TEXT, uid TEXT, secure_json_data TEXT);
INSERT INTO data_source (org_id, version, type, name, url, uid, secure_json_data) VALUES
 (1, 1, 'prometheus', 'Prometheus', 'http://localhost:9090', 'prom', 'hunter2'),
 (1, 1, 'prometheus', 'By name', 'http://198.18.0.21:9090/', 'named', ''),
 (2, 1, 'prometheus', 'Elsewhere', 'http://other:9090', 'else', ''),
 (1, 1, 'loki', 'Loki', 'http://loki:3100', 'logs', '');
`

// newDatabase makes one such database; mode is its journal mode.
func newDatabase(t testing.TB, file, mode string) *sql.DB {
	t.Helper()
	dsn := url.URL{Scheme: "file", Path: file, RawQuery: "_pragma=busy_timeout(10000)&_pragma=journal_mode(" + mode + ")"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		t.Fatal(err)
	}
	return db
}

// addresses are those of the data sources of a database, by uid.
func addresses(t testing.TB, file string) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT uid, url FROM data_source")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var uid, at string
		if err := rows.Scan(&uid, &at); err != nil {
			t.Fatal(err)
		}
		all[uid] = at
	}
	return all
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fakeGrafana answers as the HTTP API of Grafana is documented. Grafana is in no registry of packages: the real one was not run.
type fakeGrafana struct {
	mu            sync.Mutex
	version       string
	database      string
	user, pass    string
	token         string
	users         int
	orgs          []*fakeOrg
	healthy       func(url string) bool
	rulesAreThere bool
	asked         int
}

type fakeOrg struct {
	id                         int64
	name                       string
	dashboards, folders, rules []string
	members                    []string
	sources                    []Source
}

// newShop is a Grafana with two organisations.
func newShop() *fakeGrafana {
	return &fakeGrafana{version: "11.2.0", database: "ok", user: "admin", pass: "s3cret", token: "glsa_1", users: 3, rulesAreThere: true, healthy: func(at string) bool { return at != "http://dead:9090" },
		orgs: []*fakeOrg{
			{id: 1, name: "Main Org.", dashboards: []string{"shop", "nodes"}, folders: []string{"ops"}, rules: []string{"r1"}, members: []string{"admin", "anna"},
				sources: []Source{{"prom", "Prometheus", "prometheus", "http://localhost:9090"}, {"logs", "Loki", "loki", "http://loki:3100"}}},
			{id: 2, name: "Team", dashboards: []string{"team"}, members: []string{"bob"}},
		}}
}

// moved is the one that has its data.
func moved() *fakeGrafana {
	g := newShop()
	g.version = "12.0.0"
	g.orgs[0].sources[0].URL = usersService
	return g
}

func (g *fakeGrafana) serve(t testing.TB) string {
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	return s.URL
}

// change does something to it while it runs.
func (g *fakeGrafana) change(do func(*fakeGrafana)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do(g)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func says(text string) any { return map[string]string{"message": text} }

func (g *fakeGrafana) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if r.URL.Path == "/api/health" {
		answer(w, http.StatusOK, map[string]string{"database": g.database, "version": g.version, "commit": "x"})
		return
	}
	user, pass, basic := r.BasicAuth()
	admin := basic && user == g.user && pass == g.pass
	if !admin && r.Header.Get("Authorization") != "Bearer "+g.token {
		answer(w, http.StatusUnauthorized, says("Unauthorized"))
		return
	}
	switch r.URL.Path {
	case "/api/orgs", "/api/users/search":
		g.ofTheServer(w, r, admin)
		return
	}
	org := g.orgs[0]
	if id := r.Header.Get("X-Grafana-Org-Id"); id != "" {
		for _, o := range g.orgs {
			if strconv.FormatInt(o.id, 10) == id {
				org = o
			}
		}
	}
	g.ofAnOrg(w, r, org)
}

func (g *fakeGrafana) ofTheServer(w http.ResponseWriter, r *http.Request, admin bool) {
	if !admin { // basic authentication alone
		answer(w, http.StatusForbidden, says("You'll need additional permissions to perform this action."))
		return
	}
	if r.URL.Path == "/api/users/search" {
		answer(w, http.StatusOK, map[string]int{"totalCount": g.users})
		return
	}
	orgs := []map[string]any{}
	if r.URL.Query().Get("page") == "0" {
		for _, o := range g.orgs {
			orgs = append(orgs, map[string]any{"id": o.id, "name": o.name})
		}
	}
	answer(w, http.StatusOK, orgs)
}

func (g *fakeGrafana) ofAnOrg(w http.ResponseWriter, r *http.Request, o *fakeOrg) {
	titled := func(uids []string) []map[string]string {
		all := []map[string]string{}
		for _, uid := range uids {
			all = append(all, map[string]string{"uid": uid, "title": "The " + uid})
		}
		return all
	}
	uid, health := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/datasources/uid/"), "/health")
	switch {
	case r.URL.Path == "/api/org":
		answer(w, http.StatusOK, map[string]any{"id": o.id, "name": o.name})
	case r.URL.Path == "/api/search":
		answer(w, http.StatusOK, titled(map[string][]string{"dash-db": o.dashboards, "dash-folder": o.folders}[r.URL.Query().Get("type")]))
	case r.URL.Path == "/api/org/users":
		all := []map[string]string{}
		for _, m := range o.members {
			all = append(all, map[string]string{"login": m, "role": "Viewer"})
		}
		answer(w, http.StatusOK, all)
	case r.URL.Path == "/api/datasources":
		answer(w, http.StatusOK, append([]Source{}, o.sources...))
	case r.URL.Path == "/api/v1/provisioning/alert-rules" && g.rulesAreThere:
		answer(w, http.StatusOK, titled(o.rules))
	case health:
		for _, s := range o.sources {
			if s.UID == uid && g.healthy(s.URL) {
				answer(w, http.StatusOK, map[string]string{"status": "OK", "message": "Successfully queried the Prometheus API."})
				return
			}
		}
		answer(w, http.StatusBadRequest, map[string]string{"status": "ERROR", "message": "connection refused"})
	default:
		answer(w, http.StatusNotFound, says("Not found"))
	}
}

// asAdmin and asToken log in.
func asAdmin(t testing.TB, at string) *Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, "s3cret\n")
	return client(t, server.Options{Name: "Grafana", URL: at, User: "admin", PasswordFile: file})
}

func asToken(t testing.TB, at string) *Client {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, "glsa_1\n")
	return client(t, server.Options{Name: "Grafana", URL: at, TokenFile: file})
}

func client(t testing.TB, o server.Options) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// told is a host that answers each folder with a tar that the test made.
type told struct {
	tars map[string]string // by the folder that is asked for
	code int
	err  error
}

func (h *told) Stream(_ context.Context, script string, out io.Writer) (int, string, error) {
	first, _, _ := strings.Cut(script, "\n")
	_, folder, _ := strings.Cut(first, "=")
	tar, there := h.tars[strings.Trim(folder, "'")]
	if h.err != nil || h.code != 0 || !there {
		return max(h.code, exitNoFolder), "", h.err
	}
	if _, err := io.WriteString(out, tar); err != nil {
		return 0, "", errors.Join(err, fmt.Errorf("nobody takes it"))
	}
	return 0, "slipway-way=sqlite\n", nil
}
