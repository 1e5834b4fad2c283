// Command searchscale measures what looking at a large search cluster costs: a server in this process answers as one of many indices does, and
// slipway search doctor asks it as a process of its own. It prints the table for docs/benchmarks/search.md and ends with 1 when a bar was missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bars of one look with its judgement.
const (
	barSeconds = 60
	barMiB     = 300
	primaries  = 5 // of each index, with one replica
)

func main() {
	var s settings
	flag.StringVar(&s.slipway, "slipway", "bin/slipway", "the program under test")
	flag.StringVar(&s.indices, "indices", "1000,10000,100000", "indices of each cluster, with ten shards each")
	flag.IntVar(&s.nodes, "nodes", 130, "data nodes")
	flag.DurationVar(&s.latency, "latency", 200*time.Millisecond, "what the server waits before each answer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "searchscale:", err)
		stop()
		os.Exit(1)
	}
}

type settings struct {
	slipway string
	indices string
	nodes   int
	latency time.Duration
}

// result is one run of the program.
type result struct {
	what          string
	took          time.Duration
	cpu           time.Duration
	mib           int64
	calls         int
	mebibytesSent int64
}

func run(ctx context.Context, s settings, out io.Writer) error {
	dir, err := os.MkdirTemp("", "searchscale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	saved := filepath.Join(dir, "state.json")
	fmt.Fprintln(out, "| what | time | CPU | most memory | calls | answers | bars |\n|---|---|---|---|---|---|---|")
	var missed []error
	for _, text := range strings.Split(s.indices, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 100 {
			return fmt.Errorf("-indices %s: want numbers of 100 or more, with commas between", s.indices)
		}
		c := newCluster(n, primaries, s.nodes, time.Now().UTC())
		c.latency = s.latency
		h := httptest.NewServer(c)
		for _, step := range []struct {
			what string
			args []string
		}{
			{"asked", []string{h.URL}}, {"asked and kept", []string{h.URL, "--save", saved}}, {"from the file", []string{"--from", saved}},
		} {
			r, err := measure(ctx, s.slipway, c, step.args)
			if err != nil {
				h.Close()
				return err
			}
			r.what = fmt.Sprintf("%d indices, %d shards, %s", n, n*primaries*2, step.what)
			missed = append(missed, r.print(out))
		}
		h.Close()
	}
	return errors.Join(missed...)
}

// measure runs slipway search doctor once. Its exit code says whether it found something; here it has to, since the cluster is ill.
func measure(ctx context.Context, slipway string, c *cluster, args []string) (result, error) {
	c.reset()
	cmd := exec.CommandContext(ctx, slipway, append([]string{"search", "doctor", "--keep", "365", "-o", "json"}, args...)...)
	var report, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &report, &errs
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if cmd.ProcessState == nil {
		return result{}, fmt.Errorf("starting %s: %w", slipway, err)
	}
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		return result{}, fmt.Errorf("slipway %s: exit code %d, want 3: %s", strings.Join(cmd.Args[1:], " "), code, errs.String())
	}
	for _, rule := range []string{"node_concurrent_recoveries", "does not exist", "gone-1"} {
		if !strings.Contains(report.String(), rule) {
			return result{}, fmt.Errorf("the report does not speak of %s", rule)
		}
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return result{}, errors.New("this system does not tell what a process used")
	}
	calls, bytes := c.asked()
	return result{took: took, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), mib: usage.Maxrss >> 10, calls: calls, mebibytesSent: bytes >> 20}, nil
}

// print writes a line of the table; an error is a bar that was missed.
func (r result) print(out io.Writer) error {
	held := "held"
	var err error
	if r.took.Seconds() > barSeconds || r.mib > barMiB {
		held, err = "missed", fmt.Errorf("%s: %.1f s and %d MiB, want at most %d s and %d MiB", r.what, r.took.Seconds(), r.mib, barSeconds, barMiB)
	}
	fmt.Fprintf(out, "| %s | %.1f s | %.1f s | %d MiB | %d | %d MiB | %s |\n", r.what, r.took.Seconds(), r.cpu.Seconds(), r.mib, r.calls, r.mebibytesSent, held)
	return err
}
