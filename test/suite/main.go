// Command suite runs the named test suites one after the other and ends with a table of counts and minutes.
// It runs `go test -json` and counts; it judges nothing itself. It fails when a test fails, when a package does not
// build, and when a suite runs no test.
//
//	go run ./test/suite unit plane engine search lab e2e
//	SHARD=1/3 SEED=7 go run ./test/suite long
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sort"
	"strings"
	"time"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

type result struct {
	suite                   string
	passed, failed, skipped int
	took                    time.Duration
	broken                  []string
	slow                    []event // whole tests that took a second or more
}

// mostSlow is how many of the slowest tests are named for each suite.
const mostSlow = 12

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: suite unit|plane|engine|search|lab|e2e|long ...")
		os.Exit(2)
	}
	var results []result
	for _, name := range os.Args[1:] {
		r, err := run(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "suite:", err)
			os.Exit(2)
		}
		results = append(results, r)
	}
	if !report(os.Stdout, results) {
		os.Exit(1)
	}
}

// run runs one suite and prints the output of what fails.
func run(suite string) (result, error) {
	args, err := arguments(suite)
	if err != nil {
		return result{}, err
	}
	fmt.Printf("=== suite %s: go %s\n", suite, strings.Join(args, " "))
	started := time.Now()
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, fmt.Errorf("opening the output of go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return result{}, fmt.Errorf("starting go test: %w", err)
	}
	r, err := count(out, os.Stdout)
	if err != nil {
		return result{}, err
	}
	r.suite, r.took = suite, time.Since(started)
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) && r.failed == 0 && len(r.broken) == 0 {
		r.broken = append(r.broken, suite+": "+exit.Error())
	} else if err != nil && !errors.As(err, &exit) {
		return result{}, fmt.Errorf("waiting for go test: %w", err)
	}
	return r, nil
}

// count reads go test's events; the text of a test is printed when the test fails.
func count(in io.Reader, out io.Writer) (result, error) {
	var r result
	text := map[string][]string{}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		r.add(e, text, out)
	}
	return r, lines.Err()
}

func (r *result) add(e event, text map[string][]string, out io.Writer) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		text[key] = append(text[key], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Action == "fail" {
		fmt.Fprintf(out, "--- FAIL %s\n%s", key, strings.Join(text[key], ""))
	}
	delete(text, key)
	if e.Test != "" && !strings.Contains(e.Test, "/") && e.Elapsed >= 1 {
		r.slow = append(r.slow, e)
	}
	switch {
	case e.Test == "" && e.Action == "fail":
		r.broken = append(r.broken, e.Package)
	case e.Test == "":
		if e.Action == "pass" {
			fmt.Fprintf(out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
		}
	case e.Action == "pass":
		r.passed++
	case e.Action == "fail":
		r.failed++
	default:
		r.skipped++
		fmt.Fprintln(out, "skip", key)
	}
}

// report prints the table and says whether all is well.
func report(out io.Writer, results []result) bool {
	ok := true
	var sum result
	for _, r := range results {
		sort.Slice(r.slow, func(i, j int) bool { return r.slow[i].Elapsed > r.slow[j].Elapsed })
		for _, e := range r.slow[:min(len(r.slow), mostSlow)] {
			fmt.Fprintf(out, "%-8s %8.1fs  %s %s\n", r.suite, e.Elapsed, e.Package, e.Test)
		}
	}
	fmt.Fprintf(out, "\n%-8s %8s %8s %8s %9s\n", "SUITE", "PASSED", "FAILED", "SKIPPED", "MINUTES")
	for _, r := range results {
		fmt.Fprintf(out, "%-8s %8d %8d %8d %9.1f\n", r.suite, r.passed, r.failed, r.skipped, r.took.Minutes())
		sum.passed, sum.failed, sum.skipped = sum.passed+r.passed, sum.failed+r.failed, sum.skipped+r.skipped
		sort.Strings(r.broken)
		for _, b := range r.broken {
			fmt.Fprintln(out, "  failed:", b)
		}
		if r.failed > 0 || len(r.broken) > 0 || r.passed == 0 {
			ok = false
		}
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	return ok
}
