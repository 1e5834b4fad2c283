package transfer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pullAsChild is the test binary as a puller that can be killed.
func pullAsChild(target string) {
	config, err := TargetTLS(filepath.Join(os.Getenv("SLIPWAY_TEST_KEYS"), "target"))
	check(err)
	c, err := NewClient(ClientOptions{Address: os.Getenv("SLIPWAY_TEST_SOURCE"), TLS: config})
	check(err)
	r, err := Pull(context.Background(), pullOptions(c, target, strings.Split(os.Getenv("SLIPWAY_TEST_BLOCKS"), ",")))
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(r))
	os.Exit(0)
}

func childPull(t *testing.T, target, address, keys string, names []string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "SLIPWAY_TEST_PULL="+target, "SLIPWAY_TEST_SOURCE="+address, "SLIPWAY_TEST_KEYS="+keys, "SLIPWAY_TEST_BLOCKS="+strings.Join(names, ","))
	return cmd
}

// TestPullResumesAfterKill kills a puller at random points until twelve kills are done, then lets it finish: every byte is
// right, and each kill cost at most what was not durable yet.
func TestPullResumesAfterKill(t *testing.T) {
	dir, names := sourceDir(t)
	keys := credentials(t)
	target := t.TempDir()
	total := totalBytes(t, names)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var reads, killAt atomic.Int64
	due := make(chan struct{}, 1)
	source := &between{Source: openLocal(t, LocalOptions{Data: dir}), before: func(Range) error {
		if reads.Add(1) == killAt.Load() {
			due <- struct{}{}
		}
		return nil
	}}
	address := serve(t, source, keys)
	kills := int64(0)
	var out strings.Builder
	for kills < 12 {
		out.Reset()
		reads.Store(0)
		killAt.Store(1 + random.Int64N(18))
		cmd := childPull(t, target, address, keys, names)
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-due:
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-ended
			kills++
			continue
		case err := <-ended:
			if err != nil {
				t.Fatalf("the puller ended by itself: %v", err)
			}
		}
		break
	}
	r := mustPull(t, pullOptions(client(t, address, keys), target, names))
	sameBlocks(t, r, names)
	twice := source.bytes() - total
	// Two blocks, each with a checkpoint that is not full, and the pieces on their way.
	if most := kills * (atOnce*testCheckpoint + 8*testPiece); kills < 3 || twice > most {
		t.Errorf("%d kills, %d of %d bytes were read twice, want at most %d", kills, twice, total, most)
	}
	t.Logf("%d kills, %d of %d bytes read twice", kills, twice, total)
}

// relay is a link: ask carries what the source is asked on its nth connection, answer what it answers.
func relay(t *testing.T, to string, ask, answer func(n int, to io.Writer, from io.Reader)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { ask(n, out, in); _ = out.Close() }() // how a connection ends is no matter
			go func() { answer(n, in, out); _, _ = in.Close(), out.Close() }()
		}
	}()
	return l.Addr().String()
}

// all carries everything.
func all(_ int, to io.Writer, from io.Reader) { _, _ = io.Copy(to, from) }

// cutter is a link that breaks each of its first connections after some bytes.
func cutter(t *testing.T, to string, breaks int, after int64) (address string, broken *atomic.Int64) {
	t.Helper()
	broken = &atomic.Int64{}
	return relay(t, to, all, func(n int, to io.Writer, from io.Reader) {
		if n >= breaks {
			all(n, to, from)
			return
		}
		_, _ = io.CopyN(to, from, after+int64(n)*9_973)
		broken.Add(1)
	}), broken
}

func TestPullGoesOnWhenTheLinkBreaks(t *testing.T) {
	dir, names := sourceDir(t)
	keys := credentials(t)
	address, broken := cutter(t, serve(t, openLocal(t, LocalOptions{Data: dir}), keys), 10, 30_000)
	o := pullOptions(client(t, address, keys), t.TempDir(), names)
	o.Patience = time.Minute
	sameBlocks(t, mustPull(t, o), names)
	if broken.Load() < 7 { // the last ones may carry too little to break
		t.Errorf("the link broke %d times only", broken.Load())
	}
}

func TestSourceIsRestartedWhileItIsPulledFrom(t *testing.T) {
	dir, names := sourceDir(t)
	target := t.TempDir()
	var n atomic.Int64
	first := &between{Source: openLocal(t, LocalOptions{Data: dir}), before: func(Range) error {
		if n.Add(1) > 10 {
			return fmt.Errorf("gone")
		}
		return nil
	}}
	o := pullOptions(first, target, names)
	o.Patience = 1
	if _, err := Pull(t.Context(), o); err == nil {
		t.Fatal("the source did not go")
	}
	// The server has compacted meanwhile; the pin is what the next agent finds.
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "wal"), 0o755); err != nil {
		t.Fatal(err)
	}
	sameBlocks(t, mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: dir}), target, names)), names)
}

// flipper is a link that flips a bit in the first bytes that each of some connections carries to the source once it is encrypted.
func flipper(t *testing.T, to string, flips int64) (address string, flipped *atomic.Int64) {
	t.Helper()
	flipped = &atomic.Int64{}
	return relay(t, to, func(_ int, to io.Writer, from io.Reader) {
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 && buf[0] == 23 && flipped.Load() < flips { // application data: RFC 8446, 5.1
				buf[n-1] ^= 1
				flipped.Add(1)
			}
			if _, wrote := to.Write(buf[:n]); err != nil || wrote != nil {
				return
			}
		}
	}, all), flipped
}

func TestPullGoesOnWhenAQuestionIsGarbled(t *testing.T) {
	dir, names := sourceDir(t)
	keys := credentials(t)
	address, flipped := flipper(t, serve(t, openLocal(t, LocalOptions{Data: dir}), keys), 5)
	o := pullOptions(client(t, address, keys), t.TempDir(), names)
	o.Patience = time.Minute
	sameBlocks(t, mustPull(t, o), names)
	if flipped.Load() < 5 {
		t.Errorf("%d questions were garbled", flipped.Load())
	}
}
