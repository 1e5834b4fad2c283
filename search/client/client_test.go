package client

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewRefuses(t *testing.T) {
	good := []string{"https://es:9200"}
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"no address":                 {Options{}, "no address"},
		"a password in the address":  {Options{Endpoints: []string{"https://me:hunter2@es:9200"}}, "user or password"},
		"an address without meaning": {Options{Endpoints: []string{"http://%zz:hunter2@x"}}, "not a URL"},
		"another protocol":           {Options{Endpoints: []string{"es:9200"}}, "not an address"},
		"a query":                    {Options{Endpoints: []string{"https://es:9200/?key=hunter2"}}, "query"},
		"a key and a user":           {Options{Endpoints: good, APIKeyFile: "x", User: "me"}, "either"},
		"a user without a password":  {Options{Endpoints: good, User: "me"}, "file with the password"},
		"an empty key":               {Options{Endpoints: good, APIKeyFile: fileWith(t, "\n")}, "one line"},
		"a key of two lines":         {Options{Endpoints: good, APIKeyFile: fileWith(t, "hunter2\nx")}, "one line"},
		"an authority that is none":  {Options{Endpoints: good, CAFile: fileWith(t, "hunter2")}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.o)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v; want %q and no secret", err, test.want)
			}
		})
	}
}

func TestSecretsAreSentOverTLSAndNeverTold(t *testing.T) {
	var got []string
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization")+" "+r.URL.Path)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	defer h.Close()
	ca := fileWith(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})))
	secret := fileWith(t, "hunter2\n")
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{User: "me", PasswordFile: secret, CAFile: ca}, "Basic bWU6aHVudGVyMg== /prefix/_x"},
		{Options{APIKeyFile: secret, CAFile: ca}, "ApiKey hunter2 /prefix/_x"},
		{Options{APIKeyFile: fileWith(t, "id:hunter2"), CAFile: ca}, "ApiKey aWQ6aHVudGVyMg== /prefix/_x"},
		{Options{}, ""},
	} {
		got = nil
		test.o.Endpoints, test.o.Timeout = []string{h.URL + "/prefix/"}, 5*time.Minute // reading the system's authorities takes long on a busy machine
		c, err := New(test.o)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Call(t.Context(), http.MethodGet, "/_x", nil, nil, nil)
		c.Close()
		if err == nil || ClassOf(err) != Human || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVy") {
			t.Errorf("%s: %v", ClassOf(err), err)
		}
		if strings.Join(got, "|") != test.want {
			t.Errorf("sent %q, want %q", got, test.want)
		}
	}
}
