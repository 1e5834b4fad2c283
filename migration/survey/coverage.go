package survey

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// CoverageOptions say whom to compare.
type CoverageOptions struct {
	Source, Target *server.Client
	// Scrapes is how many scrapes of each target have to agree; default 3.
	Scrapes int
	// Except are jobs that may stay behind.
	Except []string
	// Wait is how long to wait until both are equal; 0 looks once.
	Wait time.Duration
	// Progress is told what is waited for; nil: nobody.
	Progress func(string)
}

// Coverage is the gate before a cutover: both servers must scrape the same targets with the same result.
type Coverage struct{ o CoverageOptions }

// NewCoverage makes the gate; it asks nothing yet.
func NewCoverage(o CoverageOptions) *Coverage {
	if o.Scrapes <= 0 {
		o.Scrapes = 3
	}
	return &Coverage{o}
}

// Check looks at both servers, again and again while they differ and Wait allows: a server that has just started knows no targets yet, and
// one scrape may fail. A difference is no error but a report that says so.
func (c *Coverage) Check(ctx context.Context) (CoverageReport, error) {
	deadline := time.Now().Add(c.o.Wait)
	for {
		source, err := c.look(ctx, c.o.Source)
		if err != nil {
			return CoverageReport{}, err
		}
		target, err := c.look(ctx, c.o.Target)
		if err != nil {
			return CoverageReport{}, err
		}
		r := Compare(source, target, c.o.Scrapes, c.o.Except)
		if r.Verdict == CoverageEqual || !time.Now().Before(deadline) {
			return r, nil
		}
		if c.o.Progress != nil {
			c.o.Progress(r.Says)
		}
		pause := time.NewTimer(min(5*time.Second, shortest(target.Targets)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return CoverageReport{}, ctx.Err()
		case <-pause.C:
		}
	}
}

// shortest is the shortest scrape interval, at least a tenth of a second.
func shortest(list []Target) time.Duration {
	least := 5 * time.Second
	for _, t := range list {
		least = min(least, time.Duration(t.IntervalSeconds*float64(time.Second)))
	}
	return max(least, 100*time.Millisecond)
}

// Scraped is what a server scraped lately.
type Scraped struct {
	Targets []Target
	// Up and Samples are the last values of up and scrape_samples_post_metric_relabeling by final labels, the newest last.
	Up, Samples map[string][]float64
	// Itself has the final labels of targets that are the server itself.
	Itself map[string]bool
}

// look asks a server for its targets and their last scrapes. What lies before its own head is not its own: a read shim may answer it.
func (c *Coverage) look(ctx context.Context, s *server.Client) (*Scraped, error) {
	o := &Observation{Name: s.Name()}
	if err := o.askConfig(ctx, s); err != nil {
		return nil, err
	}
	targets, err := askTargets(ctx, s, &o.Config)
	if err != nil {
		return nil, err
	}
	m, err := s.Metrics(ctx, server.Wanted{Required: tsdbMetrics("head_min_time"), Optional: []string{server.ProcessStart}})
	if err != nil {
		return nil, err
	}
	from := m[tsdbPrefix+"head_min_time"]
	got := &Scraped{Targets: targets, Up: map[string][]float64{}, Samples: map[string][]float64{}}
	for _, g := range byInterval(targets) {
		window := "{job=~" + strconv.Quote(strings.Join(g.jobs, "|")) + "}[" + model.Duration(g.every*time.Duration(c.o.Scrapes+1)).String() + "]"
		if err := lastValues(ctx, s, "up", window, from, c.o.Scrapes, got.Up); err != nil {
			return nil, err
		}
		if err := lastValues(ctx, s, "scrape_samples_post_metric_relabeling", window, from, c.o.Scrapes, got.Samples); err != nil {
			return nil, err
		}
	}
	got.Itself, err = itself(ctx, s, m[server.ProcessStart])
	return got, err
}

// pace are jobs that are scraped equally often; their names as regular expressions.
type pace struct {
	every time.Duration
	jobs  []string
}

// byInterval groups jobs, so that one slow job does not make the window of all others long.
func byInterval(targets []Target) []pace {
	slowest := map[string]float64{}
	for _, t := range targets {
		slowest[t.Job] = max(slowest[t.Job], t.IntervalSeconds)
	}
	var list []pace
	for _, job := range slices.Sorted(maps.Keys(slowest)) {
		every := time.Duration(slowest[job]*1000) * time.Millisecond
		i := slices.IndexFunc(list, func(p pace) bool { return p.every == every })
		if i < 0 {
			i, list = len(list), append(list, pace{every: every})
		}
		list[i].jobs = append(list[i].jobs, regexp.QuoteMeta(job))
	}
	return list
}

// lastValues puts the newest n values of each series of a metric into all, by its labels without the name.
func lastValues(ctx context.Context, s *server.Client, metric, window string, from float64, n int, all map[string][]float64) error {
	var data struct {
		Result []struct {
			Metric map[string]string
			Values [][2]json.RawMessage
		}
	}
	query := url.Values{"query": {metric + window}}
	if _, err := s.Call(ctx, http.MethodPost, "/api/v1/query", query, server.Into(&data)); err != nil {
		return err
	}
	for _, series := range data.Result {
		var values []float64
		for _, pair := range series.Values {
			at, v, err := sample(pair)
			if err != nil {
				return fmt.Errorf("reading %s of the %s: %w", metric, s.Name(), err)
			}
			if at*1000 >= from && !math.IsNaN(v) {
				values = append(values, v)
			}
		}
		delete(series.Metric, model.MetricNameLabel)
		all[labels.FromMap(series.Metric).String()] = values[max(0, len(values)-n):]
	}
	return nil
}

// sample reads [1795363009.340,"3"].
func sample(pair [2]json.RawMessage) (at, v float64, err error) {
	var text string
	if err = json.Unmarshal(pair[0], &at); err == nil {
		err = json.Unmarshal(pair[1], &text)
	}
	if err == nil {
		v, err = strconv.ParseFloat(text, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("a sample is %s, %s: %w", server.Clip(string(pair[0]), 40), server.Clip(string(pair[1]), 40), server.ErrBroken)
	}
	return at, v, nil
}

// downThroughout says that no scrape of a target succeeded.
func downThroughout(up []float64) bool { return len(up) > 0 && !slices.Contains(up, 1) }

// meet says that two ranges of values have a value in common: the two servers do not scrape at the same moment, so that the count of a
// target whose series come and go differs a little.
func meet(a, b []float64) bool {
	return slices.Max(a) >= slices.Min(b) && slices.Max(b) >= slices.Min(a)
}
