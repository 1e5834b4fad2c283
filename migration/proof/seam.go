package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

// SeamResult is what one series is like around the seam.
type SeamResult struct {
	// Interval is the median distance of two samples in milliseconds, 0 if there are too few.
	Interval int64
	// Gap is the distance from the last sample before the seam to the first one behind it, on the target; 0 if one of them is missing.
	Gap int64
	// Own is how many of the target's samples behind the seam the source does not have.
	Own      int
	Findings []Finding
}

// JudgeSeam looks at one series from before the seam up to end, in milliseconds. Both slices are sorted by time.
//
// Before the seam both must be equal. Behind it the target scrapes at times of its own, and holds samples of the source up to its
// own first one, all of which must be there, and in gaps of its own. A sample of the source behind the target's first own, and near
// another one, is a scrape that was stored twice. A gap of more than two intervals is a hole if the source has samples in it that
// are not near its borders. Stale markers bound no gap. Without an interval (fewer than three samples) gaps and doubles cannot be
// judged.
func JudgeSeam(source, target []Sample, seam, end int64) SeamResult {
	r := SeamResult{Interval: interval(source)}
	if r.Interval == 0 {
		r.Interval = interval(target)
	}
	before, after := split(source, seam)
	ours, own := split(target, seam)
	for _, d := range CompareSamples(before, ours) {
		r.add(d)
	}
	first := firstOwn(after, own)
	r.handover(after, own, r.begins(after, own, first))
	r.Own = countOwn(after, own)
	if len(ours) > 0 && len(own) > 0 {
		r.Gap = own[0].Time - ours[len(ours)-1].Time
	}
	if r.Interval > 0 {
		r.holes(source, ours, own, end)
		r.doubles(after, own, first)
	}
	return r
}

func (r *SeamResult) add(d Difference) {
	r.Findings = append(r.Findings, Finding{Kind: d.Kind, Time: &d.Time, Source: d.Source, Target: d.Target})
}

// interval is the median distance between samples that are no stale markers.
func interval(samples []Sample) int64 {
	var distances []int64
	last := int64(math.MinInt64)
	for _, s := range samples {
		if s.Stale() {
			continue
		}
		if last != math.MinInt64 {
			distances = append(distances, s.Time-last)
		}
		last = s.Time
	}
	if len(distances) < 2 {
		return 0
	}
	slices.Sort(distances)
	return distances[len(distances)/2]
}

// split parts samples at a time.
func split(samples []Sample, at int64) (before, after []Sample) {
	i := search(samples, at)
	return samples[:i], samples[i:]
}

// search is the index of the first sample at or after t.
func search(samples []Sample, t int64) int {
	i, _ := slices.BinarySearchFunc(samples, t, func(s Sample, t int64) int {
		switch {
		case s.Time < t:
			return -1
		case s.Time > t:
			return 1
		}
		return 0
	})
	return i
}

func has(samples []Sample, t int64) bool {
	i := search(samples, t)
	return i < len(samples) && samples[i].Time == t
}

// firstOwn is the time of the first sample that the source does not have and that is no stale marker; the largest time if there is none,
// as for rules, which both servers evaluate at the same times.
func firstOwn(source, target []Sample) int64 {
	for _, s := range target {
		if !s.Stale() && !has(source, s.Time) {
			return s.Time
		}
	}
	return math.MaxInt64
}

// begins is the time of the target's first scrape: its first own sample, or an earlier one with another value than the source has at that
// time, whole intervals (give or take a tenth) before. A sample of the source that was changed on its way keeps the source's beat.
func (r *SeamResult) begins(source, target []Sample, first int64) int64 {
	if first == math.MaxInt64 || r.Interval == 0 {
		return first
	}
	for _, s := range target[:search(target, first)] {
		i := search(source, s.Time)
		if i == len(source) || source[i].Time != s.Time || compareOne(source[i], s) == "" {
			continue
		}
		off := (first - s.Time) % r.Interval
		if min(off, r.Interval-off)*10 <= r.Interval {
			return s.Time
		}
		break
	}
	return first
}

func countOwn(source, target []Sample) int {
	n := 0
	for _, s := range target {
		if !has(source, s.Time) {
			n++
		}
	}
	return n
}

// handover checks that every sample of the source up to the target's first own one is there. Where the target has none of its own,
// holes finds what is missing.
func (r *SeamResult) handover(source, target []Sample, first int64) {
	if first == math.MaxInt64 {
		return
	}
	a, _ := split(source, first)
	b, _ := split(target, first)
	for _, d := range CompareSamples(a, b) {
		r.add(d)
	}
}

// holes looks at each gap of the target that ends behind the seam, the one up to the end included.
func (r *SeamResult) holes(source, ours, own []Sample, end int64) {
	last := int64(math.MinInt64)
	for _, s := range slices.Backward(ours) {
		if !s.Stale() {
			last = s.Time
			break
		}
	}
	for _, s := range own {
		if !s.Stale() {
			r.hole(source, last, s.Time, s.Time)
			last = s.Time
		}
	}
	// What the source scraped last, the target may be about to.
	r.hole(source, last, end-r.Interval, math.MaxInt64)
}

// hole looks at a gap, and at what the source has in it that is no scrape of its borders (0.7 of an interval: what fills gaps keeps
// 0.65 away from them, by an interval that may differ a little). border is the sample that ends it; none at the end.
func (r *SeamResult) hole(source []Sample, from, to, border int64) {
	if from != math.MinInt64 && to-from <= 2*r.Interval {
		return
	}
	n := 0
	for _, s := range source[search(source, from):] {
		if s.Time >= to {
			break
		}
		if r.inside(s, from, border) {
			n++
		}
	}
	if n == 0 {
		return
	}
	// What is missing in a hole is told once, by the hole.
	r.Findings = slices.DeleteFunc(r.Findings, func(f Finding) bool {
		return (f.Kind == MissingSample || f.Kind == LostStaleMarker) && f.Target == "" && *f.Time > from && *f.Time < to
	})
	text := fmt.Sprintf("the target has no sample for %d ms, the interval is %d ms", to-from, r.Interval)
	if from == math.MinInt64 {
		from, text = source[0].Time, "the target has nothing before"
	}
	r.Findings = append(r.Findings, Finding{Kind: Hole, Time: &from, Source: fmt.Sprintf("%d samples", n), Text: text})
}

// inside says that a sample lies in a gap and is no scrape of its borders. Before the first one of all there is no border.
func (r *SeamResult) inside(s Sample, from, border int64) bool {
	switch {
	case s.Stale() || s.Time <= from:
		return false
	case from == math.MinInt64:
		return true
	}
	return (s.Time-from)*10 > r.Interval*7 && (border == math.MaxInt64 || (border-s.Time)*10 > r.Interval*7)
}

// doubles finds samples of the source among the target's own. Of two servers that scrape once in an interval, one is always within half
// an interval of the other (some tenths are for jitter); where both scrape at the same millisecond, nothing is near. A stale marker is
// no scrape: a rule that has nothing to say after a restart writes one, and what fills the gap around it may be near.
func (r *SeamResult) doubles(source, target []Sample, first int64) {
	if first == math.MaxInt64 {
		return
	}
	target = slices.DeleteFunc(slices.Clone(target), Sample.Stale)
	for i := search(target, first) + 1; i < len(target); i++ {
		s := target[i]
		if !has(source, s.Time) {
			continue
		}
		near := s.Time - target[i-1].Time
		if i+1 < len(target) {
			near = min(near, target[i+1].Time-s.Time)
		}
		if near*5 <= r.Interval*3 {
			text := fmt.Sprintf("a sample of the source %d ms from one of the target's own, the interval is %d ms", near, r.Interval)
			r.Findings = append(r.Findings, Finding{Kind: DoubleSample, Time: &s.Time, Target: s.String(), Text: text})
		}
	}
}

// upTo leaves of the source's samples those before the seam, and behind it those up to the target's last one.
func upTo(source, target []Sample, seam int64) []Sample {
	end := seam
	if len(target) > 0 {
		end = max(end, target[len(target)-1].Time+1)
	}
	kept, _ := split(source, end)
	return kept
}

// seam compares every series around the seam, one metric at a time. It holds one metric's samples of the source in memory.
func (r *run) seam(ctx context.Context) error {
	if r.o.Seam == 0 {
		r.skip("seam", "no time of the seam was given")
		return ctx.Err()
	}
	return r.check(ctx, "seam", func(c *Check) error {
		span, heads := r.o.SeamSpan.Milliseconds(), min(r.report.Source.HeadMax, r.report.Target.HeadMax)
		w := window{r.o.Seam - span, min(cmp.Or(r.o.SeamEnd, r.o.Seam+span), heads)}
		if r.o.parts {
			w.from = max(w.from, r.report.From)
		}
		if w.to <= r.o.Seam {
			c.find(Finding{Kind: Unreachable, What: "the time behind the seam", Text: fmt.Sprintf("one of the servers holds nothing behind %s yet", stamp(heads))})
			c.conclude(1, "seams")
			return ctx.Err()
		}
		s := &seamTally{}
		metrics := r.eachMetric(ctx, c, []window{w}, func(w window, metric string) error { return r.seamOf(ctx, c, s, metric, w) })
		c.number("metrics", float64(metrics), "")
		s.numbers(c)
		r.filled(c)
		c.conclude(s.series, "series around the seam")
		return ctx.Err()
	})
}

// toldGaps is how many filled gaps a report lists.
const toldGaps = 20

// filled tells the gaps of the target that were filled. That none is left is what the seam was judged for.
func (r *run) filled(c *Check) {
	if r.o.SeamEnd == 0 {
		return
	}
	c.number("gaps of the target that were filled", float64(len(r.o.Filled)), "")
	for i, g := range r.o.Filled {
		if i == toldGaps {
			c.Notes = append(c.Notes, fmt.Sprintf("%d more gaps were filled", len(r.o.Filled)-i))
			break
		}
		c.Notes = append(c.Notes, fmt.Sprintf("the target scraped nothing of some or all series from %s to %s: filled with %d samples of the source", stamp(g.From), stamp(g.To), g.Samples))
	}
}

type seamTally struct {
	series, own, only, unjudged, behind int
	respelled                           int
	worst                               float64
	longest                             int64
}

func (s *seamTally) numbers(c *Check) {
	c.number("series", float64(s.series), "")
	c.number("longest gap", float64(s.longest), "ms")
	c.number("longest gap, in intervals", s.worst, "")
	c.number("samples of the target's own", float64(s.own), "")
	c.number("series only on the target", float64(s.only), "")
	c.number("series without an interval", float64(s.unjudged), "")
	if s.respelled > 0 {
		c.number("series with another le or quantile behind the seam", float64(s.respelled), "")
	}
	if s.behind > 0 {
		c.number("series left behind", float64(s.behind), "")
		c.Notes = append(c.Notes, "series of jobs that stay behind end on the target behind the seam; before it they were compared")
	}
	if s.unjudged > 0 {
		c.Notes = append(c.Notes, "a series with fewer than three samples around the seam has no interval: its samples were compared, its gap could not be judged")
	}
}

// seamOf judges the series of one metric. Where they are too many for one answer, they are read instance by instance.
func (r *run) seamOf(ctx context.Context, c *Check, s *seamTally, metric string, w window) error {
	name := labels.MustNewMatcher(labels.MatchEqual, metricName, metric)
	judged, err := r.seamPart(ctx, c, s, w, name)
	if judged || !errors.Is(err, server.ErrTooLarge) {
		return err
	}
	instances := map[string]bool{}
	for _, server := range []*Server{r.source, r.target} {
		err := server.Series(ctx, selector(metric), w.from, w.to, func(ls labels.Labels) error {
			instances[ls.Get("instance")] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, instance := range sortedKeys(instances) {
		if _, err := r.seamPart(ctx, c, s, w, name, labels.MustNewMatcher(labels.MatchEqual, "instance", instance)); err != nil {
			return fmt.Errorf("instance %s: %w", server.Clip(instance, 100), err)
		}
	}
	return nil
}

// seamPart judges the series that match. It is true if it judged some of them before an error.
func (r *run) seamPart(ctx context.Context, c *Check, s *seamTally, w window, matchers ...*labels.Matcher) (judged bool, err error) {
	sel := Selection{From: w.from, To: w.to, Matchers: matchers}
	left, pairs := map[string]*Series{}, map[string]*respelled{}
	held := 0
	err = r.source.Read(ctx, sel, func(one *Series) error {
		if held += len(one.Samples); held > maxSeriesSamples {
			return fmt.Errorf("more than %d samples of one metric: %w", maxSeriesSamples, server.ErrTooLarge)
		}
		left[seriesKey(one.Labels)] = one
		if now, other := block.Respelled(one.Labels); other {
			pairs[seriesKey(now)] = &respelled{source: one}
		}
		return nil
	})
	if err != nil {
		return judged, err
	}
	err = r.target.Read(ctx, sel, func(one *Series) error {
		key := seriesKey(one.Labels)
		source := left[key]
		delete(left, key)
		if takeRespelled(pairs, source, one) {
			return nil
		}
		judged = true
		r.judge(c, s, one.Labels, source, one, w)
		return nil
	})
	if err != nil {
		return judged, err
	}
	for _, p := range pairs {
		delete(left, seriesKey(p.source.Labels))
	}
	r.judgeRespelled(c, s, pairs, w)
	for _, one := range left {
		r.judge(c, s, one.Labels, one, nil, w)
	}
	return judged, nil
}

func (r *run) judge(c *Check, s *seamTally, ls labels.Labels, source, target *Series, w window) {
	if source == nil || len(source.Samples) == 0 {
		if target != nil && len(target.Samples) > 0 && target.Samples[0].Time >= r.o.Seam {
			s.only++ // new since the seam: the target may scrape what the source does not
			return
		}
		source = &Series{}
	}
	if target == nil {
		target = &Series{}
	}
	if len(source.Samples)+len(target.Samples) == 0 {
		return
	}
	s.series++
	if slices.Contains(r.o.LeftBehind, ls.Get("job")) {
		s.behind++
		source = &Series{Samples: upTo(source.Samples, target.Samples, r.o.Seam)}
	}
	res := JudgeSeam(source.Samples, target.Samples, r.o.Seam, w.to)
	s.own += res.Own
	if res.Interval == 0 {
		s.unjudged++
	} else if res.Gap > 0 {
		s.longest = max(s.longest, res.Gap)
		s.worst = max(s.worst, math.Round(float64(res.Gap)/float64(res.Interval)*100)/100)
	}
	for _, f := range res.Findings {
		f.What = ls.String()
		c.find(f)
	}
}
