package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/volume"
)

func TestPrometheusVolume(t *testing.T) {
	cases := []struct {
		name string
		args []string
		want string // part of the error
	}{
		{"a rule that does not exist is named", []string{"--override", "nfs"}, "there is no such rule; choose from local_file_system"},
		{"a size that is none is named", []string{"--need", "much"}, `--need "much": want a size`},
		{"less than nothing is refused", []string{"--head=-1"}, "--head -1: it cannot be less than 0"},
		{"a group needs a user", []string{"--gid", "3"}, "need --uid"},
		{"what does not fit is refused", []string{"--need", "900Pi"}, "a server cannot live there"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := volumeOutput(t, append(c.args, "--file-size", "16Mi", t.TempDir())...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestPrometheusVolumeSaysWhatItSawInJSON(t *testing.T) {
	out, err := volumeOutput(t, "--file-size", "16Mi", "-o", "json", "--override", volume.RuleDurableFileSystem, t.TempDir())
	var seen struct {
		Verdict  volume.Verdict   `json:"verdict"`
		Findings []volume.Finding `json:"findings"`
		Report   volume.Report    `json:"report"`
	}
	if decode := json.Unmarshal([]byte(out), &seen); decode != nil {
		t.Fatalf("%v: %s", decode, out)
	}
	if (err != nil) != (seen.Verdict == volume.Refused) || len(seen.Findings) != len(volume.Rules()) || !seen.Report.Measured {
		t.Errorf("%v, error %v", seen, err)
	}
}

func volumeOutput(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := NewPrometheusCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"volume"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}
