package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const relayMember = "relays"

// RelayFlags are the flags that a relay command understands, in the words that Delay passes.
type RelayFlags struct {
	// Listen and To are addresses with ports.
	Listen, To string
	// Delay is added to every byte, each way.
	Delay time.Duration
}

func (f RelayFlags) words() []string {
	return []string{"--listen=" + f.Listen, "--to=" + f.To, "--delay=" + f.Delay.String()}
}

// Delay puts a slow line in front of a port of a machine: it returns the address, on the lab's gateway, where every byte
// arrives delay later, each way. Whoever should suffer must use that address instead of the machine's (the kernel at hand may
// have no netem). The relay is a process of its own and outlives the caller; StopRelays, Heal and Delete end it.
func (l *Lab) Delay(ctx context.Context, machine string, port int, delay time.Duration) (string, error) {
	if len(l.opts.RelayCommand) == 0 {
		return "", errors.New("delaying: Options.RelayCommand is not set")
	}
	if delay <= 0 || delay > time.Minute {
		return "", fmt.Errorf("delaying %s: %s is not between 0 and 1 m", machine, delay)
	}
	var address string
	err := l.fault(ctx, machine, faultDelay, true, func(m *machineState) error {
		if port == 0 {
			port = m.Port
		}
		listen, err := freePort(ctx, l.Gateway())
		if err != nil {
			return err
		}
		flags := RelayFlags{Listen: listen, To: net.JoinHostPort(m.Address, strconv.Itoa(port)), Delay: delay}
		if err := l.host.makeCgroups(l.state.Index, relayMember, 0); err != nil {
			return err
		}
		proc, err := l.spawn(relayMember, append(append([]string(nil), l.opts.RelayCommand...), flags.words()...),
			filepath.Join(l.Dir(), "relays.log"))
		if err != nil {
			return err
		}
		m.Relays = append(m.Relays, relay{Process: proc, Listen: listen, To: flags.To, DelayMS: delay.Milliseconds()})
		address = listen
		return awaitListener(ctx, proc, listen)
	})
	return address, err
}

func freePort(ctx context.Context, host string) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	address := listener.Addr().String()
	return address, listener.Close()
}

func awaitListener(ctx context.Context, proc process, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return waitFor(ctx, func() (bool, error) {
		if !proc.alive() {
			return false, errors.New("the relay ended at once: see relays.log")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// StopRelays ends the delays in front of a machine; connections through them break.
func (l *Lab) StopRelays(ctx context.Context, machine string) error {
	return l.fault(ctx, machine, faultDelay, false, func(m *machineState) error {
		for _, r := range m.Relays {
			if r.Process.alive() {
				_ = syscall.Kill(r.Process.PID, syscall.SIGKILL)
			}
		}
		m.Relays = nil
		return nil
	})
}

// Relay carries connections with a delay until ctx ends. It is the body of the relay command.
func Relay(ctx context.Context, flags RelayFlags) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", flags.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accepting: %w", err)
		}
		go relayConn(ctx, conn, flags)
	}
}

func relayConn(ctx context.Context, client net.Conn, flags RelayFlags) {
	defer client.Close()
	server, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", flags.To)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			delayedCopy(pair[1], pair[0], flags.Delay)
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

type chunk struct {
	due  time.Time
	data []byte
}

// delayedCopy keeps the throughput: bytes under way wait in a queue of at most 64 MiB, as on a long line.
func delayedCopy(dst, src net.Conn, delay time.Duration) {
	queue := make(chan chunk, 1024)
	go func() {
		defer close(queue)
		for {
			buffer := make([]byte, 64<<10)
			n, err := src.Read(buffer)
			if n > 0 {
				queue <- chunk{time.Now().Add(delay), buffer[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range queue {
		<-time.After(time.Until(c.due))
		if _, err := io.Copy(dst, strings.NewReader(string(c.data))); err != nil {
			src.Close() // ends the reader
		}
	}
	if tcp, ok := dst.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
