package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// quietCluster answers like a 6.8 with one index that is blocked already; what would change it is an error of the test.
func quietCluster(t *testing.T) string {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.URL.Path)
		}
		text := map[string]string{
			"/":                    `{"cluster_name":"logs","tagline":"You Know, for Search","version":{"number":"6.8.23","build_flavor":"oss"}}`,
			"/_nodes/_local":       `{"nodes":{"n":{"version":"6.8.23","build_flavor":"oss","modules":[]}}}`,
			"/app-1/_settings":     `{"app-1":{"settings":{"index":{"uuid":"u1","creation_date":"1795404240685","number_of_shards":"1","number_of_replicas":"1"}}}}`,
			"/app-1/_stats/docs":   `{"indices":{"app-1":{"uuid":"u1","shards":{"0":[{"routing":{"state":"STARTED","primary":true},"docs":{"count":4},"seq_no":{"max_seq_no":3}}]}}}}`,
			"/closed/_settings":    `{"closed":{"settings":{"index":{"uuid":"u2","creation_date":"1795404240685","number_of_shards":"1","number_of_replicas":"1"}}}}`,
			"/closed/_stats/docs":  `{"indices":{}}`,
			"/absent/_settings":    `{}`,
			"/_snapshot/r/missing": ``,
		}[r.URL.Path]
		if text == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(h.Close)
	return h.URL
}

func TestSearchSnapshot(t *testing.T) {
	url, dir := quietCluster(t), t.TempDir()
	for _, c := range []struct {
		name  string
		args  string
		code  int
		wants []string
	}{
		{"tells each step with its requests", "create " + url + " --repository r --index app-1 --drop-replicas --dry-run", 0, []string{
			"block     nothing writes any more", `PUT /app-1/_settings?master_timeout=30000ms&timeout=30000ms {"index.blocks.write":true}`, "POST /app-1/_flush", "PUT /_snapshot/r/slipway-",
			"_restore?", "DELETE /slipway-readback-", `{"index.number_of_replicas":0}`, "done      proved"}},
		{"tells nothing of replicas that stay", "create " + url + " --repository r --index app-1 --read-back 0 --dry-run", 0, []string{"prove     "}},
		{"stops at an index that is not there", "create " + url + " --repository r --index absent --dry-run", ExitFailed, []string{"index_is_there: absent"}},
		{"stops at an index that is closed", "create " + url + " --repository r --index closed --dry-run", ExitFailed, []string{"0 of 1 primaries of closed answer"}},
		{"refuses a pattern", "create " + url + " --repository r --index app-* --dry-run", ExitFailed, []string{`"app-*" is not the name of an index`}},
		{"brings nothing back without a proof", "restore " + url + " --repository r --index app-1 --dry-run", ExitFailed, []string{"proof_stands: nothing was proved of app-1"}},
		{"has nothing to verify", "verify " + url + " --repository r", ExitFailed, []string{"there is no proof in "}},
		{"wants a repository", "create " + url + " --index app-1", ExitUsage, []string{"repository"}},
		{"wants an address", "verify --repository r", ExitUsage, []string{"arg"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"search", "snapshot"}, append(strings.Fields(c.args), "--state", filepath.Join(dir, "state"))...)
			code, out, errs := runCLI(t, args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.wants {
				if !strings.Contains(out+errs, want) {
					t.Errorf("%q is missing in:\n%s%s", want, out, errs)
				}
			}
			if strings.Contains(c.name, "stay") && (strings.Contains(out, "number_of_replicas") || strings.Contains(out, "readback")) {
				t.Errorf("%s", out)
			}
		})
	}
}

func TestSearchSnapshotPlanForMachines(t *testing.T) {
	code, out, errs := runCLI(t, "search", "snapshot", "create", quietCluster(t), "--repository", "r", "--index", "app-1", "--dry-run", "-o", "json", "--state", t.TempDir())
	var steps []struct {
		Step     string
		Requests []struct{ Method, Path string }
	}
	if err := json.Unmarshal([]byte(out), &steps); err != nil || code != 0 || len(steps) < 6 {
		t.Errorf("%d, %v, %s\n%s", code, err, errs, out)
	}
	if _, err := os.Stat("slipway-snapshots"); err == nil {
		t.Error("a folder was made beside the test")
	}
}
