package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
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
		return tagged("plane", everyTest, "-tags=plane", "-timeout=30m")
	case "engine":
		return tagged("engine", everyTest, "-tags=engine", "-timeout=30m")
	case "search":
		return tagged("search", everyTest, "-tags=search", "-timeout=30m")
	case "lab":
		return tagged("lab", func(dir, _ string) bool { return !strings.HasPrefix(dir, "test/e2e") }, "-tags=lab", "-timeout=40m")
	case "e2e":
		return tagged("lab", func(dir, _ string) bool { return strings.HasPrefix(dir, "test/e2e") }, "-tags=lab", "-timeout=60m")
	case "long":
		mine, err := shard(os.Getenv("SHARD"))
		if err != nil {
			return nil, err
		}
		return tagged("long", mine, "-tags=lab,long", "-timeout=12h")
	}
	return nil, fmt.Errorf("there is no suite %q: unit, plane, engine, search, lab, e2e, long", suite)
}

func everyTest(string, string) bool { return true }

// shard chooses the tests of part i of n, as in 2/3; empty: all.
func shard(text string) (func(dir, name string) bool, error) {
	if text == "" {
		return everyTest, nil
	}
	var i, n uint32
	if found, err := fmt.Sscanf(text, "%d/%d", &i, &n); found != 2 || err != nil || i < 1 || i > n {
		return nil, fmt.Errorf("SHARD is %q; want i/n as in 1/3", text)
	}
	return func(_, name string) bool {
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(name)) // never fails
		return hash.Sum32()%n == i-1
	}, nil
}

// tagged are the arguments for the tests that stand in files with a tag and are wanted.
func tagged(tag string, want func(dir, name string) bool, flags ...string) ([]string, error) {
	dirs, names := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if !hasTag(text, tag) || tag != "long" && hasTag(text, "long") {
			return nil
		}
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			if name := string(m[1]); name != "TestMain" && want(filepath.Dir(path), name) {
				dirs["./"+filepath.Dir(path)], names[name] = true, true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no test has the tag %s and is wanted", tag)
	}
	args := append([]string{"test", "-json", "-count=1", "-p=1", "-run=^(" + strings.Join(sorted(names), "|") + ")$"}, flags...)
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
