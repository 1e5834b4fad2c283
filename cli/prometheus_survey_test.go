package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/test/golden"
)

// recordedAt is about when the answers were given.
const recordedAt = 1_795_364_580.0

// recorded serves what a real server of a version said (migration/survey/testdata), with pieces of text replaced.
// Its clock stands still, or ticks from the same time as that of others.
func recorded(t *testing.T, version string, ticks bool, replace ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "migration", "survey", "testdata", "prometheus-"+version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(data), replace[i]) {
			t.Fatalf("nothing in the answers of %s is %s", version, replace[i])
		}
	}
	answers := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(strings.NewReplacer(replace...).Replace(string(data))), &answers); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Path
		if key == "/api/v1/query" {
			key, _, _ = strings.Cut(r.FormValue("query"), "{")
		}
		text, ok := answers[key]
		if key == "time()" && ticks {
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"scalar","result":[0,"%.3f"]}}`, recordedAt+time.Since(began).Seconds())
			return
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		var plain string
		if json.Unmarshal(text, &plain) == nil {
			text = json.RawMessage(plain)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// clocksSay depends on how long the questions took.
var clocksSay = regexp.MustCompile(`between -?\d+ and -?\d+ ms ahead`)

// surveyed runs commands and joins what they print.
func surveyed(t *testing.T, names *strings.Replacer, steps [][2]string) string {
	t.Helper()
	var all strings.Builder
	for _, s := range steps {
		code, out, errs := runCLI(t, append([]string{"prometheus"}, strings.Fields(s[1])...)...)
		text := fmt.Sprintf("# %s\n$ slipway prometheus %s\n%s%s", s[0], s[1], out, prefixed("stderr: ", errs))
		if code != ExitDone {
			text += fmt.Sprintf("exit code: %d\n", code)
		}
		all.WriteString(names.Replace(text) + "\n")
	}
	return clocksSay.ReplaceAllString(all.String(), "between A and B ms ahead")
}

func TestPrometheusPlan(t *testing.T) {
	// The recorded server is young; this one has 800 GiB of 180 days.
	large := recorded(t, "2.42", false, "prometheus_tsdb_blocks_loaded 0", "prometheus_tsdb_blocks_loaded 27", "prometheus_tsdb_storage_blocks_bytes 0", "prometheus_tsdb_storage_blocks_bytes 858993459200",
		"prometheus_tsdb_lowest_timestamp 1.795", "prometheus_tsdb_lowest_timestamp 1.780")
	silent := httptest.NewServer(http.NotFoundHandler())
	defer silent.Close()
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "prometheus_build_info{version=\"1.8.2\"} 1\n")
	}))
	defer old.Close()
	golden.Check(t, "testdata/prometheus_plan.golden", surveyed(t, strings.NewReplacer(large, "http://monitor:9090", old.URL, "http://old:9090", silent.URL, "http://silent:9090"), [][2]string{
		{"tells what moving a server means", "plan " + large},
		{"has rates of one's own, and no newer version", "plan " + large + " --rate 1GiB --to 2.42.0"},
		{"cannot move 1.x", "plan " + old.URL},
		{"says what is no Prometheus", "plan " + silent.URL},
		{"wants rates that are some", "plan " + large + " --rate fast"},
		{"wants a version", "plan " + large + " --to latest"},
		{"takes no secrets in addresses", "plan http://me:hunter2@monitor:9090"},
	}))
	code, out, errs := runCLI(t, "prometheus", "plan", large, "-o", "json")
	var plan struct {
		Need  struct{ BlockBytes int64 }
		Steps []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil || code != ExitDone || plan.Need.BlockBytes != 800<<30 || len(plan.Steps) != 11 {
		t.Errorf("%d: %v: %s%s", code, err, out, errs)
	}
}

func TestPrometheusPreflight(t *testing.T) {
	source, target := recorded(t, "2.42", true), recorded(t, "3.16", true)
	twin := recorded(t, "2.42", true, "2.42.0+ds", "3.16.0", "http://127.0.0.1:19093/api/v2/alerts", "http://127.0.0.1:19093/api/v2/alerts")
	both := " --source " + source + " --target " + target
	golden.Check(t, "testdata/prometheus_preflight.golden", surveyed(t, strings.NewReplacer(source, "http://monitor:9090", target, "http://new:9090", twin, "http://twin:9090"), [][2]string{
		{"lists what speaks against the move, and what the target cannot reach", "preflight" + both},
		{"lets pass what is overridden and given up", "preflight" + both + " --except app --except node --except prometheus --override target_retention_holds_source --override capacity --free 900GiB"},
		{"finds what a copy of the source does twice", "preflight --source " + source + " --target " + twin},
		{"waits for scrapes", "preflight --source " + source + " --target " + twin + " --scrapes 50 --wait 1ms"},
		{"knows no such rule", "preflight" + both + " --override everything"},
		{"overrides nothing that loses data for certain", "preflight" + both + " --override source_storage_is_readable"},
		{"wants scrapes", "preflight" + both + " --scrapes 0"},
		{"wants both addresses", "preflight --source " + source},
	}))
	code, out, _ := runCLI(t, "prometheus", "preflight", "--source", source, "--target", target, "-o", "json")
	var result struct {
		Verdict  string
		Coverage struct{ Firewall []struct{ Port string } }
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != ExitFailed || result.Verdict != "Refused" || len(result.Coverage.Firewall) != 1 || result.Coverage.Firewall[0].Port != "19102" {
		t.Errorf("%d: %v: %s", code, err, out)
	}
}
