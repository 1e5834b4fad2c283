package proof

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/server"
)

var update = flag.Bool("update", false, "write the golden files")

// specimen is a report with everything that a report can have.
func specimen() *Report {
	at := begin
	seam := int64(seamAt)
	c := &Check{Name: "samples", limit: 2, Took: 1.5}
	for range 3 {
		c.find(Finding{Kind: DifferentValue, What: `up{job="<script>alert(1)</script>"}`, Time: &at, Source: "1 (0x3ff0000000000000)", Target: "0"})
	}
	c.number("pairs", 200, "")
	c.conclude(200, "pairs of a series and a window")
	r := &Report{
		Started: time.Unix(1_700_000_000, 0).UTC(), Finished: time.Unix(1_700_000_060, 0).UTC(), Seed: 7, From: begin, To: seamAt, Seam: &seam,
		Source: &Side{Name: "source", URL: "http://old:9090", Version: "2.42.0", Blocks: 27, Lowest: begin, HeadMin: begin, HeadMax: end},
		Checks: []*Check{
			{Name: "servers", Verdict: Printed, Summary: "both answer, and for themselves alone"},
			{Name: "blocks", Verdict: Skipped, Summary: "no inventories"}, c,
			{Name: "heaviest", Verdict: Printed, Summary: "the 1 heaviest queries, 3 times each", Timings: []Timing{{"sum(up)", 0.1, 0.2, 0.05, 0.06}}, Notes: []string{"a note"}},
		},
		NotChecked: never(), Load: map[string]server.Load{"source": {Requests: 3, Bytes: 4096, SecondsMax: 0.25}},
	}
	r.conclude()
	return r
}

func goldenFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, -update writes it):\n%s", path, diff)
	}
}

func TestReportIsWrittenAsPageAndJSON(t *testing.T) {
	r := specimen()
	var page strings.Builder
	if err := r.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<script>") {
		t.Error("what a server says reaches the page as markup")
	}
	goldenFile(t, "testdata/report.html", page.String())
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	goldenFile(t, "testdata/report.json", string(data)+"\n")
}

func TestReportConcludes(t *testing.T) {
	tests := map[string]struct {
		checks []Verdict
		want   Verdict
		err    error
	}{
		"nothing was looked at":         {nil, Unknown, ErrUnknown},
		"only skipped and printed":      {[]Verdict{Skipped, Printed}, Unknown, ErrUnknown},
		"proved, others skipped":        {[]Verdict{Proved, Skipped, Printed}, Proved, nil},
		"one unknown":                   {[]Verdict{Proved, Unknown}, Unknown, ErrUnknown},
		"a difference beats an unknown": {[]Verdict{Proved, Unknown, Different}, Different, ErrDiffers},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := &Report{}
			for _, v := range test.checks {
				r.Checks = append(r.Checks, &Check{Name: "x", Verdict: v})
			}
			if r.conclude(); r.Verdict != test.want || !errors.Is(r.Err(), test.err) {
				t.Errorf("%s, %v", r.Verdict, r.Err())
			}
		})
	}
}

func TestCheckOfNothingProvesNothing(t *testing.T) {
	c := &Check{}
	if c.conclude(0, "series"); c.Verdict != Unknown {
		t.Errorf("%s", c.Verdict)
	}
}
