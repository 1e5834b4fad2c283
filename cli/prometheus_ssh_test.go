package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/agent"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/ssh"
)

func TestReadSSH(t *testing.T) {
	tests := map[string]struct {
		from     string
		endpoint ssh.Endpoint
		data     string
		problem  string
	}{
		"reads user, host, port and directory": {from: "ssh://root@old.example:2222/var/lib/prometheus", endpoint: ssh.Endpoint{Host: "old.example", Port: 2222, User: "root"}, data: "/var/lib/prometheus"},
		"takes port 22 when none is named":     {from: "ssh://prom@198.18.0.1/data", endpoint: ssh.Endpoint{Host: "198.18.0.1", User: "prom"}, data: "/data"},
		"decodes spaces":                       {from: "ssh://prom@old/my%20data", endpoint: ssh.Endpoint{Host: "old", User: "prom"}, data: "/my data"},
		"refuses a password":                   {from: "ssh://root:secret@old/data", problem: "--ssh-key"},
		"wants a user":                         {from: "ssh://old/data", problem: "who logs in"},
		"wants a directory":                    {from: "ssh://root@old", problem: "names no data directory"},
		"wants a host":                         {from: "ssh://root@/data", problem: "names no host"},
		"refuses a port that is none":          {from: "ssh://root@old:70000/data", problem: "port 70000"},
		"refuses a query":                      {from: "ssh://root@old/data?x=1", problem: "more than an address"},
		"refuses what is no address":           {from: "ssh://root:secret@old:x/data", problem: "is no address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, data, err := readSSH(tt.from)
			if diff := cmp.Diff(tt.endpoint, e); diff != "" || data != tt.data || (err == nil) != (tt.problem == "") {
				t.Fatalf("%q, %v, endpoint (-want +got):\n%s", data, err, diff)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.problem) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%v, want %q and no secret", err, tt.problem)
			}
		})
	}
}

// TestSSHSourcePinsTheHost: nothing is dialled without a key of the host.
func TestSSHSourcePinsTheHost(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	const from = "ssh://root@old/data"
	for want, s := range map[string]sshSource{
		"--ssh-key is missing":           {},
		"--known-hosts or --host-key":    {keyFile: key},
		"reading the private key":        {keyFile: key + "-not"},
		"reading known hosts":            {keyFile: key, knownHosts: key + "-not"},
		"reading known hosts: knownhost": {keyFile: key, knownHosts: key},
	} {
		if _, err := s.options(from, os.Stderr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	o, err := (&sshSource{keyFile: key, hostKey: "ssh-ed25519 AAAA"}).options(from, os.Stderr)
	if err != nil || o.Endpoint.HostKey != "ssh-ed25519 AAAA" || string(o.Endpoint.Key) != "k" || o.Data != "/data" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestServerArgs(t *testing.T) {
	got := serverArgs(&server.Options{URL: "http://127.0.0.1:9090", User: "u", PasswordFile: "/p"})
	if diff := cmp.Diff([]string{"-server=http://127.0.0.1:9090", "-server-user=u", "-server-password-file=/p"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPrintLeft(t *testing.T) {
	for want, left := range map[string]agent.Left{
		"nothing of the agent was on old\n":                       {},
		"removed /var/tmp/slipway-agent-1 from old\n":             {Removed: "/var/tmp/slipway-agent-1"},
		"\n2 blocks are pinned in /data/slipway-pin: a migration": {Pinned: 2, PinFolder: "/data/slipway-pin"},
	} {
		var out bytes.Buffer
		if err := printLeft(&out, "", "old", &left); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q, %v, want %q", out.String(), err, want)
		}
	}
}
