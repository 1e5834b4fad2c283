package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Versions of Prometheus that there are recipes for.
const (
	Prometheus242 = "2.42" // Debian 12
	Prometheus255 = "2.55" // the last of 2.x
	Prometheus316 = "3.16"
)

// Prometheus says what server to start.
type Prometheus struct {
	Version string // one of the constants above
	Dir     string // data directory; empty: a new one of the test
	Config  string // text of prometheus.yml
	Flags   []string
	Address string // host:port; empty: a free port on loopback
}

// Server is a Prometheus that runs. Stop, Kill and Restart are those of its process.
type Server struct {
	*process
	Dir     string
	URL     string // as http://127.0.0.1:40001
	Address string
	config  string
}

// Start starts a Prometheus and waits until it is ready. Its admin and lifecycle APIs are on. It ends with the test; when
// the test fails, the end of its log is shown.
func Start(t testing.TB, p Prometheus) *Server {
	t.Helper()
	program := Program(t, "prometheus-"+p.Version, "prometheus")
	if p.Dir == "" {
		p.Dir = t.TempDir()
	}
	if p.Address == "" {
		p.Address = FreeAddress(t)
	}
	own := t.TempDir()
	s := &Server{Dir: p.Dir, Address: p.Address, URL: "http://" + p.Address, config: filepath.Join(own, "prometheus.yml")}
	s.process = &process{t: t, name: "prometheus " + p.Version, program: program, ready: s.URL + "/-/ready", logFile: filepath.Join(own, "log"),
		args: append([]string{"--config.file=" + s.config, "--storage.tsdb.path=" + p.Dir, "--web.listen-address=" + p.Address,
			"--web.enable-admin-api", "--web.enable-lifecycle"}, p.Flags...)}
	s.write(p.Config)
	s.run()
	return s
}

func (s *Server) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Configure writes another configuration and has the server read it.
func (s *Server) Configure(config string) {
	s.t.Helper()
	s.write(config)
	resp, err := http.Post(s.URL+"/-/reload", "", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("reloading %s: %s", s.name, resp.Status)
	}
}

// Metric is one of the server's own metrics; ok is false when it has none of the name. Labels belong to the name, as they
// are written on /metrics.
func (s *Server) Metric(name string) (value float64, ok bool) {
	s.t.Helper()
	resp, err := http.Get(s.URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, found := strings.CutPrefix(lines.Text(), name+" ")
		if !found {
			continue
		}
		if value, err = strconv.ParseFloat(text, 64); err != nil {
			s.t.Fatalf("reading %s: %v", name, err)
		}
		return value, true
	}
	if err := lines.Err(); err != nil {
		s.t.Fatal(err)
	}
	return 0, false
}

// Answer is what /api/v1/query and query_range say.
type Answer struct {
	Status    string   `json:"status"`
	Error     string   `json:"error"`
	ErrorType string   `json:"errorType"`
	Warnings  []string `json:"warnings"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// Series is one element of a vector or matrix; times and values as the server wrote them.
type Series struct {
	Metric map[string]string    `json:"metric"`
	Value  [2]json.RawMessage   `json:"value"`
	Values [][2]json.RawMessage `json:"values"`
}

// Series reads a vector or matrix.
func (a Answer) Series() ([]Series, error) {
	var list []Series
	if a.Status != "success" {
		return nil, fmt.Errorf("the server says: %s: %s", a.ErrorType, a.Error)
	}
	if err := json.Unmarshal(a.Data.Result, &list); err != nil {
		return nil, fmt.Errorf("reading a %s: %w", a.Data.ResultType, err)
	}
	return list, nil
}

// Ask asks the API, as in Ask("/api/v1/query", url.Values{"query": {"up"}}). An answer that is an error is an Answer too.
func (s *Server) Ask(path string, form url.Values) (Answer, error) {
	var a Answer
	resp, err := http.PostForm(s.URL+path, form)
	if err != nil {
		return a, fmt.Errorf("asking %s: %w", s.name, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("asking %s: %s: %w", s.name, resp.Status, err)
	}
	return a, nil
}
