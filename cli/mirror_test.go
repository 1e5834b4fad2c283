package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/bundle/bundletest"
)

func testMirror(t *testing.T, dir, listen string, urls ...string) *mirror {
	t.Helper()
	b, err := bundle.Open(bundletest.Write(t, bundletest.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMirror(dir, listen, urls, []*bundle.Bundle{b}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stopping the mirror: %v", err)
		}
		_ = b.Close()
	})
	return m
}

// get asks the mirror as a machine does that was told its authority; name overrides the name in the URL.
func get(t *testing.T, m *mirror, url, name string) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.ca.Certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(url + "/healthz")
	if err != nil {
		return err
	}
	return response.Body.Close()
}

func TestMirrorIsTrustedByItsAddress(t *testing.T) {
	dir := t.TempDir()
	m := testMirror(t, dir, "127.0.0.1:0", "https://mirror.example:8443")
	address := "https://" + m.listener.Addr().String()
	if err := get(t, m, address, ""); err != nil {
		t.Errorf("by its address: %v", err)
	}
	if err := get(t, m, address, "mirror.example"); err != nil {
		t.Errorf("by the name in its URL: %v", err)
	}
	if err := get(t, m, address, "other.example"); err == nil {
		t.Error("it is trusted under a name that it does not have")
	}
	again := testMirror(t, dir, "127.0.0.1:0")
	if diff := cmp.Diff(string(m.ca.Certificate), string(again.ca.Certificate)); diff != "" {
		t.Error("its authority changes with a restart")
	}
}

func TestMirrorURLs(t *testing.T) {
	named := testMirror(t, t.TempDir(), "127.0.0.1:0", "https://b:1", "https://a:1")
	if diff := cmp.Diff([]string{"https://b:1", "https://a:1"}, named.urls()); diff != "" {
		t.Error(diff)
	}
	bound := testMirror(t, t.TempDir(), "127.0.0.1:0")
	if diff := cmp.Diff([]string{"https://" + bound.listener.Addr().String()}, bound.urls()); diff != "" {
		t.Error(diff)
	}
	for _, url := range testMirror(t, t.TempDir(), "0.0.0.0:0").urls() {
		if strings.Contains(url, "0.0.0.0") || strings.Contains(url, "127.0.0.1") {
			t.Errorf("no machine can reach %s", url)
		}
	}
}

func TestMirrorTakesAnotherPortOnlyWhenNoneIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if listener, err := listenMirror(taken.Addr().String()); err == nil {
		listener.Close()
		t.Error("a port that is in use was taken")
	}
	for range 2 { // the second cannot have the default port
		listener, err := listenMirror("")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
}

func TestBundlesAreKept(t *testing.T) {
	home := upHome(t.TempDir())
	old := bundletest.Write(t, bundletest.Options{Kubernetes: "v1.35.1"})
	fresh := bundletest.Write(t, bundletest.Options{})
	versions := func(named ...string) []string {
		t.Helper()
		open, err := openBundles(t.Context(), home, named, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = closeBundles(open) }()
		var out []string
		for _, b := range open {
			out = append(out, b.Manifest().Kubernetes)
		}
		return out
	}
	if diff := cmp.Diff([]string{"v1.35.1"}, versions(old)); diff != "" {
		t.Errorf("first start:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"v1.36.3", "v1.35.1"}, versions(fresh)); diff != "" {
		t.Errorf("the one that is named comes first, the old one stays:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"v1.35.1", "v1.36.3"}, versions(old, old)); diff != "" {
		t.Errorf("the same twice is one:\n%s", diff)
	}
	if _, err := openBundles(t.Context(), home, []string{filepath.Join(t.TempDir(), "none")}, false, nil); err == nil {
		t.Error("a bundle that is not there was opened")
	}
}
