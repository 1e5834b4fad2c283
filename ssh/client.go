package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Client is a connection to one host.
type Client struct {
	conn           *gossh.Client
	address        string
	user           string
	hostKey        string
	bastionHostKey string
	release        func()
	once           sync.Once
	done           chan struct{} // Close was called
	ended          chan struct{} // the connection has ended
}

func newClient(conn *gossh.Client, e Endpoint, shown gossh.PublicKey, keepAlive time.Duration) *Client {
	c := &Client{
		conn: conn, address: e.Address(), user: e.User, hostKey: authorizedKey(shown),
		done: make(chan struct{}), ended: make(chan struct{}),
	}
	go func() {
		_ = conn.Wait() // why it ended is told by who uses it
		close(c.ended)
	}()
	go c.keepAlive(keepAlive)
	return c
}

// HostKey is the key that the host showed, in authorized_keys form.
func (c *Client) HostKey() string { return c.hostKey }

// BastionHostKey is the key that the bastion showed; empty without one.
func (c *Client) BastionHostKey() string { return c.bastionHostKey }

// Close ends the connection and all that runs in it.
func (c *Client) Close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.conn.Close()
		if c.release != nil {
			c.release()
		}
	})
}

func (c *Client) wait() error { return c.conn.Wait() }

func (c *Client) keepAlive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), every)
		_, err := c.RoundTrip(ctx)
		cancel()
		if err != nil {
			_ = c.conn.Close()
			return
		}
	}
}

// RoundTrip measures how long the host's SSH server takes to answer.
func (c *Client) RoundTrip(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	answer := make(chan error, 1)
	go func() {
		// OpenSSH answers requests that it does not know with a failure: that is an answer as well.
		_, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	}()
	select {
	case err := <-answer:
		if err != nil {
			return 0, c.broken(err)
		}
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, c.broken(ctx.Err())
	}
}

func (c *Client) broken(err error) error {
	return &Error{Reason: Unreachable, Address: c.address, Err: err}
}

// Command is one command to run.
type Command struct {
	// Line goes to the login shell of the user; it has to be made of words that need no quoting in any shell.
	Line string
	// Elevate puts "sudo -n" before it for every user but root.
	Elevate bool
	// Stdin is what the command reads.
	Stdin []byte
	// MaxOutput limits standard output, and standard error alike. Default 256 KiB.
	MaxOutput int
	// Arrived, when set, sees standard output as it arrives.
	Arrived func(chunk []byte)
	// Output, when set, takes standard output, which is then neither kept nor limited. An error of it ends the command.
	Output io.Writer
}

// Result is how a command ended.
type Result struct {
	Stdout, Stderr []byte
	// ExitCode is that of the command; ending with another one than 0 is no error.
	ExitCode int
}

// Run runs a command to its end. Cancelling the context closes the whole connection. Errors: *Error, or one that wraps
// ErrTooMuchOutput; the Result holds what had come by then.
func (c *Client) Run(ctx context.Context, command Command) (Result, error) {
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	session, err := c.conn.NewSession()
	if err != nil {
		return Result{}, c.broken(cause(ctx, fmt.Errorf("opening a session: %w", err)))
	}
	end := func() { _ = session.Close() }
	defer end()
	limit := command.MaxOutput
	if limit == 0 {
		limit = 256 << 10
	}
	stdout := &bounded{limit: limit, arrived: command.Arrived, full: end}
	stderr := &bounded{limit: limit, full: end}
	session.Stdin = bytes.NewReader(command.Stdin)
	session.Stdout, session.Stderr = stdout, stderr
	if command.Output != nil {
		session.Stdout = &through{to: command.Output, failed: end}
	}
	line := command.Line
	if command.Elevate && c.user != "root" {
		line = "sudo -n " + line
	}
	err = session.Run(line)
	result := Result{Stdout: stdout.bytes(), Stderr: stderr.bytes()}
	var exit *gossh.ExitError
	switch {
	case stdout.exceeded() || stderr.exceeded():
		return result, fmt.Errorf("running a command on %s: more than %d bytes: %w", c.address, limit, ErrTooMuchOutput)
	case errors.As(err, &exit):
		result.ExitCode = exit.ExitStatus()
		return result, nil
	case err != nil:
		return result, c.broken(cause(ctx, fmt.Errorf("running a command: %w", err)))
	}
	return result, nil
}

// through hands on what is written, and ends the command when nobody takes it.
type through struct {
	to     io.Writer
	failed func()
}

// Write hands p on.
func (t *through) Write(p []byte) (int, error) {
	n, err := t.to.Write(p)
	if err != nil {
		t.failed()
	}
	return n, err
}

// cause names the context's end as the reason when there is one.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", err, ctx.Err())
	}
	return err
}

// bounded keeps what is written up to a limit and refuses the rest.
type bounded struct {
	mutex   sync.Mutex
	buffer  bytes.Buffer
	limit   int
	over    bool
	arrived func([]byte)
	full    func()
}

// Write keeps p, or ends the command when it is too much.
func (b *bounded) Write(p []byte) (int, error) {
	b.mutex.Lock()
	room := b.limit - b.buffer.Len()
	over := len(p) > room
	if over {
		p = p[:room]
		b.over = true
	}
	n, _ := b.buffer.Write(p)
	b.mutex.Unlock()
	if b.arrived != nil {
		b.arrived(p)
	}
	if over {
		b.full()
		return n, ErrTooMuchOutput
	}
	return n, nil
}

func (b *bounded) bytes() []byte {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Bytes()
}

func (b *bounded) exceeded() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.over
}

// Dial opens a connection from the host: network is tcp with host:port, or unix with the path of a socket. Its deadlines close it: the
// protocol has none. The host may forbid this, which is *ForwardError.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.ended: // what is asked for just then gets no answer ever (golang.org/x/crypto/ssh, mux)
			cancel(net.ErrClosed)
		case <-ctx.Done():
		}
	}()
	conn, err := c.conn.DialContext(ctx, network, address)
	var rejected *gossh.OpenChannelError
	switch {
	case err == nil:
		return &channel{Conn: conn}, nil
	case errors.As(err, &rejected) && rejected.Reason == gossh.Prohibited:
		return nil, &ForwardError{Address: c.address, User: c.user, Err: err}
	case errors.As(err, &rejected):
		return nil, fmt.Errorf("connecting to %s from %s: %w", address, c.address, err)
	}
	return nil, c.broken(cause(ctx, err))
}

// Done is closed when the connection has ended, whoever ended it.
func (c *Client) Done() <-chan struct{} { return c.ended }

// channel is a connection through the host. A read that is late ends it.
type channel struct {
	net.Conn
	mutex sync.Mutex
	late  *time.Timer
}

// SetReadDeadline closes the connection at a time unless it is set again before; the zero time never.
func (c *channel) SetReadDeadline(at time.Time) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
	if !at.IsZero() {
		c.late = time.AfterFunc(time.Until(at), func() { _ = c.Conn.Close() })
	}
	return nil
}

// SetDeadline is that of reads: what is written waits for the other side's window, whose silence a read sees.
func (c *channel) SetDeadline(at time.Time) error { return c.SetReadDeadline(at) }

// SetWriteDeadline does nothing.
func (c *channel) SetWriteDeadline(time.Time) error { return nil }

// Close ends the connection.
func (c *channel) Close() error {
	_ = c.SetReadDeadline(time.Time{}) // it has no error
	return c.Conn.Close()
}
