package engine

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything of a server may take before the test fails: starting, ending, becoming so.
const patience = 60 * time.Second

// process is a program that runs on loopback until the test ends.
type process struct {
	t       testing.TB
	name    string
	program string
	args    []string
	env     []string // beside our own
	ready   string   // URL that answers 200 when the program is ready
	logFile string

	command *exec.Cmd
	ended   chan struct{} // closed when the command has been waited for
}

// Program makes a recipe's programs where they are missing, and gives the path of one of them.
func Program(t testing.TB, recipe, program string) string {
	t.Helper()
	dir, err := Make(t.Context(), recipe, Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, program)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the recipe %s makes no %s", recipe, program)
	}
	return path
}

// FreeAddress is host:port on loopback where nobody listens now.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Eventually asks until the condition gives nil, and fails the test with its last error.
func Eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: the test has ended: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// run starts the program, waits until it is ready, and sees to its end.
func (p *process) run() {
	p.t.Helper()
	p.t.Cleanup(func() {
		p.Kill()
		if p.t.Failed() {
			text, _ := os.ReadFile(p.logFile)
			p.t.Logf("the end of the log of %s:\n%s", p.name, tail(string(text), 4000))
		}
	})
	p.start()
}

func (p *process) start() {
	p.t.Helper()
	started := make(chan error)
	p.ended = make(chan struct{})
	go p.watch(started, p.ended)
	if err := <-started; err != nil {
		p.t.Fatalf("starting %s: %v", p.name, err)
	}
	Eventually(p.t, "starting "+p.name, func() error {
		select {
		case <-p.ended:
			p.t.Fatalf("%s ended at once: %s", p.name, p.command.ProcessState)
		default:
		}
		return Answers(p.ready)
	})
}

// watch starts the program and waits for it on one thread: it ends with us, even when we are killed, and the kernel ties
// that to the thread that started it.
func (p *process) watch(started chan<- error, ended chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		started <- err
		return
	}
	defer log.Close()
	cmd := exec.Command(p.program, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.command = cmd
	err = cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = cmd.Wait() // how it ended stands in ProcessState
	close(ended)
}

// Answers asks a page once: anything but OK is an error.
func Answers(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// Stop ends the program with SIGTERM and waits for it.
func (p *process) Stop() {
	p.t.Helper()
	if err := p.end(syscall.SIGTERM); err != nil {
		p.t.Fatalf("stopping %s: %v", p.name, err)
	}
}

// PID is the number of the running process; another one after Restart.
func (p *process) PID() int { return p.command.Process.Pid }

// Kill ends the program with SIGKILL and waits for it.
func (p *process) Kill() {
	p.t.Helper()
	if err := p.end(syscall.SIGKILL); err != nil {
		p.t.Errorf("killing %s: %v", p.name, err)
	}
}

// Restart starts the program again, at the same address; one that runs is stopped first.
func (p *process) Restart() {
	p.t.Helper()
	p.Stop()
	p.start()
}

func (p *process) end(signal syscall.Signal) error {
	if p.ended == nil {
		return nil
	}
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("still there %s after %s", patience, signal)
	}
}

// Used is the CPU time that the program took. It has ended.
func (p *process) Used() time.Duration {
	p.t.Helper()
	<-p.ended
	return p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime()
}
