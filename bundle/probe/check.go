package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	attemptTimeout = 3 * time.Second
	retryInterval  = 500 * time.Millisecond
	maxAnswerBytes = 4096
)

type target struct{ kind, name string }

// result is one line of output.
type result struct {
	Check    string `json:"check"`
	Target   string `json:"target"`
	OK       bool   `json:"ok"`
	Answer   string `json:"answer,omitempty"`
	Error    string `json:"error,omitempty"`
	Attempts int    `json:"attempts"`
	Millis   int64  `json:"milliseconds"`
}

type checker struct{ targets []target }

func (c *checker) add(kind string) func(string) error {
	return func(name string) error {
		if name == "" {
			return fmt.Errorf("empty target")
		}
		c.targets = append(c.targets, target{kind: kind, name: name})
		return nil
	}
}

// run checks all targets at the same time and returns the results in the order of the targets.
func (c *checker) run(ctx context.Context) []result {
	// A connection of its own for each attempt: a kept one would hide a broken path.
	client := &http.Client{Timeout: attemptTimeout, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}}
	results := make([]result, len(c.targets))
	var group sync.WaitGroup
	for i, t := range c.targets {
		group.Go(func() { results[i] = attempt(ctx, client, t) })
	}
	group.Wait()
	return results
}

// attempt repeats one check until it succeeds or the context ends.
func attempt(ctx context.Context, client *http.Client, t target) result {
	start := time.Now()
	r := result{Check: t.kind, Target: t.name}
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		r.Attempts++
		answer, err := once(ctx, client, t)
		r.Millis = time.Since(start).Milliseconds()
		if err == nil {
			r.OK, r.Answer, r.Error = true, answer, ""
			return r
		}
		// The last real reason says more than "deadline exceeded".
		if r.Error == "" || ctx.Err() == nil {
			r.Error = err.Error()
		}
		select {
		case <-ctx.Done():
			return r
		case <-ticker.C:
		}
	}
}

func once(ctx context.Context, client *http.Client, t target) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if t.kind == "resolve" {
		addresses, err := net.DefaultResolver.LookupHost(ctx, t.name)
		if err != nil {
			return "", fmt.Errorf("resolving: %w", err)
		}
		return strings.Join(addresses, " "), nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.name, nil)
	if err != nil {
		return "", fmt.Errorf("making request: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("fetching: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return "", fmt.Errorf("reading answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("fetching: status %s", response.Status)
	}
	return strings.TrimSpace(string(body)), nil
}

// report prints the results and leaves the failures in the termination log, if there is one.
func report(results []result, stdout io.Writer, log string) error {
	encoder := json.NewEncoder(stdout)
	var failed []string
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("printing result: %w", err)
		}
		if !r.OK {
			failed = append(failed, fmt.Sprintf("%s %s: %s", r.Check, r.Target, r.Error))
		}
	}
	summary := fmt.Sprintf("%d of %d checks passed", len(results)-len(failed), len(results))
	if len(failed) > 0 {
		summary += "; " + strings.Join(failed, "; ")
	}
	writeTerminationLog(log, summary)
	if len(failed) > 0 {
		return fmt.Errorf("%s", summary)
	}
	return nil
}

// writeTerminationLog is a courtesy to whoever reads the pod's status: the exit code and the
// output are what counts, so a missing file is no error.
func writeTerminationLog(path, text string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString(text)
}
