package skew

import (
	"github.com/prometheus/prometheus/promql/parser"
)

// gone is a metric of Prometheus itself that a version no longer exposes.
type gone struct {
	since Version
	// now is the metric of the same meaning, empty where it takes more than a name.
	now, words string
}

// goneMetric looks a metric up. Read in the trees of the version before and of Since, and absent in 3.16.0.
func goneMetric(name string) (gone, bool) {
	const remote = "prometheus_remote_storage_"
	g, ok := map[string]gone{
		"prometheus_tsdb_storage_blocks_bytes_total":   {Version{2, 8, 0}, "prometheus_tsdb_storage_blocks_bytes", ""},
		"prometheus_tsdb_wal_reader_corruption_errors": {Version{2, 11, 0}, "prometheus_tsdb_wal_reader_corruption_errors_total", ""},
		"prometheus_sd_configs_failed_total":           {Version{2, 13, 0}, "", "prometheus_sd_failed_configs is a gauge in its place: compare it, do not rate it"},
		remote + "failed_samples_total":                {Version{2, 23, 0}, remote + "samples_failed_total", ""},
		remote + "retried_samples_total":               {Version{2, 23, 0}, remote + "samples_retried_total", ""},
		remote + "dropped_samples_total":               {Version{2, 23, 0}, remote + "samples_dropped_total", ""},
		remote + "pending_samples":                     {Version{2, 23, 0}, remote + "samples_pending", ""},
		remote + "succeeded_samples_total":             {Version{2, 23, 0}, "", remote + "samples_total counts all that were tried: take " + remote + "samples_failed_total off it"},
		remote + "sent_bytes_total":                    {Version{2, 23, 0}, "", remote + "bytes_total counts samples (metadata apart) from 2.27.0 on"},
		remote + "samples_bytes_total":                 {Version{2, 27, 0}, remote + "bytes_total", ""},
	}[name]
	return g, ok
}

func (x *exprCheck) selfMetric(vs *parser.VectorSelector) {
	g, ok := goneMetric(vs.Name)
	if !ok {
		return
	}
	fix := g.words
	if g.now != "" {
		fix = "it is called " + g.now
	}
	start := int(vs.PosRange.Start)
	end := start + len(vs.Name)
	if end > len(x.p.text) || x.p.text[start:end] != vs.Name {
		end = start // written as {__name__="…"}
	}
	replacement := g.now
	if end == start {
		replacement = ""
	}
	x.note(Finding{
		Rule: ruleSelfMetric, Severity: Breaks, Since: &g.since, What: vs.Name + " is not exposed any more",
		Why: "Prometheus renamed or removed this metric of its own in " + g.since.String() + "; it matters where a server that moves is watched", Fix: fix,
	}, start, end, replacement)
}
