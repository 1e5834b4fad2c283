package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/slipway-dev/slipway/migration/server"
)

// maxQuerySamples bounds what one query of one side holds in memory: a million samples are some 80 MB.
const maxQuerySamples = 1 << 20

// queryable makes a server's raw samples the storage of our own engine. It is for one query: it counts the samples.
type queryable struct {
	server *Server
	held   int
	err    error // of the last read that failed, as the engine keeps the text alone
}

// Querier is of the storage interface; times are in milliseconds, both included.
func (q *queryable) Querier(from, to int64) (storage.Querier, error) {
	return &querier{queryable: q, from: from, to: to}, nil
}

type querier struct {
	*queryable
	from, to int64
}

// Select reads everything that matches. Series come sorted, so that sums are added up in one order on both sides.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	sel := Selection{From: q.from, To: q.to + 1, Matchers: matchers}
	if hints != nil {
		sel.From, sel.To = hints.Start, hints.End+1
	}
	var list []storage.Series
	err := q.server.Read(ctx, sel, func(s *Series) error {
		if q.held += len(s.Samples); q.held > maxQuerySamples {
			return fmt.Errorf("the query needs more than %d samples: %w", maxQuerySamples, server.ErrTooLarge)
		}
		samples := make([]chunks.Sample, len(s.Samples))
		for i := range s.Samples {
			samples[i] = s.Samples[i]
		}
		if len(samples) > 0 {
			list = append(list, storage.NewListSeries(s.Labels, samples))
		}
		return nil
	})
	if err != nil {
		q.err = err
		return storage.ErrSeriesSet(err)
	}
	slices.SortFunc(list, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &listSet{list: list}
}

var errNoLabels = errors.New("labels are not listed through this storage")

// LabelValues is of the storage interface; the engine does not call it.
func (q *querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNoLabels
}

// LabelNames is of the storage interface; the engine does not call it.
func (q *querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errNoLabels
}

// Close is of the storage interface.
func (q *querier) Close() error { return nil }

type listSet struct {
	list []storage.Series
	next int
}

func (l *listSet) Next() bool {
	l.next++
	return l.next <= len(l.list)
}

func (l *listSet) At() storage.Series                { return l.list[l.next-1] }
func (l *listSet) Err() error                        { return nil }
func (l *listSet) Warnings() annotations.Annotations { return nil }
