package transfer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Yield lets everybody else on this host go first: all threads of the process, and those that they start, get the CPU and the disk
// when nobody else of normal priority wants them. There is no way back without privileges.
func Yield() error {
	// Threads may start meanwhile, by ones that were not seen yet: each round sees those of the round before.
	for range 3 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("listing the threads: %w", err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("reading the name of a thread: %w", err)
			}
			if err := yield(id); err != nil && !errors.Is(err, unix.ESRCH) { // one may have ended
				return fmt.Errorf("lowering the priority: %w", err)
			}
		}
	}
	return nil
}

// Words of ioprio_set(2): lowest of the class that shares fairly. The idle class may wait for ever on a busy disk.
const (
	ioprioWhoProcess = 1
	ioprioBestEffort = 2 << 13
	ioprioLowest     = 7
)

func yield(thread int) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, thread, 19); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(thread), ioprioBestEffort|ioprioLowest); errno != 0 {
		return errno
	}
	return nil
}
