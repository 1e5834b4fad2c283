package proof

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// samples compares random (series, window) pairs bit by bit. Windows are random, then metrics, then jobs, then series: a metric
// with a million series counts no more than one with one.
func (r *run) samples(ctx context.Context) error {
	return r.check(ctx, "samples", func(c *Check) error {
		rnd := r.random(samplesChoice)
		t := &tally{metrics: map[string]bool{}, jobs: map[string]bool{}, drawn: map[string]bool{}}
		rounds := (r.o.Samples + perWindow - 1) / perWindow
		for i := 0; t.pairs < r.o.Samples && i < 2*rounds; i++ {
			w := r.randomWindow(rnd)
			names, err := r.source.Metrics(ctx, w.from, w.to)
			if !r.asked(ctx, c, "the metrics from "+w.String(), err) {
				break
			}
			slices.Sort(names)
			rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			if !r.drawFrom(ctx, c, rnd, t, w, names[:min(len(names), perWindow, r.o.Samples-t.pairs)]) {
				break
			}
		}
		t.numbers(c, r.o.Samples)
		c.conclude(t.pairs, "pairs of a series and a window")
		return ctx.Err()
	})
}

// tally counts what was compared.
type tally struct {
	pairs, samples, histograms, stale int
	metrics, jobs, drawn              map[string]bool
}

func (t *tally) numbers(c *Check, wanted int) {
	for _, n := range []struct {
		name string
		n    int
	}{{"pairs", t.pairs}, {"samples", t.samples}, {"native histograms", t.histograms}, {"stale markers", t.stale}, {"metrics", len(t.metrics)}, {"jobs", len(t.jobs)}} {
		c.number(n.name, float64(n.n), "")
	}
	if t.pairs < wanted {
		c.Notes = append(c.Notes, fmt.Sprintf("%d pairs were asked for, %d were found", wanted, t.pairs))
	}
}

func (t *tally) add(ls labels.Labels, samples []Sample) {
	t.pairs++
	t.metrics[ls.Get(metricName)] = true
	t.jobs[ls.Get("job")] = true
	t.samples += len(samples)
	for _, s := range samples {
		if s.Type() != chunkenc.ValFloat {
			t.histograms++
		}
		if s.Stale() {
			t.stale++
		}
	}
}

func (r *run) randomWindow(rnd *rand.Rand) window {
	from, to, size := r.report.From, r.report.To, r.o.Window.Milliseconds()
	if to-from <= size {
		return window{from, to}
	}
	start := from + rnd.Int64N(to-from-size+1)
	return window{start, start + size}
}

// drawFrom compares one series of each metric.
func (r *run) drawFrom(ctx context.Context, c *Check, rnd *rand.Rand, t *tally, w window, names []string) bool {
	for _, metric := range names {
		r.o.Progress(c.Name, t.pairs, r.o.Samples)
		ls, ok, err := r.draw(ctx, rnd, metric, w)
		if pair := fmt.Sprint(w.from, ls); err == nil && ok && !t.drawn[pair] {
			t.drawn[pair] = true
			err = r.comparePair(ctx, c, t, ls, w)
		}
		if !r.asked(ctx, c, metric+" from "+w.String(), err) {
			return false
		}
	}
	return true
}

// draw chooses a job of a metric, and a series of the job: the one with the smallest hash, so that the order in which a server lists
// them does not matter. It keeps one series per job in memory.
func (r *run) draw(ctx context.Context, rnd *rand.Rand, metric string, w window) (labels.Labels, bool, error) {
	type choice struct {
		hash uint64
		ls   labels.Labels
	}
	salt, pick := rnd.Uint64(), rnd.Uint64()
	jobs := map[string]choice{}
	err := r.source.Series(ctx, selector(metric), w.from, w.to, func(ls labels.Labels) error {
		job, hash := ls.Get("job"), mix(salt, ls)
		if best, ok := jobs[job]; !ok || hash < best.hash {
			jobs[job] = choice{hash, ls}
		}
		return nil
	})
	if err != nil || len(jobs) == 0 {
		return labels.EmptyLabels(), false, err
	}
	names := slices.Sorted(maps.Keys(jobs))
	return jobs[names[pick%uint64(len(names))]].ls, true, nil
}

func mix(salt uint64, ls labels.Labels) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, salt)) // a hash never fails
	_, _ = h.Write([]byte(ls.String()))
	return h.Sum64()
}

func (r *run) comparePair(ctx context.Context, c *Check, t *tally, ls labels.Labels, w window) error {
	a, err := r.source.ReadOne(ctx, ls, w.from, w.to)
	if err != nil {
		return err
	}
	b, err := r.target.ReadOne(ctx, ls, w.from, w.to)
	if err != nil {
		return err
	}
	if len(a) == 0 && len(b) == 0 {
		return nil // listed for a chunk that only spans the window
	}
	t.add(ls, a)
	for _, d := range CompareSamples(a, b) {
		c.find(Finding{Kind: d.Kind, What: ls.String(), Time: &d.Time, Source: d.Source, Target: d.Target})
	}
	return nil
}
