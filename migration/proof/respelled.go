package proof

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/block"
)

// respelled is a series whose bucket or quantile the newer server spells otherwise: from 3.0.0 on, le="1" of the text format is
// stored as le="1.0" (textparse, normalizeFloatsInLabelValues). It is one series of one target with two names.
type respelled struct {
	source, target *Series // under the old name
	twin           *Series // under the new one
}

func seriesKey(ls labels.Labels) string { return string(ls.Bytes(nil)) }

// takeRespelled keeps a series of the target that is one of two names; false: it is judged by itself.
func takeRespelled(pairs map[string]*respelled, source, one *Series) bool {
	if now, other := block.Respelled(one.Labels); other && source != nil {
		pairs[seriesKey(now)].target = one
		return true
	}
	if p := pairs[seriesKey(one.Labels)]; p != nil && source == nil {
		p.twin = one
		return true
	}
	return false
}

// merged are the samples of both names in the order of their times.
func (p *respelled) merged() *Series {
	all := &Series{Labels: p.source.Labels}
	if p.target != nil {
		all.Samples = append(all.Samples, p.target.Samples...)
	}
	if p.twin != nil {
		all.Samples = append(all.Samples, p.twin.Samples...)
	}
	slices.SortStableFunc(all.Samples, func(a, b Sample) int { return cmp.Compare(a.Time, b.Time) })
	return all
}

// judgeRespelled judges series with two names: nothing may be missing of them taken together. That they have two is listed
// once for each metric, and is no difference of the data.
func (r *run) judgeRespelled(c *Check, s *seamTally, pairs map[string]*respelled, w window) {
	var named []string
	metric := ""
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		p := pairs[key]
		if p.twin == nil || len(p.twin.Samples) == 0 {
			r.judge(c, s, p.source.Labels, p.source, p.target, w)
			continue
		}
		r.judge(c, s, p.source.Labels, p.source, p.merged(), w)
		metric = p.source.Labels.Get(metricName)
		named = append(named, bound(p.source.Labels)+" is "+bound(p.twin.Labels))
	}
	if len(named) > 0 {
		s.respelled += len(named)
		c.find(Finding{Kind: Respelled, What: metric, Text: fmt.Sprintf("behind the seam %s%s: the newer version writes numbers so; an expression that names the old value finds the time before the seam alone",
			named[0], others(len(named)-1))})
	}
}

func others(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (and so on, in %d more series)", n)
}

// bound is the bucket or quantile of a series.
func bound(ls labels.Labels) string {
	if v := ls.Get("le"); v != "" {
		return fmt.Sprintf("le=%q", v)
	}
	return fmt.Sprintf("quantile=%q", ls.Get("quantile"))
}
