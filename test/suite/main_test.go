package main

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	in := strings.Join([]string{
		`{"Action":"output","Package":"p","Test":"TestA","Output":"boom\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"quiet\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestB","Elapsed":61.5}`,
		`{"Action":"skip","Package":"p","Test":"TestC"}`,
		`{"Action":"fail","Package":"p"}`,
	}, "\n")
	var out strings.Builder
	r, err := count(strings.NewReader(in), &out)
	if err != nil {
		t.Fatal(err)
	}
	if r.passed != 1 || r.failed != 1 || r.skipped != 1 || len(r.broken) != 1 {
		t.Errorf("counted %+v", r)
	}
	report(&out, []result{r})
	if !strings.Contains(out.String(), "61.5s  p TestB") {
		t.Errorf("printed %q: it must name what took long", out.String())
	}
	if !strings.Contains(out.String(), "boom") || strings.Contains(out.String(), "quiet") {
		t.Errorf("printed %q: it must print what failing tests said, and no more", out.String())
	}
}

func TestReport(t *testing.T) {
	for name, c := range map[string]struct {
		results []result
		ok      bool
	}{
		"passes when every suite passed":            {[]result{{suite: "unit", passed: 2}}, true},
		"fails when a test failed":                  {[]result{{suite: "unit", passed: 2, failed: 1}}, false},
		"fails when a package did not build":        {[]result{{suite: "unit", passed: 2, broken: []string{"x"}}}, false},
		"fails when a suite ran no test whatsoever": {[]result{{suite: "unit", passed: 2}, {suite: "lab"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if got := report(&out, c.results); got != c.ok {
				t.Errorf("report said %v, want %v:\n%s", got, c.ok, out.String())
			}
		})
	}
}

func TestHasTag(t *testing.T) {
	for text, want := range map[string]bool{
		"//go:build lab\n\npackage x":          true,
		"//go:build plane || lab\n\npackage x": true,
		"//go:build !lab\n\npackage x":         false,
		"//go:build label\n\npackage x":        false,
		"package x\n//go:build lab\n":          false,
	} {
		if got := hasTag([]byte(text), "lab"); got != want {
			t.Errorf("hasTag(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestShard(t *testing.T) {
	names := []string{"TestA", "TestB", "TestC", "TestD", "TestE", "TestF", "TestG"}
	count := map[string]int{}
	for _, text := range []string{"1/3", "2/3", "3/3"} {
		mine, err := shard(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if mine("dir", name) {
				count[name]++
			}
		}
	}
	for _, name := range names {
		if count[name] != 1 {
			t.Errorf("%s is in %d shards, want 1", name, count[name])
		}
	}
	for _, text := range []string{"0/3", "4/3", "1", "x", "1/0"} {
		if _, err := shard(text); err == nil {
			t.Errorf("%q is taken for a shard", text)
		}
	}
}
