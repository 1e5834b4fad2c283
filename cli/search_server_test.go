package cli

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/search/doctor"
)

// searchAnswers are those of a small cluster that lets the user see little.
func searchAnswers() map[string]string {
	return map[string]string{
		"/":                       `{"cluster_name":"logs","cluster_uuid":"u","version":{"number":"2.19.0","distribution":"opensearch"},"tagline":"The OpenSearch Project"}`,
		"/_cluster/health":        `{"status":"green","number_of_nodes":3,"number_of_data_nodes":3,"active_shards":12}`,
		"/_cluster/settings":      `{"persistent":{"cluster":{"routing":{"allocation":{"enable":"none"}}}}}`,
		"/_cat/indices":           `[{"index":"app-1","uuid":"x","health":"green","status":"open","pri":"1","rep":"1","docs.count":"7","store.size":"900","pri.store.size":"450","creation.date":"1760000000000"}]`,
		"/_all/_settings":         `{"app-1":{"settings":{"index":{"routing":{"allocation":{"require":{"_name":"gone-1"}}}}}}}`,
		"/_cluster/pending_tasks": `{"tasks":[]}`,
	}
}

// searchFake answers from a list and refuses the rest as a cluster does.
func searchFake(t *testing.T, secure bool, allow func(*http.Request) bool) *httptest.Server {
	t.Helper()
	answers := searchAnswers()
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		switch {
		case !allow(r):
			w.WriteHeader(http.StatusUnauthorized)
			text = `{"error":{"type":"security_exception","reason":"unable to authenticate user"},"status":401}`
		case !ok:
			w.WriteHeader(http.StatusForbidden)
			text = `{"error":{"type":"security_exception","reason":"action is unauthorized"},"status":403}`
		}
		_, _ = w.Write([]byte(text))
	}))
	if h.Config.ErrorLog = log.New(io.Discard, "", 0); secure {
		h.StartTLS()
	} else {
		h.Start()
	}
	t.Cleanup(h.Close)
	return h
}

func anybody(*http.Request) bool { return true }

// TestSearchDoctorAsks looks at a server with TLS as a user with a password, keeps what it saw, and judges that again.
func TestSearchDoctorAsks(t *testing.T) {
	h := searchFake(t, true, func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "ops" && password == "hunter2"
	})
	dir := t.TempDir()
	ca, password, key, saved := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "password"), filepath.Join(dir, "key"), filepath.Join(dir, "state.json")
	writeFile(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})))
	writeFile(t, password, "hunter2\n")
	writeFile(t, key, "id:secret\n")
	gone := httptest.NewServer(nil)
	gone.Close()

	code, out, errs := runCLI(t, "search", "doctor", gone.URL, h.URL, "--ca-file", ca, "--user", "ops", "--password-file", password, "--save", saved)
	for _, want := range []string{"logs  OpenSearch 2.19.0", "cluster.routing.allocation.enable = none", "? nodes could not be seen: ", "curl --cacert " + ca + " -u ops -X PUT '" + h.URL + "/_cluster/settings'"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if code != exitFound || strings.Contains(out+errs, "hunter2") {
		t.Errorf("code %d: %s\n%s", code, errs, out)
	}
	if info, err := os.Stat(saved); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if again := report(t, "--from", saved); again.Counts[string(doctor.Hurts)] != 1 || again.Counts[string(doctor.Unknown)] == 0 {
		t.Errorf("%+v", again)
	}
	if code, _, errs := runCLI(t, "search", "doctor", h.URL, "--ca-file", ca, "--api-key-file", key); code != ExitFailed || !strings.Contains(errs, "401") || strings.Contains(errs, "secret") {
		t.Errorf("code %d: %s", code, errs)
	}
}

// TestSearchDoctorSeesTheSameInAFile: what was kept is judged as the cluster was.
func TestSearchDoctorSeesTheSameInAFile(t *testing.T) {
	h := searchFake(t, false, anybody)
	saved := filepath.Join(t.TempDir(), "state.json")
	if diff := cmp.Diff(report(t, h.URL, "--save", saved), report(t, "--from", saved)); diff != "" {
		t.Error(diff)
	}
}

// report is what doctor says in JSON.
func report(t *testing.T, args ...string) doctor.Report {
	t.Helper()
	code, out, errs := runCLI(t, append([]string{"search", "doctor", "-o", "json"}, args...)...)
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitFound {
		t.Fatalf("code %d, %v: %s", code, err, errs)
	}
	return r
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answering is the address of a server that says one thing.
func answering(t *testing.T, status int, header, text string) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if key, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(key, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// TestSearchDoctorBadInput shows every way in which no look can be taken, as a user meets it.
func TestSearchDoctorBadInput(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	plain, secure := searchFake(t, false, anybody), searchFake(t, true, anybody)
	strict := searchFake(t, false, func(*http.Request) bool { return false })
	page := "<html><body>Please log in</body></html>"
	whole := searchState(t, nil)
	doctor := func(name string, args ...string) step {
		return step{name: name, line: "search doctor " + strings.Join(args, " ")}
	}
	transcript{golden: "search_doctor_bad", files: map[string]string{
		"wrong": "letmein\n", "empty": "", "twolines": "a\nb\n", "cut.json": whole[:len(whole)/2], "page.json": page, "text.pem": "none",
		"newer.json": `{"cluster":{"schema":2,"nodes":{}},"lists":{}}`, "empty.json": "", "answer.json": `{"cluster_name":"web-logs"}`,
	}, steps: []step{
		doctor("names a host that does not exist", "http://logs..example:9200"),
		doctor("says where nothing listens", gone.URL),
		doctor("says that a password is wrong", strict.URL, "--user", "ops", "--password-file", "wrong"),
		doctor("says that a certificate is not trusted", secure.URL),
		doctor("says that the server wants no TLS", strings.Replace(plain.URL, "http:", "https:", 1)),
		doctor("says that the server wants TLS", strings.Replace(secure.URL, "https:", "http:", 1)),
		doctor("tells a web page from a server", answering(t, 200, "Content-Type: text/html", page)),
		doctor("tells a web page that refuses", answering(t, 404, "Content-Type: text/html", page)),
		doctor("does not follow to a login", answering(t, 302, "Location: https://login.example/", "")),
		doctor("tells a forbidden look", answering(t, 403, "", `{"error":{"type":"security_exception","reason":"no permissions for [cluster:monitor/main]"},"status":403}`)),
		doctor("tells JSON that ends too early", answering(t, 200, "", `{"cluster_name":"logs","version":{"num`)),
		doctor("tells an answer that is too large", answering(t, 200, "", `{"cluster_name":"`+strings.Repeat("x", 2<<20)+`"}`), "--max-answer", "1Mi"),
		doctor("tells JSON of something else", answering(t, 200, "", `{"status":"ok"}`)),
		doctor("refuses a password in an address", "http://ops:hunter2@logs:9200"),
		doctor("refuses what is no address", "logs:9200"),
		doctor("refuses a user without a password", plain.URL, "--user", "ops"),
		doctor("refuses two ways to say who asks", plain.URL, "--user", "ops", "--password-file", "wrong", "--api-key-file", "wrong"),
		doctor("names a password file that is not there", plain.URL, "--user", "ops", "--password-file", "nowhere"),
		doctor("refuses a password file of two lines", plain.URL, "--user", "ops", "--password-file", "twolines"),
		doctor("refuses authorities that are none", secure.URL, "--ca-file", "text.pem"),
		doctor("refuses a zone before it asks", gone.URL, "--time-zone", "Europe/Berlin"),
		doctor("names a directory that it cannot keep a state in", plain.URL, "--save", "nowhere/state.json"),
		doctor("refuses limits that nothing fits into", plain.URL, "--max-answer", "10"),
		doctor("asks for an address or a file"),
		doctor("takes one of the two", plain.URL, "--from", "cut.json"),
		doctor("keeps no state of a state", "--from", "cut.json", "--save", "b.json"),
		doctor("names a file that is not there", "--from", "nowhere.json"),
		doctor("refuses a file that was cut off", "--from", "cut.json"),
		doctor("refuses an empty file", "--from", "empty.json"),
		doctor("refuses a web page", "--from", "page.json"),
		doctor("refuses an answer of a server", "--from", "answer.json"),
		doctor("refuses a file of a newer program", "--from", "newer.json"),
	}}.test(t)
}

func TestSearchHelpKnowsAnswersOfProxies(t *testing.T) {
	for status, want := range map[int]string{502: "", 401: "--api-key-file", 403: "monitor", 301: "Another address"} {
		code, _, errs := runCLI(t, "search", "doctor", answering(t, status, "", `{"error":"no"}`))
		if code != ExitFailed || !strings.Contains(errs, want) || !strings.Contains(errs, fmt.Sprintf("status %d", status)) {
			t.Errorf("%d: code %d, %s", status, code, errs)
		}
	}
}
