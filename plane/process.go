package plane

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
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const processFile = "processes.json"

// Process names a process for ever: a pid is given again, a pid with its start time and boot is not.
type Process struct {
	PID int `json:"pid"`
	// Start is when it started, in clock ticks after boot.
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

// Identify reads who a living process is.
func Identify(pid int) (Process, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Process{}, fmt.Errorf("reading the boot id: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	start, state, err := parseStat(stat)
	if err != nil {
		return Process{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	if state == 'Z' {
		return Process{}, fmt.Errorf("looking at process %d: %w", pid, fs.ErrNotExist)
	}
	return Process{PID: pid, Start: start, Boot: string(bytes.TrimSpace(boot))}, nil
}

// parseStat takes the start time and the state from /proc/<pid>/stat; the name in brackets may hold anything.
func parseStat(stat []byte) (start uint64, state byte, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, errors.New("its stat has no name")
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 20 {
		return 0, 0, errors.New("its stat is too short")
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return start, fields[0][0], err
}

// Alive says whether that very process, and no other that got its pid, still runs.
func (i Process) Alive() bool {
	now, err := Identify(i.PID)
	return err == nil && now == i
}

// End sends a signal to that very process and waits until it is gone; no error when it is gone already.
func (i Process) End(ctx context.Context, signal unix.Signal) error {
	handle, err := unix.PidfdOpen(i.PID, 0) // holds on to the process: from here its pid cannot become another's
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", i.PID, err)
	}
	defer unix.Close(handle)
	if !i.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(handle, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending process %d: %w", i.PID, err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, 100)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for the end of process %d: %w", i.PID, err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("waiting for the end of process %d: %w", i.PID, err)
		}
	}
}

// register writes down which children run, for whoever comes after a supervisor that died.
type register struct {
	path string
	mu   sync.Mutex
	seen map[string]Process
}

func openRegister(dir string) (*register, error) {
	r := &register{path: filepath.Join(dir, processFile), seen: map[string]Process{}}
	data, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the register of processes: %w", err)
	}
	if err := decodeStrict(data, &r.seen); err != nil {
		return nil, fmt.Errorf("reading %s (delete it if no etcd or kube-apiserver of this directory runs): %w", r.path, err)
	}
	return r, nil
}

// clean ends what a dead supervisor left and returns the names of what it ended.
func (r *register) clean(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var ended []string
	for name, process := range r.seen {
		if !process.Alive() {
			continue
		}
		if err := process.End(ctx, unix.SIGKILL); err != nil {
			return ended, fmt.Errorf("ending %s that an earlier slipway left: %w", name, err)
		}
		ended = append(ended, name)
	}
	return ended, r.forgetAll()
}

func (r *register) set(name string, process Process) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[name] = process
	return r.write()
}

func (r *register) get(name string) (Process, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	process, ok := r.seen[name]
	return process, ok
}

func (r *register) forget(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, name)
	return r.write()
}

func (r *register) forgetAll() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.seen)
	return r.write()
}

func (r *register) write() error {
	data, err := json.MarshalIndent(r.seen, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the register of processes: %w", err)
	}
	return writeFile(r.path, append(data, '\n'))
}
