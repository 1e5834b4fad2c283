package plane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fullDisk is a log that cannot be written.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
func (fullDisk) Close() error              { return nil }

// shell makes a child of a shell script that is ready once it has made a file.
func shell(t *testing.T, script string) (*child, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := openRegister(dir)
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(dir, "ready")
	c := &child{
		name: "program", path: "/bin/sh", args: []string{"-c", script, "sh", mark}, log: fullDisk{}, register: r, progress: func(string) {},
		ready: func(context.Context) error { _, err := os.Stat(mark); return err },
	}
	t.Cleanup(func() { _ = c.terminate(context.Background()) })
	return c, mark
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestChildOutlivesALogThatCannotBeWritten(t *testing.T) {
	c, _ := shell(t, `trap 'exit 0' TERM; for i in 1 2 3 4 5; do echo line $i; done; touch "$1"; while :; do sleep 0.1; done`)
	c.start()
	if err := c.waitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	process, ok := c.register.get("program")
	if !ok || !process.Alive() {
		t.Fatalf("the register names %+v", process)
	}
	if !strings.Contains(c.tail.String(), "line 5") {
		t.Errorf("its last words are %q", c.tail.String())
	}
	if err := c.terminate(within(t)); err != nil || process.Alive() {
		t.Errorf("after terminate: %v, alive %v", err, process.Alive())
	}
}

func TestChildThatStumblesOnceIsGivenTime(t *testing.T) {
	c, mark := shell(t, `if mkdir "$1.once" 2>/dev/null; then exit 7; fi; touch "$1"; exec sleep 600`)
	c.start()
	if err := c.waitReady(within(t)); err != nil {
		t.Fatalf("a child that works at its second start: %v", err)
	}
	if _, err := os.Stat(mark + ".once"); err != nil {
		t.Error("it did not stumble: this test sees nothing")
	}
}

func TestChildThatNeverStartsSaysWhy(t *testing.T) {
	c, _ := shell(t, `echo the flag is wrong >&2; exit 3`)
	c.start()
	err := c.waitReady(within(t))
	if err == nil || !strings.Contains(err.Error(), "the flag is wrong") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("waitReady: %v", err)
	}
	taken, _ := shell(t, `echo "listen tcp 127.0.0.1:1: bind: address already in use" >&2; exit 1`)
	taken.start()
	var exit *exitError
	if err := taken.waitReady(within(t)); !errors.As(err, &exit) || !exit.portTaken() {
		t.Errorf("waitReady: %v, want that the port is taken", err)
	}
}

func TestChildThatDoesNotStopIsKilled(t *testing.T) {
	c, _ := shell(t, `trap '' TERM; touch "$1"; while :; do sleep 0.1; done`)
	c.start()
	if err := c.waitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	process, _ := c.register.get("program")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.terminate(ctx); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("terminate: %v, want that it was killed", err)
	}
	if process.Alive() {
		t.Error("it still runs")
	}
}
