package client

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// serving gives the address of a server, which counts what it is asked.
func serving(t *testing.T, count *int, handle http.HandlerFunc) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*count++
		handle(w, r)
	}))
	t.Cleanup(h.Close)
	return h.URL
}

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}
}

func dial(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnotherEndpointIsAsked(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("{"))
	}
	for name, test := range map[string]struct {
		method string
		first  http.HandlerFunc // nil: nobody listens
		second int              // how often the second is asked
	}{
		"when nobody listens":                      {"GET", nil, 1},
		"when nobody listens, for a change too":    {"PUT", nil, 1},
		"when a proxy has nobody behind":           {"GET", says(502, ""), 1},
		"when the node has no master":              {"GET", says(503, `{"error":{"type":"master_not_discovered_exception"}}`), 1},
		"not for a change that may have happened":  {"PUT", says(502, ""), 0},
		"not when the queue is full":               {"GET", says(429, `{"error":{"type":"es_rejected_execution_exception"}}`), 0},
		"not when the answer is no":                {"GET", says(404, `{"error":{"type":"index_not_found_exception"}}`), 0},
		"not when what came cannot be understood":  {"GET", says(200, "<html>"), 0},
		"not when the answer was cut off, as well": {"GET", cut, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var first, second int
			one := gone.URL
			if test.first != nil {
				one = serving(t, &first, test.first)
			}
			c := dial(t, Options{Endpoints: []string{one, serving(t, &second, says(200, "{}"))}})
			var out any
			err := c.Call(t.Context(), test.method, "/_x", nil, nil, &out)
			if second != test.second || (err == nil) != (test.second == 1) {
				t.Fatalf("asked %d and %d times: %v", first, second, err)
			}
			if test.second == 1 {
				before := first
				if err := c.Call(t.Context(), test.method, "/_x", nil, nil, &out); err != nil || first != before {
					t.Errorf("the first is asked again: %v", err)
				}
			}
		})
	}
}

func TestAnswersAreLimitedAfterDecompression(t *testing.T) {
	var n int
	c := dial(t, Options{MaxBytes: 1 << 10, Endpoints: []string{serving(t, &n, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Error("it does not ask for gzip")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(`{"a":"` + strings.Repeat("a", len(r.URL.Path)*1000) + `"}`))
		_ = z.Close() // the client reads no more than its limit
	})}})
	var out struct{ A string }
	if err := c.Call(t.Context(), "GET", "", nil, nil, &out); err != nil || len(out.A) != 1000 {
		t.Errorf("%v, %d bytes", err, len(out.A))
	}
	if err := c.Call(t.Context(), "GET", "/longer", nil, nil, &out); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestACallEndsByItself(t *testing.T) {
	hold := make(chan struct{})
	var n int
	at := serving(t, &n, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	defer close(hold)
	c := dial(t, Options{Endpoints: []string{at}})
	c.o.Timeout = 20*time.Millisecond - grace
	err := c.Call(t.Context(), "GET", "/_x", url.Values{"secret": {"hunter2"}}, nil, nil)
	if err == nil || ClassOf(err) != Retry || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "/_x") {
		t.Errorf("%v", err)
	}
}

func TestWithList(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1,"list":{"x":2,"y":3},"b":"z"}`: "x=2 y=3 1 z",
		`{"list":{},"b":"z"}`:                  "0 z",
		`{}`:                                   "0 ",
		`{"list":[1]}`:                         "broken",
		`[]`:                                   "broken",
		`{"list":{"x":2`:                       "EOF",
		`{"a":"text","list":{}}`:               "cannot unmarshal",
	} {
		var v struct {
			A int
			B string
		}
		seen := ""
		err := withList(&v, "list", eachField(func(key string, n int) { seen += fmt.Sprintf("%s=%d ", key, n) }))(json.NewDecoder(strings.NewReader(text)))
		if seen += fmt.Sprintf("%d %s", v.A, v.B); err != nil {
			seen = err.Error()
		}
		if !strings.Contains(seen, want) {
			t.Errorf("%s: %q, want %q", text, seen, want)
		}
	}
}
