package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// cutterFunc is a Cutter.
type cutterFunc func(dir string, o block.CutOptions) (*block.Staged, error)

// Cut calls it.
func (f cutterFunc) Cut(_ context.Context, dir string, o block.CutOptions) (*block.Staged, error) {
	return f(dir, o)
}

func TestCutKeepsWhatTheSourceMadeOfFrozenBlocks(t *testing.T) {
	merged, left := ulid.Make().String(), ulid.Make().String()
	data := t.TempDir()
	staging := filepath.Join(data, transfer.StagingFolder)
	for _, name := range []string{merged, left} {
		if err := os.MkdirAll(filepath.Join(staging, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var found []string
	m, err := newMover(Options{StateDir: t.TempDir(), TargetData: data, Cutter: cutterFunc(func(dir string, _ block.CutOptions) (*block.Staged, error) {
		found, _ = filepath.Glob(filepath.Join(dir, "0*"))
		return nil, block.ErrNothingLeft
	})})
	if err != nil {
		t.Fatal(err)
	}
	w := &World{Source: []block.Entry{{Name: merged, Meta: &block.Meta{}, Verdict: block.OK}}, Staged: []string{merged}}
	if err := m.cut(t.Context(), w, &seam.Part{Source: merged, Side: seam.Before}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || filepath.Base(found[0]) != merged {
		t.Errorf("when it was cut there were %v, want only %s", found, merged)
	}
}

// timelines are the samples of many series by their names.
type timelines map[string][]proof.Sample

// block writes what lies in a range as a block, or nothing where nothing does.
func (l timelines) block(t *testing.T, dir string, from, to int64) string {
	t.Helper()
	w, err := tsdb.NewBlockWriter(quiet, dir, tsdb.DefaultBlockDuration)
	if err != nil {
		t.Fatal(err)
	}
	app := w.Appender(t.Context())
	for name, samples := range l {
		for _, x := range samples {
			if x.Time >= from && x.Time < to {
				if _, err := app.Append(0, labels.FromStrings("__name__", "x", "n", name), x.Time, x.Value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	id, err := w.Flush(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// add reads a block and adds its samples. One that is there already is told.
func (l timelines) add(t *testing.T, folder string) {
	t.Helper()
	b, err := tsdb.OpenBlock(quiet, folder, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	q, err := tsdb.NewBlockQuerier(b, math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "x"))
	for set.Next() {
		name := set.At().Labels().Get("n")
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			at, v := it.At()
			if slices.ContainsFunc(l[name], func(x proof.Sample) bool { return x.Time == at }) {
				t.Errorf("series %s: the sample at %d is brought, and is there", name, at)
			}
			l[name] = append(l[name], proof.Sample{Time: at, Value: v})
		}
		slices.SortFunc(l[name], func(a, b proof.Sample) int { return cmp.Compare(a.Time, b.Time) })
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
}

// life makes the samples that two servers take of some series: jitter, series that come and go, and on the second outages of all and of
// single series, with stale markers or without.
func life(r *rand.Rand, from, to int64) (source, target timelines) {
	source, target = timelines{}, timelines{}
	outages := []seam.Range{}
	for range 2 + r.IntN(2) {
		at := from + r.Int64N(to-from)
		outages = append(outages, seam.Range{From: at, To: at + r.Int64N(20*interval)})
	}
	for n := range 60 {
		name, offset, other := fmt.Sprint(n), r.Int64N(interval), r.Int64N(interval)
		begin, end := from, to
		if n%3 == 0 {
			begin, end = from+r.Int64N((to-from)/2), to-r.Int64N((to-from)/4)
		}
		single := seam.Range{From: from + r.Int64N(to-from)}
		single.To = single.From + r.Int64N(6*interval)
		for at := begin; at < end; at += interval {
			jitter := func() int64 { return r.Int64N(interval/25) &^ 1 }
			source[name] = append(source[name], proof.Sample{Time: (at + offset + jitter()) &^ 1, Value: 1})
			t := (at + other + jitter()) | 1
			down := func(o seam.Range) bool { return t >= o.From && t < o.To }
			switch {
			case n%20 == 7: // it does not scrape that
			case slices.ContainsFunc(outages, down):
			case !down(single):
				target[name] = append(target[name], proof.Sample{Time: t, Value: 2})
			case t-interval < single.From && len(target[name]) > 0:
				target[name] = append(target[name], proof.Sample{Time: t, Value: math.Float64frombits(value.StaleNaN)})
			}
		}
	}
	return source, target
}

// TestFilledGapsAreProved cuts pieces of two rounds out of several blocks: what the target has then is judged by the proof, and cutting once
// more over the result brings nothing.
func TestFilledGapsAreProved(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 5))
		at := func(n int64) int64 { return virtualDay + n*interval }
		source, target := life(r, at(0), at(300))
		from, to := t.TempDir(), t.TempDir()
		o := block.CutOptions{Keep: block.After, Staging: t.TempDir(), Without: &block.Without{Dir: to, Lacking: block.Gaps, From: at(0)}}
		var blocks []string
		for n := int64(0); n < 300; n += 100 {
			blocks = append(blocks, source.block(t, from, at(n), at(n+100)))
			o.Without.Blocks = append(o.Without.Blocks, target.block(t, to, at(n), at(n+100)))
		}
		brought := 0
		middle := 120 + r.Int64N(60)
		for _, round := range []seam.Range{{From: at(0), To: at(middle)}, {From: at(middle - 20), To: at(290)}, {From: at(0), To: at(290)}} {
			o.At, o.Until, o.Without.Until = round.From, round.To, round.To
			var made []string
			for _, o.Block = range blocks {
				piece, err := InProcess{}.Cut(t.Context(), from, o)
				if errors.Is(err, block.ErrNothingLeft) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				made = append(made, piece.Meta.ULID.String())
				target.add(t, piece.Folder)
				if err := os.Rename(piece.Folder, filepath.Join(to, made[len(made)-1])); err != nil {
					t.Fatal(err)
				}
			}
			o.Without.Blocks = append(o.Without.Blocks, made...)
			if brought++; brought == 3 && len(made) > 0 {
				t.Errorf("seed %d: %d pieces once more", seed, len(made))
			}
		}
		for name := range source {
			until := func(l []proof.Sample) []proof.Sample {
				return slices.DeleteFunc(slices.Clone(l), func(x proof.Sample) bool { return x.Time >= at(290) })
			}
			for _, f := range proof.JudgeSeam(until(source[name]), until(target[name]), at(0), at(290)).Findings {
				t.Errorf("seed %d, series %s: %s at %d (%s)", seed, name, f.Kind, (*f.Time-virtualDay)/interval, f.Text)
			}
		}
	}
}

func TestCommandSaysThatThereIsNoRoom(t *testing.T) {
	_, err := Command{"sh", "-c", "echo cutting: no space left on device >&2; exit 4"}.Cut(t.Context(), t.TempDir(), block.CutOptions{Block: "x", Staging: t.TempDir()})
	if stop := StopOf(err); stop.Rule != RuleTargetFull || !strings.Contains(stop.Text, "make room and run again") {
		t.Errorf("%+v", stop)
	}
}
