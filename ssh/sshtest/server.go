// Package sshtest is an SSH server inside the process, for tests of what talks to one. It listens on loopback only.
package sshtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// Key is a key pair in the forms that are needed.
type Key struct {
	PEM        []byte
	Authorized string
	Signer     gossh.Signer
}

// NewKey makes an ed25519 key.
func NewKey(t testing.TB) Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return KeyOf(t, private)
}

// KeyOf gives the forms of a private key.
func KeyOf(t testing.TB, private any) Key {
	t.Helper()
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return Key{
		PEM: pem.EncodeToMemory(block), Signer: signer,
		Authorized: strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey()))),
	}
}

// Exec is one command that a client wants to run.
type Exec struct {
	User, Line     string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Options say how the server behaves.
type Options struct {
	// HostKeys are shown; at least one.
	HostKeys []gossh.Signer
	// Authorized is the one key that may log in, as any user.
	Authorized string
	// Handle runs a command and gives its exit code; the context ends with the session.
	Handle func(ctx context.Context, e Exec) int
	// Forward allows direct-tcpip and sockets: the server is a bastion.
	Forward bool
	// Silent accepts connections and says nothing.
	Silent bool
}

// Server is a running server.
type Server struct {
	Host string
	Port int

	options  Options
	config   *gossh.ServerConfig
	listener net.Listener
	mutex    sync.Mutex
	accepted int
	open     map[net.Conn]struct{}
	running  sync.WaitGroup
}

// Start runs a server until the test ends.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(listener.Addr().String())
	number, _ := strconv.Atoi(port)
	s := &Server{Host: host, Port: number, options: options, listener: listener, open: map[net.Conn]struct{}{}}
	s.config = &gossh.ServerConfig{PublicKeyCallback: s.authorize, MaxAuthTries: 3}
	for _, key := range options.HostKeys {
		s.config.AddHostKey(key)
	}
	s.running.Go(s.serve)
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the server and all its connections and waits for them.
func (s *Server) Stop() {
	_ = s.listener.Close()
	s.Cut()
	s.running.Wait()
}

// Cut closes all open connections without a word.
func (s *Server) Cut() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for conn := range s.open {
		conn.Close()
	}
}

// Accepted counts the connections so far.
func (s *Server) Accepted() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.accepted
}

func (s *Server) authorize(_ gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
	if strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key))) != s.options.Authorized {
		return nil, errors.New("not this key")
	}
	return nil, nil
}

func (s *Server) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mutex.Lock()
		s.accepted++
		s.open[conn] = struct{}{}
		s.mutex.Unlock()
		s.running.Go(func() {
			s.connection(conn)
			s.mutex.Lock()
			delete(s.open, conn)
			s.mutex.Unlock()
		})
	}
}

func (s *Server) connection(conn net.Conn) {
	defer conn.Close()
	if s.options.Silent {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	c, channels, requests, err := gossh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	go gossh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	for channel := range channels {
		switch {
		case channel.ChannelType() == "session":
			sessions.Go(func() { s.session(c.User(), channel) })
		case channel.ChannelType() == "direct-tcpip" && s.options.Forward:
			sessions.Go(func() { forward(channel) })
		case channel.ChannelType() == "direct-streamlocal@openssh.com" && s.options.Forward:
			sessions.Go(func() { forwardSocket(channel) })
		default:
			_ = channel.Reject(gossh.Prohibited, "administratively prohibited")
		}
	}
	sessions.Wait()
}

func (s *Server) session(user string, accept gossh.NewChannel) {
	channel, requests, err := accept.Accept()
	if err != nil {
		return
	}
	defer func() { _ = channel.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for request := range requests {
		if request.Type != "exec" {
			_ = request.Reply(false, nil)
			continue
		}
		var exec struct{ Line string }
		if err := gossh.Unmarshal(request.Payload, &exec); err != nil {
			return
		}
		_ = request.Reply(true, nil)
		go func() {
			defer cancel()
			for r := range requests {
				_ = r.Reply(false, nil)
			}
		}()
		code := s.options.Handle(ctx, Exec{User: user, Line: exec.Line, Stdin: channel, Stdout: channel, Stderr: channel.Stderr()})
		_, _ = channel.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{uint32(code)}))
		return
	}
}

func forward(accept gossh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := gossh.Unmarshal(accept.ExtraData(), &target); err != nil {
		_ = accept.Reject(gossh.ConnectionFailed, "bad request")
		return
	}
	join(accept, "tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
}

func forwardSocket(accept gossh.NewChannel) {
	var target struct {
		Path     string
		Reserved string
		Port     uint32
	}
	if err := gossh.Unmarshal(accept.ExtraData(), &target); err != nil {
		_ = accept.Reject(gossh.ConnectionFailed, "bad request")
		return
	}
	join(accept, "unix", target.Path)
}

// join copies between a channel and a connection of this host until one of them ends.
func join(accept gossh.NewChannel, network, address string) {
	conn, err := net.Dial(network, address)
	if err != nil {
		_ = accept.Reject(gossh.ConnectionFailed, "Connection refused")
		return
	}
	channel, requests, err := accept.Accept()
	if err != nil {
		conn.Close()
		return
	}
	go gossh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(conn, channel)
		conn.Close()
	}()
	_, _ = io.Copy(channel, conn)
	_ = channel.Close()
	conn.Close()
}

// Echo is a handler that gives back what it reads and the line that was asked for, on standard error.
func Echo(_ context.Context, e Exec) int {
	b, _ := io.ReadAll(e.Stdin)
	_, _ = io.Copy(e.Stdout, bytes.NewReader(b))
	_, _ = io.WriteString(e.Stderr, e.Line)
	return 0
}
