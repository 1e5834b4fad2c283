package transfer

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestYield does it in a process of its own: nobody but root gets his priority back.
func TestYield(t *testing.T) {
	if os.Getenv("SLIPWAY_TEST_YIELD") != "" {
		if err := Yield(); err != nil {
			t.Fatal(err)
		}
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				t.Fatal(err)
			}
			nice, err := unix.Getpriority(unix.PRIO_PROCESS, id) // the call of the kernel gives 20 - nice
			disk, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(id), 0)
			fmt.Println("thread", 20-nice, disk, err == nil && errno == 0)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestYield$", "-test.v")
	cmd.Env = append(os.Environ(), "SLIPWAY_TEST_YIELD=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	all := 0
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "thread ") {
			all++
			if want := fmt.Sprintln("thread", 19, ioprioBestEffort|ioprioLowest, true); line != want {
				t.Errorf("%q, want %q", line, want)
			}
		}
	}
	if all == 0 {
		t.Errorf("no thread was looked at: %s", out)
	}
}
