package target

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/volume"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shop is the old server of testdata, and what is wanted of the new one.
func shop(t testing.TB) Options {
	t.Helper()
	m, err := ReadMigration(read(t, "migration.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	flags, err := skew.ReadFlags(read(t, "flags.json"))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Migration: m, Source: Source{
		Version: skew.Version{Major: 2, Minor: 42}, Flags: flags, Config: parse(t, string(read(t, "old/prometheus.yml"))),
		Files: map[string][]byte{"/etc/prometheus/rules/shop.yml": read(t, "old/rules/shop.yml")},
		Need:  volume.Need{Bytes: 600 << 30, LargestBlockBytes: 30 << 30, HeadBytes: 40 << 30},
	}}
}

func parse(t testing.TB, text string) *config.File {
	t.Helper()
	f, err := config.Parse("prometheus.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func plan(t testing.TB, o Options) *Plan {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// replaced is shop with words of its spec replaced.
func replaced(t testing.TB, oldnew ...string) Options {
	t.Helper()
	o := shop(t)
	text := strings.NewReplacer(oldnew...).Replace(string(read(t, "migration.yaml")))
	m, err := ReadMigration([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Migration = m
	return o
}

// rules are the findings as rule and verdict.
func rules(findings []Finding) string {
	var all []string
	for _, f := range findings {
		all = append(all, string(f.Verdict)+" "+f.Rule)
	}
	return strings.Join(all, ", ")
}
