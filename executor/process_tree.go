package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// environmentMark is set for every process of a run, to the directory of the run.
const environmentMark = "SLIPWAY_RUN"

// identity says which process a supervisor is: a pid alone may by now be another process.
type identity struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // field 22 of /proc/<pid>/stat, in ticks since the boot
	Boot    string `json:"boot"`
}

// readIdentity reads the pid file of a run; no file: nobody has taken the run yet.
func readIdentity(dir string) (identity, bool, error) {
	var id identity
	b, err := os.ReadFile(filepath.Join(dir, filePID))
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &id)
	}
	if err != nil {
		return id, false, fmt.Errorf("reading who supervises the run: %w", err)
	}
	return id, true, nil
}

// alive says whether the process is the one that it was, and not dead but for its parent.
func (id identity) alive() bool {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || strings.TrimSpace(string(boot)) != id.Boot {
		return false
	}
	state, started, _, err := readStat(id.PID)
	return err == nil && state != "Z" && state != "X" && started == id.Started
}

// readStat reads state, start time and parent of a process. The name of the program is in parentheses and may hold any
// character, so it is skipped from its end.
func readStat(pid int) (state, started string, parent int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", 0, err
	}
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:]))
	if end < 0 || len(fields) < 20 {
		return "", "", 0, fmt.Errorf("reading /proc/%d/stat: it is too short", pid)
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], fields[19], parent, err
}

// processes lists all that still runs of a run: what carries its mark, what ssh left behind under its socket
// directory (such a process overwrites its environment with its title), and everything below those.
func processes(dir, control string) ([]int, error) {
	parents, err := everybody()
	if err != nil {
		return nil, err
	}
	mark := []byte(environmentMark + "=" + dir + "\x00")
	found := map[int]bool{}
	for pid := range parents {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		found[pid] = bytes.Contains(append(environment, 0), mark) || control != "" && usesSockets(pid, control)
	}
	for changed := true; changed; {
		changed = false
		for pid, parent := range parents {
			if !found[pid] && found[parent] {
				found[pid], changed = true, true
			}
		}
	}
	var all []int
	for pid, ours := range found {
		if ours {
			all = append(all, pid)
		}
	}
	return all, nil
}

// everybody gives the parent of each process that lives, this one left out.
func everybody() (map[int]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	parents := map[int]int{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if state, _, parent, err := readStat(pid); err == nil && state != "Z" && state != "X" {
			parents[pid] = parent
		}
	}
	return parents, nil
}

// usesSockets says whether a process is an ssh that keeps a connection in the directory.
func usesSockets(pid int, control string) bool {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return bytes.HasPrefix(line, []byte("ssh: "+control+"/"))
}

// sweep kills until nothing of a run is left.
func sweep(ctx context.Context, dir, control string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := processes(dir, control)
		if err != nil || len(left) == 0 {
			return err
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone is as good as killed
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d killed processes: %w", len(left), ctx.Err())
		case <-tick.C:
		}
	}
}
