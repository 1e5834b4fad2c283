package proof

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// metricName is the label that holds the name of a metric.
const metricName = "__name__"

// maxConfirm is how many series of one side only are looked at again, sample by sample.
const maxConfirm = 200

// Random numbers of the checks; each has its own, so that they do not depend on each other.
const (
	seriesChoice uint64 = iota + 1
	samplesChoice
	queriesChoice
)

// names lists the metrics of both sides.
func (r *run) names(ctx context.Context, w window) ([]string, error) {
	a, err := r.source.Metrics(ctx, w.from, w.to)
	if err != nil {
		return nil, err
	}
	b, err := r.target.Metrics(ctx, w.from, w.to)
	if err != nil {
		return nil, err
	}
	all := append(a, b...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

func selector(metric string) string { return "{__name__=" + strconv.Quote(metric) + "}" }

// eachMetric walks over the metrics of some windows.
func (r *run) eachMetric(ctx context.Context, c *Check, windows []window, do func(w window, metric string) error) (metrics int) {
	for i, w := range windows {
		names, err := r.names(ctx, w)
		if !r.asked(ctx, c, "the metrics from "+w.String(), err) {
			return metrics
		}
		for j, metric := range names {
			r.o.Progress(c.Name, i*len(names)+j, len(windows)*len(names))
			if !r.asked(ctx, c, metric+" from "+w.String(), do(w, metric)) {
				return metrics
			}
			metrics++
		}
	}
	return metrics
}

// series compares which series both sides have, per window and metric.
func (r *run) series(ctx context.Context) error {
	return r.check(ctx, "series", func(c *Check) error {
		windows := r.windows(r.random(seriesChoice), r.o.Windows)
		total, confirmed := 0, 0
		metrics := r.eachMetric(ctx, c, windows, func(w window, metric string) error {
			n, only, err := r.compareSet(ctx, metric, w)
			total += n
			if err != nil {
				return err
			}
			return r.confirm(ctx, c, w, only, &confirmed)
		})
		c.number("windows", float64(len(windows)), "")
		c.number("metrics", float64(metrics), "")
		c.conclude(total, "series")
		return ctx.Err()
	})
}

// oneSided is a series that only one side lists.
type oneSided struct {
	labels labels.Labels
	kind   Kind
}

// compareSet holds the series of one metric of the source in memory. n is how many there are on either side.
func (r *run) compareSet(ctx context.Context, metric string, w window) (n int, only []oneSided, err error) {
	left := map[string]labels.Labels{}
	key := func(ls labels.Labels) string { return string(ls.Bytes(nil)) }
	if err := r.source.Series(ctx, selector(metric), w.from, w.to, func(ls labels.Labels) error {
		left[key(ls)] = ls
		return nil
	}); err != nil {
		return 0, nil, err
	}
	n = len(left)
	err = r.target.Series(ctx, selector(metric), w.from, w.to, func(ls labels.Labels) error {
		if _, ok := left[key(ls)]; ok {
			delete(left, key(ls))
			return nil
		}
		n++
		only = append(only, oneSided{labels: ls, kind: OnlyTarget})
		return nil
	})
	for _, ls := range left {
		only = append(only, oneSided{labels: ls, kind: OnlySource})
	}
	slices.SortFunc(only, func(a, b oneSided) int { return labels.Compare(a.labels, b.labels) })
	return n, only, err
}

// confirm looks whether a series of one side has samples in the window at all: servers list series by chunks, and where a chunk ends
// depends on when it was cut.
func (r *run) confirm(ctx context.Context, c *Check, w window, only []oneSided, confirmed *int) error {
	for _, o := range only {
		text := "not confirmed by samples"
		if *confirmed < maxConfirm {
			*confirmed++
			server := r.source
			if o.kind == OnlyTarget {
				server = r.target
			}
			samples, err := server.ReadOne(ctx, o.labels, w.from, w.to)
			if err != nil {
				return err
			}
			if len(samples) == 0 {
				continue
			}
			text = fmt.Sprintf("%d samples", len(samples))
		}
		c.find(Finding{Kind: o.kind, What: o.labels.String(), Time: &w.from, Text: text})
	}
	return nil
}

// counts compares how many samples each metric has, per window, as each server counts them.
func (r *run) counts(ctx context.Context) error {
	return r.check(ctx, "counts", func(c *Check) error {
		windows := r.windows(r.random(seriesChoice), r.o.Windows)
		var samples float64
		metrics := r.eachMetric(ctx, c, windows, func(w window, metric string) error {
			a, err := r.source.count(ctx, r.report.Source.Version, metric, w)
			if err != nil {
				return err
			}
			b, err := r.target.count(ctx, r.report.Target.Version, metric, w)
			if err != nil {
				return err
			}
			if samples += a; a != b {
				c.find(Finding{Kind: DifferentCount, What: metric, Time: &w.from, Source: fmt.Sprintf("%.0f samples", a), Target: fmt.Sprintf("%.0f samples", b), Text: w.String()})
			}
			return nil
		})
		c.number("windows", float64(len(windows)), "")
		c.number("samples", samples, "")
		c.Notes = append(c.Notes, "stale markers are not counted; the samples check compares them")
		c.conclude(metrics, "counts")
		return ctx.Err()
	})
}

// count asks for the samples of a window without its end. Ranges have both ends in Prometheus 2, and no left one since 3.0.
func (s *Server) count(ctx context.Context, version, metric string, w window) (float64, error) {
	length := w.to - w.from
	if old(version) {
		length--
	}
	a, err := s.Query(ctx, fmt.Sprintf("sum(count_over_time(%s[%dms]))", selector(metric), length), w.to-1)
	if err != nil {
		return 0, err
	}
	n, _, err := a.number()
	return n, err
}

// old says that a server is a Prometheus before 3.0.
func old(version string) bool {
	var major int
	n, _ := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d", &major)
	return n == 1 && major < 3
}
