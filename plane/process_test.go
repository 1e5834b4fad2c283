package plane

import (
	"os/exec"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21\n"
	tests := map[string]struct {
		stat  string
		start uint64
		ok    bool
	}{
		"reads the start time":                        {"42 (etcd)" + rest, 987654, true},
		"is not misled by a name with brackets":       {"42 (a) S 1 (b c)" + rest, 987654, true},
		"refuses a line without a name":               {"42 etcd S 1", 0, false},
		"refuses a line that is too short":            {"42 (etcd) S 1 2", 0, false},
		"refuses a start time that is not a number":   {"42 (etcd)" + strings.Replace(rest, "987654", "soon", 1), 0, false},
		"refuses an empty line":                       {"", 0, false},
		"refuses a name that is the end of the line ": {"42 (etcd)", 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start, _, err := parseStat([]byte(test.stat))
			if (err == nil) != test.ok || (test.ok && start != test.start) {
				t.Errorf("parseStat = %d, %v", start, err)
			}
		})
	}
}

// sleeper starts a process that a test may end; it is reaped at the end of the test.
func sleeper(t *testing.T) (Process, <-chan struct{}) {
	t.Helper()
	command := exec.Command("sleep", "600")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	who, err := Identify(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return who, ended
}

func TestRegisterClean(t *testing.T) {
	left, ended := sleeper(t)
	stranger, _ := sleeper(t)
	reused := stranger
	reused.Start-- // the pid was given to a stranger after the recorded process died
	dir := t.TempDir()
	r, err := openRegister(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, process := range map[string]Process{"etcd": left, "kube-apiserver": reused, "gone": {PID: 1 << 22, Start: 1, Boot: left.Boot}} {
		if err := r.set(name, process); err != nil {
			t.Fatal(err)
		}
	}
	if r, err = openRegister(dir); err != nil {
		t.Fatal(err)
	}
	cleaned, err := r.clean(t.Context())
	if err != nil || len(cleaned) != 1 || cleaned[0] != "etcd" {
		t.Errorf("clean = %v, %v; want etcd alone", cleaned, err)
	}
	<-ended
	if left.Alive() {
		t.Error("the process that was left still runs")
	}
	if !stranger.Alive() {
		t.Error("a stranger with a recorded pid was ended")
	}
	if again, err := openRegister(dir); err != nil || len(again.seen) != 0 {
		t.Errorf("the register still names %v (%v)", again.seen, err)
	}
}
