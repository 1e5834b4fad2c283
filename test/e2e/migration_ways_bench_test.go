//go:build lab

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	waysBytes = 60_000_000
	// looks is how often a second the users' endpoint is asked.
	looks = 20
)

// BenchmarkMigrationWays brings 30 days of history and a server that scrapes every second to another server in three ways:
// slipway prometheus migrate, the old way by hand (stop, rsync, chown, start), and a snapshot through vmctl. All programs are
// real and run on this host; both Prometheus cut their heads every ten seconds. Run it once (-benchtime 1x).
func BenchmarkMigrationWays(b *testing.B) {
	for b.Loop() {
		w := &ways{t: b, history: b.TempDir(), tool: rsyncProgram(b)}
		writeHistory(b, w.history, waysBytes)
		w.until = time.Now().Truncate(historyRange).UnixMilli()
		w.bytes = bytesBelow(b, w.history)
		w.scraped = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Content-Type", "text/plain; version=0.0.4")
			fmt.Fprintf(out, "ticket %d\n", time.Now().UnixMilli())
		}))
		b.Cleanup(w.scraped.Close)
		w.slipway()
		w.byHand()
		w.vmctl()
		w.print()
	}
	b.ReportMetric(0, "ns/op")
}

// ways is one run.
type ways struct {
	t       testing.TB
	history string // blocks, never changed
	bytes   int64
	until   int64 // where the history ends, Unix milliseconds
	tool    string
	scraped *httptest.Server
	steps   []step
	rows    []wayRow
}

// wayRow is one way.
type wayRow struct {
	name         string
	took         float64 // seconds until the new server has all that it will have
	cpu          float64 // seconds of the programs that move
	down         float64 // seconds in which the users' endpoint did not answer
	asked        int
	missed       int // scrapes
	lost, series int // samples of the history, and series that are not bit by bit the same
}

// step is what a server held of the history at one moment.
type step struct {
	name                     string
	samples, lost, differing int
}

// held is a history as a server gives it: by series, how many samples, and a sum of them.
type held map[string]heldSeries

type heldSeries struct {
	samples int
	sum     block.Sum
}

func (h held) samples() (n int) {
	for _, s := range h {
		n += s.samples
	}
	return n
}

func bytesBelow(t testing.TB, dir string) (sum int64) {
	must(t, filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		sum += info.Size()
		return err
	}))
	return sum
}

// rsyncProgram gives a command line of Debian's rsync, unpacked beside us.
func rsyncProgram(t testing.TB) string {
	dir := rsyncTree(t)
	found, err := filepath.Glob(filepath.Join(dir, "usr/lib/*-linux-gnu"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the libraries of rsync are in %q", found)
	}
	return "LD_LIBRARY_PATH=" + found[0] + " " + filepath.Join(dir, "usr/bin/rsync")
}

// config scrapes the same in every server.
func (w *ways) config() string {
	return fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s'], labels: {instance: x}}]}]\n", strings.TrimPrefix(w.scraped.URL, "http://"))
}

func waysFlags(more ...string) []string {
	return append([]string{"--storage.tsdb.min-block-duration=10s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=60d"}, more...)
}

// old starts the old server on a copy of the history, and waits until it has scraped.
func (w *ways) old() *engine.Server {
	dir := w.t.TempDir()
	must(w.t, os.CopyFS(dir, os.DirFS(w.history)))
	s := engine.Start(w.t, engine.Prometheus{Version: engine.Prometheus242, Dir: dir, Config: w.config(), Flags: waysFlags()})
	w.scrapes(s)
	return s
}

func (w *ways) scrapes(s *engine.Server) {
	w.t.Helper()
	engine.Eventually(w.t, "the server scrapes", func() error {
		a, err := s.Ask("/api/v1/query", url.Values{"query": {"count_over_time(ticket[10s]) >= 3"}})
		if err != nil {
			return err
		}
		if list, err := a.Series(); err != nil || len(list) != 1 {
			return errors.Join(err, fmt.Errorf("%d series", len(list)))
		}
		return nil
	})
}

// slipway is our way. The users' endpoint goes to the new server when all is proved.
func (w *ways) slipway() {
	t := w.t
	old := w.old()
	want := w.read(old.URL)
	w.steps = append(w.steps, step{name: "old server, before", samples: want.samples()})
	target := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: w.config(), Flags: waysFlags("--storage.tsdb.block-reload-interval=1s")})
	end := watchEndpoint(t, old.URL)
	bin, err := filepath.Abs("../../bin/slipway")
	must(t, err)
	keys, address := t.TempDir(), engine.FreeAddress(t)
	w.run(exec.CommandContext(t.Context(), bin, "prometheus", "agent", "init", keys))
	source := exec.CommandContext(t.Context(), bin+"-agent", "source", "-data", old.Dir, "-listen", address, "-credentials", filepath.Join(keys, "source"), "-server", old.URL)
	must(t, source.Start())
	engine.Eventually(t, "the source listens", func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	began := time.Now()
	row := wayRow{name: "slipway prometheus migrate"}
	row.cpu = w.run(exec.CommandContext(t.Context(), bin, "prometheus", "migrate", "--source", address, "--credentials", filepath.Join(keys, "target"), "--source-server", old.URL,
		"--target-data", target.Dir, "--target", target.URL, "--state", t.TempDir(), "--seam-span", "4s", "--every", "200ms"))
	row.took = time.Since(began).Seconds()
	must(t, source.Process.Signal(syscall.SIGTERM))
	_ = source.Wait() // it says that it was ended
	row.cpu += used(source)
	end.url.Store(&target.URL)
	old.Stop()
	w.step("new server, all installed", want, target)
	row.down, row.asked = end.stop()
	target.Stop()
	target.Restart()
	w.step("after a restart", want, target)
	before, _ := target.Metric("prometheus_tsdb_head_min_time")
	engine.Eventually(t, "cutting the head", func() error {
		if now, ok := target.Metric("prometheus_tsdb_head_min_time"); !ok || now <= before {
			return fmt.Errorf("it begins at %v", now)
		}
		return nil
	})
	last := w.step("after it cut its head", want, target)
	row.lost, row.series, row.missed = last.lost, last.differing, w.missed(target.URL, end)
	w.rows = append(w.rows, row)
}

// byHand is what people do: stop, rsync, chown, start.
func (w *ways) byHand() {
	t := w.t
	old := w.old()
	want := w.read(old.URL)
	dir := t.TempDir()
	end := watchEndpoint(t, old.URL)
	began := time.Now()
	old.Stop()
	row := wayRow{name: "by hand: stop, rsync, chown, start"}
	row.cpu = w.run(exec.CommandContext(t.Context(), "/bin/sh", "-euc", w.tool+` -a "$1/" "$2"; sync -f "$2"; chown -R "$(id -u):$(id -g)" "$2"`, "sh", old.Dir, dir))
	target := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Dir: dir, Config: w.config(), Flags: waysFlags("--storage.tsdb.block-reload-interval=1s")})
	end.url.Store(&target.URL)
	row.took = time.Since(began).Seconds()
	w.scrapes(target)
	last := w.step("by hand", want, target)
	row.down, row.asked = end.stop()
	row.lost, row.series, row.missed = last.lost, last.differing, w.missed(target.URL, end)
	w.rows = append(w.rows, row)
}

// vmctl reads a snapshot of the old server and writes it into VictoriaMetrics: another database, not another Prometheus.
func (w *ways) vmctl() {
	t := w.t
	old := w.old()
	want := w.read(old.URL)
	receiver := engine.StartVictoriaMetrics(t)
	end := watchEndpoint(t, old.URL)
	began := time.Now()
	a, err := http.Post(old.URL+"/api/v1/admin/tsdb/snapshot", "", nil)
	must(t, err)
	var made struct{ Data struct{ Name string } }
	must(t, errors.Join(json.NewDecoder(a.Body).Decode(&made), a.Body.Close()))
	row := wayRow{name: "snapshot and vmctl, into VictoriaMetrics"}
	row.cpu = w.run(exec.CommandContext(t.Context(), engine.Program(t, engine.VictoriaMetricsRecipe, "vmctl"), "prometheus", "-s", "--disable-progress-bar",
		"--prom-snapshot", filepath.Join(old.Dir, "snapshots", made.Data.Name), "--vm-addr", receiver.URL, "--prom-tmp-dir-path", t.TempDir()))
	row.took = time.Since(began).Seconds()
	row.down, row.asked = end.stop()
	got := w.export(receiver.URL)
	s := compared("in VictoriaMetrics", want, got)
	w.steps = append(w.steps, s)
	receiver.Stop()
	row.cpu += receiver.Used().Seconds()
	row.lost, row.series = s.lost, s.differing
	w.rows = append(w.rows, row)
}

// run runs a program to its end and gives the CPU seconds that it used.
func (w *ways) run(cmd *exec.Cmd) float64 {
	w.t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return used(cmd)
}

// used is the CPU seconds of a program and of those that it waited for.
func used(cmd *exec.Cmd) float64 {
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// step compares what a server holds of the history now.
func (w *ways) step(name string, want held, s *engine.Server) step {
	w.t.Helper()
	found := compared(name, want, w.read(s.URL))
	w.steps = append(w.steps, found)
	return found
}

func compared(name string, want, got held) step {
	s := step{name: name, samples: got.samples()}
	for series, has := range want {
		s.lost += max(has.samples-got[series].samples, 0)
		if got[series] != has {
			s.differing++
		}
	}
	return s
}

// read reads the whole history from a server, sample by sample.
func (w *ways) read(at string) held {
	w.t.Helper()
	all := held{}
	w.visit(at, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"), 0, w.until, func(s *proof.Series) {
		sum := block.NewSummer()
		for _, x := range s.Samples {
			addSample(sum, x)
		}
		all[s.Labels.String()] = heldSeries{len(s.Samples), sum.Sum()}
	})
	return all
}

func (w *ways) visit(at string, m *labels.Matcher, from, to int64, visit func(*proof.Series)) {
	w.t.Helper()
	s, err := proof.NewServer(server.Options{Name: "server", URL: at, MaxBytes: 1 << 30, Timeout: 10 * time.Minute})
	must(w.t, err)
	must(w.t, s.Read(w.t.Context(), proof.Selection{From: from, To: to, Matchers: []*labels.Matcher{m}}, func(s *proof.Series) error {
		visit(s)
		return nil
	}))
}

// addSample adds the bits of a sample to a sum.
func addSample(to *block.Summer, s proof.Sample) {
	bits := binary.LittleEndian.AppendUint64(nil, uint64(s.Time))
	if s.Int == nil {
		bits = binary.LittleEndian.AppendUint64(bits, math.Float64bits(s.Value))
	} else {
		bits = binary.LittleEndian.AppendUint64(bits, s.Int.Count)
		bits = binary.LittleEndian.AppendUint64(bits, math.Float64bits(s.Int.Sum))
		for _, n := range s.Int.PositiveBuckets {
			bits = binary.LittleEndian.AppendUint64(bits, uint64(n))
		}
	}
	_, _ = to.Write(bits) // never fails
}

// export reads the whole history from VictoriaMetrics, which gives a line of JSON for each series and block of it.
func (w *ways) export(at string) held {
	t := w.t
	t.Helper()
	flush, err := http.Get(at + "/internal/force_flush")
	must(t, err)
	must(t, flush.Body.Close())
	resp, err := http.PostForm(at+"/api/v1/export", url.Values{"match[]": {`{__name__!=""}`}, "start": {"0"}, "end": {fmt.Sprintf("%.3f", float64(w.until-1)/1000)}})
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		t.Fatalf("exporting from VictoriaMetrics: %s: %s", resp.Status, text)
	}
	all := map[string][]proof.Sample{}
	in := bufio.NewReaderSize(resp.Body, 1<<20)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		var line struct {
			Metric     map[string]string
			Values     []*float64 // null: not a number
			Timestamps []int64
		}
		must(t, json.Unmarshal(text, &line))
		name := labels.FromMap(line.Metric).String()
		for i, v := range line.Values {
			s := proof.Sample{Time: line.Timestamps[i], Value: math.NaN()}
			if v != nil {
				s.Value = *v
			}
			all[name] = append(all[name], s)
		}
	}
	sums := held{}
	for name, samples := range all {
		slices.SortFunc(samples, func(a, b proof.Sample) int { return int(a.Time - b.Time) })
		sum := block.NewSummer()
		for _, s := range samples {
			addSample(sum, s)
		}
		sums[name] = heldSeries{len(samples), sum.Sum()}
	}
	return sums
}

// missed counts the scrapes that are not there between the beginning and the end of a watch.
func (w *ways) missed(at string, e *endpoint) (n int) {
	w.t.Helper()
	w.visit(at, labels.MustNewMatcher(labels.MatchEqual, "__name__", "ticket"), e.began.UnixMilli(), e.ended.UnixMilli(), func(s *proof.Series) {
		for i, x := range s.Samples[1:] {
			n += int(math.Round(float64(x.Time-s.Samples[i].Time)/1000)) - 1
		}
	})
	return max(n, 0)
}

// endpoint is what users ask: a name that leads to one server.
type endpoint struct {
	url          atomic.Pointer[string]
	began, ended time.Time
	asked        int
	down         time.Duration
	cancel       context.CancelFunc
	group        sync.WaitGroup
}

// watchEndpoint asks at a fixed rate. Down is from a question that was not answered until the next one that is.
func watchEndpoint(t testing.TB, at string) *endpoint {
	ctx, cancel := context.WithCancel(t.Context())
	e := &endpoint{began: time.Now(), cancel: cancel}
	e.url.Store(&at)
	e.group.Go(func() {
		tick := time.NewTicker(time.Second / looks)
		defer tick.Stop()
		var since time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				now := time.Now()
				err := ask(ctx, *e.url.Load(), "count(ticket)", false)
				if ctx.Err() != nil {
					return
				}
				e.asked++
				switch {
				case err != nil && since.IsZero():
					since = now
				case err == nil && !since.IsZero():
					e.down += time.Since(since)
					since = time.Time{}
				}
			}
		}
	})
	return e
}

func (e *endpoint) stop() (down float64, asked int) {
	e.cancel()
	e.group.Wait()
	e.ended = time.Now()
	return e.down.Seconds(), e.asked
}

func (w *ways) print() {
	var text bytes.Buffer
	fmt.Fprintf(&text, "\n%.0f MB in blocks of %d days and a server that scrapes every second, all on this host.\n\n", float64(w.bytes)/1e6, historyDays)
	out := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, "WAY\tSECONDS\tMB/s\tCPU s\tENDPOINT DOWN s\tASKED\tSCRAPES MISSED\tSAMPLES LOST\tSERIES NOT THE SAME")
	for _, r := range w.rows {
		fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.1f\t%.2f\t%d\t%d\t%d\t%d\n", r.name, r.took, float64(w.bytes)/1e6/r.took, r.cpu, r.down, r.asked, r.missed, r.lost, r.series)
	}
	fmt.Fprintln(out, "\nRAW SAMPLES OF THE HISTORY\tSAMPLES\tLOST\tSERIES NOT THE SAME")
	for _, s := range w.steps {
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\n", s.name, s.samples, s.lost, s.differing)
	}
	must(w.t, out.Flush())
	fmt.Fprintln(&text, "\nBars of slipway: endpoint down 0.00 s, nothing lost, nothing that differs at any step.")
	fmt.Print(text.String())
}
