//go:build lab

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	oldHost, newHost = "m1", "m2"
	oldData          = "/var/lib/prometheus" // of user prometheus
	newData          = "/srv/new"            // of user mover, who has another uid
	staging          = newData + "/" + transfer.StagingFolder
	blocksSocket     = "/run/blocks/blocks.sock"
	tunnelSocket     = "/home/mover/old.sock"
)

// hostPair is an old host on which a real Prometheus 2.42 runs on a history, and a new one that pulls it.
type hostPair struct {
	t    testing.TB
	lab  *lab.Lab
	bin  string // slipway; slipway-agent lies beside it
	home string
}

// newHostPair boots the two machines, makes the history meanwhile, and starts the server.
func newHostPair(t testing.TB, name string, disk, history int64) *hostPair {
	t.Helper()
	bin, err := filepath.Abs("../../bin/slipway")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bin, bin + "-agent"} {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("a program is missing (make build): %v", err)
		}
	}
	h := &hostPair{t: t, bin: bin, home: t.TempDir()}
	if h.lab, err = lab.New(lab.Options{Name: name, Home: h.home, RelayCommand: []string{bin, "lab", "relay"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.lab.Delete(context.Background()); err != nil {
			t.Errorf("deleting the lab: %v", err)
		}
	})
	booted := make(chan error, 1)
	go func() { booted <- h.lab.Create(t.Context(), lab.Spec{Machines: 2, DiskBytes: disk, WithCreator: true}) }()
	data := filepath.Join(h.home, "history")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	writeHistory(t, data, history)
	if err := <-booted; err != nil {
		t.Fatalf("booting the machines: %v", err)
	}
	h.prepare(data)
	return h
}

// prepare brings users, programs, units and the history, and starts the server.
func (h *hostPair) prepare(history string) {
	h.t.Helper()
	h.sh(oldHost, `useradd --system --user-group --uid 901 --create-home prometheus && install -d -o prometheus -g prometheus "$@"`, oldData, "/run/blocks")
	h.sh(newHost, `useradd --system --user-group --uid 902 --create-home mover && install -d -o mover -g mover "$@"`, newData)
	h.unit(oldHost, "prometheus", "prometheus", "")
	h.unit(oldHost, "blocks", "prometheus", "Restart=always\nRestartSec=200ms\n")
	h.unit(newHost, "pull", "mover", "StandardOutput=truncate:/run/pull.out\nStandardError=truncate:/run/pull.err\n")
	h.unit(newHost, "tunnel", "mover", "Restart=always\nRestartSec=200ms\n")
	server := engine.Program(h.t, "prometheus-"+engine.Prometheus242, "prometheus")
	h.bring(oldHost, "/usr/local/bin", filepath.Dir(server), "prometheus")
	for _, m := range []string{oldHost, newHost} {
		h.bring(m, "/usr/local/bin", filepath.Dir(h.bin), "slipway", "slipway-agent")
	}
	h.bring(oldHost, oldData, history, ".")
	if err := os.RemoveAll(history); err != nil {
		h.t.Fatal(err)
	}
	h.sh(oldHost, `chown -R prometheus:prometheus "$1"; sync`, oldData)
	h.put(oldHost, "/etc/prometheus.yml", "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: own, static_configs: [{targets: [127.0.0.1:9090]}]}]\n")
	h.serve("60d")
}

// serve starts the server, or starts it again.
func (h *hostPair) serve(retention string) {
	h.t.Helper()
	h.start(oldHost, "prometheus", "/usr/local/bin/prometheus", "--config.file=/etc/prometheus.yml", "--storage.tsdb.path="+oldData,
		"--web.listen-address=0.0.0.0:9090", "--storage.tsdb.retention.time="+retention)
	h.eventually("the old server answers", func() error { return ask(h.t.Context(), h.serverURL(), "count(up)", false) })
}

func (h *hostPair) serverURL() string { return "http://" + h.address(oldHost) + ":9090" }

func (h *hostPair) address(machine string) string {
	m, err := h.lab.Machine(machine)
	if err != nil {
		h.t.Fatal(err)
	}
	return m.Address
}

// unit writes a unit whose command line start fills in.
func (h *hostPair) unit(machine, name, user, more string) {
	h.t.Helper()
	h.put(machine, "/etc/systemd/system/"+name+".service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nUser="+user+
		"\nEnvironmentFile=/etc/default/"+name+"\nExecStart=/usr/bin/env $ARGS\nLimitNOFILE=65536\n"+more)
}

// start starts a unit with these words, or starts it again with them.
func (h *hostPair) start(machine, unit string, words ...string) {
	h.t.Helper()
	h.put(machine, "/etc/default/"+unit, `ARGS="`+strings.Join(words, " ")+"\"\n")
	h.sh(machine, `systemctl daemon-reload; systemctl reset-failed "$1" 2>/dev/null || :; systemctl restart "$1"`, unit)
}

// kill is kill -9 of all that belongs to a unit.
func (h *hostPair) kill(machine, unit string) {
	h.t.Helper()
	h.sh(machine, `systemctl kill -s KILL "$1"`, unit)
}

// put writes a file that everybody may read.
func (h *hostPair) put(machine, path, text string) {
	h.t.Helper()
	var errs bytes.Buffer
	err := h.lab.Console(h.t.Context(), machine, lab.Streams{In: strings.NewReader(text), Err: &errs}, "/bin/sh", "-c", `cat > "$1"`, "sh", path)
	if err != nil {
		h.t.Fatalf("writing %s: %v: %s", path, err, errs.String())
	}
}

// bring copies files of this host over SSH.
func (h *hostPair) bring(machine, to, from string, names ...string) {
	h.t.Helper()
	tar := exec.CommandContext(h.t.Context(), "tar", append([]string{"-C", from, "-c"}, names...)...)
	out, err := tar.StdoutPipe()
	if err == nil {
		err = tar.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	var errs bytes.Buffer
	err = h.lab.ExecAs(h.t.Context(), machine, "root", lab.Streams{In: out, Err: &errs}, "tar", "-C", to, "--no-same-owner", "--no-overwrite-dir", "-x")
	if err = errors.Join(err, tar.Wait()); err != nil {
		h.t.Fatalf("copying %s to %s: %v: %s", from, machine, err, errs.String())
	}
}

// try runs a shell script as root without the machine's network: it works when that is cut.
func (h *hostPair) try(machine, script string, words ...string) (string, error) {
	var out, errs bytes.Buffer
	argv := append([]string{"/bin/sh", "-euc", script, "sh"}, words...)
	if err := h.lab.Console(h.t.Context(), machine, lab.Streams{Out: &out, Err: &errs}, argv...); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func (h *hostPair) sh(machine, script string, words ...string) string {
	h.t.Helper()
	out, err := h.try(machine, script, words...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// eventually asks until the condition gives nil.
func (h *hostPair) eventually(what string, condition func() error) {
	h.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: %v\n%s", what, err, h.logs())
		}
		h.pass(50 * time.Millisecond)
	}
}

// pass lets time pass: how long a fault lasts is part of the fault.
func (h *hostPair) pass(d time.Duration) {
	h.t.Helper()
	select {
	case <-h.t.Context().Done():
		h.t.Fatal("the test has ended")
	case <-time.After(d):
	}
}

func (h *hostPair) logs() string {
	blocks, _ := h.try(oldHost, `journalctl -q -n 20 -u blocks -u prometheus --no-pager`)
	pull, _ := h.try(newHost, `tail -n 20 /run/pull.err; journalctl -q -n 10 -u tunnel -u pull --no-pager`)
	return "old host:\n" + blocks + "\nnew host:\n" + pull
}

// trust lets mover in as prometheus, with a key of its own and the old host's key known.
func (h *hostPair) trust() {
	h.t.Helper()
	m, err := h.lab.Machine(oldHost)
	if err != nil {
		h.t.Fatal(err)
	}
	key := h.sh(newHost, `install -d -m 700 -o mover -g mover /home/mover/.ssh
		setpriv --reuid=mover --regid=mover --clear-groups ssh-keygen -q -t ed25519 -N '' -f /home/mover/.ssh/id_ed25519
		printf '%s %s\n' "$1" "$2" > /home/mover/.ssh/known_hosts; cat /home/mover/.ssh/id_ed25519.pub`, m.Address, m.HostKey)
	h.sh(oldHost, `usermod -p '*' prometheus; install -d -m 700 -o prometheus -g prometheus /home/prometheus/.ssh
		printf '%s\n' "$1" > /home/prometheus/.ssh/authorized_keys; chown prometheus /home/prometheus/.ssh/authorized_keys`, key)
}

// tunnel forwards the source's socket over port 22.
func (h *hostPair) tunnel() {
	h.t.Helper()
	h.sh(newHost, `rm -f "$1"`, tunnelSocket) // of an earlier one
	h.start(newHost, "tunnel", "/usr/bin/ssh", "-N", "-i", "/home/mover/.ssh/id_ed25519", "-o", "UserKnownHostsFile=/home/mover/.ssh/known_hosts",
		"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes",
		"-L", tunnelSocket+":"+blocksSocket, "prometheus@"+h.address(oldHost))
	h.eventually("the tunnel is open", func() error {
		_, err := h.try(newHost, `test -S "$1"`, tunnelSocket)
		return err
	})
}

// credentials makes the certificates as a user does and gives each host its folder.
func (h *hostPair) credentials() {
	h.t.Helper()
	dir := filepath.Join(h.home, "transfer")
	if out, err := exec.CommandContext(h.t.Context(), h.bin, "prometheus", "agent", "init", dir).CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	h.bring(oldHost, "/home/prometheus", dir, "source")
	h.bring(newHost, "/home/mover", dir, "target")
	h.sh(oldHost, `chown -R prometheus /home/prometheus/source`)
	h.sh(newHost, `chown -R mover /home/mover/target`)
}

// listens waits until somebody listens at a port of the old host.
func (h *hostPair) listens(port string) {
	h.t.Helper()
	h.eventually("the old host listens", func() error {
		_, err := h.try(oldHost, `test -n "$(ss -Hltn "sport = :$1")"`, port)
		return err
	})
}

// reaches waits until the journal has so many lines of a kind, of one block or of all, while the pull goes on, and then runs
// a script at once. All of it runs on the machine: what is waited for may be over soon.
func (h *hostPair) reaches(kind, block string, n int, then string) {
	h.t.Helper()
	_, err := h.try(newHost, `i=0; while [ $i -lt 2400 ]; do i=$((i+1))
		n=$(grep -c "\"k\":\"$2\",\"b\":\"$3" "$1" 2>/dev/null || :) # nothing at all before there is a journal
		[ "${n:-0}" -lt "$4" ] || { `+then+`
			exit 0; }
		[ "$(systemctl show -P ActiveState pull)" = active ] || { echo "the pull has ended" >&2; exit 3; }
		sleep 0.05; done; exit 4`, staging+"/journal", kind, block, fmt.Sprint(n))
	if err != nil {
		h.t.Fatalf("waiting for %d lines %s: %v\n%s", n, kind, err, h.logs())
	}
}

// pulls fails when the pull has ended: a fault that comes after it shows nothing.
func (h *hostPair) pulls() {
	h.t.Helper()
	if state := h.sh(newHost, `systemctl show -P ActiveState pull`); state != "active" {
		h.t.Fatalf("the pull has ended before the fault came: %s\n%s", state, h.logs())
	}
}

// pulled is what a pull printed, and how it ended.
type pulled struct {
	Pull struct {
		Blocks       []transfer.PulledBlock
		BytesFetched int64
		BytesKept    int64
		Seconds      float64
	}
	exit string
	said string
}

// ends waits until the pull has ended.
func (h *hostPair) ends() pulled {
	h.t.Helper()
	h.eventually("the pull ends", func() error {
		if state := h.sh(newHost, `systemctl show -P ActiveState pull`); state != "inactive" && state != "failed" {
			return errors.New(state)
		}
		return nil
	})
	p := pulled{exit: h.sh(newHost, `systemctl show -P ExecMainStatus pull`), said: h.sh(newHost, `cat /run/pull.err`)}
	if out := h.sh(newHost, `cat /run/pull.out`); out != "" {
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			h.t.Fatalf("reading what the pull printed: %v\n%s", err, out)
		}
	}
	h.t.Logf("a pull ended with %s: %.1f s, %d bytes fetched, %d kept\n%s", p.exit, p.Pull.Seconds, p.Pull.BytesFetched, p.Pull.BytesKept, p.said)
	return p
}

// blocks lists the files of all blocks below a folder with their sums, and the blocks themselves, newest first.
func (h *hostPair) blocks(machine, folder string) (sums map[string]string, names []string) {
	h.t.Helper()
	sums = map[string]string{}
	out := h.sh(machine, `cd "$1"; find . -path './01*' ! -path '*.tmp-for-*' -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum`, folder)
	for line := range strings.Lines(out) {
		sum, path, _ := strings.Cut(strings.TrimSpace(line), "  ")
		sums[path] = sum
	}
	// The names of blocks tell when they were made, two at a time: only meta.json knows their order.
	out = h.sh(machine, `cd "$1"; for m in 01????????????????????????/meta.json; do printf '%s %s\n' "$(grep -m1 '"minTime"' "$m" | tr -dc 0-9)" "${m%/*}"; done | sort -rn | cut -d' ' -f2`, folder)
	return sums, strings.Fields(out)
}

// sourceState is all that a transfer must leave as it was: names, sizes, times and owners of the blocks' files, what
// else lies in the folder, and the server's process.
func (h *hostPair) sourceState() string {
	h.t.Helper()
	return h.sh(oldHost, `cd "$1"; ls -A; find . -path './01*' -type f -printf '%p %s %T@ %u %m\n' | LC_ALL=C sort; systemctl show -P MainPID prometheus`, oldData)
}

// load asks the old server two questions every second, and counts what goes wrong.
type load struct {
	mu       sync.Mutex
	down     bool
	asked    int
	failures []string
}

// ask is one question; an answer with a warning, or with nothing, is an error.
func ask(ctx context.Context, server, query string, wide bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	path, form := "/api/v1/query", url.Values{"query": {query}}
	if wide {
		now := time.Now()
		path = "/api/v1/query_range"
		form.Set("start", fmt.Sprint(now.Add(-20*24*time.Hour).Unix()))
		form.Set("end", fmt.Sprint(now.Unix()))
		form.Set("step", "21600")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var a engine.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	list, err := a.Series()
	if err == nil && (len(list) == 0 || len(a.Warnings) > 0) {
		err = fmt.Errorf("%d series, warnings %q", len(list), a.Warnings)
	}
	return err
}

// ask asks until the test ends.
func (h *hostPair) ask() *load {
	l := &load{}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-h.t.Context().Done():
				return
			case <-tick.C:
				l.once(h.t.Context(), h.serverURL())
			}
		}
	}()
	return l
}

func (l *load) once(ctx context.Context, server string) {
	err := errors.Join(ask(ctx, server, "count(up)", false), ask(ctx, server, "sum(rate(requests_total[1h]))", true))
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil || l.down {
		return
	}
	l.asked++
	if err != nil {
		l.failures = append(l.failures, err.Error())
	}
}

// pause says that the server is down because somebody wants it, or that it is no longer.
func (l *load) pause(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *load) result() (asked int, failures []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked, l.failures
}
