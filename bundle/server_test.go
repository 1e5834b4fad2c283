package bundle_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/bundle/bundletest"
)

func contentOf(t *testing.T, b *bundle.Bundle, name string) bundle.Content {
	t.Helper()
	c, ok := b.Manifest().Content(name)
	if !ok {
		t.Fatalf("no content %s", name)
	}
	return c
}

func blobURL(base, digest string) string {
	return base + "/blobs/sha256/" + strings.TrimPrefix(digest, "sha256:")
}

func TestServerAnswers(t *testing.T) {
	b := bundletest.Open(t, bundletest.Options{})
	other := bundletest.Open(t, bundletest.Options{Kubernetes: "v1.37.0", Contents: map[string]map[string]string{"etcd": {"usr/local/bin/etcd": "a newer etcd"}}})
	server := httptest.NewServer(bundle.NewServer(bundle.ServerOptions{Bundles: []*bundle.Bundle{b, other}}).Handler())
	defer server.Close()
	etcd := contentOf(t, b, "etcd")
	_, blob := bundletest.Archive(t, "etcd", map[string]string{"usr/local/bin/etcd": "the etcd of a test"})
	_, newBlob := bundletest.Archive(t, "etcd", map[string]string{"usr/local/bin/etcd": "a newer etcd"})
	tests := map[string]struct {
		method, url string
		headers     map[string]string
		status      int
		body        string
	}{
		"the manifest of a bundle":         {url: server.URL + "/manifest/" + b.Digest(), status: 200, body: string(b.ManifestBytes())},
		"the manifest of a second bundle":  {url: server.URL + "/manifest/" + other.Digest(), status: 200, body: string(other.ManifestBytes())},
		"a whole blob":                     {url: blobURL(server.URL, etcd.Digest), status: 200, body: string(blob)},
		"a blob of a second bundle":        {url: blobURL(server.URL, contentOf(t, other, "etcd").Digest), status: 200, body: string(newBlob)},
		"the rest of a blob":               {url: blobURL(server.URL, etcd.Digest), headers: map[string]string{"Range": "bytes=10-"}, status: 206, body: string(blob[10:])},
		"the rest, if it is the same blob": {url: blobURL(server.URL, etcd.Digest), headers: map[string]string{"Range": "bytes=10-", "If-Range": `"` + etcd.Digest + `"`}, status: 206, body: string(blob[10:])},
		"all, if it is another blob":       {url: blobURL(server.URL, etcd.Digest), headers: map[string]string{"Range": "bytes=10-", "If-Range": `"sha256:0"`}, status: 200, body: string(blob)},
		"a range behind the end":           {url: blobURL(server.URL, etcd.Digest), headers: map[string]string{"Range": "bytes=1000000-"}, status: 416, body: "*"},
		"nothing new":                      {url: blobURL(server.URL, etcd.Digest), headers: map[string]string{"If-None-Match": `"` + etcd.Digest + `"`}, status: 304},
		"no new manifest":                  {url: server.URL + "/manifest/" + b.Digest(), headers: map[string]string{"If-None-Match": `"` + b.Digest() + `"`}, status: 304},
		"the head of a blob":               {method: http.MethodHead, url: blobURL(server.URL, etcd.Digest), status: 200},
		"health":                           {url: server.URL + "/healthz", status: 200, body: "ok\n"},
		"404 for an unknown blob":          {url: blobURL(server.URL, bundle.DigestBytes(nil)), status: 404, body: "*"},
		"404 for an unknown manifest":      {url: server.URL + "/manifest/" + etcd.Digest, status: 404, body: "*"},
		"404 for a path":                   {url: server.URL + "/blobs/sha256/..%2f..%2fmanifest.json", status: 404, body: "*"},
		"405 for a write":                  {method: http.MethodPut, url: blobURL(server.URL, etcd.Digest), status: 405, body: "*"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status, body := fetch(t, http.DefaultClient, test.method, test.url, test.headers)
			if status != test.status || (test.body != "*" && body != test.body) {
				t.Errorf("got %d and %d bytes, want %d and %d bytes", status, len(body), test.status, len(test.body))
			}
		})
	}
}

func fetch(t *testing.T, client *http.Client, method, url string, headers map[string]string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range headers {
		request.Header.Set(key, value)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestServerSaysThatABlobIsMissing(t *testing.T) {
	dir := bundletest.Write(t, bundletest.Options{})
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	server := httptest.NewServer(bundle.NewServer(bundle.ServerOptions{Bundles: []*bundle.Bundle{b}}).Handler())
	defer server.Close()
	digest := contentOf(t, b, "etcd").Digest
	if err := os.Remove(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))); err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, http.DefaultClient, "", blobURL(server.URL, digest), nil); status != http.StatusInternalServerError {
		t.Errorf("got status %d", status)
	}
}

func TestServeRefusesPlainHTTPBeyondLoopback(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	err = bundle.NewServer(bundle.ServerOptions{}).Serve(t.Context(), listener)
	if err == nil || !strings.Contains(err.Error(), "give a certificate") {
		t.Fatalf("got %v, want a refusal", err)
	}
	if c, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		c.Close()
		t.Error("the listener is still open")
	}
}

func TestServeWithTLS(t *testing.T) {
	// httptest's certificate is for 127.0.0.1 and example.com.
	donor := httptest.NewTLSServer(http.NotFoundHandler())
	defer donor.Close()
	roots := x509.NewCertPool()
	roots.AddCert(donor.Certificate())
	b := bundletest.Open(t, bundletest.Options{})
	base, stop := serve(t, "https", bundle.ServerOptions{Bundles: []*bundle.Bundle{b}, TLS: &tls.Config{Certificates: donor.TLS.Certificates}})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	if status, body := fetch(t, client, "", base+"/manifest/"+b.Digest(), nil); status != 200 || body != string(b.ManifestBytes()) {
		t.Errorf("got status %d and %d bytes", status, len(body))
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// serve runs a server on loopback; the returned function stops it and gives what Serve returned.
func serve(t *testing.T, scheme string, o bundle.ServerOptions) (string, func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	finished := make(chan error, 1)
	go func() { finished <- bundle.NewServer(o).Serve(ctx, listener) }()
	t.Cleanup(cancel)
	return scheme + "://" + listener.Addr().String(), func() error { cancel(); return <-finished }
}

// bigBundle holds a blob that does not fit into the buffers of a connection.
func bigBundle(t *testing.T) (*bundle.Bundle, string) {
	t.Helper()
	noise := make([]byte, 16<<20)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	b := bundletest.Open(t, bundletest.Options{Contents: map[string]map[string]string{"etcd": {"usr/local/bin/etcd": string(noise)}}})
	return b, contentOf(t, b, "etcd").Digest
}

func open(t *testing.T, url string) io.ReadCloser {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	return response.Body
}

func TestServeFinishesTransfersBeforeItStops(t *testing.T) {
	b, digest := bigBundle(t)
	base, stop := serve(t, "http", bundle.ServerOptions{Bundles: []*bundle.Bundle{b}})
	body := open(t, blobURL(base, digest))
	defer body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	data, err := io.ReadAll(body)
	if err != nil || bundle.DigestBytes(data) != digest {
		t.Errorf("the running transfer was cut off after %d bytes: %v", len(data), err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func TestServeStopsWhenAReaderHangs(t *testing.T) {
	b, digest := bigBundle(t)
	base, stop := serve(t, "http", bundle.ServerOptions{Bundles: []*bundle.Bundle{b}, Grace: 50 * time.Millisecond})
	body := open(t, blobURL(base, digest))
	defer body.Close()
	if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

func TestServerBoundsTransfers(t *testing.T) {
	b, digest := bigBundle(t)
	base, _ := serve(t, "http", bundle.ServerOptions{Bundles: []*bundle.Bundle{b}, MaxTransfers: 1, Grace: time.Millisecond})
	first := open(t, blobURL(base, digest))
	asked, answered, size := make(chan struct{}), make(chan struct{}), make(chan int64, 1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { close(asked) },
		GotFirstResponseByte: func() { close(answered) },
	})
	go func() {
		defer close(size)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, blobURL(base, digest), nil)
		if err != nil {
			return
		}
		response, err := (&http.Transport{}).RoundTrip(request)
		if err != nil {
			return
		}
		defer response.Body.Close()
		n, _ := io.Copy(io.Discard, response.Body)
		size <- n
	}()
	<-asked
	// Small answers go on, and while they do the second transfer would begin if it could.
	for range 50 {
		if status, _ := fetch(t, http.DefaultClient, "", base+"/healthz", nil); status != 200 {
			t.Errorf("health while transfers wait: %d", status)
		}
	}
	select {
	case <-answered:
		t.Error("the second transfer began while the first held the only place")
	default:
	}
	first.Close()
	if n := <-size; n != contentOf(t, b, "etcd").Size {
		t.Errorf("the second transfer got %d bytes", n)
	}
}
