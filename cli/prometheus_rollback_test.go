package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

// TestPrometheusRollbackOfBlocks is a golden file of a person who takes a move back that did not come to its cutover.
func TestPrometheusRollbackOfBlocks(t *testing.T) {
	from, dir := dataDir(t), t.TempDir()
	to, state := filepath.Join(dir, "new"), filepath.Join(dir, "state")
	if code, _, errs := runCLI(t, "prometheus", "pull", from, to, "--still", "--lost", noIndex, "--install"); code != ExitDone {
		t.Fatal(errs)
	}
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	// Of what is there the move knows one block alone; the others are the new server's own.
	text := fmt.Sprintf(`{"version":2,"source":%q,"target":%q,"phase":"Install","cuts":[{"block":%q}]}`, from, to, whole)
	if err := os.WriteFile(filepath.Join(state, "move.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var silent atomic.Bool
	silent.Store(true)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if silent.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer source.Close()
	target := asked(t, 0)
	names := func() (all []string) {
		entries, err := os.ReadDir(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	before := names()
	paths := strings.NewReplacer(from, "FROM", to, "TO", dir, "DIR", source.URL, "http://old:9090", target, "http://new:9090")
	back := strings.NewReplacer("DIR", dir, "http://old:9090", source.URL, "http://new:9090", target)
	var all strings.Builder
	for _, s := range []struct{ name, line string }{
		{"needs to know the servers", "rollback --state DIR/state"},
		{"says what would be taken out", "rollback --state DIR/state --source-server http://old:9090 --target http://new:9090 --dry-run"},
		{"leaves the only copy where it is", "rollback --state DIR/state --source-server http://old:9090 --target http://new:9090"},
		{"takes it out", "rollback --state DIR/state --source-server http://old:9090 --target http://new:9090"},
		{"does nothing the second time", "rollback --state DIR/state --source-server http://old:9090 --target http://new:9090 -o json"},
	} {
		code, out, errs := runCLI(t, append([]string{"prometheus"}, strings.Fields(back.Replace(s.line))...)...)
		fmt.Fprintf(&all, "# %s\n$ slipway prometheus %s\n%s%sexit code: %d\n\n", s.name, s.line, paths.Replace(out), paths.Replace(prefixed("stderr: ", errs)), code)
		if s.name == "leaves the only copy where it is" {
			if now := names(); !slices.Equal(now, before) {
				t.Errorf("the target has %v, had %v", now, before)
			}
			silent.Store(false)
		}
	}
	golden.Check(t, "testdata/prometheus_rollback_blocks.golden", all.String())
	want := slices.DeleteFunc(slices.Clone(before), func(n string) bool { return n == whole })
	if now := slices.DeleteFunc(names(), func(n string) bool { return strings.HasPrefix(n, "slipway-") }); !slices.Equal(now, slices.DeleteFunc(want, func(n string) bool { return strings.HasPrefix(n, "slipway-") })) {
		t.Errorf("the target has %v, want %v", now, want)
	}
}
