package transfer

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/block"
)

// TestSources is the contract of every Source: a directory, and the same directory over TLS and over a socket.
func TestSources(t *testing.T) {
	keys := credentials(t)
	kinds := map[string]func(t *testing.T, l *Local) Source{
		"local":    func(_ *testing.T, l *Local) Source { return l },
		"over TLS": func(t *testing.T, l *Local) Source { return client(t, serve(t, l, keys), keys) },
		"over a socket": func(t *testing.T, l *Local) Source {
			path := filepath.Join(t.TempDir(), "s")
			listener, err := Listen("unix:"+path, "")
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("the socket is open to others: %v, %v", info.Mode(), err)
			}
			server := httptest.Server{Listener: listener, Config: &http.Server{Handler: NewServer(ServerOptions{Source: l})}}
			server.Start()
			t.Cleanup(server.Close)
			c, err := NewClient(ClientOptions{Address: "unix:" + path})
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
	}
	for kind, open := range kinds {
		t.Run(kind, func(t *testing.T) {
			dir, names := sourceDir(t)
			s := open(t, openLocal(t, LocalOptions{Data: dir}))
			sourceContract(t, s, names)
		})
	}
}

func sourceContract(t *testing.T, s Source, names []string) {
	ctx := t.Context()
	l, err := s.Blocks(ctx)
	if err != nil || len(l.Blocks) != 3 || l.Blocks[0].Name != names[2] || l.Blocks[0].Meta.MinTime != fixtureStart {
		t.Fatalf("%+v, %v", l, err)
	}
	wantCode(t, "reading what is not pinned", NotPinned, read(t, s, Range{names[0], "index", 0, 10}))
	_, err = s.Files(ctx, names[0])
	wantCode(t, "listing what is not pinned", NotPinned, err)
	wantCode(t, "pinning what is not there", NotFound, s.Pin(ctx, []string{"01DXXFZDYD1MQW6079WK0K6EDQ"}))
	wantCode(t, "pinning what is no block", BadRequest, s.Pin(ctx, []string{"../etc"}))
	for range 2 {
		if err := s.Pin(ctx, names[:2]); err != nil {
			t.Fatal(err)
		}
	}
	files, err := s.Files(ctx, names[0])
	if err != nil || len(files) < 4 || files[len(files)-1].Name != "tombstones" {
		t.Fatalf("%+v, %v", files, err)
	}
	for _, r := range []Range{
		{names[0], "../" + names[1] + "/index", 0, 10}, {names[0], "/etc/passwd", 0, 10}, {names[0], "chunks/../index", 0, 10}, {names[0], "chunks", 0, 10},
		{names[0], "index", -1, 10}, {names[0], "index", 0, MaxRange + 1}, {names[0], "index", 0, -5}, {names[0], "index", 1 << 40, 10}, {"..", "index", 0, 10}, {names[2], "index", 0, 10},
	} {
		if err := read(t, s, r); err == nil {
			t.Errorf("%v was read", r)
		}
	}
	var got bytes.Buffer
	sum, err := s.Read(ctx, Range{names[0], "index", 5, 5000}, &got)
	report, scrubErr := s.Scrub(ctx, names[0], 10_000)
	if err != nil || scrubErr != nil || report.Verdict != block.OK || len(report.Sums) != len(files) {
		t.Fatalf("%v, %v, %+v", err, scrubErr, report)
	}
	from, _ := blocks()
	want := contents(t, filepath.Join(from, names[0]))["index"][5:5005]
	if got.String() != want || sum != sumText(want) {
		t.Errorf("%d bytes with the sum %v", got.Len(), sum)
	}
	status, err := s.Status(ctx)
	if err != nil || status.BytesRead < int64(len(want)) || !cmp.Equal(status.Pinned, []string{names[1], names[0]}) || status.Disk == nil || status.Disk.FreeBytes > status.Disk.SizeBytes || status.Disk.SizeBytes <= 0 {
		t.Errorf("%+v, %v", status, err)
	}
	for range 2 {
		if err := s.Unpin(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "reading what was let go", NotPinned, read(t, s, Range{names[0], "index", 0, 10}))
}

func read(t *testing.T, s Source, r Range) error {
	_, err := s.Read(t.Context(), r, io.Discard)
	return err
}

func wantCode(t *testing.T, what string, want Code, err error) {
	t.Helper()
	if err == nil || codeOf(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestServerRefusesWhoHasNoCertificateOfItsAuthority(t *testing.T) {
	dir, _ := sourceDir(t)
	keys, others := credentials(t), credentials(t)
	address := serve(t, openLocal(t, LocalOptions{Data: dir}), keys)
	config := func(folder string) *tls.Config {
		c, err := TargetTLS(folder)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	good := config(filepath.Join(keys, "target"))
	stranger, nobody, old, asSource := good.Clone(), good.Clone(), good.Clone(), good.Clone()
	stranger.Certificates = config(filepath.Join(others, "target")).Certificates
	nobody.Certificates = nil
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	server, err := SourceTLS(filepath.Join(keys, "source"))
	if err != nil {
		t.Fatal(err)
	}
	asSource.Certificates = server.Certificates
	tests := map[string]*tls.Config{
		"a certificate of another authority": stranger, "no certificate": nobody, "TLS 1.2": old, "a source's certificate": asSource,
		"a client that trusts another authority": config(filepath.Join(others, "target")),
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			client, err := NewClient(ClientOptions{Address: address, TLS: c})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := client.Blocks(t.Context()); err == nil {
				t.Error("was let in")
			}
		})
	}
	if _, err := client(t, address, keys).Blocks(t.Context()); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestPullStopsAtOnceAtAWrongCertificate(t *testing.T) {
	dir, names := sourceDir(t)
	keys, others := credentials(t), credentials(t)
	address := serve(t, openLocal(t, LocalOptions{Data: dir}), keys)
	for _, file := range []string{"tls.crt", "tls.key"} { // ours, trusting the right authority
		data, err := os.ReadFile(filepath.Join(others, "target", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(keys, "target", file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for what, folder := range map[string]string{"the source's": others, "ours": keys} {
		o := pullOptions(client(t, address, folder), t.TempDir(), names)
		o.Patience = time.Hour
		if _, err := Pull(t.Context(), o); err == nil || !strings.Contains(err.Error(), "certificate") && !strings.Contains(err.Error(), "tls:") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestServerRefusesHostileRequests(t *testing.T) {
	dir, names := sourceDir(t)
	local := openLocal(t, LocalOptions{Data: dir})
	if err := local.Pin(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerOptions{Source: local})
	q := func(file, offset, bytes string) string {
		return "/v2/blocks/" + names[0] + "/bytes?" + url.Values{"file": {file}, "offset": {offset}, "bytes": {bytes}}.Encode()
	}
	tests := map[string]struct {
		method, target, body string
		want                 int
	}{
		"a path out of the block":        {"GET", q("../../etc/passwd", "0", "10"), "", 404},
		"an absolute path":               {"GET", q("/etc/passwd", "0", "10"), "", 404},
		"a long name":                    {"GET", q(strings.Repeat("a", 100), "0", "10"), "", 400},
		"no file":                        {"GET", q("", "0", "10"), "", 400},
		"a negative offset":              {"GET", q("index", "-1", "10"), "", 400},
		"an offset beyond the end":       {"GET", q("index", "99999999", "10"), "", 400},
		"more than is allowed":           {"GET", q("index", "0", "67108865"), "", 400},
		"nothing":                        {"GET", q("index", "0", "0"), "", 400},
		"a number that is none":          {"GET", q("index", "0x1", "10"), "", 400},
		"a block that is none":           {"GET", "/v2/blocks/wal/files", "", 400},
		"a block by a path":              {"GET", "/v2/blocks/..%2F..%2Fetc/files", "", 400},
		"a scrub in pieces of nothing":   {"GET", "/v2/blocks/" + names[0] + "/scrub?piece=0", "", 400},
		"a pin of nothing":               {"PUT", "/v2/pin", `{"blocks":[]}`, 400},
		"a pin of a path":                {"PUT", "/v2/pin", `{"blocks":["../wal"]}`, 400},
		"a pin with something unknown":   {"PUT", "/v2/pin", `{"blocks":["` + names[0] + `"],"folder":"/"}`, 400},
		"a pin that is no JSON":          {"PUT", "/v2/pin", strings.Repeat("[", 100_000), 400},
		"a pin of more than is allowed":  {"PUT", "/v2/pin", `{"blocks":["` + strings.Repeat("a", maxBody) + `"]}`, 400},
		"a method that there is not":     {"POST", "/v2/pin", "", 405},
		"a page that there is not":       {"GET", "/v2/../../etc/passwd", "", 404},
		"a file of another pinned block": {"GET", q("../"+names[1]+"/index", "0", "10"), "", 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.mux.ServeHTTP(w, httptest.NewRequest(test.method, test.target, strings.NewReader(test.body)))
			if w.Code != test.want && (w.Code < 300 || w.Code > 399) {
				t.Errorf("%d, want %d: %s", w.Code, test.want, w.Body)
			}
			if strings.Contains(w.Body.String(), "root:") {
				t.Error("a file of the host was given away")
			}
		})
	}
}

func TestServerTakesNoMoreReadersThanItCan(t *testing.T) {
	dir, names := sourceDir(t)
	s := NewServer(ServerOptions{Source: openLocal(t, LocalOptions{Data: dir, Still: true})})
	for range maxReaders {
		if err := s.enter(); err != nil {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	get := httptest.NewRequest("GET", "/v2/blocks/"+names[0]+"/bytes?file=index&offset=0&bytes=10", nil)
	s.ServeHTTP(w, get)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d", w.Code)
	}
	s.leave()
	w = httptest.NewRecorder()
	s.ServeHTTP(w, get)
	if w.Code != http.StatusOK || w.Body.Len() != 10 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestClientTakesNoBrokenAnswer(t *testing.T) {
	answers := map[string]string{
		"cut off":                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Slipway-Xxh3\r\n\r\n5\r\nhello\r\n",
		"without a sum":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhellohello\r\n0\r\n\r\n",
		"longer than asked for":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nF\r\nhellohellohello\r\n0\r\n\r\n",
		"shorter than asked for":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Slipway-Xxh3\r\n\r\n5\r\nhello\r\n0\r\nSlipway-Xxh3: " + strings.Repeat("0", 32) + "\r\n\r\n",
		"with an error behind it":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Slipway-Error\r\n\r\n5\r\nhello\r\n0\r\nSlipway-Error: bad_disk input/output error\r\n\r\n",
		"that is no HTTP":          "hello\r\n\r\n",
		"that is a page of others": "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nhello",
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					_, _ = io.WriteString(conn, answer)
					_ = conn.Close()
				}
			}()
			c, err := NewClient(ClientOptions{Address: "unix:" + path})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Read(t.Context(), Range{"01DXXFZDYD1MQW6079WK0K6EDQ", "index", 0, 10}, io.Discard); err == nil {
				t.Error("was taken")
			}
		})
	}
}

// liar is a source that says what it should not.
type liar struct {
	Source
	list  *block.Listing
	files []block.FileInfo
}

func (l *liar) Blocks(context.Context) (*block.Listing, error) { return l.list, nil }

func (l *liar) Files(context.Context, string) ([]block.FileInfo, error) { return l.files, nil }

func TestNamesOfTheSourceAreNotBelieved(t *testing.T) {
	dir, names := sourceDir(t)
	local := openLocal(t, LocalOptions{Data: dir})
	keys := credentials(t)
	for _, name := range []string{"../etc", "evil\n\x1b[31m", "", names[0] + "/.."} {
		source := &liar{Source: local, list: &block.Listing{Blocks: []block.Entry{{Name: name, Verdict: block.OK}}}}
		if _, err := client(t, serve(t, source, keys), keys).Blocks(t.Context()); err == nil {
			t.Errorf("the block %q was taken", name)
		}
	}
	for _, files := range [][]block.FileInfo{
		{{Name: "../../../etc/cron.d/x", Bytes: 10}}, {{Name: "/etc/passwd", Bytes: 10}}, {{Name: "chunks/../../x", Bytes: 10}}, {{Name: "lock", Bytes: 10}},
		{{Name: "index", Bytes: -1}}, {{Name: "index", Bytes: 1 << 60}}, {{Name: "index", Bytes: 5}, {Name: "index", Bytes: 5}},
	} {
		target := t.TempDir()
		if _, err := Pull(t.Context(), pullOptions(&liar{Source: local, files: files}, target, names[:1])); err == nil || !strings.Contains(err.Error(), "cannot be one of a block") {
			t.Errorf("%v: %v", files, err)
		}
		if entries, _ := os.ReadDir(filepath.Join(target, StagingFolder)); len(entries) > 2 {
			t.Errorf("%v: left %v", files, entries)
		}
	}
}

func FuzzRequests(f *testing.F) {
	f.Add("01DXXFZDYD1MQW6079WK0K6EDQ", "file=index&offset=0&bytes=10", []byte(`{"blocks":["01DXXFZDYD1MQW6079WK0K6EDQ"]}`))
	f.Add("..", "file=../index&offset=-1&bytes=99999999999999999999", []byte(`{"blocks":[]}`))
	f.Fuzz(func(t *testing.T, name, query string, body []byte) {
		q, _ := url.ParseQuery(query)
		r, err := readRange(name, q)
		if err == nil && (len(r.Block) != 26 || strings.ContainsAny(r.Block, "/.\x00") || r.Offset < 0 || r.Bytes < 1 || r.Bytes > MaxRange || len(r.File) > maxFileName) {
			t.Fatalf("%+v passes", r)
		}
		p, err := readPinRequest(bytes.NewReader(body))
		if err != nil {
			if codeOf(err) != BadRequest {
				t.Fatal(err)
			}
			return
		}
		for _, name := range p.Blocks {
			if len(name) != 26 || strings.ContainsAny(name, "/.\x00") {
				t.Fatalf("%q passes", name)
			}
		}
	})
}

func TestClientNamesASourceOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }() // it ends with Close
	defer server.Close()
	c, err := NewClient(ClientOptions{Address: "unix:" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Blocks(t.Context()); err == nil || !strings.Contains(err.Error(), "put the same slipway-agent on both hosts") {
		t.Errorf("%v", err)
	}
}
