package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answering gives the client of a server that always answers the same.
func answering(t testing.TB, code int, text string) *Client {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(h.Close)
	c, err := New(Options{Name: "source", URL: h.URL, MaxBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCallTakesWholeAnswersOnly(t *testing.T) {
	const good = `{"status":"success","data":["a","b"]`
	tests := map[string]struct {
		code  int
		text  string
		infos []string
		err   error  // what it is
		says  string // what it says
	}{
		"a whole answer":                {200, good + `}`, nil, nil, ""},
		"infos are handed on":           {200, good + `,"infos":["PromQL info: x"]}`, []string{"PromQL info: x"}, nil, ""},
		"a warning about the query too": {200, good + `,"warnings":["PromQL warning: x"]}`, []string{"PromQL warning: x"}, nil, ""},
		"a warning is an error":         {200, good + `,"warnings":["remote read failed"]}`, nil, &WarningError{}, "may be partial: remote read failed"},
		"an answer that is cut off":     {200, good, nil, ErrBroken, "ends too early"},
		"another type of data":          {200, `{"status":"success","data":{"a":1}}`, nil, ErrBroken, "cannot unmarshal"},
		"a page":                        {200, `<html>`, nil, ErrBroken, "invalid character"},
		"a list":                        {200, `[1]`, nil, ErrBroken, "should"},
		"a status that is not success":  {200, `{"status":"error","error":"bad data"}`, nil, ErrBroken, "bad data"},
		"an answer above the limit":     {200, `{"status":"success","data":["` + strings.Repeat("a", 5000) + `"]}`, nil, ErrTooLarge, "4096 bytes"},
		"a refusal with its error":      {422, `{"status":"error","error":"no such\nthing"}`, nil, &StatusError{}, "status 422: no such thing"},
		"a refusal without JSON":        {401, "Unauthorized\n", nil, &StatusError{}, "status 401: Unauthorized"},
		"a redirect is not followed":    {302, "", nil, &StatusError{}, "status 302"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var data []string
			infos, err := answering(t, test.code, test.text).Call(t.Context(), http.MethodGet, "/api/v1/x", url.Values{"secret": {"hunter2"}}, Into(&data))
			if test.err == nil && err != nil || test.err != nil && (err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2")) {
				t.Fatalf("%v", err)
			}
			if test.err == nil {
				if diff := cmp.Diff([]string{"a", "b"}, data) + cmp.Diff(test.infos, infos); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				return
			}
			var ask *AskError
			if !errors.As(err, &ask) {
				t.Fatalf("it does not name server and path: %v", err)
			}
			if !errors.Is(err, test.err) && reflect.TypeOf(ask.Err) != reflect.TypeOf(test.err) {
				t.Errorf("another kind of error: %v", err)
			}
		})
	}
}

func TestEachStopsAtAnError(t *testing.T) {
	stop := errors.New("enough")
	var got []int
	_, err := answering(t, 200, `{"status":"success","data":[1,2,3]}`).Call(t.Context(), http.MethodGet, "/", nil, Each(func(n int) error {
		if got = append(got, n); n == 2 {
			return stop
		}
		return nil
	}))
	if !errors.Is(err, stop) || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestIsAbsent(t *testing.T) {
	for code, want := range map[int]bool{404: true, 400: false, 500: false} {
		_, err := answering(t, code, "").Call(t.Context(), http.MethodGet, "/", nil, Into(new(any)))
		if IsAbsent(err) != want {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func FuzzCall(f *testing.F) {
	f.Add(`{"status":"success","data":["a"],"warnings":["x"]}`)
	f.Add(`{"status":"success","data":`)
	f.Add(`{"data":[],"data":[1],"status":"success"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var data []string
		if _, err := answering(t, 200, text).Call(t.Context(), http.MethodGet, "/", nil, Into(&data)); err == nil && !strings.Contains(text, "success") {
			t.Errorf("%q was taken for a success", text)
		}
	})
}

func TestReload(t *testing.T) {
	for name, test := range map[string]struct {
		code int
		want string
	}{
		"a server that reads it again":              {http.StatusOK, ""},
		"one without lifecycle says so":             {http.StatusForbidden, ErrNoLifecycle.Error()},
		"an older one without lifecycle":            {http.StatusMethodNotAllowed, ErrNoLifecycle.Error()},
		"a file that cannot be read is an error":    {http.StatusInternalServerError, "failed to reload config"},
		"one behind a proxy that lets none through": {http.StatusNotFound, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/-/reload" {
					t.Errorf("%s %s", r.Method, r.URL.Path)
				}
				http.Error(w, "failed to reload config", test.code)
			}))
			defer web.Close()
			c, err := New(Options{URL: web.URL})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Reload(t.Context()); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
		})
	}
}
