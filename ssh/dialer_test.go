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

func TestRun(t *testing.T) {
	handle := func(ctx context.Context, e sshtest.Exec) int {
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
	f := newFixture(t, func(o *sshtest.Options) { o.Handle = handle })
	dial := func(t *testing.T, user string) *ssh.Client {
		f.endpoint.User = user
		client, err := f.dialer.Dial(t.Context(), f.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	t.Run("gives the exit code without an error", func(t *testing.T) {
		result, err := dial(t, "root").Run(t.Context(), ssh.Command{Line: "exit"})
		if err != nil || result.ExitCode != 7 {
			t.Errorf("Run() = %d, %v", result.ExitCode, err)
		}
	})
	t.Run("puts sudo before it for users only", func(t *testing.T) {
		for user, want := range map[string]string{"root": "/bin/sh -s", "ops": "sudo -n /bin/sh -s"} {
			result, err := dial(t, user).Run(t.Context(), ssh.Command{Line: "/bin/sh -s", Elevate: true})
			if err != nil || string(result.Stderr) != want {
				t.Errorf("%s ran %q, %v; want %q", user, result.Stderr, err, want)
			}
		}
	})
	t.Run("ends a command that prints too much", func(t *testing.T) {
		result, err := dial(t, "root").Run(t.Context(), ssh.Command{Line: "flood", MaxOutput: 10000})
		if !errors.Is(err, ssh.ErrTooMuchOutput) || len(result.Stdout) != 10000 {
			t.Errorf("Run() = %d bytes, %v", len(result.Stdout), err)
		}
	})
	t.Run("ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := dial(t, "root").Run(ctx, ssh.Command{Line: "hang"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run() = %v", err)
		}
	})
	t.Run("measures a round trip", func(t *testing.T) {
		if d, err := dial(t, "root").RoundTrip(t.Context()); err != nil || d <= 0 {
			t.Errorf("RoundTrip() = %v, %v", d, err)
		}
	})
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
	defer l.Close()
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
