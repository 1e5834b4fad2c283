package proof

import (
	"slices"
	"testing"
)

// bucket is a counter with a bucket of each of the names; keep says which of its samples are there.
func bucket(le string, later int64, keep func(at int64) bool) *Series {
	s := series(func(k int) Sample { return Sample{Value: float64(k)} }, "__name__", "took_bucket", "job", "shop", "le", le)
	s.Samples = slices.DeleteFunc(s.Samples, func(x Sample) bool { return !keep(x.Time) })
	for i := range s.Samples {
		s.Samples[i].Time += later
	}
	return s
}

func TestRunTakesARespelledBucketForTheSameSeries(t *testing.T) {
	before := func(at int64) bool { return at <= seamAt }
	behind := func(at int64) bool { return at >= seamAt }
	all := func(int64) bool { return true }
	gap := func(at int64) bool { return behind(at) && (at < seamAt+10*step || at > seamAt+20*step) }
	tests := map[string]struct {
		target  world
		want    Verdict
		finding Kind
	}{
		"proves it under its new name":        {world{bucket("1", 0, before), bucket("1.0", phase, behind)}, Proved, Respelled},
		"finds a hole under its new name":     {world{bucket("1", 0, before), bucket("1.0", phase, gap)}, Different, Hole},
		"finds a hole where there is no twin": {world{bucket("1", 0, before)}, Different, Hole},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source := append(history(), bucket("1", 0, all))
			r := prove(t, newFront(t, source), newFront(t, append(handedOver(), test.target...)), nil)
			c := r.Checks[slices.IndexFunc(r.Checks, func(c *Check) bool { return c.Name == "seam" })]
			if c.Verdict != test.want || !slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Kind == test.finding }) {
				t.Errorf("%s: %s %+v", c.Verdict, c.Summary, c.Findings)
			}
		})
	}
}
