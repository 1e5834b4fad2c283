package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/bundle/bundletest"
)

func runBundle(ctx context.Context, stdout, stderr io.Writer, args ...string) error {
	cmd := NewBundleCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetArgs(args)
	return cmd.ExecuteContext(ctx)
}

func TestBundleInspect(t *testing.T) {
	dir := bundletest.Write(t, bundletest.Options{Change: func(m *bundle.Manifest) {
		m.Components = []bundle.Component{{Name: "etcd", Version: "v3.6.8", Licence: "Apache-2.0", Module: "go.etcd.io/etcd/server/v3"}}
	}})
	tests := map[string]struct {
		args []string
		want []string
		err  string
	}{
		"prints a table":               {want: []string{"v1.36.3", "kubernetes-node   Files", "etcd        v3.6.8    Apache-2.0"}},
		"prints whole digests if wide": {args: []string{"-o", "wide"}, want: []string{"etcd              Files   0.0 MiB   0.0 MiB    1       sha256:"}},
		"prints yaml":                  {args: []string{"-o", "yaml"}, want: []string{"digest: sha256:", "kubernetes: v1.36.3"}},
		"refuses another format":       {args: []string{"-o", "xml"}, err: `"xml" is not one of`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := runBundle(t.Context(), &out, io.Discard, append([]string{"inspect", dir}, test.args...)...)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want an error with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestBundleInspectPrintsJSONThatHoldsTheManifest(t *testing.T) {
	b := bundletest.Open(t, bundletest.Options{})
	var out bytes.Buffer
	if err := runBundle(t.Context(), &out, io.Discard, "inspect", b.Path(), "-o", "json"); err != nil {
		t.Fatal(err)
	}
	var view bundleView
	if err := json.Unmarshal(out.Bytes(), &view); err != nil {
		t.Fatal(err)
	}
	if view.Digest != b.Digest() || len(view.Contents) != 2 {
		t.Errorf("got digest %s and %d contents", view.Digest, len(view.Contents))
	}
}

func TestBundleVerify(t *testing.T) {
	good := bundletest.Open(t, bundletest.Options{})
	damaged := bundletest.Write(t, bundletest.Options{})
	etcd, _ := good.Manifest().Content("etcd")
	blob := filepath.Join("blobs", "sha256", strings.TrimPrefix(etcd.Digest, "sha256:"))
	if err := os.WriteFile(filepath.Join(damaged, blob), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		err  string
	}{
		"passes a whole bundle":       {args: []string{good.Path()}},
		"passes with its digest":      {args: []string{good.Path(), "--digest", good.Digest()}},
		"refuses another digest":      {args: []string{good.Path(), "--digest", "sha256:0"}, err: "its digest is " + good.Digest()},
		"names the damaged blob":      {args: []string{damaged}, err: filepath.ToSlash(blob)},
		"says how to make a bundle":   {args: []string{filepath.Join(t.TempDir(), "none")}, err: "slipway bundle build"},
		"asks for the bundle to read": {err: "accepts 1 arg"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := runBundle(t.Context(), io.Discard, io.Discard, append([]string{"verify"}, test.args...)...)
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want an error with %q", err, test.err)
			}
		})
	}
}

func TestBundleServe(t *testing.T) {
	b := bundletest.Open(t, bundletest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	finished := make(chan error, 1)
	go func() {
		finished <- runBundle(ctx, in, io.Discard, "serve", "--listen", "127.0.0.1:0", b.Path())
		in.Close()
	}()
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	url, _, _ := strings.Cut(string(line[:n]), " ")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || bundle.DigestBytes(body) != b.Digest() {
		t.Errorf("%s: got %d bytes, %v", url, len(body), err)
	}
	cancel()
	if err := <-finished; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestBundleServeRefusesPlainHTTPBeyondLoopback(t *testing.T) {
	b := bundletest.Open(t, bundletest.Options{})
	err := runBundle(t.Context(), io.Discard, io.Discard, "serve", "--listen", "0.0.0.0:0", b.Path())
	if err == nil || !strings.Contains(err.Error(), "give a certificate") {
		t.Errorf("got %v", err)
	}
}

func TestBuildPrinter(t *testing.T) {
	var out bytes.Buffer
	p := newBuildPrinter(&out, false)
	for _, e := range []bundle.Event{
		{Step: "compiling etcd", State: bundle.StepStarted},
		{Step: "compiling etcd", State: bundle.StepFinished, Elapsed: 1500 * time.Millisecond},
		{Step: "compiling kubelet", State: bundle.StepCached},
		{Step: "compiling runc", State: bundle.StepStarted},
		{Step: "compiling runc", State: bundle.StepFailed},
		{Step: "compiling kubectl", State: bundle.StepStarted},
	} {
		p.event(e)
	}
	p.printRunning()
	p.remind(time.Hour)()
	for _, want := range []string{"compiling etcd: done in 1.5s", "compiling runc: failed", "still compiling kubectl", "1 steps were in the cache"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "compiling kubelet") {
		t.Errorf("a cached step is printed:\n%s", out.String())
	}
}
