package server

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func query(ctx context.Context, c *Client) error {
	var any json.RawMessage
	_, err := c.Call(ctx, http.MethodPost, "/api/v1/query", url.Values{"query": {"up"}}, Into(&any))
	return err
}

func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewRefuses(t *testing.T) {
	const good = "http://prometheus:9090"
	tests := map[string]struct {
		o    Options
		want string
	}{
		"a password in the address":  {Options{URL: "http://me:hunter2@prometheus:9090"}, "user or password"},
		"no address":                 {Options{}, "is not an address"},
		"an address without meaning": {Options{URL: "http://%zz:hunter2@x"}, "not a URL"},
		"another protocol":           {Options{URL: "ftp://prometheus"}, "is not an address"},
		"a query in the address":     {Options{URL: good + "?token=hunter2"}, "query"},
		"a token and a user":         {Options{URL: good, TokenFile: "x", User: "me"}, "either"},
		"a password without a user":  {Options{URL: good, PasswordFile: "x"}, "needs a user"},
		"an empty token":             {Options{URL: good, TokenFile: fileWith(t, "\n")}, "one line"},
		"a token of two lines":       {Options{URL: good, TokenFile: fileWith(t, "hunter2\nx")}, "one line"},
		"an authority that is none":  {Options{URL: good, CAFile: fileWith(t, "hunter2")}, "no certificate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v; want %q and no secret", err, test.want)
			}
		})
	}
}

func TestClientSendsItsSecretAndNeverTellsIt(t *testing.T) {
	var got []string
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got = append(got, r.URL.Path, user, password, r.Header.Get("Authorization")[:6])
		w.WriteHeader(http.StatusUnauthorized)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	defer h.Close()
	ca := fileWith(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})))
	secret := fileWith(t, "hunter2\n")
	for _, o := range []Options{
		{Name: "source", URL: h.URL + "/prefix/", CAFile: ca, User: "me", PasswordFile: secret},
		{Name: "source", URL: h.URL, CAFile: ca, TokenFile: secret},
	} {
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		err = query(t.Context(), c)
		var status *StatusError
		if !errors.As(err, &status) || status.Code != http.StatusUnauthorized || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	want := []string{"/prefix/api/v1/query", "me", "hunter2", "Basic ", "/api/v1/query", "", "", "Bearer"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	stranger, err := New(Options{Name: "source", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := query(t.Context(), stranger); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}

func TestClientEndsInTime(t *testing.T) {
	hang := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer h.Close()
	defer close(hang)
	c, err := New(Options{Name: "source", URL: h.URL, Timeout: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := query(t.Context(), c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := query(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

func TestClientYieldsAfterASlowAnswer(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	}))
	defer h.Close()
	c, err := New(Options{Name: "source", URL: h.URL, LatencyBudget: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := query(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	l := c.Load()
	if l.Requests != 1 || l.OverBudget != 1 || l.SecondsYielded <= 0 || l.Bytes != 63 {
		t.Errorf("%+v", l)
	}
}
