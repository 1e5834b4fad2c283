package proof

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewServerRefuses(t *testing.T) {
	const good = "http://prometheus:9090"
	tests := map[string]struct {
		o    ServerOptions
		want string
	}{
		"a password in the address":  {ServerOptions{URL: "http://me:hunter2@prometheus:9090"}, "user or password"},
		"no address":                 {ServerOptions{}, "is not an address"},
		"an address without meaning": {ServerOptions{URL: "http://%zz:hunter2@x"}, "not a URL"},
		"another protocol":           {ServerOptions{URL: "ftp://prometheus"}, "is not an address"},
		"a query in the address":     {ServerOptions{URL: good + "?token=hunter2"}, "query"},
		"a token and a user":         {ServerOptions{URL: good, TokenFile: "x", User: "me"}, "either"},
		"a password without a user":  {ServerOptions{URL: good, PasswordFile: "x"}, "needs a user"},
		"an empty token":             {ServerOptions{URL: good, TokenFile: fileWith(t, "\n")}, "one line"},
		"a token of two lines":       {ServerOptions{URL: good, TokenFile: fileWith(t, "hunter2\nx")}, "one line"},
		"an authority that is none":  {ServerOptions{URL: good, CAFile: fileWith(t, "hunter2")}, "no certificate"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewServer(test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v; want %q and no secret", err, test.want)
			}
		})
	}
}

func TestServerSendsItsSecretAndNeverTellsIt(t *testing.T) {
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
	for _, o := range []ServerOptions{
		{Name: "source", URL: h.URL + "/prefix/", CAFile: ca, User: "me", PasswordFile: secret},
		{Name: "source", URL: h.URL, CAFile: ca, TokenFile: secret},
	} {
		s, err := NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Query(t.Context(), "up", 0)
		var status *StatusError
		if !errors.As(err, &status) || status.Code != http.StatusUnauthorized || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	want := []string{"/prefix/api/v1/query", "me", "hunter2", "Basic ", "/api/v1/query", "", "", "Bearer"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	stranger, err := NewServer(ServerOptions{Name: "source", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Query(t.Context(), "up", 0); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}

func TestServerEndsInTime(t *testing.T) {
	hang := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer h.Close()
	defer close(hang)
	s, err := NewServer(ServerOptions{Name: "source", URL: h.URL, Timeout: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Query(t.Context(), "up", 0); kindOf(err) != TimedOut {
		t.Errorf("a slow answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Query(ctx, "up", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

func TestServerYieldsAfterASlowAnswer(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	}))
	defer h.Close()
	s, err := NewServer(ServerOptions{Name: "source", URL: h.URL, LatencyBudget: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Query(t.Context(), "up", 0); err != nil {
		t.Fatal(err)
	}
	l := s.Load()
	if l.Requests != 1 || l.OverBudget != 1 || l.SecondsYielded <= 0 || l.Bytes != 63 {
		t.Errorf("%+v", l)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	source := newFront(t, history())
	ctx, cancel := context.WithCancel(t.Context())
	source.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/read" {
			cancel()
		}
		return false
	}
	_, err := Run(ctx, Options{Source: source.serve(t, "source"), Target: newFront(t, handedOver()).serve(t, "target"), Seam: seamAt})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
