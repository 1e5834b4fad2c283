package transfer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/block"
)

const (
	fixtureStart = int64(1_700_006_400_000) // a multiple of two hours
	twoHours     = int64(7_200_000)

	testPiece      = 32 << 10
	testCheckpoint = 128 << 10
)

var quiet = slog.New(slog.DiscardHandler)

// blocks makes three blocks of two hours with small segments, newest first, once for all tests.
var blocks = sync.OnceValues(func() (string, []string) {
	dir := os.Getenv("SLIPWAY_TEST_FIXTURE")
	names := make([]string, 3)
	for i := range names {
		names[len(names)-1-i] = makeBlock(dir, fixtureStart+int64(i)*twoHours)
	}
	return dir, names
})

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// makeBlock writes a block of some 600 KB through the TSDB library.
func makeBlock(dir string, start int64) string {
	ctx := context.Background()
	w, err := tsdb.NewBlockWriter(quiet, dir, tsdb.DefaultBlockDuration)
	check(err)
	app := w.Appender(ctx)
	random := rand.New(rand.NewPCG(uint64(start), 2))
	for i := range 120 {
		series := labels.FromStrings("__name__", "metric", "instance", fmt.Sprintf("host-%d", i))
		for k := range int64(500) {
			_, err := app.Append(0, series, start+k*14_000, random.Float64())
			check(err)
		}
	}
	check(app.Commit())
	id, err := w.Flush(ctx)
	check(err)
	check(w.Close())
	return smallSegments(ctx, dir, id.String())
}

func smallSegments(ctx context.Context, dir, name string) string {
	b, err := tsdb.OpenBlock(quiet, filepath.Join(dir, name), nil, nil)
	check(err)
	c, err := tsdb.NewLeveledCompactorWithOptions(ctx, nil, quiet, []int64{tsdb.DefaultBlockDuration}, chunkenc.NewPool(),
		tsdb.LeveledCompactorOptions{MaxBlockChunkSegmentSize: 200_000, EnableOverlappingCompaction: true})
	check(err)
	ids, err := c.Write(dir, b, b.MinTime(), b.MaxTime(), nil)
	check(err)
	check(b.Close())
	check(os.RemoveAll(filepath.Join(dir, name)))
	return ids[0].String()
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("SLIPWAY_TEST_PULL"); dir != "" {
		pullAsChild(dir)
	}
	dir, err := os.MkdirTemp("", "transfer")
	check(err)
	check(os.Setenv("SLIPWAY_TEST_FIXTURE", dir))
	code := m.Run()
	check(os.RemoveAll(dir))
	os.Exit(code)
}

// sourceDir is a copy of the blocks that a test may harm, and their names, newest first.
func sourceDir(t testing.TB) (string, []string) {
	t.Helper()
	from, names := blocks()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(from, name))); err != nil {
			t.Fatal(err)
		}
	}
	return dir, names
}

func openLocal(t testing.TB, o LocalOptions) *Local {
	t.Helper()
	l, err := OpenLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func credentials(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := InitCredentials(dir, certs.New(certs.Options{})); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serve offers a source over mutual TLS and gives its address.
func serve(t testing.TB, source Source, credentials string) string {
	t.Helper()
	config, err := SourceTLS(filepath.Join(credentials, "source"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewServer(ServerOptions{Source: source}).Serve(ctx, tls.NewListener(l, config)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return l.Addr().String()
}

func client(t testing.TB, address, credentials string) *Client {
	t.Helper()
	config, err := TargetTLS(filepath.Join(credentials, "target"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ClientOptions{Address: address, TLS: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func pullOptions(source Source, target string, names []string) PullOptions {
	return PullOptions{Source: source, Target: target, Blocks: names, PieceBytes: testPiece, CheckpointBytes: testCheckpoint, Patience: 5 * time.Second}
}

func mustPull(t testing.TB, o PullOptions) *PullResult {
	t.Helper()
	r, err := Pull(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// contents reads every file below a folder.
func contents(t testing.TB, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, folder+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sameBlocks holds what was pulled against what the source was made from.
func sameBlocks(t testing.TB, r *PullResult, names []string) {
	t.Helper()
	from, _ := blocks()
	if len(r.Blocks) != len(names) {
		t.Fatalf("%d blocks, want %d: %+v", len(r.Blocks), len(names), r.Blocks)
	}
	for i, name := range names {
		want, got := contents(t, filepath.Join(from, name)), contents(t, r.Blocks[i].Folder)
		for file := range want {
			if want[file] != got[file] {
				t.Errorf("%s/%s differs", name, file)
			}
		}
		if len(want) != len(got) {
			t.Errorf("%s: files %s", name, cmp.Diff(len(want), len(got)))
		}
	}
}

func totalBytes(t testing.TB, names []string) (sum int64) {
	t.Helper()
	from, _ := blocks()
	for _, name := range names {
		for _, text := range contents(t, filepath.Join(from, name)) {
			sum += int64(len(text))
		}
	}
	return sum
}

// between is a Source that looks at, and changes, what another one gives.
type between struct {
	Source
	// before is called before a range is read, after when it was written; write changes what is written.
	before func(r Range) error
	after  func(r Range)
	write  func(r Range, p []byte)

	mu    sync.Mutex
	reads []Range
}

func (b *between) Read(ctx context.Context, r Range, to io.Writer) (block.Sum, error) {
	b.mu.Lock()
	b.reads = append(b.reads, r)
	b.mu.Unlock()
	if b.before != nil {
		if err := b.before(r); err != nil {
			return block.Sum{}, err
		}
	}
	if b.write != nil {
		to = writerFunc(func(inner io.Writer) func(p []byte) (int, error) {
			return func(p []byte) (int, error) {
				changed := append([]byte(nil), p...)
				b.write(r, changed)
				return inner.Write(changed)
			}
		}(to))
	}
	sum, err := b.Source.Read(ctx, r, to)
	if err == nil && b.after != nil {
		b.after(r)
	}
	return sum, err
}

func (b *between) bytes() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.reads {
		n += r.Bytes
	}
	return n
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// flip changes one bit of a file and keeps its time.
func flip(t testing.TB, path string, off int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func sumText(text string) block.Sum {
	sum := block.NewSummer()
	_, _ = sum.Write([]byte(text)) // never fails
	return sum.Sum()
}
