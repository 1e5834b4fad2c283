//go:build crash

package executor

import (
	"os"
	"syscall"
)

// crashPoint kills this process, as kill -9 does, when $SLIPWAY_CRASH_POINT names the point and $SLIPWAY_CRASH_ONCE,
// a path, does not exist yet: so a process that is started again passes the point.
func crashPoint(name string) {
	if os.Getenv("SLIPWAY_CRASH_POINT") != name {
		return
	}
	f, err := os.OpenFile(os.Getenv("SLIPWAY_CRASH_ONCE"), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return
	}
	_ = f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
