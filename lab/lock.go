package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const pollInterval = 20 * time.Millisecond

// lockFile takes an exclusive lock on a file that it makes when needed; it waits until ctx ends. The kernel lets go of it when
// the holder dies.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	var file *os.File
	err = waitFor(ctx, func() (bool, error) {
		file, err = tryLock(path)
		return file != nil, err
	})
	if err != nil {
		return nil, err
	}
	return func() { file.Close() }, nil
}

// tryLock returns nil and no error when somebody else holds the lock.
func tryLock(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // deleted between the two calls: try again
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(err, file.Close())
	}
	if err == nil && isFile(file, path) {
		return file, nil
	}
	return nil, file.Close() // held, or deleted together with its lab before we got it
}

func isFile(file *os.File, path string) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(mine, named)
}

// waitFor asks until the answer is yes, an error, or the end of ctx.
func waitFor(ctx context.Context, ask func() (bool, error)) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// run starts a program and returns what it wrote to its standard output; its complaints become part of the error. The program
// dies with this process.
func run(ctx context.Context, stdin string, argv ...string) (string, error) {
	return runWith(ctx, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, stdin, argv)
}

func runWith(ctx context.Context, attr *syscall.SysProcAttr, stdin string, argv []string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = strings.NewReader(stdin), &stdout, &stderr, attr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running %s: %w: %s", argv[0], err, tail(stderr.String(), 600))
	}
	return stdout.String(), nil
}

func tail(s string, limit int) string {
	s = strings.TrimSpace(s)
	if len(s) > limit {
		return "…" + s[len(s)-limit:]
	}
	return s
}
