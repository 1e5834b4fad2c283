package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dirVariable holds the directory of its node in the environment of every process of a server.
const dirVariable = "SLIPWAY_LAB_SEARCH_NODE"

// user is who servers run as where root starts them: nobody else's, without a name. They refuse root.
const user = 64930

// launch starts the server of a node, in a session of its own, as a user who is not root. It lives on when the caller ends, unless withCreator.
func launch(program string, env []string, home string, withCreator bool, args ...string) error {
	log, err := os.OpenFile(filepath.Join(home, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = home, env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
	}
	if withCreator {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel ties the death of the creator to this thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // so that no zombie is left; whether it runs is read from /proc
		}
	}()
	return <-started
}

// processes are the process IDs by the directory of their node, for all nodes below dir.
func processes(dir string) (map[string][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	found := map[string][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue // it has ended, or is another user's
		}
		if home := nodeOf(env); home == dir || strings.HasPrefix(home, dir+"/") {
			found[home] = append(found[home], pid)
		}
	}
	return found, nil
}

func nodeOf(environ []byte) string {
	for _, line := range bytes.Split(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(line, []byte(dirVariable+"=")); ok {
			return string(value)
		}
	}
	return ""
}

// end ends all processes below dir, and waits until they are gone.
func end(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		found, err := processes(dir)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, pids := range found {
			for _, pid := range pids {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("ending process %d: %w", pid, err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ending the servers below %s: %w", dir, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
