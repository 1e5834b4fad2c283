package survey

import "testing"

func TestCompareTarget(t *testing.T) {
	const l = `{job="a"}`
	three := func(v float64) []float64 { return []float64{v, v, v} }
	type side struct {
		health, err string
		up, samples []float64
	}
	good := side{"up", "", three(1), three(40)}
	down := func(err string) side { return side{"down", err, three(0), three(0)} }
	tests := map[string]struct {
		source, target side
		want           GapKind
	}{
		"equal targets have no gap":                           {good, good, ""},
		"counts that come and go are equal where they meet":   {side{"up", "", three(1), []float64{40, 41, 40}}, side{"up", "", three(1), []float64{41, 41, 42}}, ""},
		"counts that never meet differ":                       {good, side{"up", "", three(1), three(39)}, Differs},
		"a refused connection is a way that is closed":        {good, down("dial tcp 10.0.0.1:9100: connect: connection refused"), Unreachable},
		"a status is no matter of the way":                    {good, down("server returned HTTP status 401 Unauthorized"), Failing},
		"a scrape that failed among good ones fails":          {good, side{"up", "", []float64{1, 0, 1}, []float64{40, 0, 40}}, Failing},
		"one failure on the source hides none on the target":  {side{"up", "", []float64{1, 0, 1}, []float64{40, 0, 40}}, down("dial tcp: i/o timeout"), Unreachable},
		"down on both is told apart":                          {down("x"), down("x"), DownOnBoth},
		"down on the source alone loses nothing":              {down("x"), good, ""},
		"a target that fails sometimes on both is not a gap":  {side{"up", "", []float64{1, 0, 1}, []float64{40, 0, 40}}, side{"up", "", []float64{0, 1, 1}, []float64{0, 40, 40}}, ""},
		"too few scrapes wait":                                {good, side{"up", "", three(1)[:2], three(40)[:2]}, Waiting},
		"nobody waits for what refuses the connection":        {good, side{"down", "context deadline exceeded", nil, nil}, Unreachable},
		"what fails in another way has to fail often enough":  {good, side{"down", "401", []float64{0}, []float64{0}}, Waiting},
		"a source that was not scraped yet waits, too":        {side{"up", "", nil, nil}, good, Waiting},
		"a target's health that nobody knows yet only waits":  {good, side{"unknown", "", nil, nil}, Waiting},
		"samples without up are too few":                      {good, side{"up", "", nil, three(40)}, Waiting},
		"a target that is empty on both is equal":             {side{"up", "", three(1), three(0)}, side{"up", "", three(1), three(0)}, ""},
		"a target that gives nothing to the new one: differs": {good, side{"up", "", three(1), three(0)}, Differs},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			make := func(s side) (Target, *Scraped) {
				one := Target{Job: "a", Labels: l, URL: "http://x:1/", Health: s.health, Error: s.err, IntervalSeconds: 1}
				return one, &Scraped{Targets: []Target{one}, Up: map[string][]float64{l: s.up}, Samples: map[string][]float64{l: s.samples}}
			}
			s, source := make(test.source)
			tt, target := make(test.target)
			if got, why := compareTarget(s, tt, true, source, target, 3); got != test.want {
				t.Errorf("%q (%s), want %q", got, why, test.want)
			}
			r := Compare(source, target, 3, nil)
			want := map[GapKind]string{"": CoverageEqual, DownOnBoth: CoverageEqual, Waiting: CoverageWaiting}[test.want]
			if want == "" {
				want = CoverageDifferent
			}
			if r.Verdict != want {
				t.Errorf("%+v, want %s", r, want)
			}
			if r = Compare(source, target, 3, []string{"a"}); r.Verdict != CoverageEqual {
				t.Errorf("a job that may stay behind: %+v", r)
			}
		})
	}
}

func TestCompareTellsTargetsOfOneSide(t *testing.T) {
	one := &Scraped{Targets: []Target{{Job: "a", Labels: `{job="a"}`}}}
	if r := Compare(one, &Scraped{}, 1, nil); r.Verdict != CoverageDifferent || r.Gaps[0].Kind != Missing {
		t.Errorf("%+v", r)
	}
	if r := Compare(&Scraped{}, one, 1, nil); r.Verdict != CoverageEqual || r.Gaps[0].Kind != Extra {
		t.Errorf("%+v", r)
	}
}
