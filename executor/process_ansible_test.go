//go:build plane

package executor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/ansible"
)

// realVenv is the virtual environment of the product, with the real ansible-core and ansible-runner.
func realVenv(t testing.TB) string {
	t.Helper()
	cache := os.Getenv("SLIPWAY_CACHE")
	if cache == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(home, "slipway")
	}
	venv, err := ansible.EnsureVenv(t.Context(), filepath.Join(cache, "venv"), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return venv
}

func TestProcessContractWithAnsible(t *testing.T) {
	venv := realVenv(t)
	contract(t, func(t *testing.T) *harness {
		h, _ := processHarness(t, venv, 2*time.Minute)
		return h
	})
}

func TestProcessIsLostWhenAnsiblePlaybookIsKilled(t *testing.T) {
	h, o := processHarness(t, realVenv(t), 2*time.Minute)
	e := h.open()
	start(t, e, run("kill-1", playbookHold))
	h.await(t, e, "kill-1", "the second task", func(o Observation) bool {
		return strings.HasSuffix(o.Hosts["a"].Task, "Wait")
	})
	pid := oldest(t, "ansible-playbook", runDir(o, "kill-1"))
	send(t, pid, syscall.SIGKILL)
	end := h.finished(t, e, "kill-1")
	if end.Phase != Lost || !strings.Contains(end.Message, "ansible-playbook was killed") {
		t.Errorf("phase %s, message %q", end.Phase, end.Message)
	}
	h.await(t, e, "kill-1", "the end of its processes", func(Observation) bool {
		left, err := processes(runDir(o, "kill-1"), "")
		return err == nil && len(left) == 0
	})
}

// oldest finds the first process of a run whose command line has a word.
func oldest(t *testing.T, word, dir string) int {
	t.Helper()
	all, err := processes(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	best := 0
	for _, pid := range all {
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if strings.Contains(string(line), word) && (best == 0 || pid < best) {
			best = pid
		}
	}
	if best == 0 {
		t.Fatalf("no process of the run is %s", word)
	}
	return best
}

func TestProcessTellsWhatAnsibleDoesNotSay(t *testing.T) {
	h, _ := processHarness(t, realVenv(t), 2*time.Minute)
	e := h.open()
	start(t, e, run("two-1", "two"))
	start(t, e, run("torn-1", "torn"))
	two := h.finished(t, e, "two-1")
	if two.Phase != Failed || two.Hosts["b"].Result != HostFailed || !strings.Contains(two.Hosts["b"].Message, "broken on b") {
		t.Errorf("two plays: %+v", two)
	}
	if a := two.Hosts["a"]; a.Result != HostFailed || !strings.HasPrefix(a.Message, blocked+"no task ran on this host") && !strings.HasPrefix(a.Message, blocked+"the playbook stopped") {
		t.Errorf("a host of a play that never ran: %+v", a)
	}
	torn := h.finished(t, e, "torn-1")
	if torn.Phase != Failed || !strings.Contains(torn.Message, "ended with code") || !strings.Contains(torn.Message, "torn.yml") {
		t.Errorf("a playbook with an error: %s %q", torn.Phase, torn.Message)
	}
}
