//go:build engine || lab

package move

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// linkPace is how fast a link is, in bytes per second: a copy takes seconds, so that a harm comes in the middle of it.
const linkPace = 600_000

// harm happens to what passes a link while everything on it is held; false: not yet, the next bytes are asked.
type harm func(p []byte) bool

// link is the way from the new host to the agent on the old one. Harms happen to it one after the other, each after some more bytes.
type link struct {
	network, to string
	listener    net.Listener

	mu        sync.Mutex
	down      bool
	refused   int
	conns     map[net.Conn]bool
	armed     bool
	passed    int // from the agent, since the last harm
	answers   []harm
	questions []harm
	done      int
}

func newLink(t *testing.T, network, to string) *link {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(shortDir(t), "link")
	}
	l := &link{network: network, to: to, conns: map[net.Conn]bool{}}
	var err error
	if l.listener, err = net.Listen(network, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.listener.Close(); l.mu.Lock(); defer l.mu.Unlock(); l.closeAll() })
	go l.serve()
	return l
}

// shortDir is a folder for sockets: their names are short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "link")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) serve() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.join(in)
	}
}

// join is one connection.
func (l *link) join(in net.Conn) {
	defer in.Close()
	out, err := l.dial()
	if err != nil {
		return
	}
	defer out.Close()
	l.mu.Lock()
	l.conns[in], l.conns[out] = true, true
	l.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range []struct {
		to, from net.Conn
		pass     func([]byte)
	}{{out, in, l.question}, {in, out, l.answer}} {
		both.Go(func() {
			_, _ = io.CopyBuffer(passing{way.to, way.pass}, onlyReader{way.from}, make([]byte, 4096)) // how a connection ends is no matter
			_, _ = in.Close(), out.Close()
		})
	}
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, in)
	delete(l.conns, out)
}

func (l *link) dial() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		if l.refused++; l.refused >= 4 { // the puller has come again often enough
			l.down = false
		}
		return nil, errors.New("the link is cut")
	}
	return net.Dial(l.network, l.to)
}

// closeAll cuts; the lock is held.
func (l *link) closeAll() {
	for c := range l.conns {
		_ = c.Close()
	}
}

// arm lets harms come from now on.
func (l *link) arm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = true
}

// harmed is how many harms have come, and how many are left.
func (l *link) harmed() (done, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done, len(l.answers) + len(l.questions)
}

// between is after how many bytes the next harm comes.
const between = 80_000

func (l *link) answer(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	time.Sleep(time.Duration(len(p)) * time.Second / linkPace) // is the speed of the link
	if !l.armed {
		return
	}
	if l.passed += len(p); l.passed >= between && len(l.answers) > 0 && l.answers[0](p) {
		l.answers, l.passed, l.done = l.answers[1:], 0, l.done+1
	}
}

func (l *link) question(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.armed && l.passed >= between/2 && len(l.questions) > 0 && l.questions[0](p) {
		l.questions, l.done = l.questions[1:], l.done+1
	}
}

// flipped turns a bit in the middle of what passes.
func flipped(p []byte) bool {
	p[len(p)/2] ^= 0x10
	return true
}

// cut breaks all connections, and refuses new ones until the puller has come four times.
func (l *link) cut([]byte) bool {
	l.down, l.refused = true, 0
	l.closeAll()
	return true
}

// stalled lets nothing pass for a while: how long is a part of the fault.
func stalled([]byte) bool {
	time.Sleep(4 * time.Second)
	return true
}

type passing struct {
	to   net.Conn
	pass func([]byte)
}

func (p passing) Write(data []byte) (int, error) {
	p.pass(data)
	return p.to.Write(data)
}

// onlyReader keeps the kernel from copying past us.
type onlyReader struct{ io.Reader }
