package block

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"
)

// TestCutTakesWhatTheOtherDirectoryLacks holds the pieces against an oracle that reads both sides by the library.
func TestCutTakesWhatTheOtherDirectoryLacks(t *testing.T) {
	shift := 50 * fixtureStep
	tests := map[string]struct {
		lacking Lacking
		others  []shape // blocks of the other directory
		until   int64
		goesOn  int64 // how far behind the end a gap goes on
	}{
		"a server that scrapes at times of its own":        {Gaps, []shape{{series: 5, samples: 100, start: fixtureStart + shift + 7000}}, 0, 0},
		"two blocks, the later one listed first":           {Gaps, []shape{{series: 9, samples: 50, start: fixtureStart + 2*shift + 3}, {series: 4, samples: 20, start: fixtureStart + shift + 3}}, 0, 0},
		"a block that begins before the piece":             {Gaps, []shape{{series: 7, samples: 60, start: fixtureStart + 3}}, 0, 0},
		"an end":                                           {Gaps, []shape{{series: 5, samples: 100, start: fixtureStart + shift + 7000}}, fixtureStart + shift + 9*fixtureStep, 0},
		"series that the other one alone has":              {Gaps, []shape{{series: 14, samples: 100, histograms: true, start: fixtureStart + shift + 7000}}, 0, 0},
		"a server that writes bounds of buckets as 3.x":    {Gaps, []shape{{series: 7, samples: 60, start: fixtureStart + 3, respelled: true}}, 0, 0},
		"outages of the other one":                         {Gaps, []shape{{series: 7, samples: 12, start: fixtureStart + shift + 7000}, {series: 7, samples: 9, start: fixtureStart + shift + 31*fixtureStep + 7000}, {series: 6, samples: 20, start: fixtureStart + 3*shift + 7000}}, 0, 0},
		"outages of one that writes bounds as 3.x":         {Gaps, []shape{{series: 9, samples: 30, start: fixtureStart + shift}, {series: 7, samples: 12, start: fixtureStart + 2*shift + 7000, respelled: true}, {series: 7, samples: 9, start: fixtureStart + 3*shift + 7000, respelled: true}}, fixtureStart + 3*shift + 20*fixtureStep, 0},
		"what bounds the last gap lies behind the end":     {Gaps, []shape{{series: 5, samples: 10, start: fixtureStart + shift + 7000}, {series: 5, samples: 9, start: fixtureStart + 3*shift + 7000}}, fixtureStart + 3*shift + 2, 0},
		"a gap that goes on behind the end":                {Gaps, []shape{{series: 5, samples: 10, start: fixtureStart + shift + 7000}}, fixtureStart + 3*shift + 2, 9 * fixtureStep},
		"samples at the same times":                        {Absent, []shape{{series: 5, samples: 30, histograms: true, start: fixtureStart + shift}}, 0, 0},
		"samples at the same times, and others in between": {Absent, []shape{{series: 9, samples: 30, start: fixtureStart + shift}, {series: 9, samples: 30, start: fixtureStart + 20*fixtureStep + 1}}, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source, target := t.TempDir(), t.TempDir()
			made := makeBlock(t, source, shape{series: 9, samples: 200, histograms: true, delete: true, segmentBytes: 9000})
			o := CutOptions{Block: made, At: fixtureStart + 30*fixtureStep + 1, Keep: After, Until: test.until, Staging: t.TempDir(), Without: &Without{Dir: target, Lacking: test.lacking}}
			if test.goesOn > 0 {
				o.Without.Until = test.until + test.goesOn
			}
			there := map[string][]string{}
			for _, s := range test.others {
				other := makeBlock(t, target, s)
				o.Without.Blocks = append(o.Without.Blocks, other)
				for series, samples := range samplesOf(t, filepath.Join(target, other)) {
					series = strings.Replace(series, `.0"`, `"`, 1) // one of the two names of one series
					there[series] = append(there[series], samples...)
				}
			}
			piece, err := openDir(t, source).Cut(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			want := lacked(samplesOf(t, filepath.Join(source, made)), there, o)
			if diff := gocmp.Diff(want, plain(samplesOf(t, piece.Folder))); diff != "" || len(want) == 0 {
				t.Errorf("%d series (-want +got):\n%s", len(want), diff)
			}
		})
	}
}

// lacked is the oracle: it looks at one sample after the other, with all of both sides at hand.
func lacked(source, there map[string][]string, o CutOptions) map[string][]string {
	until := o.Until
	if until == 0 {
		for _, samples := range source {
			until = max(until, timeOf(samples[len(samples)-1])+1)
		}
	}
	all := map[string][]string{}
	for series, samples := range source {
		has := map[int64]bool{}
		for _, s := range there[series] {
			has[timeOf(s)] = true
		}
		wanted := wantedTimes(ticksOf(samples), ticksOf(there[series]), o.At, max(until, o.Without.Until))
		for _, s := range samples {
			at := timeOf(s)
			if at >= o.At && at < until && (o.Without.Lacking == Gaps && slices.Contains(wanted, at) || o.Without.Lacking == Absent && !has[at]) {
				all[series] = append(all[series], s)
			}
		}
	}
	return all
}

func ticksOf(samples []string) (list []tick) {
	for _, s := range samples {
		f := strings.Fields(s)
		list = append(list, tick{timeOf(s), f[2] == fmt.Sprintf("%016x", value.StaleNaN)})
	}
	slices.SortFunc(list, func(a, b tick) int { return cmp.Compare(a.t, b.t) })
	return list
}

// wantedTimes says what is lacking of a series, sample by sample. What the other side has before at does not count.
func wantedTimes(source, there []tick, at, until int64) (times []int64) {
	var own, theirs []int64
	exact, before := map[int64]bool{}, true
	for _, s := range source {
		exact[s.t] = true
		if !s.stale {
			theirs = append(theirs, s.t)
		}
	}
	has := map[int64]bool{}
	for _, s := range there {
		has[s.t] = s.t >= at
		if before = before && exact[s.t]; s.t >= at && !s.stale && !before {
			own = append(own, s.t)
		}
	}
	interval := cmp.Or(median(theirs), median(own))
	for _, s := range source {
		a, b := none, never
		for _, t := range own {
			if t < s.t {
				a = t
			} else if b == never {
				b = t
			}
		}
		if b == never {
			b = until
		}
		gap := interval > 0 && (b-a)*10 > interval*19 && (s.stale || (s.t-a)*20 > interval*13 && (b-s.t)*20 > interval*13)
		if s.t >= at && s.t < until && !has[s.t] && (a == none || gap) {
			times = append(times, s.t)
		}
	}
	return times
}

func timeOf(sample string) (at int64) {
	_, _ = fmt.Sscan(sample, &at)
	return at
}

func TestCutIsEmptyWhereNothingIsLacking(t *testing.T) {
	source := t.TempDir()
	made := makeBlock(t, source, shape{series: 3, samples: 50})
	for _, lacking := range []Lacking{Gaps, Absent, "some"} {
		o := CutOptions{Block: made, At: fixtureStart, Keep: After, Staging: t.TempDir(), Without: &Without{Dir: source, Blocks: []string{made}, Lacking: lacking}}
		_, err := openDir(t, source).Cut(t.Context(), o)
		want := ErrNothingLeft.Error()
		if lacking == "some" {
			want = "gaps or absent"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", lacking, err)
		}
	}
}
