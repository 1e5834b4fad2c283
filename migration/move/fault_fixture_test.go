//go:build engine || lab

package move

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	pastBlocks  = 6
	pastSeries  = 10
	pastSamples = 480 // of a series in a block
)

// site is what all moves of a test have: programs, certificates, something to scrape.
type site struct {
	t                *testing.T
	programs, folder string
	config           string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, folder: t.TempDir()}
	var err error
	if s.programs, err = filepath.Abs("../../bin"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"slipway", "slipway-agent"} {
		if _, err := os.Stat(filepath.Join(s.programs, name)); err != nil {
			t.Fatalf("a program is missing (make build): %v", err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), s.programs+"/slipway", "prometheus", "agent", "init", s.folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var served atomic.Int64
	targets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := served.Add(1)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for i := range pastSeries {
			fmt.Fprintf(w, "sold{n=\"%d\"} %d\n", i, n)
		}
	}))
	t.Cleanup(targets.Close)
	s.config = fmt.Sprintf("global: {scrape_interval: 2s}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s'], labels: {instance: x}}]}]\n",
		strings.TrimPrefix(targets.URL, "http://"))
	return s
}

// old is an old server with a past.
type old struct {
	*engine.Server
	dir    string
	end    time.Time         // of the past
	blocks []string          // of the past, newest first
	past   map[string]string // its raw samples: see raw
}

func (s *site) old(retention string) *old {
	s.t.Helper()
	o := &old{dir: s.t.TempDir(), end: time.Now().Truncate(2 * time.Hour).Add(-2 * time.Hour)}
	for b := range pastBlocks {
		o.blocks = append(o.blocks, o.write(s.t, b))
	}
	o.Server = engine.Start(s.t, engine.Prometheus{Version: engine.Prometheus242, Dir: o.dir, Config: s.config, Flags: serverWords(retention)})
	if o.past = raw(s.t, o.URL, 0, o.end.UnixMilli()); len(o.past) != 16*pastSeries {
		s.t.Fatalf("the old server has %d series of the past", len(o.past))
	}
	return o
}

func serverWords(retention string) []string {
	return []string{"--storage.tsdb.min-block-duration=10s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=" + retention}
}

// write writes a block of two hours; one of them is large: it arrives piece by piece.
func (o *old) write(t *testing.T, b int) string {
	t.Helper()
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), o.dir, 2*time.Hour.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	from := o.end.Add(-time.Duration(b+1) * 2 * time.Hour).UnixMilli()
	app := w.Appender(t.Context())
	put := func(name, n string, i int) {
		if _, err := app.Append(0, labels.FromStrings("__name__", name, "n", n, "job", "shop", "instance", "x"), from+int64(i)*15_000, rand.Float64()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range pastSamples {
		for n := range pastSeries {
			put("sold", fmt.Sprint(n), i)
		}
		for n := 0; b == 2 && n < 15*pastSeries; n++ {
			put("weighed", fmt.Sprint(n), i)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	id, err := w.Flush(t.Context())
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// owned is what a move must leave as it was: configuration, process, and the files of the past.
func (o *old) owned(t *testing.T) map[string]string {
	t.Helper()
	config, err := os.ReadFile(o.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"configuration": string(config), "process": fmt.Sprint(o.PID())}
	for _, name := range o.blocks {
		err = errors.Join(err, filepath.WalkDir(filepath.Join(o.dir, name), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			all[path] = fmt.Sprintf("%s %s %x", info.Mode(), info.ModTime(), sha256.Sum256(data))
			return err
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// faulty is one move with its own new server, read shim, agent and link.
type faulty struct {
	t          *testing.T
	site       *site
	old        *old
	target     *engine.Server
	bridge     string // the configuration with remote_read
	link       *link
	agent      *child
	agentWords []string
	agentAt    string
	pin, state string
	words      []string // of migrate
	shimURL    string
	said       bytes.Buffer
	kill       func() // the running migrate
	mu         sync.Mutex
	users      *users
	hurt       []hurt
	signals    map[string]bool // what the throttle of the source had to go by
	onStaged   func()          // once, when the whole past is staged; nil: nothing
	onProof    func()          // once, before both are compared
}

// faultOptions are what moves differ in.
type faultOptions struct {
	socket     bool     // the agent behind a socket, as through SSH; no TLS
	before     []string // words before the agent's
	targetData string
	expires    bool // the oldest block ends by the old server's own retention: users cannot ask for it
	askOld     bool // users are asked to ask the old server, where they are until the cutover
}

// faulty starts everything but the move.
func (s *site) faulty(t *testing.T, o *old, how faultOptions) *faulty {
	t.Helper()
	f := &faulty{t: t, site: s, old: o, signals: map[string]bool{}, state: t.TempDir(), pin: filepath.Join(o.dir, "slipway-pin-"+ulid.Make().String())}
	network, listen := "tcp", engine.FreeAddress(t)
	f.agentAt = listen
	if how.socket {
		network, f.agentAt = "unix", filepath.Join(shortDir(t), "agent")
		listen = "unix:" + f.agentAt
	}
	f.agentWords = append(how.before, s.programs+"/slipway-agent", "source", "-data", o.dir, "-listen", listen, "-credentials", s.folder+"/source", "-pin-folder", f.pin,
		"-server", o.URL, "-latency-budget", "900", "-keep-free", "1048576")
	f.link = newLink(t, network, f.agentAt)
	f.startAgent()
	shim, target := engine.FreeAddress(t), engine.FreeAddress(t)
	f.shimURL = "http://" + shim
	startChild(t, "the read shim", s.programs+"/slipway-agent", "shim", "-source", o.URL, "-target", "http://"+target, "-listen", shim,
		"-state", filepath.Join(t.TempDir(), "shim.json"), "-settle", "2s")
	f.bridge = s.config + "remote_read: [{url: '" + f.shimURL + "/api/v1/read', read_recent: true, filter_external_labels: false}]\n"
	f.target = engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Dir: how.targetData, Address: target, Config: f.bridge, Flags: append(serverWords("30d"), "--storage.tsdb.block-reload-interval=1s")})
	engine.Eventually(t, "the agent listens", func() error {
		conn, err := f.link.dial()
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	engine.Eventually(t, "the shim is ready", func() error { return engine.Answers(f.shimURL + "/-/ready") })
	source := f.link.address()
	if how.socket {
		source = "unix:" + source
	}
	f.words = []string{s.programs + "/slipway", "prometheus", "migrate", "--source", source, "--credentials", s.folder + "/target", "--source-server", o.URL,
		"--target", f.target.URL, "--target-data", f.target.Dir, "--state", f.state, "--progress", "json", "--seam-span", "6s", "--every", "1s", "--samples", "40"}
	at := f.target.URL
	if how.askOld {
		at = o.URL
	}
	blocks := pastBlocks
	if how.expires {
		blocks--
	}
	f.users = f.ask(at, blocks)
	return f
}

func (f *faulty) startAgent() {
	f.agent = startChild(f.t, "the agent", f.agentWords...)
}

// child is a program that ends with the test.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func startChild(t *testing.T, name string, words ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(words[0], words[1:]...), ended: make(chan struct{})}
	var said bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &said, &said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() { // the kernel ties its end to the thread that started it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // it is killed
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			text := said.Bytes()
			t.Logf("%s said:\n%s", name, text[max(0, len(text)-3000):])
		}
	})
	return c
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
}

// move runs migrate until it ends or is killed, and takes remote_read away when it is asked to.
func (f *faulty) move() (last Progress, killed bool) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.words[0], f.words[1:]...)
	cmd.Stderr = &f.said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.kill = func() { _ = cmd.Process.Kill() } // it may have ended
	f.mu.Unlock()
	lines, bridged := bufio.NewScanner(out), true
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			f.t.Errorf("a line that is no JSON: %v: %s", err, lines.Bytes())
		}
		for _, signal := range last.Transfer.Signals {
			f.signals[signal] = true
		}
		if last.Phase == Stage {
			f.link.arm()
		}
		if last.Phase == Seam && last.Blocks.Verified >= pastBlocks && f.onStaged != nil {
			f.onStaged()
			f.onStaged = nil
		}
		if bridged && slices.ContainsFunc(last.Waits, func(w string) bool { return strings.Contains(w, "take remote_read") }) {
			bridged = false
			if f.onProof != nil {
				f.onProof()
				f.onProof = nil
			}
			f.target.Configure(f.site.config)
		}
	}
	return last, fmt.Sprint(cmd.Wait()) == "signal: killed"
}

// killMove is kill -9 of migrate.
func (f *faulty) killMove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kill()
}

// users ask once a second: for the whole past of a series, and for what is there now.
type users struct {
	mu      sync.Mutex
	asked   int
	wrong   []string
	excused func(error) bool // nil: nothing is
	end     context.CancelFunc
	over    chan struct{}
}

func (f *faulty) ask(at string, blocks int) *users {
	ctx, cancel := context.WithCancel(f.t.Context())
	u := &users{end: cancel, over: make(chan struct{})}
	go func() {
		defer close(u.over)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			u.once(ctx, at, f.old.end, blocks)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	f.t.Cleanup(func() { cancel(); <-u.over })
	return u
}

// excuse says which failures nobody could keep from users.
func (u *users) excuse(which func(error) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.excused = which
}

func (u *users) once(ctx context.Context, at string, end time.Time, blocks int) {
	past := fmt.Sprintf("sum(count_over_time(sold{n=\"3\"}[%dh1s] @ %d))", 2*blocks, end.Unix())
	err := errors.Join(oneValue(ctx, at, past, fmt.Sprint(blocks*pastSamples)), oneValue(ctx, at, "count(sold)", fmt.Sprint(pastSeries)))
	if ctx.Err() != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	if err != nil && (u.excused == nil || !u.excused(err)) {
		u.wrong = append(u.wrong, time.Now().UTC().Format("05.0 ")+err.Error())
	}
}

// errUnanswered is an answer that says itself that it is none; anything else that is not as wanted is a partial one.
var errUnanswered = errors.New("no answer")

// oneValue asks an instant query and wants one value, and no warning.
func oneValue(ctx context.Context, at, query, want string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/api/v1/query?"+url.Values{"query": {query}}.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnanswered, err)
	}
	defer resp.Body.Close()
	var a engine.Answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return fmt.Errorf("%w: %s: %w", errUnanswered, resp.Status, err)
	}
	list, err := a.Series()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s: %w", errUnanswered, query, err)
	case len(a.Warnings) > 0 || len(list) != 1 || string(list[0].Value[1]) != `"`+want+`"`:
		return fmt.Errorf("%s: %d series %v, want %s; warnings %q", query, len(list), list, want, a.Warnings)
	}
	return nil
}

// check ends the users, and holds all raw samples before S' of both servers against each other.
func (f *faulty) check() {
	f.t.Helper()
	f.users.end()
	<-f.users.over
	if f.users.asked < 10 || len(f.users.wrong) > 0 {
		f.t.Errorf("%d of %d questions of users went wrong:\n%s", len(f.users.wrong), f.users.asked, strings.Join(f.users.wrong, "\n"))
	}
	state, err := ReadState(f.state)
	if err != nil {
		f.t.Fatal(err)
	}
	if diff := cmp.Diff(f.old.past, raw(f.t, f.target.URL, 0, f.old.end.UnixMilli())); diff != "" {
		f.t.Errorf("raw samples of the past (-old +new):\n%.3000s", diff)
	}
	since := f.old.end.UnixMilli()
	if diff := cmp.Diff(raw(f.t, f.old.URL, since, state.Seam), raw(f.t, f.target.URL, since, state.Seam)); diff != "" {
		f.t.Errorf("raw samples from the start of the old server to S' (-old +new):\n%.3000s", diff)
	}
	for _, left := range []string{f.pin, filepath.Join(f.target.Dir, transfer.StagingFolder, "0*")} {
		if found, _ := filepath.Glob(left); len(found) > 0 {
			f.t.Errorf("left behind: %v", found)
		}
	}
}

// raw says of each series how many raw samples a server has from a time to another, and a sum over their times and bits.
func raw(t *testing.T, at string, from, to int64) map[string]string {
	t.Helper()
	s, err := proof.NewServer(server.Options{Name: at, URL: at})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all := map[string]string{}
	sel := proof.Selection{From: from, To: to, Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", "sold|weighed")}}
	err = s.Read(t.Context(), sel, func(x *proof.Series) error {
		sum := fnv.New64a()
		for _, v := range x.Samples {
			fmt.Fprint(sum, v.Time, math.Float64bits(v.Value), ";")
		}
		all[x.Labels.String()] = fmt.Sprintf("%d samples, %x", len(x.Samples), sum.Sum64())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
