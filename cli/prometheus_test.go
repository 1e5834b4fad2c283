package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/test/golden"
)

const (
	whole   = "01DXXFZDYD1MQW6079WK0K6EDQ"
	noIndex = "01DXXFZDYD1MQW6079WK0K6EDR"
)

// dataDir copies a small block twice; the second has no index.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := os.DirFS("../migration/block/testdata/index-v1/" + whole)
	for _, name := range []string{whole, noIndex} {
		if err := os.CopyFS(filepath.Join(dir, name), source); err != nil {
			t.Fatal(err)
		}
	}
	meta := filepath.Join(dir, noIndex, "meta.json")
	text, err := os.ReadFile(meta)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.ReplaceAll(string(text), whole, noIndex)
	other = strings.Replace(strings.Replace(other, `"minTime": 0`, `"minTime": 7200000`, 1), `"maxTime": 7200000`, `"maxTime": 14400000`, 1)
	if err := os.WriteFile(meta, []byte(other), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, noIndex, "index")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wal", "evil\n\x1b[31mname"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var took = regexp.MustCompile(` in [0-9.]+m?s`)

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[path] = info.Mode().String() + info.ModTime().String()
		if !e.IsDir() {
			data, err := os.ReadFile(path)
			all[path] += string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPrometheusCommands(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
		errs string
	}{
		"blocks":       {[]string{"blocks", "DIR"}, ExitDone, ""},
		"blocks_yaml":  {[]string{"blocks", "DIR", "-o", "yaml"}, ExitDone, ""},
		"scrub":        {[]string{"scrub", "DIR"}, ExitFailed, "1 of 2 blocks are damaged"},
		"scrub_json":   {[]string{"scrub", "DIR", "-o", "json"}, ExitFailed, "1 of 2 blocks are damaged"},
		"scrub_one":    {[]string{"scrub", "DIR", "--block", whole, "--quiet"}, ExitDone, ""},
		"scrub_absent": {[]string{"scrub", "DIR", "--block", "01DXXFZDYD1MQW6079WK0K6EDZ"}, ExitFailed, "no such file"},
		"scrub_no_id":  {[]string{"scrub", "DIR", "--block", "../wal"}, ExitFailed, "named by a ULID"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := dataDir(t)
			before := snapshot(t, dir)
			args := append([]string{"prometheus"}, test.args...)
			args[2] = dir
			code, out, errs := runCLI(t, args...)
			if code != test.code || !strings.Contains(errs, test.errs) {
				t.Errorf("code %d, %q; want %d, %q", code, errs, test.code, test.errs)
			}
			if strings.ContainsAny(out+errs, "\x1b") {
				t.Error("the name of a folder reaches the terminal as it is")
			}
			errs = took.ReplaceAllString(strings.ReplaceAll(errs, dir, "DIR"), " in TIME")
			golden.Check(t, filepath.Join("testdata", "prometheus_"+name+".golden"), out+"--- stderr\n"+errs)
			if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
				t.Errorf("the data directory was changed:\n%s", diff)
			}
		})
	}
}

func TestPrometheusScrubPrintsReportsThatCanBeRead(t *testing.T) {
	_, out, _ := runCLI(t, "prometheus", "scrub", dataDir(t), "-o", "json")
	var got struct {
		Blocks []block.Report `json:"blocks"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Blocks) != 2 || got.Blocks[0].Found.NumSamples != 102 || got.Blocks[1].Damage[0].Kind != block.MissingFile {
		t.Errorf("%+v", got)
	}
}

func TestPrometheusCompletesBlocks(t *testing.T) {
	if _, out, _ := runCLI(t, "__complete", "prometheus", "scrub", dataDir(t), "--block", ""); !strings.Contains(out, whole) {
		t.Errorf("--block completes to %q", out)
	}
}

func TestPrometheusRefusesWhatIsNoDataDirectory(t *testing.T) {
	for _, command := range []string{"blocks", "scrub"} {
		code, _, errs := runCLI(t, "prometheus", command, t.TempDir())
		if code != ExitFailed || !strings.Contains(errs, "is no data directory of Prometheus") {
			t.Errorf("%s: code %d, %q", command, code, errs)
		}
		if code, _, _ := runCLI(t, "prometheus", command); code != ExitUsage {
			t.Errorf("%s without a directory: code %d", command, code)
		}
	}
}
