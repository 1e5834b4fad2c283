package survey

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// Itself is a target that is the source's own process. The new server writes its own metrics under another name, or there would be one series
// of two processes; so it has none of this, and lacks nothing.
const Itself GapKind = "Itself"

// itself are the final labels of targets by which a server scrapes itself; start is when its process started, 0 where that is not known.
func itself(ctx context.Context, s *server.Client, start float64) (map[string]bool, error) {
	if start <= 0 {
		return nil, nil
	}
	var data struct {
		Result []struct{ Metric map[string]string }
	}
	if err := get(ctx, s, "/api/v1/query", url.Values{"query": {server.ItselfQuery(start)}}, &data); err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, series := range data.Result {
		delete(series.Metric, model.MetricNameLabel)
		own[labels.FromMap(series.Metric).String()] = true
	}
	return own, nil
}

// OwnJobs are the jobs by which the source scrapes itself and nothing else, and of which the new server has none of the series: what the
// source writes of them ends with it.
func (r *CoverageReport) OwnJobs() (jobs []string) {
	count := map[string]int{}
	for _, g := range r.Gaps {
		if g.Kind == Itself {
			count[g.Job]++
		}
	}
	for _, j := range r.Jobs {
		if n := count[j.Job]; n > 0 && n == j.Source {
			jobs = append(jobs, j.Job)
		}
	}
	return jobs
}

// OwnJobs looks at both servers for what the report of the same name tells.
func OwnJobs(ctx context.Context, source, target *server.Client) ([]string, error) {
	r, err := NewCoverage(CoverageOptions{Source: source, Target: target, Scrapes: 1}).Check(ctx)
	if err != nil {
		return nil, err
	}
	return r.OwnJobs(), nil
}

// askItself finds out by which targets the server scrapes itself.
func (o *Observation) askItself(ctx context.Context, c *server.Client) error {
	own, err := itself(ctx, c, o.start)
	if err != nil {
		return err
	}
	for _, t := range o.Targets {
		if own[t.Labels] && !slices.Contains(o.Itself, t.Labels) {
			o.Itself = append(o.Itself, t.Labels)
		}
	}
	return nil
}

// scrapesItself tells in a plan what becomes of the server's own metrics.
func scrapesItself(o *Observation) (Finding, bool) {
	if len(o.Itself) == 0 {
		return Finding{}, false
	}
	f := found(Note, "nothing, where slipway writes the new server's configuration; else give its own scrape another instance label",
		"it scrapes itself as %s: that history moves, and the new server goes on under a name of its own; coverage and proof take it for no gap", strings.Join(o.Itself, ", "))
	f.Rule = RuleSelfScrape
	return f, true
}
