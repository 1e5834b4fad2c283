package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/test/golden"
)

// step is a command line and what it meets.
type step struct {
	// name says the outcome; line is split at spaces, more are words that hold some.
	name, line string
	more       []string
	stdin      string
	// next is what the API server answers the first request.
	next error
}

// transcript is a golden file: command lines with what they print, to be read as a user would.
type transcript struct {
	golden string
	// files stand in the working directory; objects in the management cluster, made anew for each step.
	files   map[string]string
	objects func() []client.Object
	logs    map[string]string // of pods
	steps   []step
}

var masks = []struct {
	found *regexp.Regexp
	by    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`(?m)^\d\d-\d\d \d\d:\d\d:\d\d`), "MM-DD hh:mm:ss"},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `), "hh:mm:ss "},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`(shop-check-|shop-scale-)[a-z0-9]{5}\b`), "${1}XXXXX"},
	{regexp.MustCompile(`("(?:ssh-privatekey|tls\.key)":)"[^"]*"`), `$1"SECRET"`},
	{regexp.MustCompile(`(?m) +$`), ""},
}

func (tr transcript) test(t *testing.T) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, text := range tr.files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all strings.Builder
	for _, s := range tr.steps {
		all.WriteString(tr.run(t, s))
	}
	golden.Check(t, filepath.Join(testdata, tr.golden+".golden"), all.String())
}

// run runs a step on a plane of its own and gives its piece of the golden file.
func (tr transcript) run(t *testing.T, s step) string {
	t.Helper()
	var objects []client.Object
	if tr.objects != nil {
		objects = tr.objects()
	}
	plane := newFakePlane(t, objects...)
	plane.logs = tr.logs
	if s.next != nil {
		plane.NextErr(s.next)
	}
	args := append(strings.Fields(s.line), s.more...)
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), Options{Args: args, In: strings.NewReader(s.stdin), Out: &stdout, Err: &stderr})
	text := fmt.Sprintf("# %s\n$ slipway %s\n", s.name, quoted(args))
	text += stdout.String() + prefixed("stderr: ", stderr.String())
	text += prefixed("request: ", strings.Join(plane.Writes(), "\n"))
	if code != ExitDone {
		text += fmt.Sprintf("exit code: %d\n", code)
	}
	for _, m := range masks {
		text = m.found.ReplaceAllString(text, m.by)
	}
	if secret := testKeyBody(t); strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret))) {
		t.Errorf("slipway %s shows the private key", s.line)
	}
	return text + "\n"
}

func quoted(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a
		if strings.ContainsAny(a, " ") || a == "" {
			words[i] = fmt.Sprintf("%q", a)
		}
	}
	return strings.Join(words, " ")
}

func prefixed(prefix, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(prefix + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}

// testKey is a private key that is the same in every run, with a passphrase where one is given.
func testKey(t *testing.T, passphrase string) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	block, err := gossh.MarshalPrivateKey(key, "test")
	if passphrase != "" {
		block, err = gossh.MarshalPrivateKeyWithPassphrase(key, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// testKeyBody is a part of the private key that must never be printed.
func testKeyBody(t *testing.T) string {
	t.Helper()
	return strings.Split(testKey(t, ""), "\n")[2]
}
