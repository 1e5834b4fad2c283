package lab

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// echo sends everything back until its client stops sending.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestRelayDelaysEachWayAndKeepsEveryByte(t *testing.T) {
	listen, err := freePort(t.Context(), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	const delay = 100 * time.Millisecond
	go func() { ended <- Relay(ctx, RelayFlags{Listen: listen, To: echo(t), Delay: delay}) }()
	if err := awaitListener(t.Context(), processOf(1), listen); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	began := time.Now()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back in %s", took)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
