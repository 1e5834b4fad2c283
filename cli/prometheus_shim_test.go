package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrometheusShimSaysWhatIsWrong(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	good := []string{"--source", "http://127.0.0.1:1", "--target", "http://127.0.0.1:1", "--state", state}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no state":                         {[]string{"--source", "http://a", "--target", "http://b"}, `required flag(s) "state" not set`},
		"a password in an address":         {[]string{"--source", "http://u:secret@a", "--target", "http://b", "--state", state}, "give them as a user and a file"},
		"beyond loopback, no certificates": {append([]string{"--listen", "0.0.0.0:0"}, good...), "slipway prometheus agent init"},
		"a boundary that is no time":       {append([]string{"--boundary", "noon"}, good...), "--boundary is noon; want a time as 2026-11-22T12:00:00Z"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := newPrometheusShimCommand()
			cmd.SetArgs(test.args)
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			err := cmd.ExecuteContext(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
