package rule

import "testing"

func TestWorstAndOverride(t *testing.T) {
	cases := []struct {
		name     string
		findings []Finding
		override []string
		worst    Verdict
		stops    int
	}{
		{"nothing found is fine", nil, nil, Fine, 0},
		{"a warning is worse than a note", []Finding{{Rule: "a", Verdict: Warns}, {Rule: "b", Verdict: Note}}, nil, Warns, 0},
		{"what is unknown stops", []Finding{{Rule: "a", Verdict: Unknown}, {Rule: "b", Verdict: Overridden}}, nil, Unknown, 1},
		{"what is named passes and stays listed", []Finding{{Rule: "a", Verdict: Refused}, {Rule: "b", Verdict: Fine}}, []string{"a", "b"}, Overridden, 0},
		{"another's name lets nothing pass", []Finding{{Rule: "a", Verdict: Refused}}, []string{"b"}, Refused, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Override(c.findings, c.override)
			if Worst(got) != c.worst || Stops(got) != c.stops || len(got) != len(c.findings) {
				t.Errorf("worst %s, stops %d: %v", Worst(got), Stops(got), got)
			}
		})
	}
}
