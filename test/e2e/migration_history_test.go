//go:build lab

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"golang.org/x/sync/errgroup"
)

const (
	historyDays = 30 // at least
	// historyRange is what Prometheus compacts to with a retention of 60 days: no block of ours is touched by the server.
	historyRange = 54 * time.Hour
	historyStep  = 3 * time.Minute
	// bigPercent is the part of all bytes that one block holds, so that its first pieces are durable while the rest is on its way.
	bigPercent = 60
	// gaugeBytes and histogramBytes are about what one series of a block of historyRange takes.
	gaugeBytes, histogramBytes = 11 << 10, 100 << 10
)

// writeHistory makes blocks of about so many bytes together, up to now: gauges, counters, classic histograms with integer
// buckets, native histograms, and names that are in one block alone. Two blocks are written at once.
func writeHistory(t testing.TB, dir string, bytes int64) {
	t.Helper()
	end := time.Now().Truncate(historyRange)
	n := int((historyDays*24*time.Hour + historyRange - 1) / historyRange)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(2)
	for i := range n {
		share := bytes * (100 - bigPercent) / 100 / int64(n-1)
		if i == 2 {
			share = bytes * bigPercent / 100
		}
		group.Go(func() error {
			return writeBlock(ctx, dir, end.Add(-time.Duration(i+1)*historyRange).UnixMilli(), historyRange, share)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("making the history: %v", err)
	}
}

// writeBlock makes a block of a length, of about so many bytes.
func writeBlock(ctx context.Context, dir string, start int64, length time.Duration, bytes int64) error {
	// A head takes what is at most half of its range old: series after series, all of the block must fit into that.
	w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 2*length.Milliseconds())
	if err != nil {
		return err
	}
	b := &historyBlock{start: start, length: length, random: rand.New(rand.NewPCG(uint64(start), 1))}
	for _, s := range b.series(bytes) {
		// One commit for each series: an appender keeps what it was given until then.
		app := w.Appender(ctx)
		if err := s(app); err != nil {
			return fmt.Errorf("appending: %w", err)
		}
		if err := app.Commit(); err != nil {
			return fmt.Errorf("committing: %w", err)
		}
	}
	if _, err := w.Flush(ctx); err != nil {
		return fmt.Errorf("flushing: %w", err)
	}
	return w.Close()
}

// historyBlock makes the series of one block.
type historyBlock struct {
	start  int64
	length time.Duration
	random *rand.Rand
}

type appendSeries func(storage.Appender) error

// series are half random gauges and half native histograms by size, and some of the others.
func (b *historyBlock) series(bytes int64) []appendSeries {
	var all []appendSeries
	bytes = int64(float64(bytes) * float64(historyRange) / float64(b.length))
	for i := range bytes / 2 / gaugeBytes {
		pod := fmt.Sprintf("steady-%d", i)
		if i%3 == 0 { // churn
			pod = fmt.Sprintf("pod-%d-%d", b.start, i)
		}
		all = append(all, b.floats(labels.FromStrings("__name__", "queue_seconds", "pod", pod, "job", "shop"), b.random.Float64))
	}
	for i := range bytes / 2 / histogramBytes {
		all = append(all, b.native(labels.FromStrings("__name__", "latency_seconds", "instance", fmt.Sprintf("host-%d:8080", i), "job", "shop")))
	}
	for i := range 20 {
		total := 0.0
		all = append(all, b.floats(labels.FromStrings("__name__", "requests_total", "instance", fmt.Sprintf("host-%d:8080", i), "job", "shop"), func() float64 {
			total += float64(b.random.IntN(100))
			return total
		}))
	}
	for i, le := range []string{"1", "5", "10", "+Inf"} {
		total := 0.0
		all = append(all, b.floats(labels.FromStrings("__name__", "size_bytes_bucket", "le", le, "job", "shop"), func() float64 {
			total += float64((i + 1) * 10)
			return total
		}))
	}
	return all
}

func (b *historyBlock) times(f func(ms int64) error) error {
	for ms := b.start; ms < b.start+b.length.Milliseconds(); ms += historyStep.Milliseconds() {
		if err := f(ms); err != nil {
			return err
		}
	}
	return nil
}

func (b *historyBlock) floats(name labels.Labels, next func() float64) appendSeries {
	return func(app storage.Appender) error {
		var ref storage.SeriesRef
		return b.times(func(ms int64) (err error) {
			ref, err = app.Append(ref, name, ms, next())
			return err
		})
	}
}

func (b *historyBlock) native(name labels.Labels) appendSeries {
	return func(app storage.Appender) error {
		const buckets = 40
		counts := make([]int64, buckets)
		return b.times(func(ms int64) error {
			h := &histogram.Histogram{Schema: 3, ZeroThreshold: 1e-6, PositiveSpans: []histogram.Span{{Length: buckets}}, PositiveBuckets: make([]int64, buckets)}
			for i := range counts {
				counts[i] += b.random.Int64N(5000)
				h.Count += uint64(counts[i])
				h.PositiveBuckets[i] = counts[i] // each one is told by its difference to the one before
				if i > 0 {
					h.PositiveBuckets[i] -= counts[i-1]
				}
			}
			h.Sum = float64(h.Count) / 7
			_, err := app.AppendHistogram(0, name, ms, h, nil)
			return err
		})
	}
}
