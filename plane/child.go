package plane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 30 * time.Second
	// steady is how long a child must have run for its next death to count as the first.
	steady      = time.Minute
	stopTimeout = 45 * time.Second
	// startExits is how often a child may end before it was ever ready: a busy machine makes a first try fail.
	startExits = 3
)

// child is one supervised process: started, restarted with backoff when it dies, stopped when asked.
type child struct {
	name     string
	path     string
	args     []string
	log      io.WriteCloser
	register *register
	progress func(string)
	// ready checks once whether the process serves.
	ready func(ctx context.Context) error

	tail    tail
	stop    chan struct{} // closed by terminate
	stopped chan struct{} // closed when the last process is gone
	once    sync.Once

	mu       sync.Mutex
	process  *os.Process
	exits    chan error // one value per death, for waitReady; never blocks
	restarts int
}

func (c *child) start() {
	c.stop, c.stopped, c.exits = make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go c.supervise()
}

// supervise runs processes one after another until the child is stopped. It keeps its thread for ever: the kernel
// sends the parent-death signal when the thread that started a process ends, not when the whole program does.
func (c *child) supervise() {
	runtime.LockOSThread()
	defer close(c.stopped)
	backoff := firstBackoff
	for {
		started := time.Now()
		err := c.runOnce()
		if c.stopping() {
			return
		}
		c.reportExit(err)
		if time.Since(started) > steady {
			backoff = firstBackoff
		}
		c.progress(fmt.Sprintf("%s ended (%v), starting it again in %s", c.name, err, backoff))
		select {
		case <-c.stop:
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// runOnce starts the process and returns when it has ended, with the reason.
func (c *child) runOnce() error {
	command := exec.Command(c.path, c.args...)
	output := io.MultiWriter(&c.tail, lossy{c.log})
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = 5 * time.Second
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // ctrl-C is for the supervisor, which stops its children in order
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	if err := c.record(command.Process.Pid); err != nil {
		_ = command.Process.Kill()
		if ended := command.Wait(); command.ProcessState.Exited() {
			return orExit0(ended) // it was gone before it could be looked at: why it went says more
		}
		return fmt.Errorf("recording %s: %w", c.name, err)
	}
	c.setProcess(command.Process)
	err := command.Wait()
	c.setProcess(nil)
	if forget := c.register.forget(c.name); forget != nil {
		c.progress(forget.Error())
	}
	return orExit0(err)
}

// record notes the process in the register, so that whoever comes later knows it from a stranger with its pid.
func (c *child) record(pid int) error {
	process, err := Identify(pid)
	if err != nil {
		return err
	}
	return c.register.set(c.name, process)
}

// orExit0 is the reason of an end: a child that ends well has ended all the same.
func orExit0(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (c *child) setProcess(process *os.Process) {
	c.mu.Lock()
	c.process = process
	c.mu.Unlock()
	if process != nil && c.stopping() {
		_ = process.Signal(syscall.SIGTERM) // terminate came while it was starting
	}
}

func (c *child) reportExit(err error) {
	c.mu.Lock()
	c.restarts++
	c.mu.Unlock()
	select {
	case c.exits <- err:
	default:
	}
}

func (c *child) stopping() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// terminate asks the process to end, kills it when it does not within the time, and waits until it is gone.
func (c *child) terminate(ctx context.Context) error {
	if c.stop == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	c.once.Do(func() { close(c.stop) })
	c.signal(syscall.SIGTERM)
	var err error
	select {
	case <-c.stopped:
	case <-ctx.Done():
		err = fmt.Errorf("stopping %s: it did not end in time and was killed", c.name)
		c.signal(syscall.SIGKILL)
		<-c.stopped
	}
	return errors.Join(err, c.log.Close())
}

func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		_ = c.process.Signal(s)
	}
}

// waitReady returns when the process serves, or the reason why it never will.
func (c *child) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for exits := 0; ; {
		if last = c.ready(ctx); last == nil {
			return nil
		}
		select {
		case err := <-c.exits:
			exit := &exitError{name: c.name, err: err, tail: c.tail.String()}
			if exits++; exits == startExits || exit.portTaken() {
				return exit
			}
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to be ready: %w (last: %w)", c.name, ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

// exitError says that a child ended before it was ready, with the last that it said.
type exitError struct {
	name string
	err  error
	tail string
}

func (e *exitError) Error() string {
	return fmt.Sprintf("%s ended at its start (%v), its last words:\n%s", e.name, e.err, e.tail)
}

func (e *exitError) Unwrap() error { return e.err }

// portTaken says that the child could not have its port.
func (e *exitError) portTaken() bool { return strings.Contains(e.tail, "address already in use") }

// lossy drops what cannot be written: a program must not die of its log when the disk is full.
type lossy struct{ w io.Writer }

func (l lossy) Write(p []byte) (int, error) {
	_, _ = l.w.Write(p)
	return len(p), nil
}

// tail keeps the last lines that were written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if len(t.data) > tailSize {
		t.data = append([]byte(nil), t.data[len(t.data)-tailSize:]...)
	}
	return len(p), nil
}

// String is the last ten lines.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.data), []byte("\n"))
	if len(lines) > 10 {
		lines = lines[len(lines)-10:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}
