package block

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCutTakesWhatTheOtherDirectoryLacks holds the pieces against an oracle that reads both sides by the library.
func TestCutTakesWhatTheOtherDirectoryLacks(t *testing.T) {
	shift := 50 * fixtureStep
	tests := map[string]struct {
		lacking Lacking
		others  []shape // blocks of the other directory
		until   int64
	}{
		"a server that scrapes at times of its own":        {BeforeFirst, []shape{{series: 5, samples: 100, start: fixtureStart + shift + 7000}}, 0},
		"two blocks, the later one listed first":           {BeforeFirst, []shape{{series: 9, samples: 50, start: fixtureStart + 2*shift + 3}, {series: 4, samples: 20, start: fixtureStart + shift + 3}}, 0},
		"a block that begins before the piece":             {BeforeFirst, []shape{{series: 7, samples: 60, start: fixtureStart + 3}}, 0},
		"an end":                                           {BeforeFirst, []shape{{series: 5, samples: 100, start: fixtureStart + shift + 7000}}, fixtureStart + shift + 9*fixtureStep},
		"series that the other one alone has":              {BeforeFirst, []shape{{series: 14, samples: 100, histograms: true, start: fixtureStart + shift + 7000}}, 0},
		"a server that writes bounds of buckets as 3.x":    {BeforeFirst, []shape{{series: 7, samples: 60, start: fixtureStart + 3, respelled: true}}, 0},
		"samples at the same times":                        {Absent, []shape{{series: 5, samples: 30, histograms: true, start: fixtureStart + shift}}, 0},
		"samples at the same times, and others in between": {Absent, []shape{{series: 9, samples: 30, start: fixtureStart + shift}, {series: 9, samples: 30, start: fixtureStart + 20*fixtureStep + 1}}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source, target := t.TempDir(), t.TempDir()
			made := makeBlock(t, source, shape{series: 9, samples: 200, histograms: true, delete: true, segmentBytes: 9000})
			o := CutOptions{Block: made, At: fixtureStart + 30*fixtureStep + 1, Keep: After, Until: test.until, Staging: t.TempDir(), Without: &Without{Dir: target, Lacking: test.lacking}}
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
			if diff := cmp.Diff(want, plain(samplesOf(t, piece.Folder))); diff != "" || len(want) == 0 {
				t.Errorf("%d series (-want +got):\n%s", len(want), diff)
			}
		})
	}
}

// lacked is the oracle.
func lacked(source, there map[string][]string, o CutOptions) map[string][]string {
	until := o.Until
	if until == 0 {
		until = math.MaxInt64
	}
	all := map[string][]string{}
	for series, samples := range source {
		first, has := int64(math.MaxInt64), map[int64]bool{}
		for _, s := range there[series] {
			if at := timeOf(s); at >= o.At && at < until {
				first, has[at] = min(first, at), true
			}
		}
		for _, s := range samples {
			at := timeOf(s)
			if at >= o.At && at < until && (o.Without.Lacking == BeforeFirst && at < first || o.Without.Lacking == Absent && !has[at]) {
				all[series] = append(all[series], s)
			}
		}
	}
	return all
}

func timeOf(sample string) (at int64) {
	_, _ = fmt.Sscan(sample, &at)
	return at
}

func TestCutIsEmptyWhereNothingIsLacking(t *testing.T) {
	source := t.TempDir()
	made := makeBlock(t, source, shape{series: 3, samples: 50})
	for _, lacking := range []Lacking{BeforeFirst, Absent, "some"} {
		o := CutOptions{Block: made, At: fixtureStart, Keep: After, Staging: t.TempDir(), Without: &Without{Dir: source, Blocks: []string{made}, Lacking: lacking}}
		_, err := openDir(t, source).Cut(t.Context(), o)
		want := ErrNothingLeft.Error()
		if lacking == "some" {
			want = "before-first or absent"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", lacking, err)
		}
	}
}
