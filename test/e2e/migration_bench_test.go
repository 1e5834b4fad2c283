//go:build lab

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/lab"
	"github.com/slipway-dev/slipway/migration/block"
)

const (
	gigabit = 125_000_000 // bytes per second
	// fixedLimit is the --bwlimit of rsync in KiB per second, as somebody would choose who knows the link and not the disk.
	fixedLimit = 60 << 10
	// watched is for how long queries are timed in each state, and rounds how often each state comes, in turn.
	watched    = 15 * time.Second
	rounds     = 6
	perSecond  = 20
	rsyncData  = "/srv/rsync"
	rsyncShell = "ssh -i /home/mover/.ssh/id_ed25519 -o UserKnownHostsFile=/home/mover/.ssh/known_hosts -o BatchMode=yes"
)

// BenchmarkMigration compares ways to bring the same blocks from one practice machine to another, in one run, and prints a
// table with the ratios that issue 4 sets bars for. SLIPWAY_BENCH_MB is the size, default 600. Run it once (-benchtime 1x).
func BenchmarkMigration(b *testing.B) {
	megabytes := int64(600)
	if text := os.Getenv("SLIPWAY_BENCH_MB"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 50 {
			b.Fatalf("SLIPWAY_BENCH_MB is %q: want megabytes, at least 50", text)
		}
		megabytes = n
	}
	for b.Loop() {
		m := newMigrationBench(b, megabytes*1_000_000)
		m.copies()
		m.second()
		m.queries()
		m.print()
	}
	b.ReportMetric(0, "ns/op")
}

// migrationBench is one run.
type migrationBench struct {
	*hostPair
	bytes   int64
	rows    []benchRow
	again   []benchRow
	proof   float64 // CPU seconds of reading back and summing once
	latency []*benchLatency
}

// benchRow is one copy.
type benchRow struct {
	name             string
	took             float64 // seconds until it is durable; ours is verified, too
	cpuOld, cpuNew   float64 // seconds, of all processes of the machine
	read             int64   // bytes that the old machine's disk gave
	anonOld, anonNew int64   // peak of anonymous memory, bytes; of slipway-agent alone
}

// benchLatency is the old server's queries in one state, round after round.
type benchLatency struct {
	name   string
	took   []time.Duration // of all rounds: the slowest hundredth of one round are three questions
	p99    []float64       // of each round, milliseconds
	failed int
	sent   []float64 // MB per second that left the old machine
}

func newMigrationBench(b *testing.B, size int64) *migrationBench {
	m := &migrationBench{hostPair: newHostPair(b, "bench-hosts", max(gib(3), 4*size), size)}
	m.t = b
	m.credentials()
	m.trust()
	m.bringRsync()
	m.sh(newHost, `install -d -o mover -g mover "$1"`, rsyncData)
	m.put(oldHost, "/etc/rsyncd.conf", "use chroot = no\nport = 8873\n[data]\npath = "+oldData+"\nread only = yes\n")
	m.unit(oldHost, "rsyncd", "prometheus", "")
	sizes := m.sh(oldHost, `cd "$1"; find . -path './01*' -type f -printf '%s\n'`, oldData)
	for _, text := range strings.Fields(sizes) {
		n, err := strconv.ParseInt(text, 10, 64)
		must(b, err)
		m.bytes += n
	}
	m.measureProof()
	return m
}

// bringRsync brings Debian's rsync and the libraries that the machines lack.
func (m *migrationBench) bringRsync() {
	m.t.Helper()
	tree := rsyncTree(m.t)
	for _, machine := range []string{oldHost, newHost} {
		m.bring(machine, "/usr", filepath.Join(tree, "usr"), "bin", "lib")
		m.t.Log(strings.SplitN(m.sh(machine, `rsync --version`), "\n", 2)[0])
	}
}

// rsyncTree unpacks Debian's rsync and its libraries.
func rsyncTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	script := `cd "$1" && { apt-get -o APT::Sandbox::User=root download rsync libpopt0 libxxhash0 ||
		{ apt-get -qq update && apt-get -o APT::Sandbox::User=root download rsync libpopt0 libxxhash0; }; } &&
		mkdir tree && for p in *.deb; do dpkg-deb -x "$p" tree || exit 1; done`
	if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("getting rsync: %v: %s", err, out)
	}
	return filepath.Join(dir, "tree")
}

// measureProof scrubs one copy of the blocks here as a pull does on the target: with the disk read, all sums, nothing decoded.
func (m *migrationBench) measureProof() {
	dir := m.t.TempDir()
	from := exec.CommandContext(m.t.Context(), "tar", "-C", dir, "-x")
	in, err := from.StdinPipe()
	must(m.t, err)
	must(m.t, from.Start())
	must(m.t, m.lab.ExecAs(m.t.Context(), oldHost, "root", lab.Streams{Out: in}, "sh", "-c", "cd "+oldData+" && tar -c 01*"))
	must(m.t, in.Close())
	must(m.t, from.Wait())
	d, err := block.Open(dir)
	must(m.t, err)
	defer d.Close()
	list, err := d.List()
	must(m.t, err)
	before := ownCPU(m.t)
	for _, e := range list.Blocks {
		report, err := d.Scrub(m.t.Context(), e.Name, block.ScrubOptions{SumsOnly: true, PieceBytes: 8 << 20})
		must(m.t, err)
		must(m.t, report.Err())
	}
	m.proof = ownCPU(m.t) - before
}

func ownCPU(t testing.TB) float64 {
	var u syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// copies are all ways, first as fast as it goes, then on a link of 1 Gb/s. The server is stopped: its CPU is not ours.
func (m *migrationBench) copies() {
	m.sh(oldHost, `systemctl stop prometheus`)
	m.start(oldHost, "rsyncd", "/usr/bin/rsync", "--daemon", "--no-detach", "--config=/etc/rsyncd.conf")
	m.listens("8873")
	for _, limit := range []int64{0, gigabit} {
		must(m.t, m.lab.LimitRate(m.t.Context(), oldHost, limit))
		link := map[bool]string{true: "1 Gb/s", false: "uncapped"}[limit > 0]
		m.rows = append(m.rows,
			m.copy("rsync over SSH, "+link, true, m.rsyncSSH), m.copy("rsync daemon, "+link, true, m.rsyncDaemon),
			m.copy("slipway over TLS, "+link, true, m.pullTLS), m.copy("slipway through SSH, "+link, true, m.pullSSH))
	}
	must(m.t, m.lab.LimitRate(m.t.Context(), oldHost, 0))
}

// second repeats what is there already.
func (m *migrationBench) second() {
	m.copy("", true, m.rsyncSSH)
	m.again = append(m.again, m.copy("rsync over SSH, again", false, m.rsyncSSH))
	m.copy("", true, m.pullTLS)
	m.again = append(m.again, m.copy("slipway over TLS, again", false, m.pullTLS))
}

// copy measures one copy. What is to be copied is read from the disk, and nothing of it is in the way on the other one.
func (m *migrationBench) copy(name string, fresh bool, run func(copied func(func()))) benchRow {
	m.t.Helper()
	if fresh {
		m.sh(newHost, `rm -rf "$1" "$2"/01*; sync`, staging, rsyncData)
	}
	m.dropCache()
	row := benchRow{name: name}
	run(func(work func()) {
		stop := make(chan struct{})
		var sampler sync.WaitGroup
		sampler.Go(func() { m.sample(&row, stop) })
		before := []float64{m.cpu(oldHost), m.cpu(newHost)}
		disk := m.diskRead()
		began := time.Now()
		work()
		row.took = time.Since(began).Seconds()
		row.cpuOld, row.cpuNew = m.cpu(oldHost)-before[0], m.cpu(newHost)-before[1]
		row.read = m.diskRead() - disk
		close(stop)
		sampler.Wait()
	})
	return row
}

func (m *migrationBench) asMover(words ...string) {
	m.t.Helper()
	m.sh(newHost, `cd /; HOME=/home/mover setpriv --reuid=mover --regid=mover --clear-groups "$@"; sync -f /srv`, words...)
}

func (m *migrationBench) rsync(from string, more ...string) {
	m.t.Helper()
	m.asMover(append([]string{"rsync", "-a", "--include=/01*/", "--include=/01*/**", "--exclude=*"}, append(more, from, rsyncData+"/")...)...)
}

func (m *migrationBench) rsyncSSH(copied func(func())) {
	copied(func() { m.rsync("prometheus@"+m.address(oldHost)+":"+oldData+"/", "-e", rsyncShell) })
}

func (m *migrationBench) rsyncDaemon(copied func(func())) {
	copied(func() { m.rsync("rsync://" + m.address(oldHost) + ":8873/data/") })
}

func (m *migrationBench) pullTLS(copied func(func())) {
	m.start(oldHost, "blocks", m.source("-full-speed")...)
	m.listens("9797")
	copied(func() { m.asMover(m.puller()...) })
	m.sh(oldHost, `systemctl stop blocks`)
}

func (m *migrationBench) source(more ...string) []string {
	return append([]string{"/usr/local/bin/slipway-agent", "source", "-data", oldData, "-listen", ":9797", "-credentials", "/home/prometheus/source"}, more...)
}

func (m *migrationBench) puller() []string {
	return []string{"/usr/local/bin/slipway-agent", "target", "-from", net.JoinHostPort(m.address(oldHost), "9797"), "-to", newData, "-credentials", "/home/mover/target"}
}

func (m *migrationBench) pullSSH(copied func(func())) {
	m.sh(oldHost, `rm -f "$1"`, blocksSocket)
	m.start(oldHost, "blocks", "/usr/local/bin/slipway-agent", "source", "-data", oldData, "-listen", "unix:"+blocksSocket, "-full-speed")
	m.eventually("the source listens", func() error { _, err := m.try(oldHost, `test -S "$1"`, blocksSocket); return err })
	m.tunnel()
	copied(func() {
		m.asMover("/usr/local/bin/slipway-agent", "target", "-from", "unix:"+tunnelSocket, "-to", newData)
	})
	m.sh(newHost, `systemctl stop tunnel`)
	m.sh(oldHost, `systemctl stop blocks`)
}

// cgroup is a machine's folder in a hierarchy of version 1, or in the one of version 2.
func (m *migrationBench) cgroup(controller, machine string) string {
	lab := "slipway-lab-" + strings.Split(m.address(machine), ".")[2]
	if v1 := filepath.Join("/sys/fs/cgroup", controller, lab, machine); isThere(v1) {
		return v1
	}
	return filepath.Join("/sys/fs/cgroup", lab, machine)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// cpu is the CPU time that a machine has taken, in seconds.
func (m *migrationBench) cpu(machine string) float64 {
	m.t.Helper()
	dir := m.cgroup("cpuacct", machine)
	if text, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage")); err == nil {
		n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		must(m.t, err)
		return n / 1e9
	}
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	must(m.t, err)
	var micros float64
	if _, err := fmt.Sscanf(string(text), "usage_usec %f", &micros); err != nil {
		m.t.Fatalf("reading the CPU time of %s: %v", machine, err)
	}
	return micros / 1e6
}

// diskRead is how many bytes the old machine's disk has given.
func (m *migrationBench) diskRead() int64 {
	m.t.Helper()
	out := m.sh(oldHost, `set -- $(stat -c '%Hd %Ld' "$1"); awk -v a="$1" -v b="$2" '$1 == a && $2 == b { printf "%.0f", $6 * 512 }' /proc/diskstats`, oldData)
	n, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		m.t.Fatalf("reading the disk's counters: %q", out)
	}
	return n
}

// sample notes the largest anonymous memory of slipway-agent on both machines.
func (m *migrationBench) sample(row *benchRow, stop <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			row.anonOld, row.anonNew = max(row.anonOld, m.anonymous(oldHost)), max(row.anonNew, m.anonymous(newHost))
		}
	}
}

// anonymous is RssAnon of a machine's slipway-agent, which is a process of this host, too.
func (m *migrationBench) anonymous(machine string) (sum int64) {
	_ = filepath.WalkDir(m.cgroup("pids", machine), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Name() != "cgroup.procs" {
			return nil // a group that ends meanwhile
		}
		pids, _ := os.ReadFile(path)
		for _, pid := range strings.Fields(string(pids)) {
			status, _ := os.ReadFile("/proc/" + pid + "/status")
			if !bytes.HasPrefix(status, []byte("Name:\tslipway-agent\n")) {
				continue
			}
			_, after, _ := strings.Cut(string(status), "RssAnon:")
			var kib int64
			_, _ = fmt.Sscan(after, &kib) // a process that ends has none
			sum += kib << 10
		}
		return nil
	})
	return sum
}

// queries times the old server's queries at a fixed rate: idle, while we copy with the throttle on, while rsync copies with
// a fixed limit, and again. The machine has one core, as a small old host has.
func (m *migrationBench) queries() {
	must(m.t, m.lab.LimitCores(m.t.Context(), oldHost, 1))
	m.serve("60d")
	m.latency = []*benchLatency{{name: "idle"}, {name: "slipway, adaptive throttle"}, {name: fmt.Sprintf("rsync over SSH, --bwlimit=%d", fixedLimit)}}
	m.load(&benchLatency{}, func() {}, func() {}) // warming up
	for range rounds {
		m.load(m.latency[0], func() {}, func() {})
		m.start(oldHost, "blocks", m.source("-server", "http://127.0.0.1:9090")...)
		m.listens("9797")
		m.load(m.latency[1], func() { m.repeat(m.puller()...) }, m.stopCopies)
		m.sh(oldHost, `systemctl stop blocks`)
		m.load(m.latency[2], func() {
			m.repeat("rsync", "-a", "--bwlimit="+strconv.Itoa(fixedLimit), "--include=/01*/", "--include=/01*/**", "--exclude=*", "-e", "'"+rsyncShell+"'",
				"prometheus@"+m.address(oldHost)+":"+oldData+"/", rsyncData+"/")
		}, m.stopCopies)
	}
	must(m.t, m.lab.LimitCores(m.t.Context(), oldHost, 0))
}

// repeat copies again and again in the background.
func (m *migrationBench) repeat(words ...string) {
	m.put(newHost, "/usr/local/bin/repeat", "while :; do rm -rf "+staging+" "+rsyncData+"/01*; "+strings.Join(words, " ")+" || exit 1; done\n")
	m.start(newHost, "pull", "/bin/sh", "/usr/local/bin/repeat")
}

func (m *migrationBench) stopCopies() {
	m.pulls()
	m.sh(newHost, `systemctl stop pull`)
}

// load times the queries of one round. The disk has to give what is copied and what is asked for: nothing of the blocks is cached.
func (m *migrationBench) load(l *benchLatency, start, stop func()) {
	m.dropCache()
	start()
	sent := m.sent()
	began := time.Now()
	took, failed := m.fire(watched)
	elapsed := time.Since(began).Seconds()
	sent = m.sent() - sent
	stop()
	if len(took) == 0 {
		m.t.Fatalf("%s: no query of %d was answered", l.name, failed)
	}
	l.took, l.p99, l.failed, l.sent = append(l.took, took...), append(l.p99, percentile(took, 99)), l.failed+failed, append(l.sent, float64(sent)/elapsed/1e6)
}

// percentile is in milliseconds.
func percentile(took []time.Duration, part int) float64 {
	sorted := slices.Sorted(slices.Values(took))
	return millis(sorted[len(sorted)*part/100])
}

// dropCache takes the blocks out of the old machine's page cache.
func (m *migrationBench) dropCache() {
	m.t.Helper()
	m.sh(oldHost, `find "$1" -path '*/01*' -type f -exec dd if={} iflag=nocache count=0 status=none ';'`, oldData)
}

// fire asks at a fixed rate, whether the last question was answered or not.
func (m *migrationBench) fire(during time.Duration) (took []time.Duration, failed int) {
	ctx, cancel := context.WithTimeout(m.t.Context(), during)
	defer cancel()
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	var mu sync.Mutex
	var group sync.WaitGroup
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			group.Go(func() {
				began := time.Now()
				err := ask(m.t.Context(), m.serverURL(), "sum(rate(requests_total[1h]))", true)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
					return
				}
				took = append(took, time.Since(began))
			})
		}
	}
	group.Wait()
	return took, failed
}

// sent is how many bytes the old machine has sent.
func (m *migrationBench) sent() int64 {
	m.t.Helper()
	n, err := strconv.ParseInt(m.sh(oldHost, `cat /sys/class/net/eth0/statistics/tx_bytes`), 10, 64)
	must(m.t, err)
	return n
}

func (m *migrationBench) print() {
	gigabytes := float64(m.bytes) / 1e9
	var text bytes.Buffer
	fmt.Fprintf(&text, "\n%.2f GB in blocks of %d days, two practice machines; rsync: durable, not verified; slipway: durable and verified.\n"+
		"CPU of all processes of both machines; of the proof: %.2f s/GB, taken off in the last column. MiB: peak of anonymous memory.\n\n", gigabytes, historyDays, m.proof/gigabytes)
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "COPY\tMB/s\tOF RSYNC/SSH\tOF BEST RSYNC\tCPU s/GB OLD\tNEW\tBOTH\tCOPY ALONE\tOF RSYNC/SSH\tDISK READ MB\tMiB OLD\tNEW")
	for i, r := range m.rows {
		rival := m.rows[i/4*4] // rsync over SSH on the same link; its daemon is the next one
		best := min(rival.took, m.rows[i/4*4+1].took)
		alone, own := r.cpuOld+r.cpuNew, "-\t-"
		if strings.HasPrefix(r.name, "slipway") {
			alone -= m.proof
			own = fmt.Sprintf("%.1f\t%.1f", float64(r.anonOld)/(1<<20), float64(r.anonNew)/(1<<20))
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t%s\n", r.name, gigabytes*1000/r.took, rival.took/r.took, best/r.took, r.cpuOld/gigabytes, r.cpuNew/gigabytes,
			(r.cpuOld+r.cpuNew)/gigabytes, alone/gigabytes, alone/(rival.cpuOld+rival.cpuNew), float64(r.read)/1e6, own)
	}
	fmt.Fprintln(w, "\nSECOND PASS\tSECONDS\tCPU s\tDISK READ MB")
	for _, r := range m.again {
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.1f\n", r.name, r.took, r.cpuOld+r.cpuNew, float64(r.read)/1e6)
	}
	fmt.Fprintf(w, "\nOLD SERVER'S QUERIES (%d/s, one core; %d rounds in turn, all together)\tP50 ms\tP90 ms\tP99 ms\tP99 OF IDLE\tP99 OF ROUNDS\tASKED\tFAILED\tSENT MB/s\n", perSecond, rounds)
	for _, l := range m.latency {
		p99 := percentile(l.took, 99)
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.2f\t%s\t%d\t%d\t%s\n", l.name, percentile(l.took, 50), percentile(l.took, 90), p99,
			p99/percentile(m.latency[0].took, 99), spread("%.1f", l.p99), len(l.took)+l.failed, l.failed, spread("%.0f", l.sent))
	}
	must(m.t, w.Flush())
	fmt.Fprintln(&text, "\nBars: at least 1.00 of rsync over SSH uncapped and of the best rsync at 1 Gb/s; copy alone at most 0.50 of its CPU; a second pass\n"+
		"reads no block data; P99 at most 1.20 of idle; 64 MiB of anonymous memory on each side.")
	fmt.Print(text.String())
}

// spread is the median, and the least and the most.
func spread(format string, values []float64) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ("+format+"-"+format+")", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
