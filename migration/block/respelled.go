package block

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
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

// respelled finds when each series begins that may have another name on the other side. Its place in the order of an index is
// not that of the old name, so it is found before the walk: 16 bytes and a map's share for each.
func (l *lookup) respelled(ctx context.Context) error {
	l.twins = map[uint64]int64{}
	for _, o := range l.others {
		for o.all.Next() {
			if err := o.ir.Series(storage.SeriesRef(o.all.At()), &o.builder, &o.metas); err != nil {
				return err
			}
			ls := o.builder.Labels()
			if !mayBeRespelled(ls) {
				continue
			}
			h := &holding{first: math.MaxInt64}
			if err := l.take(h, o); err != nil {
				return err
			}
			if first, known := l.twins[ls.Hash()]; h.first < math.MaxInt64 && (!known || h.first < first) {
				l.twins[ls.Hash()] = h.first
			}
		}
		if err := o.all.Err(); err != nil {
			return err
		}
		if err := o.rewind(ctx); err != nil {
			return err
		}
	}
	return nil
}
