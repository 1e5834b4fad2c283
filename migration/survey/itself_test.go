package survey

import (
	"slices"
	"testing"
)

func TestCompareKnowsTheSourceItself(t *testing.T) {
	target := func(job, labels string) Target {
		return Target{Job: job, Labels: labels, URL: "http://localhost:9090/metrics", IntervalSeconds: 1}
	}
	self, node, other := target("prometheus", `{job="prometheus"}`), target("node", `{job="node"}`), target("prometheus", `{job="prometheus", of="other"}`)
	cases := []struct {
		name         string
		source, here []Target
		verdict      string
		own          []string
	}{
		{"what is the source alone is no gap", []Target{self}, nil, CoverageEqual, []string{"prometheus"}},
		{"another target of its job is one", []Target{self, other}, nil, CoverageDifferent, nil},
		{"a target of another job is one", []Target{self, node}, nil, CoverageDifferent, []string{"prometheus"}},
		{"what both scrape under one name is compared", []Target{self}, []Target{self}, CoverageWaiting, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := Compare(&Scraped{Targets: c.source, Itself: map[string]bool{self.Labels: true}}, &Scraped{Targets: c.here}, 3, nil)
			if r.Verdict != c.verdict || !slices.Equal(r.OwnJobs(), c.own) {
				t.Errorf("%s, own %q; want %s and %q: %s", r.Verdict, r.OwnJobs(), c.verdict, c.own, r.Says)
			}
		})
	}
}
