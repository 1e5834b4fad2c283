package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestCheck(t *testing.T) {
	server := httptest.NewServer(handler(func() (string, error) { return "pod-a", nil }))
	defer server.Close()
	var calls atomic.Int32
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer late.Close()
	tests := map[string]struct {
		args   []string
		code   int
		passed []bool
		log    string
	}{
		"passes when all targets answer":    {args: []string{"-get", server.URL + "/hostname", "-resolve", "localhost"}, passed: []bool{true, true}, log: "2 of 2 checks passed"},
		"tries again until a target is up":  {args: []string{"-get", late.URL}, passed: []bool{true}, log: "1 of 1 checks passed"},
		"fails when a page is missing":      {args: []string{"-deadline", "50ms", "-get", server.URL + "/nothing"}, code: 1, passed: []bool{false}, log: "404"},
		"fails when nobody listens":         {args: []string{"-deadline", "50ms", "-get", "http://127.0.0.1:1/"}, code: 1, passed: []bool{false}, log: "refused"},
		"fails when a name is unknown":      {args: []string{"-deadline", "50ms", "-resolve", "nothing.invalid"}, code: 1, passed: []bool{false}, log: "0 of 1"},
		"says which of two targets failed":  {args: []string{"-deadline", "50ms", "-get", server.URL + "/healthz", "-get", server.URL + "/nothing"}, code: 1, passed: []bool{true, false}, log: "1 of 2 checks passed; get " + server.URL + "/nothing"},
		"refuses a call without any target": {args: nil, code: 1},
		"refuses an unknown flag":           {args: []string{"-url", "x"}, code: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(log, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			args := append([]string{"check", "-termination-log", log}, test.args...)
			if code := run(t.Context(), args, &stdout, &stderr); code != test.code {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			var passed []bool
			for line := range strings.Lines(stdout.String()) {
				var r result
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatalf("line %q: %v", line, err)
				}
				passed = append(passed, r.OK)
			}
			if len(passed) != len(test.passed) {
				t.Fatalf("got %v, want %v", passed, test.passed)
			}
			for i := range passed {
				if passed[i] != test.passed[i] {
					t.Errorf("target %d: passed is %v", i, passed[i])
				}
			}
			if data, err := os.ReadFile(log); err != nil || !strings.Contains(string(data), test.log) {
				t.Errorf("termination log %q %v, want %q", data, err, test.log)
			}
		})
	}
}

func TestHandler(t *testing.T) {
	tests := map[string]struct {
		path   string
		err    error
		status int
		body   string
	}{
		"tells its name":                   {path: "/hostname", status: 200, body: "pod-a\n"},
		"is healthy":                       {path: "/healthz", status: 200, body: "ok\n"},
		"says that it does not know":       {path: "/hostname", err: errors.New("no name"), status: 500, body: "no name\n"},
		"has nothing else that it answers": {path: "/", status: 404, body: "404 page not found\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			handler(func() (string, error) { return "pod-a", test.err }).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, test.path, nil))
			if recorder.Code != test.status || recorder.Body.String() != test.body {
				t.Errorf("got %d %q", recorder.Code, recorder.Body.String())
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"dance"}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, nil, &stderr); code != 2 || !strings.Contains(stderr.String(), "usage:") {
			t.Errorf("%v: code %d, %s", args, code, stderr.String())
		}
	}
}
