package block

import (
	"context"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Respelled is how Prometheus 3.0 and later name a series that 2.x scraped: le="1" of a bucket and quantile="0" of a summary are stored
// as le="1.0" and quantile="0.0" (textparse, normalizeFloatsInLabelValues). Not ok where the name is as before.
func Respelled(ls labels.Labels) (labels.Labels, bool) {
	for _, name := range []string{"le", "quantile"} {
		value := ls.Get(name)
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		if stored := labels.FormatOpenMetricsFloat(n); stored != value {
			return labels.NewBuilder(ls).Set(name, stored).Labels(), true
		}
	}
	return ls, false
}

// mayBeRespelled says that a series may have had another name on a 2.x: its bound is written as only 3.x does it.
func mayBeRespelled(ls labels.Labels) bool {
	for _, name := range []string{"le", "quantile"} {
		if value := ls.Get(name); strings.HasSuffix(value, ".0") || strings.Contains(value, "e") {
			return true
		}
	}
	return false
}

// respelled outlines each series that may have another name on the other side. Its place in the order of an index is not that of
// the old name, so it is found before the walk: some 50 bytes and a map's share for each, and 16 for each of its gaps.
func (l *lookup) respelled(ctx context.Context) error {
	l.twins = map[uint64]*outline{}
	for _, o := range l.others {
		if err := o.next(); err != nil {
			return err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var lset labels.Labels
		any := false
		for _, o := range l.others {
			if !o.ended && (!any || labels.Compare(o.lset, lset) < 0) {
				lset, any = o.lset, true
			}
		}
		if !any {
			break
		}
		if err := l.outline(lset); err != nil {
			return err
		}
	}
	for _, o := range l.others {
		if err := o.rewind(ctx); err != nil {
			return err
		}
	}
	return nil
}

// outline takes the series from all blocks that stand at it, and moves those on.
func (l *lookup) outline(lset labels.Labels) error {
	h := &holding{left: none, right: never}
	wanted := mayBeRespelled(lset)
	for _, o := range l.others {
		if o.ended || labels.Compare(o.lset, lset) != 0 {
			continue
		}
		if wanted {
			if err := l.take(h, o); err != nil {
				return err
			}
		}
		if err := o.next(); err != nil {
			return err
		}
	}
	if wanted && !h.nothing() {
		h.sort()
		l.twins[lset.Hash()] = newOutline(h)
	}
	return nil
}
