//go:build engine

package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/ssh/sshtest"
)

// TestGrafanaIsBroughtOverSSH types what the guide says, against an SSH server that runs the scripts with this machine's sh, sqlite3 and tar.
// The link is cut within the first try; the second one brings all.
func TestGrafanaIsBroughtOverSSH(t *testing.T) {
	old, dir := t.TempDir(), t.TempDir()
	data, provisioning := filepath.Join(old, "data"), filepath.Join(old, "provisioning")
	for file, text := range map[string]string{"data/plugins/clock/plugin.json": strings.Repeat("{}", 2<<20), "provisioning/datasources/a.yaml": "datasources: [{name: P, type: prometheus, url: 'http://localhost:9090'}]\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(old, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(old, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made := exec.Command("sqlite3", filepath.Join(data, "grafana.db"), `CREATE TABLE migration_log(id); CREATE TABLE org(id); CREATE TABLE user(id); CREATE TABLE dashboard(id, data);
CREATE TABLE data_source(id INTEGER PRIMARY KEY, org_id, uid, name, type, url); INSERT INTO data_source VALUES(1, 1, 'prom', 'Prometheus', 'prometheus', 'http://localhost:9090');`)
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	login, host := sshtest.NewKey(t), sshtest.NewKey(t)
	var server *sshtest.Server
	cut := true
	server = sshtest.Start(t, sshtest.Options{HostKeys: []gossh.Signer{host.Signer}, Authorized: login.Authorized, Handle: func(ctx context.Context, e sshtest.Exec) int {
		script, err := io.ReadAll(e.Stdin)
		if err != nil {
			return 1
		}
		if cut && bytes.Contains(script, []byte("/plugins")) {
			cut = false
			server.Cut()
		}
		cmd := exec.CommandContext(ctx, "sh")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(script), e.Stdout, e.Stderr
		if err := cmd.Run(); err != nil {
			return max(cmd.ProcessState.ExitCode(), 1)
		}
		return 0
	}})
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, login.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"prometheus", "grafana", "bring", dir, "--from", "ssh://root@" + net.JoinHostPort(server.Host, strconv.Itoa(server.Port)) + data, "--provisioning", provisioning, "--ssh-key", key, "--host-key", host.Authorized,
		"--source", "http://monitor:9090", "--users", "http://prometheus.monitoring.svc:9090", "-o", "json"}
	if code, out, errs := runCLI(t, args...); code != 1 || !strings.Contains(errs, "bringing") {
		t.Fatalf("with the link cut: %d %s %s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "grafana.db")); err == nil {
		t.Error("half of it is used")
	}
	code, out, errs := runCLI(t, args...)
	if code != 0 || !strings.Contains(out, `"verdict":"Fine"`) || strings.Count(out, "\n") != 1 {
		t.Fatalf("%d %s %s", code, out, errs)
	}
	at, err := exec.Command("sqlite3", filepath.Join(dir, "grafana.db"), "SELECT url FROM data_source").CombinedOutput()
	if strings.TrimSpace(string(at)) != "http://prometheus.monitoring.svc:9090" {
		t.Errorf("the data source has %s %v", at, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "plugins/clock/plugin.json")); err != nil || info.Size() != 4<<20 {
		t.Errorf("the plugin: %v", err)
	}
}
