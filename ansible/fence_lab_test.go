//go:build lab

package ansible

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab"
)

// TestFenceOnSystemd runs the fence where it belongs: commands of an older generation end when the host is taken, whatever
// they do against it, and none starts afterwards.
func TestFenceOnSystemd(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), generations: map[string]int{}}
	s.openLab(t.Context(), 1)
	s.installFence(t.Context())
	const fence = "/var/lib/slipway/fence"
	m := s.lab.Machines()[0].Name
	s.on(m, fence, "take", "0", "cluster", "operation-1")

	t.Run("standard input and the exit code go through", func(t *testing.T) {
		var out bytes.Buffer
		err := s.lab.ExecAs(t.Context(), m, "ops", lab.Streams{In: strings.NewReader("a\x00b\n"), Out: &out},
			"sudo", "-n", fence, "run", "1", "operation-1", "--", "/bin/sh", "-c", "cat; exit 7")
		var exit *lab.ExitError
		if !errors.As(err, &exit) || exit.Code != 7 || out.String() != "a\x00b\n" {
			t.Errorf("got %q and %v", out.String(), err)
		}
	})
	t.Run("commands that hide from signals and from their parents end at the take", func(t *testing.T) {
		s.on(m, fence, "run", "1", "operation-1", "--", "/bin/sh", "-c",
			"(trap '' TERM; exec setsid sleep 4242) >/dev/null 2>&1 & setsid sh -c 'sleep 4243' >/dev/null 2>&1 & systemd-run --quiet --unit=daemon sleep 4244")
		if running := s.on(m, "pgrep", "-f", "^sleep 424[23]"); strings.Count(running, "\n") != 2 {
			t.Fatalf("running: %q", running)
		}
		start := time.Now()
		s.on(m, fence, "take", "1", "cluster", "operation-2")
		t.Logf("took %s", time.Since(start).Round(100*time.Millisecond))
		if running := s.on(m, "sh", "-c", "pgrep -f '^sleep 424[23]' || true"); running != "" {
			t.Errorf("still running: %q", running)
		}
		if state := s.on(m, "systemctl", "is-active", "daemon"); strings.TrimSpace(state) != "active" {
			t.Errorf("a service that a command started is %s, want active", state)
		}
	})
	t.Run("an older generation is refused", func(t *testing.T) {
		_, err := s.lab.Exec(t.Context(), m, fence, "run", "1", "operation-1", "--", "touch", "/run/refused")
		var exit *lab.ExitError
		if !errors.As(err, &exit) || exit.Code != 76 || !strings.Contains(exit.Stderr, "generation 2 of operation operation-2") {
			t.Errorf("got %v", err)
		}
		if s.exists(m, "/run/refused") {
			t.Error("the command ran")
		}
	})
	t.Run("the run of Ansible becomes unreachable with the reason", func(t *testing.T) {
		s.prepareContent(t.Context())
		s.etcd, s.planes, s.workers = []string{m}, []string{m}, nil
		s.cluster, s.user = "cluster", "ops"
		s.makePKI()
		s.serveBundle(t.Context())
		s.attempts, s.generations[m] = 1, 1
		for _, r := range s.playTaken(t.Context(), "check", m) {
			if r.Kind == "unreachable" && strings.Contains(r.Message, "fence: refused") {
				return
			}
			t.Log(r)
		}
		t.Error("no host was unreachable because of its lease")
	})
}
