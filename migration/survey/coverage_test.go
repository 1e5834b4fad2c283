package survey

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCoverageOfRealServers(t *testing.T) {
	c := NewCoverage(CoverageOptions{Source: recorded(t, "2.42").client(t, "source"), Target: recorded(t, "3.16").client(t, "target"), Except: []string{"prometheus"}})
	r, err := c.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var gaps []string
	for _, g := range r.Gaps {
		gaps = append(gaps, string(g.Kind)+" "+g.URL)
	}
	if diff := cmp.Diff([]string{"Missing http://127.0.0.1:19103/metrics", "Unreachable http://127.0.0.1:19102/metrics", "Differs http://localhost:19042/metrics"}, gaps); diff != "" {
		t.Errorf("gaps -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]Opening{{"127.0.0.0/24", "19102", []string{"127.0.0.1"}, []string{"node"}, "dial tcp 127.0.0.1:19109: connect: connection refused"}}, r.Firewall); diff != "" {
		t.Errorf("firewall -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]JobCoverage{{"app", 1, 0, 0, false}, {"node", 2, 2, 1, false}, {"prometheus", 1, 1, 0, true}}, r.Jobs); diff != "" {
		t.Errorf("jobs -want +got:\n%s", diff)
	}
	if r.Verdict != CoverageDifferent || r.Says != "1 of 3 targets are equal; 1 not known to the target, 1 that it cannot reach; jobs that stay behind: 1" || len(r.Exceptions) != 1 || r.Exceptions[0].SamplesPerScrape < 400 {
		t.Errorf("%+v", r)
	}
}

func TestCoverageOfAServerWithItself(t *testing.T) {
	r, err := NewCoverage(CoverageOptions{Source: recorded(t, "2.42").client(t, "source"), Target: recorded(t, "2.42").client(t, "target"), Scrapes: 1}).Check(t.Context())
	if err != nil || r.Verdict != CoverageEqual || len(r.Gaps) != 0 || r.Says != "4 of 4 targets are equal" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCoverageTakesNothingFromBeforeTheTargetsOwnHead(t *testing.T) {
	target := recorded(t, "2.42")
	target.replace(t, "/metrics", "prometheus_tsdb_head_min_time 1", "prometheus_tsdb_head_min_time 9") // a head that is yet to begin
	r, err := NewCoverage(CoverageOptions{Source: recorded(t, "2.42").client(t, "source"), Target: target.client(t, "target"), Scrapes: 1}).Check(t.Context())
	if err != nil || r.Verdict != CoverageWaiting || len(r.Gaps) != 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCoverageWaitsAndEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var said string
	_, err := NewCoverage(CoverageOptions{
		Source: recorded(t, "2.42").client(t, "source"), Target: recorded(t, "2.42").client(t, "target"), Scrapes: 100, Wait: time.Hour,
		Progress: func(text string) { said = text; cancel() },
	}).Check(ctx)
	if !errors.Is(err, context.Canceled) || said != "0 of 4 targets are equal; 4 not scraped often enough yet" {
		t.Errorf("%q, %v", said, err)
	}
}

func TestCoverageRefusesBrokenSamples(t *testing.T) {
	for name, text := range map[string]string{
		"a value that is no text":   `{"status":"success","data":{"result":[{"metric":{},"values":[[1,2]]}]}}`,
		"a value that is no number": `{"status":"success","data":{"result":[{"metric":{},"values":[[1,"many"]]}]}}`,
		"a time that is no number":  `{"status":"success","data":{"result":[{"metric":{},"values":[["x","1"]]}]}}`,
		"a warning":                 `{"status":"success","data":{"result":[]},"warnings":["remote read failed"]}`,
	} {
		a := recorded(t, "2.42")
		a["up"] = json.RawMessage(text)
		if _, err := NewCoverage(CoverageOptions{Source: a.client(t, "source"), Target: a.client(t, "target")}).Check(t.Context()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestByIntervalKeepsSlowJobsApart(t *testing.T) {
	got := byInterval([]Target{{Job: "a", IntervalSeconds: 15}, {Job: "b.c", IntervalSeconds: 15}, {Job: "slow", IntervalSeconds: 3600}, {Job: "a", IntervalSeconds: 10}})
	want := "15s a b\\.c; 1h0m0s slow; "
	var text strings.Builder
	for _, p := range got {
		text.WriteString(p.every.String() + " " + strings.Join(p.jobs, " ") + "; ")
	}
	if text.String() != want {
		t.Errorf("%q, want %q", text.String(), want)
	}
}
