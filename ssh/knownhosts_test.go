package ssh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/ssh"
	"github.com/slipway-dev/slipway/ssh/sshtest"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestKnownHost(t *testing.T) {
	one, two, lost := sshtest.NewKey(t), sshtest.NewKey(t), sshtest.NewKey(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	text := strings.Join([]string{
		"# a comment", "old.example " + one.Authorized, "[old.example]:2222 " + two.Authorized,
		knownhosts.HashHostname("[secret.example]:2222") + " " + one.Authorized, "gone.example " + lost.Authorized, "@revoked gone.example " + lost.Authorized,
	}, "\n")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ address, want, problem string }{
		"finds a host at port 22":             {"old.example:22", one.Authorized, ""},
		"tells ports apart":                   {"old.example:2222", two.Authorized, ""},
		"finds a hashed name":                 {"secret.example:2222", one.Authorized, ""},
		"refuses a host that is not there":    {"new.example:22", "", "looking for new.example in " + file + ": there is no key of it"},
		"refuses a host whose key is revoked": {"gone.example:22", "", "revoked"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ssh.KnownHost(file, tt.address)
			if got != tt.want || (err == nil) != (tt.problem == "") || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if _, err := ssh.KnownHost(file+".missing", "old.example:22"); err == nil {
		t.Error("a missing file was read")
	}
}
