package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/golden"
)

// TestPrometheusPull is a golden file of a person who moves blocks between two directories of one host.
func TestPrometheusPull(t *testing.T) {
	from := dataDir(t)
	target := filepath.Join(t.TempDir(), "new")
	served := filepath.Join(t.TempDir(), "served")
	if err := os.MkdirAll(filepath.Join(served, "wal"), 0o755); err != nil {
		t.Fatal(err)
	}
	steps := []struct{ name, line string }{
		{"says what would be done, and why not more", "pull FROM TO --still --dry-run"},
		{"brings nothing that would leave a hole", "pull FROM TO --still"},
		{"knows no block of that name", "pull FROM TO --still --block " + whole[:25] + "Z"},
		{"brings the rest when the damaged block is given up", "pull FROM TO --still --lost " + noIndex},
		{"reads nothing the second time, and installs", "pull FROM TO --still --lost " + noIndex + " --install -o json"},
		{"is done when all is there", "pull FROM TO --still --lost " + noIndex + " --install"},
		{"verifies what is there", "pull FROM TO --still --lost " + noIndex + " --seed TO"},
		{"installs nothing beside a server that was not named", "pull FROM SERVED --still --install --block " + whole},
		{"takes no directory of something else", "pull FROM ELSE --still"},
		{"says what an address needs", "pull old.example:9797 TO"},
		{"says what is no folder of certificates", "pull old.example:9797 TO --credentials ELSE"},
		{"reads sizes", "pull FROM TO --ceiling fast"},
		{"wants certificates or a socket to offer blocks", "agent source FROM --listen 127.0.0.1:0"},
		{"wants an address to offer blocks", "agent source FROM"},
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "letter.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seconds := regexp.MustCompile(`"seconds": [0-9.e-]+`)
	paths := strings.NewReplacer(from, "FROM", target, "TO", served, "SERVED", other, "ELSE")
	var all strings.Builder
	for _, s := range steps {
		line := strings.NewReplacer("FROM", from, "TO", target, "SERVED", served, "ELSE", other).Replace(s.line)
		code, out, errs := runCLI(t, append([]string{"prometheus"}, strings.Fields(line)...)...)
		text := fmt.Sprintf("# %s\n$ slipway prometheus %s\n%s%s", s.name, s.line, out, prefixed("stderr: ", errs))
		if code != ExitDone {
			text += fmt.Sprintf("exit code: %d\n", code)
		}
		all.WriteString(seconds.ReplaceAllString(paths.Replace(text), `"seconds": S`) + "\n")
	}
	golden.Check(t, "testdata/prometheus_pull.golden", all.String())
}

// lines is an output that tells when something was written.
type lines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	found chan string
	look  *regexp.Regexp
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.text.Write(p)
	if m := l.look.FindStringSubmatch(l.text.String()); m != nil && l.found != nil {
		l.found <- m[1]
		l.found = nil
	}
	return n, err
}

func TestPrometheusPullFromAnAgent(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	for range 2 {
		if code, out, errs := runCLI(t, "prometheus", "agent", "init", keys); code != ExitDone || !strings.Contains(out, filepath.Join(keys, "target")+": for the target's host") {
			t.Fatalf("%d: %s%s", code, out, errs)
		}
	}
	for _, file := range []string{"ca.key", "source/tls.key", "target/tls.key"} {
		if info, err := os.Stat(filepath.Join(keys, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	from := dataDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	errs := &lines{found: make(chan string, 1), look: regexp.MustCompile(`is offered at (\S+)\n`)}
	found, done := errs.found, make(chan int, 1)
	go func() {
		done <- Run(ctx, Options{Args: []string{"prometheus", "agent", "source", from, "--listen", "127.0.0.1:0", "--credentials", filepath.Join(keys, "source"), "--full-speed", "--ceiling", "50MiB", "--keep-free", "1KiB"},
			In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: errs})
	}()
	address := <-found
	target := t.TempDir()
	code, out, stderr := runCLI(t, "prometheus", "pull", address, target, "--credentials", filepath.Join(keys, "target"), "--lost", noIndex, "--install")
	if code != ExitDone || !strings.Contains(out, whole) || !strings.Contains(out, "installed") {
		t.Errorf("%d: %s%s", code, out, stderr)
	}
	if _, err := os.Stat(filepath.Join(target, whole, "index")); err != nil {
		t.Error(err)
	}
	if code, _, stderr := runCLI(t, "prometheus", "pull", address, t.TempDir(), "--credentials", filepath.Join(keys, "source")); code != ExitFailed || !strings.Contains(stderr, "certificate") {
		t.Errorf("with the source's own certificate: %d: %s", code, stderr)
	}
	cancel()
	if code := <-done; code != ExitDone {
		t.Errorf("the source ended with %d: %s", code, errs.text.String())
	}
}

func TestPullProgressIsALineEveryTenSeconds(t *testing.T) {
	now := time.Unix(0, 0)
	var out strings.Builder
	report := pullProgress(&out, func() time.Time { return now })
	p := transfer.Progress{Blocks: 3, BlocksDone: 1, BytesDone: 10 << 20, BytesTotal: 30 << 20, BytesPerSecond: 2 << 20, ETASeconds: 10, LimitedBy: transfer.LimitedByQueryLatency}
	for range 21 {
		report(p)
		now = now.Add(time.Second)
	}
	want := "1/3 blocks, 10.0 MiB of 30.0 MiB, 2.0 MiB/s, 10s left, limited by query_latency\n"
	if out.String() != want+want {
		t.Errorf("%q", out.String())
	}
}
