package survey

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/server"
)

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// answering serves one answer to everything.
func answering(t *testing.T, code int, kind, body string) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{kind}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(h.Close)
	return h.URL
}

// reachable is a source of one job per target.
func reachable(t *testing.T, jobs []reachJob) *server.Client {
	t.Helper()
	var config, targets []string
	for i, j := range jobs {
		config = append(config, fmt.Sprintf(`- {job_name: "%s"%s}`, j.name, j.extra))
		health := "up"
		if j.down {
			health = "down"
		}
		targets = append(targets, fmt.Sprintf(`{"labels":{"job":%q,"instance":"i%d"},"scrapePool":%q,"scrapeUrl":%q,"health":%q,"lastError":"","scrapeInterval":"15s"}`, j.name, i, j.name, j.url, health))
	}
	text := "scrape_configs:\n" + strings.Join(config, "\n")
	a := answers{"/api/v1/status/config": []byte(fmt.Sprintf(`{"status":"success","data":{"yaml":%q}}`, text)),
		"/api/v1/targets": []byte(`{"status":"success","data":{"activeTargets":[` + strings.Join(targets, ",") + `]}}`)}
	h := httptest.NewServer(a)
	t.Cleanup(h.Close)
	c, err := server.New(server.Options{Name: "source", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

type reachJob struct {
	name, url, extra string
	down             bool
}

func TestReachFromHere(t *testing.T) {
	const metrics = "text/plain; version=0.0.4"
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	closed := "http://" + closedPort(t) + "/metrics"
	good, forbidden := answering(t, 200, metrics, "x 1\n"), answering(t, 403, "", "")
	cases := []struct {
		name, want string
		job        reachJob
	}{
		{"metrics are fine", "", reachJob{url: good + "/metrics?token=geheim"}},
		{"a closed port cannot be reached", Unreachable.as("connect: connection refused"), reachJob{url: closed}},
		{"a closed port that the source does not reach either is told", DownOnBoth.as("refused"), reachJob{url: closed, down: true}},
		{"a page is no metrics", Failing.as("it answers 404"), reachJob{url: answering(t, 404, "text/html", "") + "/x?token=geheim"}},
		{"a page that the source gets neither is told", DownOnBoth.as("404"), reachJob{url: answering(t, 404, "text/html", ""), down: true}},
		{"no content type is told", Untyped.as("fallback_scrape_protocol"), reachJob{url: answering(t, 200, "", "x 1\n")}},
		{"credentials are not tried", Guarded.as("it answers 403"), reachJob{url: forbidden, extra: ", basic_auth: {username: a, password: <secret>}"}},
		{"a refusal of a job without credentials goes by the address", Failing.as("the address that asks"), reachJob{url: forbidden}},
		{"a redirect is not followed", Guarded.as("it answers 302"), reachJob{url: answering(t, 302, "", "")}},
		{"a certificate of the job's own authority is its matter", Guarded.as("tls_config"), reachJob{url: secure.URL, extra: ", tls_config: {ca_file: /x}"}},
		{"a certificate that nobody knows fails", Failing.as("certificate"), reachJob{url: secure.URL}},
		{"a proxy is tried in place of the target", Guarded.as("proxy of its job is reached"), reachJob{url: "http://10.255.255.1/x", extra: ", proxy_url: " + good}},
		{"a proxy that is not there is told", Unreachable.as("the proxy of its job"), reachJob{url: "http://10.255.255.1/x", extra: ", proxy_url: " + closed}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.job.name = "j"
			r, err := Reach(t.Context(), ReachOptions{Source: reachable(t, []reachJob{c.job}), Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(r.Gaps) > 0 {
				got = r.Gaps[0].Kind.as(r.Gaps[0].Error)
			}
			kind, words, _ := strings.Cut(c.want, ": ")
			if !strings.HasPrefix(got, kind) || !strings.Contains(got, words) || c.want == "" && got != "" {
				t.Errorf("%q, want %q", got, c.want)
			}
			if strings.Contains(fmt.Sprintf("%+v", r), "geheim") {
				t.Errorf("a parameter is told: %+v", r)
			}
			if wantOpen := strings.HasPrefix(c.want, string(Unreachable)); wantOpen != (len(r.Firewall) == 1) {
				t.Errorf("to be opened: %+v", r.Firewall)
			}
		})
	}
}

func (k GapKind) as(why string) string { return string(k) + ": " + why }

func TestReachLeavesJobsBehindAndCounts(t *testing.T) {
	closed := "http://" + closedPort(t) + "/metrics"
	var jobs []reachJob
	for range mostUnreached + 5 {
		jobs = append(jobs, reachJob{name: "node", url: closed})
	}
	jobs = append(jobs, reachJob{name: "snmp", url: closed})
	tried := 0
	r, err := Reach(t.Context(), ReachOptions{Source: reachable(t, jobs), Except: []string{"snmp"}, Progress: func(done, _ int) { tried = done }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Targets != mostUnreached+5 || tried != r.Targets || len(r.Gaps) != mostUnreached || r.Counts[Unreachable] != mostUnreached+5 || len(r.Firewall) != 1 {
		t.Errorf("%+v, tried %d", r, tried)
	}
	if want := "0 of 55 targets of the source give metrics here; 55 cannot be reached"; r.Says() != want {
		t.Errorf("says %q", r.Says())
	}
	if len(r.Exceptions) != 1 || r.Exceptions[0].Targets != 1 {
		t.Errorf("exceptions %+v", r.Exceptions)
	}
}

func TestWhatIsNoGapOfTheNetwork(t *testing.T) {
	if kind, _ := wayError(fmt.Errorf("dialing: %w", &net.DNSError{Err: "no such host", Name: "x.corp", IsNotFound: true})); kind != Unresolved {
		t.Errorf("a name that is not known is %s", kind)
	}
	if kind, _ := wayError(errors.New("i/o timeout")); kind != Unreachable {
		t.Errorf("a timeout is %s", kind)
	}
	elsewhere := &scraper{timeout: time.Second}
	if kind, _ := elsewhere.try(t.Context(), place{address: "http://localhost:9090/metrics"}); kind != OnItsHost {
		t.Errorf("the source's own host is %s", kind)
	}
	_, secret := elsewhere.try(t.Context(), place{address: "http://[::1/metrics?token=geheim"})
	if strings.Contains(secret, "geheim") {
		t.Errorf("told %q", secret)
	}
}

func TestJobWays(t *testing.T) {
	got, err := jobWays("scrape_configs:\n- {job_name: a, authorization: {type: Bearer}}\n- {job_name: b, tls_config: {insecure_skip_verify: false}}\n- {job_name: c, proxy_url: \"http://p:3128\"}\n")
	want := map[string]jobWay{"a": {credentials: true}, "b": {}, "c": {proxy: "http://p:3128"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(jobWay{})); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := jobWays("scrape_configs: geheim"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Error(err)
	}
}
