package survey

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/server"
)

// answers are what a real server said, by path; of queries by their text up to the first brace.
type answers map[string]json.RawMessage

// recorded reads the answers of a real server. Both were asked at one time: they scrape three targets, of which the newer one cannot reach
// one and does not know another.
func recorded(t testing.TB, version string) answers {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "prometheus-"+version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	a := answers{}
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// replace changes text of an answer.
func (a answers) replace(t testing.TB, path, from, to string) {
	t.Helper()
	if !strings.Contains(string(a[path]), from) {
		t.Fatalf("%s has no %s", path, from)
	}
	a[path] = json.RawMessage(strings.ReplaceAll(string(a[path]), from, to))
}

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Path
	if key == "/api/v1/query" {
		key, _, _ = strings.Cut(r.FormValue("query"), "{")
	}
	text, ok := a[key]
	if !ok {
		http.NotFound(w, r)
		return
	}
	var plain string
	if json.Unmarshal(text, &plain) == nil {
		text = json.RawMessage(plain)
	}
	_, _ = w.Write(text)
}

func (a answers) client(t testing.TB, name string) *server.Client {
	t.Helper()
	h := httptest.NewServer(a)
	t.Cleanup(h.Close)
	c, err := server.New(server.Options{Name: name, URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (a answers) observe(t testing.TB, name string) *Observation {
	t.Helper()
	o, err := Observe(t.Context(), a.client(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestObserveRealServers(t *testing.T) {
	type seen struct {
		Version, Started, Data, Keeps  string
		MinBlock, MaxBlock             int64
		Series                         int64
		Late                           int64
		Estimated                      bool
		Targets, Down, Groups          int
		Reach                          int64
		Alertmanagers, Writes, OnFlags []string
		Labels                         map[string]string
	}
	tests := map[string]seen{
		"2.42": {"2.42.0+ds", "2026-11-22", "/var/lib/prometheus/old/d", "180d", 7200, 162 * 3600, 727, 1800_000, true, 4, 0, 2, 30*86400 + 3600,
			[]string{"http://127.0.0.1:19093"}, []string{"http://127.0.0.1:19999/api/v1/write"}, []string{"lifecycle"}, map[string]string{"monitor": "vm"}},
		"3.16": {"3.16.0", "2026-11-22", "/var/lib/prometheus/new/d", "15d", 7200, 18 * 3600, 916, 0, false, 3, 1, 2, 30*86400 + 3600, nil, nil, nil, map[string]string{}},
	}
	for version, want := range tests {
		t.Run(version, func(t *testing.T) {
			o := recorded(t, version).observe(t, "source")
			got := seen{o.Version, o.StartedAt.Format(time.DateOnly), o.Flags.DataDir, o.Retention.Text, o.Flags.MinBlockSeconds, o.Flags.MaxBlockSeconds,
				o.Storage.Series, o.Config.OutOfOrderMillis, o.Storage.WALEstimated, len(o.Targets), 0, len(o.Groups), 0, o.Alertmanagers, o.Config.RemoteWrite, o.Flags.On, o.Config.ExternalLabels}
			for _, target := range o.Targets {
				if target.Health != "up" {
					got.Down++
				}
			}
			if rule, _, ok := longest(o.Groups); ok {
				got.Reach = rule.ReachSeconds
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if r := o.Storage.SamplesPerSecond; r < 100 || r > 1000 {
				t.Errorf("%v samples/s", r)
			}
			if o.Storage.WALBytes <= 0 {
				t.Errorf("%d bytes of log", o.Storage.WALBytes)
			}
			all, err := json.Marshal(o)
			if err != nil || strings.Contains(string(all), "secret") || strings.Contains(string(all), "hunter2") {
				t.Errorf("%v: %s", err, all)
			}
		})
	}
}

func TestObserveOldServers(t *testing.T) {
	old := answers{"/metrics": json.RawMessage(`"# HELP x\nprometheus_build_info{branch=\"x,version=\\\"\",version=\"1.8.2\"} 1\nprometheus_local_storage_memory_chunks 3\n"`)}
	if o := old.observe(t, "source"); o.Version != "1.8.2" || o.readable() {
		t.Errorf("%+v", o)
	}
	before214 := recorded(t, "2.42")
	for _, path := range []string{"buildinfo", "runtimeinfo"} {
		delete(before214, "/api/v1/status/"+path)
	}
	if o := before214.observe(t, "source"); o.Version != "2.42.0+ds" || o.Retention.Seconds != 180*86400 || o.StartedAt.IsZero() || o.Flags.DataDir != "old/d" {
		t.Errorf("%+v", o)
	}
}

func TestObserveRefusesWhatIsNoPrometheus(t *testing.T) {
	tests := map[string]struct {
		path, text, says string
	}{
		"another server":              {"/api/v1/status/buildinfo", `"<html>"`, "broken"},
		"metrics of another":          {"/metrics", `"go_goroutines 3\n"`, "is this the address of a Prometheus server?"},
		"a configuration of tabs":     {"/api/v1/status/config", `{"status":"success","data":{"yaml":"password: hunter2\n\tx"}}`, "no configuration"},
		"a time that is none":         {"time()", `{"status":"success","data":{"result":[1,"NaN"]}}`, "broken"},
		"a time without value":        {"time()", `{"status":"success","data":{"result":[]}}`, "broken"},
		"an Alertmanager without URL": {"/api/v1/alertmanagers", `{"status":"success","data":{"activeAlertmanagers":[{"url":"%zz"}]}}`, "no address"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := recorded(t, "2.42")
			a[test.path] = json.RawMessage(test.text)
			_, err := Observe(t.Context(), a.client(t, "source"))
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Observe(t.Context(), answers{}.client(t, "source")); err == nil {
		t.Error("nothing was taken for a server")
	}
}

func TestWALEstimateIsWhatIsWrittenSinceTheLastCut(t *testing.T) {
	if got := walEstimate(100, 60, 2*time.Hour); got != 100*32*1024 {
		t.Errorf("a young server: %d", got)
	}
	if got := walEstimate(1000, 50*3600, 2*time.Hour); got != 100*32*1024 {
		t.Errorf("an old server: %d", got)
	}
}

// FuzzObserve hands any text to every reader of answers.
func FuzzObserve(f *testing.F) {
	for _, version := range []string{"2.42", "3.16"} {
		for _, text := range recorded(f, version) {
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ReadConfig([]byte(text)); err == nil && strings.Contains(text, "\x00") {
			t.Errorf("%q was taken for a configuration", text)
		}
		var targets struct{ Data targetsAnswer }
		if json.Unmarshal([]byte(text), &targets) == nil {
			for _, target := range targets.Data.targets(&Config{}) {
				if target.IntervalSeconds <= 0 || strings.ContainsAny(target.URL+target.Error, "\n\x1b?") && !strings.Contains(target.Error, "?") {
					t.Errorf("%+v", target)
				}
				openings([]way{{target.URL, target.Job, target.Error}})
			}
		}
		var rules struct{ Data rulesAnswer }
		if json.Unmarshal([]byte(text), &rules) == nil {
			for _, g := range rules.Data.groups() {
				for _, r := range g.Rules {
					if r.ReachSeconds < -1 {
						t.Errorf("%+v", r)
					}
				}
			}
		}
		var pair [2]json.RawMessage
		if json.Unmarshal([]byte(text), &pair) == nil {
			if _, _, err := sample(pair); err != nil && !errors.Is(err, server.ErrBroken) {
				t.Error(err)
			}
		}
		readRetention(text)
	})
}
