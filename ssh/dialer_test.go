package ssh_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"

	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/ssh"
	"github.com/slipway-dev/slipway/ssh/sshtest"
)

type fixture struct {
	login, host sshtest.Key
	server      *sshtest.Server
	endpoint    ssh.Endpoint
	dialer      *ssh.Dialer
}

func newFixture(t *testing.T, change func(*sshtest.Options)) *fixture {
	t.Helper()
	f := &fixture{login: sshtest.NewKey(t), host: sshtest.NewKey(t)}
	options := sshtest.Options{HostKeys: []gossh.Signer{f.host.Signer}, Authorized: f.login.Authorized, Handle: sshtest.Echo}
	if change != nil {
		change(&options)
	}
	f.server = sshtest.Start(t, options)
	f.endpoint = ssh.Endpoint{Host: f.server.Host, Port: f.server.Port, User: "root", Key: f.login.PEM, HostKey: f.host.Authorized}
	f.dialer = ssh.NewDialer(ssh.Options{DialTimeout: 5 * time.Second})
	t.Cleanup(f.dialer.Close)
	return f
}

func TestDial(t *testing.T) {
	other := sshtest.NewKey(t)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := sshtest.KeyOf(t, private)
	encrypted := []byte(passphraseKey(t))
	tests := []struct {
		name    string
		server  func(*sshtest.Options)
		change  func(*ssh.Endpoint)
		want    ssh.Reason
		shown   bool
		message string
	}{
		{name: "logs in with the pinned key"},
		{name: "accepts any key when none is pinned", change: func(e *ssh.Endpoint) { e.HostKey = "" }},
		{name: "refuses another key of the pinned type", change: func(e *ssh.Endpoint) { e.HostKey = other.Authorized }, want: ssh.HostKeyChanged, shown: true},
		{
			name: "says which key is shown when none of the pinned type is left", want: ssh.HostKeyChanged, shown: true,
			change: func(e *ssh.Endpoint) { e.HostKey = rsaKey.Authorized },
		},
		{
			name:   "asks for the pinned type when the host has several",
			server: func(o *sshtest.Options) { o.HostKeys = append(o.HostKeys, rsaKey.Signer) },
			change: func(e *ssh.Endpoint) { e.HostKey = rsaKey.Authorized },
		},
		{name: "reports a key that may not log in", change: func(e *ssh.Endpoint) { e.Key = other.PEM }, want: ssh.AuthRefused},
		{name: "reports a key that is none", change: func(e *ssh.Endpoint) { e.Key = []byte("nonsense") }, want: ssh.KeyInvalid},
		{name: "reports a missing key", change: func(e *ssh.Endpoint) { e.Key = nil }, want: ssh.KeyInvalid, message: "no private key"},
		{name: "reports a key with a passphrase", change: func(e *ssh.Endpoint) { e.Key = encrypted }, want: ssh.KeyInvalid, message: "passphrase"},
		{name: "reports a pinned key that is none", change: func(e *ssh.Endpoint) { e.HostKey = "ssh-ed25519 AAAA" }, want: ssh.KeyInvalid},
		{name: "reports a closed port", change: func(e *ssh.Endpoint) { e.Port = closedPort(t) }, want: ssh.Unreachable, message: "refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, test.server)
			if test.change != nil {
				test.change(&f.endpoint)
			}
			client, err := f.dialer.Dial(t.Context(), f.endpoint)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if f.endpoint.HostKey != "" && client.HostKey() != f.endpoint.HostKey {
					t.Errorf("HostKey() = %q, want %q", client.HostKey(), f.endpoint.HostKey)
				}
				return
			}
			var failure *ssh.Error
			if !errors.As(err, &failure) {
				t.Fatalf("Dial() = %v, want *ssh.Error", err)
			}
			if failure.Reason != test.want || !strings.Contains(err.Error(), test.message) {
				t.Errorf("Dial() = %s %v, want %s with %q", failure.Reason, err, test.want, test.message)
			}
			if test.shown && failure.Shown != f.host.Authorized {
				t.Errorf("shown key %q, want %q", failure.Shown, f.host.Authorized)
			}
		})
	}
}

func TestDialTimesOutOnASilentHost(t *testing.T) {
	f := newFixture(t, func(o *sshtest.Options) { o.Silent = true })
	dialer := ssh.NewDialer(ssh.Options{DialTimeout: 50 * time.Millisecond})
	_, err := dialer.Dial(t.Context(), f.endpoint)
	var failure *ssh.Error
	if !errors.As(err, &failure) || failure.Reason != ssh.Unreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Dial() = %v, want Unreachable by deadline", err)
	}
}

func TestBastionIsSharedAndNamed(t *testing.T) {
	f := newFixture(t, nil)
	jump := newFixture(t, func(o *sshtest.Options) { o.Forward = true; o.Authorized = f.login.Authorized })
	through := jump.endpoint
	through.Key = nil // that of the host
	f.endpoint.Bastion = &through
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			client, err := f.dialer.Dial(t.Context(), f.endpoint)
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			if client.BastionHostKey() != jump.host.Authorized {
				t.Errorf("BastionHostKey() = %q", client.BastionHostKey())
			}
			result, err := client.Run(t.Context(), ssh.Command{Line: "x", Stdin: []byte("hello")})
			if err != nil || string(result.Stdout) != "hello" {
				t.Errorf("Run() = %q, %v", result.Stdout, err)
			}
		})
	}
	wait.Wait()
	if got := jump.server.Accepted(); got != 1 {
		t.Errorf("the bastion saw %d connections, want 1", got)
	}
	if got := f.server.Accepted(); got != 8 {
		t.Errorf("the host saw %d connections, want 8", got)
	}

	jump.server.Cut()
	deadline := time.Now().Add(5 * time.Second)
	for {
		client, err := f.dialer.Dial(t.Context(), f.endpoint)
		if err == nil {
			client.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("dialling after the bastion was cut: %v", err)
		}
	}
}

func TestBastionFailuresNameTheLeg(t *testing.T) {
	f := newFixture(t, nil)
	jump := newFixture(t, func(o *sshtest.Options) { o.Authorized = f.login.Authorized })
	tests := []struct {
		name    string
		change  func(*ssh.Endpoint)
		bastion bool
		want    ssh.Reason
		message string
	}{
		{"a bastion that does not forward", func(*ssh.Endpoint) {}, false, ssh.Unreachable, "does not forward"},
		{"a bastion that is down", func(e *ssh.Endpoint) { e.Port = closedPort(t) }, true, ssh.Unreachable, "refused"},
		{"a bastion with another key", func(e *ssh.Endpoint) { e.HostKey = f.host.Authorized }, true, ssh.HostKeyChanged, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			through, e := jump.endpoint, f.endpoint
			through.Key = nil
			test.change(&through)
			e.Bastion = &through
			_, err := f.dialer.Dial(t.Context(), e)
			var failure *ssh.Error
			if !errors.As(err, &failure) || failure.Bastion != test.bastion || failure.Reason != test.want || !strings.Contains(err.Error(), test.message) {
				t.Errorf("Dial() = %v", err)
			}
		})
	}
}

func answer(ctx context.Context, e sshtest.Exec) int {
	switch e.Line {
	case "exit":
		return 7
	case "flood":
		for {
			if _, err := e.Stdout.Write(make([]byte, 4096)); err != nil {
				return 1
			}
		}
	case "hang":
		<-ctx.Done()
		return 0
	}
	return sshtest.Echo(ctx, e)
}

func TestRun(t *testing.T) {
	f := newFixture(t, func(o *sshtest.Options) { o.Handle = answer })
	tests := []struct {
		name, user string
		command    ssh.Command
		timeout    time.Duration
		code       int
		stdout     int // bytes
		stderr     string
		err        error
	}{
		{name: "gives the exit code without an error", user: "root", command: ssh.Command{Line: "exit"}, code: 7},
		{name: "runs as it is for root", user: "root", command: ssh.Command{Line: "/bin/sh -s", Elevate: true}, stderr: "/bin/sh -s"},
		{name: "puts sudo before it for a user", user: "ops", command: ssh.Command{Line: "/bin/sh -s", Elevate: true}, stderr: "sudo -n /bin/sh -s"},
		{name: "ends a command that prints too much", user: "root", command: ssh.Command{Line: "flood", MaxOutput: 10000}, stdout: 10000, err: ssh.ErrTooMuchOutput},
		{name: "ends with the context", user: "root", command: ssh.Command{Line: "hang"}, timeout: 50 * time.Millisecond, err: context.DeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f.endpoint.User = test.user
			client, err := f.dialer.Dial(t.Context(), f.endpoint)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx := t.Context()
			if test.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.timeout)
				defer cancel()
			}
			result, err := client.Run(ctx, test.command)
			if !errors.Is(err, test.err) {
				t.Fatalf("Run() = %v, want %v", err, test.err)
			}
			if result.ExitCode != test.code || len(result.Stdout) != test.stdout || string(result.Stderr) != test.stderr {
				t.Errorf("Run() = %d, %d bytes, %q", result.ExitCode, len(result.Stdout), result.Stderr)
			}
		})
	}
}

// sink takes some bytes and then no more.
type sink struct{ taken, most int }

var errFull = errors.New("no room")

func (s *sink) Write(p []byte) (int, error) {
	if s.taken+len(p) > s.most {
		return 0, errFull
	}
	s.taken += len(p)
	return len(p), nil
}

func TestRunHandsOnItsOutput(t *testing.T) {
	f := newFixture(t, func(o *sshtest.Options) { o.Handle = answer })
	client, err := f.dialer.Dial(t.Context(), f.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	full := &sink{most: 3 << 20}
	result, err := client.Run(t.Context(), ssh.Command{Line: "flood", Output: full, MaxOutput: 1000})
	if err == nil || errors.Is(err, ssh.ErrTooMuchOutput) || full.taken < full.most-1<<20 || len(result.Stdout) > 0 {
		t.Errorf("a command whose output nobody takes: %v after %d bytes, %d kept", err, full.taken, len(result.Stdout))
	}
	if result, err := client.Run(t.Context(), ssh.Command{Line: "exit", Output: full}); err != nil || result.ExitCode != 7 {
		t.Errorf("the next one on the same connection: %+v, %v", result, err)
	}
}

func TestRoundTrip(t *testing.T) {
	f := newFixture(t, nil)
	client, err := f.dialer.Dial(t.Context(), f.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if d, err := client.RoundTrip(t.Context()); err != nil || d <= 0 {
		t.Errorf("RoundTrip() = %v, %v", d, err)
	}
}

func TestKeepAliveEndsADeadConnection(t *testing.T) {
	f := newFixture(t, func(o *sshtest.Options) {
		o.Handle = func(ctx context.Context, _ sshtest.Exec) int { <-ctx.Done(); return 0 }
	})
	var link stalled
	dialer := ssh.NewDialer(ssh.Options{KeepAlive: 50 * time.Millisecond, Dial: link.dial})
	client, err := dialer.Dial(t.Context(), f.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	link.cut()
	var failure *ssh.Error
	if _, err := client.Run(t.Context(), ssh.Command{Line: "hang"}); !errors.As(err, &failure) || failure.Reason != ssh.Unreachable {
		t.Errorf("Run() over a dead link = %v, want Unreachable", err)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	f := newFixture(t, nil)
	jump := newFixture(t, func(o *sshtest.Options) { o.Forward = true; o.Authorized = f.login.Authorized })
	f.endpoint.Bastion = &ssh.Endpoint{Host: jump.endpoint.Host, Port: jump.endpoint.Port, User: "jump", HostKey: jump.host.Authorized}
	before := runtime.NumGoroutine()
	for range 3 {
		client, err := f.dialer.Dial(t.Context(), f.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	f.dialer.Close()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

// stalled is a link that can be cut without either end noticing.
type stalled struct {
	mutex sync.Mutex
	dead  bool
}

func (s *stalled) cut() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.dead = true
}

func (s *stalled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &stalledConn{Conn: conn, link: s}, err
}

type stalledConn struct {
	net.Conn
	link *stalled
}

// Write swallows what is written once the link is cut.
func (c *stalledConn) Write(p []byte) (int, error) {
	c.link.mutex.Lock()
	defer c.link.mutex.Unlock()
	if c.link.dead {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func passphraseKey(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// TestClientDial speaks to a socket of the host; a read that is late ends the connection.
func TestClientDial(t *testing.T) {
	f := newFixture(t, func(o *sshtest.Options) { o.Forward = true })
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello")) // and then nothing
		}
	}()
	client, err := f.dialer.Dial(t.Context(), f.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Dial(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := conn.Read(got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(got); err == nil {
		t.Error("a late read did not end")
	}
	if _, err := client.Dial(t.Context(), "unix", path+"-not"); err == nil {
		t.Error("there is no such socket")
	}
	f.server.Cut()
	<-client.Done()
	if _, err := client.Dial(t.Context(), "unix", path); err == nil {
		t.Error("the connection is cut")
	}
}

func TestClientDialNamesAHostThatForbidsIt(t *testing.T) {
	f := newFixture(t, nil)
	client, err := f.dialer.Dial(t.Context(), f.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var no *ssh.ForwardError
	if _, err := client.Dial(t.Context(), "unix", "/run/x"); !errors.As(err, &no) || !strings.Contains(err.Error(), "AllowStreamLocalForwarding") {
		t.Errorf("%v", err)
	}
}
