package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/migration/rehearsal"
	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/ssh/sshtest"
)

func rehearse(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := NewPrometheusCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"rehearse", "--file-size", "16Mi"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestPrometheusRehearseSaysWhatIsWrongWithItsFlags(t *testing.T) {
	source := []string{"--source", "http://127.0.0.1:1"}
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"no directory", nil, "want one directory, got 0"},
		{"a directory behind the dashes", []string{"--", "/data"}, "want one directory, got 0"},
		{"a rule that does not exist is named", []string{"/data", "--override", "nfs"}, "--override nfs: there is no such rule; choose from local_file_system"},
		{"a version that is none", []string{"/data", "--to", "new"}, "--to"},
		{"a way without a port", []string{"/data", "--reach", "agent=monitor"}, "--reach agent=monitor: want [NAME=]HOST:PORT"},
		{"a host without an address to reach", []string{"/data", "--from-host", "ssh://a@b"}, "--from-host needs --endpoint"},
		{"a host without a key", []string{"/data", "--endpoint", "http://m:9090", "--from-host", "ssh://a@b"}, "needs --ssh-key: nobody is there"},
		{"a password in an address", []string{"/data", "--endpoint", "http://m:9090", "--from-host", "ssh://a:geheim@b"}, "a password has no place there"},
		{"no user", []string{"/data", "--endpoint", "http://m:9090", "--from-host", "ssh://b"}, "want ssh://USER@HOST"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := rehearse(t, append(source, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestPrometheusRehearse runs all of it: the recorded answers of a real 2.42, a real directory, Grafana's host over SSH.
func TestPrometheusRehearse(t *testing.T) {
	login, host := sshtest.NewKey(t), sshtest.NewKey(t)
	asked := ""
	grafana := sshtest.Start(t, sshtest.Options{HostKeys: []gossh.Signer{host.Signer}, Authorized: login.Authorized, Handle: func(_ context.Context, e sshtest.Exec) int {
		var script bytes.Buffer
		_, _ = script.ReadFrom(e.Stdin) // what was read of it is compared
		asked = e.Line + ": " + script.String()
		fmt.Fprintln(e.Stdout, "curl 28 000")
		return 0
	}})
	exporter := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(exporter.Close)
	keys := t.TempDir()
	for name, text := range map[string]string{"key": string(login.PEM), "hosts": fmt.Sprintf("[%s]:%d %s", grafana.Host, grafana.Port, host.Authorized)} {
		if err := os.WriteFile(filepath.Join(keys, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{t.TempDir(), "--source", recorded(t, "2.42", true), "--endpoint", "http://metrics:9090", "--reach", "agent=" + strings.TrimPrefix(exporter.URL, "http://"),
		"--from-host", fmt.Sprintf("ssh://ops@%s:%d", grafana.Host, grafana.Port), "--ssh-key", filepath.Join(keys, "key"), "--known-hosts", filepath.Join(keys, "hosts"),
		"--override", survey.RuleClocks, "--timeout", "2s"}
	out, err := rehearse(t, append(args, "-o", "json")...)
	if err == nil || !strings.Contains(err.Error(), "rules stand in the way; --override NAME") {
		t.Errorf("error %v", err)
	}
	if strings.Count(out, "\n") != 1 {
		t.Errorf("want one line:\n%s", out)
	}
	var r rehearsal.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	seen := map[string]rule.Finding{}
	for _, f := range r.Findings {
		seen[f.Rule] = f
	}
	if f := seen[rehearsal.RuleEndpointReached]; f.Verdict != rule.Refused || !strings.Contains(f.Says, "does not reach http://metrics:9090 within 5 s") || !strings.HasPrefix(asked, "sh: url='http://metrics:9090'") {
		t.Errorf("%+v, asked %q", f, asked)
	}
	if f := seen[rehearsal.RuleWays]; f.Verdict != rule.Fine || r.Volume == nil || !r.Volume.Measured || r.Source.Version != "2.42.0+ds" || r.Need.HeadBytes == 0 {
		t.Errorf("%+v in %s", f, out)
	}
	text, _ := rehearse(t, args...)
	for _, want := range []string{"RULE", "targets_are_reached", "TARGETS THAT DO NOT ANSWER HERE", "endpoint_is_reached: open the way from"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
