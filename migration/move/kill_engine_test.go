//go:build engine

package move

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/test/engine"
)

// program is slipway prometheus migrate as people run it, killed again and again.
type program struct {
	t      *testing.T
	args   []string
	target string         // data directory, which is in the command line of its cuts
	kills  map[string]int // by the first words of the step that had begun
}

// often is how often a kind of step is killed: at once, and a little later the next time. Those that change the target's folders are
// killed twice.
func often(step string) int {
	if strings.HasPrefix(step, "cut ") || strings.HasPrefix(step, "install ") || strings.HasPrefix(step, "end ") {
		return 2
	}
	return 1
}

// words are those that tell steps apart, without names and times.
func words(step string) string {
	f := strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return 'n'
		}
		return r
	}, step))
	return strings.Join(f[:min(len(f), 2)], " ")
}

// run runs until it is killed or ends, and gives its last line.
func (p *program) run() (last Progress, killed bool, errs string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.args[0], p.args[1:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			p.t.Errorf("a line that is no JSON: %v: %s", err, lines.Bytes())
		}
		if len(last.Steps) == 0 || killed {
			continue
		}
		if step := words(last.Steps[0]); p.kills[step] < often(step) {
			killed = true
			later := time.Duration(len(p.kills)%3+2*p.kills[step]) * 40 * time.Millisecond
			p.kills[step]++
			time.AfterFunc(later, func() { _ = cmd.Process.Kill() })
		}
	}
	ended := cmd.Wait() // how it ended is seen in its last line
	if killed = killed && fmt.Sprint(ended) == "signal: killed"; killed {
		p.noCut()
	}
	return last, killed, said.String()
}

// noCut waits until no cut of a killed run works on.
func (p *program) noCut() {
	p.t.Helper()
	engine.Eventually(p.t, "a killed run's cut ends with it", func() error {
		found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err == nil && bytes.Contains(text, []byte("prometheus\x00cut\x00")) && bytes.Contains(text, []byte(p.target)) {
				return fmt.Errorf("%s: %q", file, text)
			}
		}
		return nil
	})
}

// TestProgramLosesNothingHoweverOftenItIsKilled runs the built program against 2.42 and 3.16 and kills it at each kind of step.
func TestProgramLosesNothingHoweverOftenItIsKilled(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "slipway")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/slipway")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building slipway: %v\n%s", err, out)
	}
	tickets := newExporter(t)
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: shop, static_configs: [{targets: ['%s'], labels: {instance: x}}]}]\n", strings.TrimPrefix(tickets.URL, "http://"))
	flags := []string{"--storage.tsdb.min-block-duration=10s", "--storage.tsdb.max-block-duration=2h", "--storage.tsdb.retention.time=30d"}
	dir, state := t.TempDir(), t.TempDir()
	history(t, dir, 3)
	source := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Dir: dir, Config: config, Flags: flags})
	target := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: config, Flags: append(flags, "--storage.tsdb.block-reload-interval=1s")})
	p := &program{t: t, target: target.Dir, kills: map[string]int{}, args: []string{binary, "prometheus", "migrate", "--source", dir, "--source-server", source.URL,
		"--target", target.URL, "--target-data", target.Dir, "--state", state, "--progress", "json", "--seam-span", "4s", "--every", "200ms", "--samples", "40"}}
	killed, deadline := 0, time.Now().Add(4*time.Minute)
	for {
		last, again, errs := p.run()
		if again {
			killed++
		}
		if again && time.Now().Before(deadline) {
			continue
		}
		if !last.Done || last.Proof == nil || last.Proof.Verdict != proof.Proved {
			t.Fatalf("killed %d times (%v), it ended with %+v\n%s", killed, p.kills, last, errs)
		}
		if last.Blocks.Installed != last.Blocks.Total || last.Blocks.Total < 4 || last.Transfer.BytesDone != last.Transfer.BytesTotal {
			t.Errorf("it counted %+v, %+v", last.Blocks, last.Transfer)
		}
		break
	}
	t.Logf("killed %d times: %v", killed, p.kills)
	// What a step is called depends on how many blocks there are by then, and a short one may be over before it is told.
	for _, steps := range [][]string{{"pin n", "pin block"}, {"freeze S'"}, {"hold both"}, {"bring n", "bring block"}, {"cut piece"}, {"install block", "install piece", "end the"}, {"compare both", "let go"}} {
		if !slices.ContainsFunc(steps, func(step string) bool { return p.kills[step] > 0 }) {
			t.Errorf("it was never killed while it did one of %q", steps)
		}
	}
	e := &ends{tickets: tickets, own: "/" + engine.Prometheus316}
	var err error
	if e.state, err = ReadState(state); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"source": source.URL, "target": target.URL} {
		s, err := proof.NewServer(server.Options{Name: name, URL: at})
		if err != nil {
			t.Fatal(err)
		}
		if name == "source" {
			e.source = s
		} else {
			e.target = s
		}
	}
	e.check(t, "at once")
	target.Stop()
	target.Restart()
	e.check(t, "after a restart")
	for _, left := range []string{filepath.Join(dir, "slipway-pin"), filepath.Join(target.Dir, "slipway-staging", "0*"), filepath.Join(target.Dir, "slipway-staging", "slipway-cut-*")} {
		if found, _ := filepath.Glob(left); len(found) > 0 {
			t.Errorf("left behind: %v", found)
		}
	}
}
