package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fakeGo is a go command that knows its version and runs a given text for go build, in which $out
// is the -o argument; it notes each call in the file calls.
func fakeGo(t *testing.T, build string) (goTool, calls string) {
	t.Helper()
	dir := t.TempDir()
	goTool, calls = filepath.Join(dir, "go"), filepath.Join(dir, "calls")
	script := `#!/bin/sh
echo "$1" >> ` + calls + `
if [ "$1" = env ]; then echo go1.26.99; exit 0; fi
while [ "$1" != -o ]; do shift; done
out=$2
` + build + "\n"
	if err := os.WriteFile(goTool, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return goTool, calls
}

func callsOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

func TestBinaryCompilesOnce(t *testing.T) {
	goTool, calls := fakeGo(t, `echo program > "$out"`)
	var mu sync.Mutex
	var events []string
	options := Options{Cache: t.TempDir(), Go: goTool, Progress: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e.Step+" "+string(e.State))
	}}
	var paths []string
	for range 2 {
		// A new builder each time, as two commands in a row would have.
		b, err := NewBuilder(options)
		if err != nil {
			t.Fatal(err)
		}
		path, err := b.Binary(t.Context(), "probe")
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if data, err := os.ReadFile(paths[1]); err != nil || string(data) != "program\n" || paths[0] != paths[1] {
		t.Errorf("paths %v, content %q, %v", paths, data, err)
	}
	if got := callsOf(t, calls); got != "env build env" {
		t.Errorf("calls of go: %s", got)
	}
	want := []string{"compiling probe Started", "compiling probe Finished", "compiling probe Cached"}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestBinaryCompilesAgainAfterAFailure(t *testing.T) {
	goTool, _ := fakeGo(t, `echo half > "$out"; echo "undefined: x" >&2; exit 1`)
	cache := t.TempDir()
	b, err := NewBuilder(Options{Cache: cache, Go: goTool})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Binary(t.Context(), "probe"); err == nil || !strings.Contains(err.Error(), "compiling probe") || !strings.Contains(err.Error(), "undefined: x") {
		t.Errorf("got %v, want what is compiled and what the compiler said", err)
	}
	goTool, _ = fakeGo(t, `echo whole > "$out"`)
	if b, err = NewBuilder(Options{Cache: cache, Go: goTool}); err != nil {
		t.Fatal(err)
	}
	path, err := b.Binary(t.Context(), "probe")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "whole\n" {
		t.Errorf("got %q %v", data, err)
	}
}

func TestBinaryEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "started")
	// The build says that it runs, and ends when it is interrupted.
	goTool, _ := fakeGo(t, `trap 'echo interrupted > `+dir+`/end; exit 1' INT
echo > `+fifo+`
exec 3<>`+dir+`/never
read line <&3`)
	for _, name := range []string{fifo, filepath.Join(dir, "never")} {
		mkfifo(t, name)
	}
	b, err := NewBuilder(Options{Cache: t.TempDir(), Go: goTool})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(fifo)
		cancel()
	}()
	if _, err := b.Binary(ctx, "probe"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "end")); err != nil || string(data) != "interrupted\n" {
		t.Errorf("the go command was not interrupted: %q %v", data, err)
	}
}

func TestMissingGoIsNamed(t *testing.T) {
	b, err := NewBuilder(Options{Cache: t.TempDir(), Go: filepath.Join(t.TempDir(), "no-go")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Binary(t.Context(), "probe"); err == nil || !strings.Contains(err.Error(), "needs Go on this machine") {
		t.Errorf("got %v", err)
	}
}

func TestBuildOnlyWritesNoBundle(t *testing.T) {
	goTool, _ := fakeGo(t, `echo program > "$out"`)
	output := filepath.Join(t.TempDir(), "bundle")
	result, err := Build(t.Context(), Options{Cache: t.TempDir(), Go: goTool, Only: []string{"probe", "etcd"}, Output: output})
	if err != nil {
		t.Fatal(err)
	}
	if result.Path != "" || len(result.Built) != 2 {
		t.Errorf("got %+v", result)
	}
	if _, err := os.Stat(output); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a bundle was written: %v", err)
	}
	if filepath.Base(result.Built["etcd"]) != blobFile || filepath.Base(result.Built["probe"]) != "probe" {
		t.Errorf("a role archive and a program: got %v", result.Built)
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("SLIPWAY_CACHE", "/from/environment")
	if dir, err := CacheDir(""); err != nil || dir != "/from/environment" {
		t.Errorf("got %s %v", dir, err)
	}
	if dir, err := CacheDir("/named"); err != nil || dir != "/named" {
		t.Errorf("got %s %v", dir, err)
	}
	t.Setenv("SLIPWAY_CACHE", "")
	t.Setenv("HOME", "/home/person")
	if dir, err := CacheDir(""); err != nil || dir != "/home/person/.cache/slipway" {
		t.Errorf("got %s %v", dir, err)
	}
}

func mkfifo(t *testing.T, name string) {
	t.Helper()
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}
