package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

var (
	buildLine = regexp.MustCompile(`(?m)^//go:build (.*)$`)
	testFunc  = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]*)\(`)
)

// arguments are those of go for a suite. A suite other than unit runs exactly the tests that stand in files with its tag.
func arguments(suite string) ([]string, error) {
	switch suite {
	case "unit":
		return []string{"test", "-json", "-timeout=10m", "./..."}, nil
	case "plane":
		return tagged("plane", func(dir string) bool { return true }, "-timeout=30m", "-p=1")
	case "lab":
		return tagged("lab", func(dir string) bool { return !strings.HasPrefix(dir, "test/e2e") }, "-timeout=40m", "-p=1")
	case "e2e":
		return tagged("lab", func(dir string) bool { return strings.HasPrefix(dir, "test/e2e") }, "-timeout=60m", "-p=1")
	}
	return nil, fmt.Errorf("there is no suite %q: unit, plane, lab, e2e", suite)
}

func tagged(tag string, want func(dir string) bool, flags ...string) ([]string, error) {
	dirs, names := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if !hasTag(text, tag) || !want(filepath.Dir(path)) {
			return nil
		}
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			if string(m[1]) != "TestMain" {
				dirs["./"+filepath.Dir(path)], names[string(m[1])] = true, true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	args := append([]string{"test", "-json", "-count=1", "-tags=" + tag, "-run=^(" + strings.Join(sorted(names), "|") + ")$"}, flags...)
	return append(args, sorted(dirs)...), nil
}

// hasTag says whether the file is built only with the tag.
func hasTag(text []byte, tag string) bool {
	head, _, _ := bytes.Cut(append([]byte("\n"), text...), []byte("\npackage "))
	m := buildLine.FindSubmatch(head)
	return m != nil && regexp.MustCompile(`(^|[^!a-z])`+tag+`\b`).Match(m[1])
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for s := range set {
		list = append(list, s)
	}
	sort.Strings(list)
	return list
}
