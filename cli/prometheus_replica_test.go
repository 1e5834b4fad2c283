package cli

import (
	"strings"
	"testing"
)

func TestPrometheusMigrateReplicaFlags(t *testing.T) {
	dir := dataDir(t)
	rest := []string{"prometheus", "migrate", "--source", dir, "--source-server", "http://127.0.0.1:1", "--target", "http://127.0.0.1:2", "--target-data", dir, "--state", t.TempDir()}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a replica without its server is wrong":  {[]string{"--replica", "b:9797"}, "--replica-server is missing"},
		"a server without its blocks is wrong":   {[]string{"--replica-server", "http://b:9090"}, "--replica-server goes with --replica"},
		"an address that is none is wrong":       {[]string{"--dry-run", "--replica", dir, "--replica-server", "b:9090"}, "reading the address of the replica: it is not an address"},
		"an agent without certificates is wrong": {[]string{"--dry-run", "--replica", "b:9797", "--replica-server", "http://127.0.0.1:3"}, "there are no certificates"},
		"one server is no pair":                  {[]string{"--dry-run", "--replica", dir, "--replica-server", "http://127.0.0.1:3"}, "a pair is two servers"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := runCLI(t, append(rest[:len(rest):len(rest)], test.args...)...)
			if code == ExitDone || out != "" || !strings.Contains(errs, test.want) {
				t.Errorf("%d, %s, %s", code, out, errs)
			}
		})
	}
}
