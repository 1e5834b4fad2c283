//go:build lab

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/test/engine"
)

// pace is how fast time goes in a move: all that it waits for follows from the length of blocks.
type pace struct {
	block, scrape    string // --storage.tsdb.min-block-duration, scrape_interval
	settle, seamSpan string
	every            string
	more             []string // arguments of the new server alone
	history          int64    // bytes
	disk             int64    // of each machine
	patience         time.Duration
}

// quick is minutes: blocks of twenty seconds.
func quick() pace {
	return pace{block: "20s", scrape: "2s", settle: "6s", seamSpan: "8s", every: "500ms", more: []string{"--storage.tsdb.block-reload-interval=2s"}, history: 60 << 20, disk: gib(3), patience: 6 * time.Minute}
}

// realPace is what a server has that nobody set up for a test: some five hours.
func realPace() pace {
	return pace{block: "2h", scrape: "15s", settle: "30s", seamSpan: "10m", every: "5s", history: 4 << 30, disk: gib(24), patience: 9 * time.Hour}
}

// TestMoveBetweenTwoHosts moves a running 2.42 under a running 3.16 on another machine with the programs that a user starts.
func TestMoveBetweenTwoHosts(t *testing.T) { moveBetweenTwoHosts(t, "e2e-pair", quick()) }

// targetsProgram serves 200 targets on one port, told apart by a parameter: each has a counter that every scrape moves.
const targetsProgram = `import http.server, threading
n, lock = {}, threading.Lock()
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with lock:
            n[self.path] = n.get(self.path, 0) + 1
            text = "".join("live_total{n=\"%d\"} %d\n" % (i, n[self.path] * (i + 1)) for i in range(5))
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer.request_queue_size = 512
http.server.ThreadingHTTPServer(("0.0.0.0", 9200), H).serve_forever()
`

const liveTargets = 200

// moving is a move between two machines.
type moving struct {
	*hostPair
	p      pace
	newest time.Time // end of the history
	new    *load     // who asks the new server while it has no data of its own but a little
}

func moveBetweenTwoHosts(t *testing.T, name string, p pace) {
	m := &moving{newest: time.Now().Truncate(historyRange), p: p}
	m.hostPair = newHostPair(t, name, p.disk, p.history)
	queries := m.ask()
	queries.pause(true)
	_, history := m.blocks(oldHost, oldData)
	m.serveBoth()
	queries.pause(false)
	before := m.owned(history)
	m.credentials()
	m.start(oldHost, "blocks", "/usr/local/bin/slipway-agent", "source", "-data", oldData, "-listen", ":9797", "-credentials", "/home/prometheus/source",
		"-server", "http://127.0.0.1:9090", "-latency-budget", "900", "-ceiling", "20000000", "-keep-free", "67108864")
	m.listens("9797")
	m.bridged()
	m.migrate()
	m.within("a block has landed", func() error {
		_, err := m.try(newHost, `grep -q '"k":"whole"' "$1"`, staging+"/journal")
		return err
	})
	m.kill(newHost, "pull")
	m.migrate()
	m.within("all is installed, and the bridge may go", func() error { return m.said("take remote_read") })
	m.configure(newHost, "target", "")
	state := m.proved()
	m.counts(state, "at once")
	m.new.pause(true)
	m.kill(newHost, "target")
	m.answers()
	m.new.pause(false)
	m.counts(state, "after a kill of the new server")
	first := m.headBegins()
	m.within("the new server cuts its head", func() error {
		if m.headBegins() <= first {
			return errors.New("it begins where it did")
		}
		return nil
	})
	m.counts(state, "after a head cut")
	if diff := cmp.Diff(before, m.owned(history)); diff != "" {
		t.Errorf("the old host is not as it was (-want +got):\n%s", diff)
	}
	for server, l := range map[string]*load{"old": queries, "new": m.new} {
		if asked, failures := l.result(); asked < 10 || len(failures) > 0 {
			t.Errorf("%d of %d questions to the %s server went wrong: %q", len(failures), asked, server, failures)
		}
	}
}

// owned is what a move must leave as it was, the server's own work aside: its process, and the files of the history.
func (m *moving) owned(history []string) string {
	m.t.Helper()
	return m.sh(oldHost, `cd "$1"; shift; systemctl show -P MainPID prometheus; find "$@" -type f -printf '%p %s %T@ %u %m %n\n' | LC_ALL=C sort`, append([]string{oldData}, history...)...)
}

// serveBoth starts the targets and both servers; both scrape the same, and the new one asks the shim for the past.
func (m *moving) serveBoth() {
	m.t.Helper()
	m.put(oldHost, "/usr/local/lib/targets.py", targetsProgram)
	m.unit(oldHost, "targets", "prometheus", "")
	m.start(oldHost, "targets", "/usr/bin/python3", "/usr/local/lib/targets.py")
	m.listens("9200")
	flags := []string{"--web.listen-address=0.0.0.0:9090", "--storage.tsdb.retention.time=60d", "--storage.tsdb.min-block-duration=" + m.p.block,
		"--storage.tsdb.max-block-duration=" + fmt.Sprint(int(historyRange.Hours())) + "h"}
	m.configure(oldHost, "", "")
	m.start(oldHost, "prometheus", append([]string{"/usr/local/bin/prometheus", "--config.file=/etc/prometheus.yml", "--storage.tsdb.path=" + oldData}, flags...)...)
	m.eventually("the old server scrapes all targets", func() error { return m.scrapesAll(m.serverURL()) })
	m.unit(newHost, "target", "mover", "Restart=always\nRestartSec=200ms\n")
	m.unit(newHost, "shim", "mover", "Restart=always\nRestartSec=200ms\n")
	program := engine.Program(m.t, "prometheus-"+engine.Prometheus316, "prometheus")
	m.bring(newHost, "/usr/local/bin", filepath.Dir(program), "prometheus")
	m.configure(newHost, "", "remote_read: [{url: http://127.0.0.1:9798/api/v1/read, read_recent: true, filter_external_labels: false}]\n")
	words := append([]string{"/usr/local/bin/prometheus", "--config.file=/etc/prometheus.yml", "--storage.tsdb.path=" + newData}, flags...)
	m.start(newHost, "target", append(words, m.p.more...)...)
	m.start(newHost, "shim", "/usr/local/bin/slipway", "prometheus", "shim", "--source", m.serverURL(), "--target", "http://127.0.0.1:9090", "--state", "/home/mover/shim.json",
		"--settle", m.p.settle)
	m.eventually("the new server scrapes all targets", func() error { return m.scrapesAll(m.newURL()) })
}

func (m *moving) newURL() string { return "http://" + m.address(newHost) + ":9090" }

// configure writes a configuration, and has the unit of a server read it.
func (m *moving) configure(machine, unit, more string) {
	m.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "global: {scrape_interval: %s}\nscrape_configs:\n- job_name: live\n  static_configs:\n", m.p.scrape)
	for i := range liveTargets {
		fmt.Fprintf(&b, "  - {targets: ['%s:9200'], labels: {instance: live-%d, __param_n: '%d'}}\n", m.address(oldHost), i, i)
	}
	m.put(machine, "/etc/prometheus.yml", b.String()+more)
	if unit != "" {
		m.sh(machine, `systemctl kill -s HUP "$1"`, unit)
	}
}

func (m *moving) scrapesAll(server string) error {
	n, err := m.number(server, "sum(up{job=\"live\"})", time.Now())
	if err == nil && n != liveTargets {
		err = fmt.Errorf("%v of %d targets", n, liveTargets)
	}
	return err
}

// bridged waits until the new server answers for the past, and asks it every second from then on.
func (m *moving) bridged() {
	m.t.Helper()
	m.eventually("the new server answers for the past", func() error { return ask(m.t.Context(), m.newURL(), "sum(rate(requests_total[1h]))", true) })
	m.new = &load{}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-m.t.Context().Done():
				return
			case <-tick.C:
				m.new.once(m.t.Context(), m.newURL())
			}
		}
	}()
}

const moveState = "/home/mover/move"

func (m *moving) migrate() {
	m.t.Helper()
	m.start(newHost, "pull", "/usr/local/bin/slipway", "prometheus", "migrate", "--source", m.address(oldHost)+":9797", "--credentials", "/home/mover/target",
		"--source-server", m.serverURL(), "--target", "http://127.0.0.1:9090", "--target-data", newData, "--state", moveState, "--samples", "60",
		"--seam-span", m.p.seamSpan, "--every", m.p.every)
}

// said looks for a word in what the move prints; one that ends meanwhile fails the test.
func (m *moving) said(word string) error {
	m.t.Helper()
	text := m.sh(newHost, `cat /run/pull.err`)
	if strings.Contains(text, word) {
		return nil
	}
	if state := m.sh(newHost, `systemctl show -P ActiveState pull`); state != "active" {
		m.t.Fatalf("the move has ended without %q: %s\n%s", word, state, text)
	}
	return fmt.Errorf("not yet:\n%s", text)
}

// within is eventually with the patience of the pace.
func (m *moving) within(what string, condition func() error) {
	m.t.Helper()
	deadline := time.Now().Add(m.p.patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: %v\n%s", what, err, m.logs())
		}
		m.pass(500 * time.Millisecond)
	}
}

// proved waits for the end of the move.
func (m *moving) proved() *move.State {
	m.t.Helper()
	m.within("the move ends", func() error {
		if state := m.sh(newHost, `systemctl show -P ActiveState pull`); state != "inactive" && state != "failed" {
			return errors.New(state)
		}
		return nil
	})
	said := m.sh(newHost, `cat /run/pull.err`)
	m.t.Log(said)
	if exit := m.sh(newHost, `systemctl show -P ExecMainStatus pull`); exit != "0" {
		m.t.Fatalf("the move ended with %s:\n%s", exit, said)
	}
	state := &move.State{}
	if err := json.Unmarshal([]byte(m.sh(newHost, `cat "$1/move.json"`, moveState)), state); err != nil {
		m.t.Fatal(err)
	}
	if state.Proof == nil || state.Proof.Verdict != proof.Proved {
		m.t.Fatalf("not proved: %+v", state.Proof)
	}
	return state
}

// counts holds counts of raw samples up to S' against each other.
func (m *moving) counts(state *move.State, moment string) {
	m.t.Helper()
	seam := time.UnixMilli(state.Seam - 1)
	m.equal(moment, `sum(count_over_time({__name__=~"requests_total|size_bytes_bucket"}[40d]))`, seam)
	m.equal(moment, `sum(count_over_time(live_total[1d]))`, seam)
	for i := range 13 { // in each block: of all series there are too many for one question about all samples
		m.equal(moment, `count({job="shop"})`, m.newest.Add(-time.Duration(i)*historyRange-time.Hour))
	}
}

func (m *moving) equal(moment, query string, at time.Time) {
	m.t.Helper()
	want, err := m.number(m.serverURL(), query, at)
	if err != nil {
		m.t.Fatalf("%s, asking the old server: %v", moment, err)
	}
	got, err := m.number(m.newURL(), query, at)
	if err != nil || got != want || want == 0 {
		m.t.Errorf("%s: %s at %s is %v on the new server, %v on the old one: %v", moment, query, at, got, want, err)
	}
}

// answers waits until the new server answers for all of the history.
func (m *moving) answers() {
	m.t.Helper()
	m.eventually("the new server answers", func() error { return ask(m.t.Context(), m.newURL(), "sum(rate(requests_total[1h]))", true) })
}

// headBegins is the new server's own figure.
func (m *moving) headBegins() float64 {
	m.t.Helper()
	text := m.sh(newHost, `python3 -c 'import urllib.request as u; print([l for l in u.urlopen("http://127.0.0.1:9090/metrics").read().decode().splitlines() if l.startswith("prometheus_tsdb_head_min_time ")][0])'`)
	n, err := strconv.ParseFloat(strings.TrimPrefix(text, "prometheus_tsdb_head_min_time "), 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// number is the one value of an instant query.
func (m *moving) number(server, query string, at time.Time) (float64, error) {
	form := url.Values{"query": {query}, "time": {strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)}}
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, server+"/api/v1/query?"+form.Encode(), nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var a engine.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return 0, fmt.Errorf("%s: %w", resp.Status, err)
	}
	list, err := a.Series()
	if err != nil || len(list) != 1 || len(a.Warnings) > 0 {
		return 0, errors.Join(err, fmt.Errorf("%d series, warnings %q", len(list), a.Warnings))
	}
	var text string
	if err := json.Unmarshal(list[0].Value[1], &text); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}
