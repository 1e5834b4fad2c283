package proof

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/value"
)

// at makes samples whose value is their time; negative times are stale markers.
func at(times ...int64) []Sample {
	var list []Sample
	for _, t := range times {
		if t < 0 {
			list = append(list, Sample{Time: -t, Value: math.Float64frombits(value.StaleNaN)})
			continue
		}
		list = append(list, Sample{Time: t, Value: float64(t)})
	}
	return list
}

// other gives samples of some times another value.
func other(samples []Sample, times ...int64) []Sample {
	for i, s := range samples {
		if slices.Contains(times, s.Time) {
			samples[i].Value = -1
		}
	}
	return samples
}

func TestJudgeSeam(t *testing.T) {
	source := at(10, 20, 30, 40, 50, 60, 70, 80)
	tests := map[string]struct {
		source, target []Sample
		want           []Kind
		own            int
	}{
		"a clean change of hands":                     {source, at(10, 20, 30, 40, 50, 54, 64, 74), nil, 3},
		"own from the first moment":                   {source, at(10, 20, 30, 40, 46, 56, 66, 76), nil, 4},
		"a sample of the piece is missing":            {source, at(10, 20, 30, 40, 54, 64, 74), []Kind{MissingSample}, 3},
		"a hole of three scrapes":                     {source, at(10, 20, 30, 40, 79), []Kind{Hole}, 1},
		"a hole among the target's own":               {source, at(10, 20, 30, 40, 46, 78), []Kind{Hole}, 2},
		"the target stops":                            {source, at(10, 20, 30, 40, 46), []Kind{Hole}, 1},
		"the target stops at the seam":                {source, at(10, 20, 30, 40), []Kind{Hole}, 0},
		"both stop":                                   {at(10, 20, 30, 40, 50, -60), at(10, 20, 30, 40, 46, -56), nil, 2},
		"a gap on both sides is none":                 {at(10, 20, 30, 80), at(10, 20, 30, 76), nil, 1},
		"a scrape stored twice":                       {source, at(10, 20, 30, 40, 46, 50, 56, 66, 76), []Kind{DoubleSample}, 4},
		"a scrape stored twice, half an interval off": {source, at(10, 20, 30, 40, 45, 50, 55, 65, 75), []Kind{DoubleSample}, 4},
		"a scrape stored twice at the end":            {source, at(10, 20, 30, 40, 46, 56, 66, 70), []Kind{DoubleSample}, 3},
		"both at the same milliseconds":               {source, source, nil, 0},
		"some at the same millisecond by chance":      {source, at(10, 20, 30, 40, 50, 51, 61, 70, 81), nil, 3},
		"rules, other values behind the seam":         {source, append(at(10, 20, 30, 40), Sample{Time: 50}, Sample{Time: 60}, Sample{Time: 70}, Sample{Time: 80}), nil, 0},
		"a first scrape at the same millisecond":      {source, other(at(10, 20, 30, 40, 50, 61, 71, 81), 50), nil, 3},
		"two of them":                                 {source, other(at(10, 20, 30, 40, 50, 60, 71, 81), 50, 60), nil, 2},
		"and a scrape of the source beside the next":  {source, other(at(10, 20, 30, 40, 50, 60, 61, 71, 81), 50), nil, 3},
		"a rule that is late once":                    {source, other(at(10, 20, 30, 40, 50, 61, 70, 80), 40, 50), nil, 1},
		"a sample that was changed on its way":        {source, other(at(10, 20, 30, 40, 50, 56, 66, 76), 50), []Kind{DifferentValue}, 3},
		"one that was changed before the seam":        {source, other(at(10, 20, 30, 40, 50, 60, 66, 76), 30), []Kind{DifferentValue}, 2},
		"a sample before the seam is missing":         {source, at(10, 20, 40, 46, 56, 66, 76), []Kind{MissingSample}, 4},
		"a stale marker before the seam is lost":      {at(10, 20, -30, 40, 50), at(10, 20, 40, 46, 56, 66, 76), []Kind{LostStaleMarker}, 4},
		"one that the target made up":                 {source, at(10, 20, 30, 33, 40, 46, 56, 66, 76), []Kind{ExtraSample}, 4},
		"too few for an interval":                     {at(10, 20), at(10, 20), nil, 0},
		"an outage that was filled":                   {source, at(10, 20, 30, 40, 46, 60, 76), nil, 2},
		"an outage that was filled but for one":       {at(10, 20, 30, 40, 50, 60, 70, 80, 90), at(10, 20, 30, 40, 46, 60, 86), []Kind{Hole}, 2},
		"only scrapes of its borders in a gap":        {source, at(10, 20, 30, 40, 45, 55, 76), nil, 3},
		"a stale marker does not end a hole":          {source, at(10, 20, 30, 40, 41, -51, -61, 76), []Kind{Hole}, 4},
		"a gap around a stale marker was filled":      {source, at(10, 20, 30, 40, 46, -58, 60, 76), nil, 3},
		"not there at all":                            {source, nil, []Kind{Hole}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := JudgeSeam(test.source, test.target, 40, 85)
			var got []Kind
			for _, f := range r.Findings {
				got = append(got, f.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || r.Own != test.own {
				t.Errorf("own %d, want %d; findings -want +got:\n%s", r.Own, test.own, diff)
			}
		})
	}
}

func TestJudgeSeamMeasuresTheGap(t *testing.T) {
	r := JudgeSeam(at(10, 20, 30, 40, 50), at(10, 20, 30, 46, 56), 40, 60)
	if r.Interval != 10 || r.Gap != 16 {
		t.Errorf("interval %d, gap %d", r.Interval, r.Gap)
	}
}

func TestUpTo(t *testing.T) {
	source := []Sample{{Time: 10}, {Time: 20}, {Time: 30}, {Time: 40}}
	cases := []struct {
		name   string
		target []Sample
		want   int
	}{
		{"a job that stays behind is compared up to the seam", nil, 2},
		{"and behind it as far as the target goes", []Sample{{Time: 10}, {Time: 20}, {Time: 30}}, 3},
		{"what the target lacks before the seam stays in question", []Sample{{Time: 10}}, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := len(upTo(source, c.target, 25)); got != c.want {
				t.Errorf("%d samples, want %d", got, c.want)
			}
		})
	}
}
