package cli

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/test/golden"
)

// monitor answers like a Prometheus that holds one series of 240 samples, the value of the 100th being odd.
func monitor(t *testing.T, odd float64) string {
	t.Helper()
	const begin, scrapes = int64(1_700_000_000_000), 240
	success := func(w http.ResponseWriter, data string) { fmt.Fprintf(w, `{"status":"success","data":%s}`, data) }
	chunk := chunkenc.NewXORChunk()
	app, err := chunk.Appender()
	if err != nil {
		t.Fatal(err)
	}
	for k := range int64(scrapes) {
		v := 1.0
		if k == 100 {
			v = odd
		}
		app.Append(0, begin+k*15_000, v)
	}
	answers := map[string]string{
		"/api/v1/status/buildinfo": `{"version":"3.16.0"}`, "/api/v1/status/flags": `{}`, "/api/v1/status/config": `{"yaml":""}`, "/api/v1/status/tsdb": `{}`,
		"/api/v1/label/__name__/values": `["up"]`, "/api/v1/series": `[{"__name__":"up","job":"shop"}]`, "/api/v1/rules": `{"groups":[]}`,
		"/api/v1/query": fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{},"value":[1,"%d"]}]}`, scrapes),
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch text, ok := answers[r.URL.Path]; {
		case ok:
			success(w, text)
		case r.URL.Path == "/metrics":
			fmt.Fprintf(w, "prometheus_tsdb_blocks_loaded 0\nprometheus_tsdb_lowest_timestamp %d\nprometheus_tsdb_head_min_time %d\nprometheus_tsdb_head_max_time %d\n", begin, begin, begin+(scrapes-1)*15_000)
		case r.URL.Path == "/api/v1/read":
			res := &prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{{
				Labels: []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "job", Value: "shop"}},
				Chunks: []prompb.Chunk{{Type: prompb.Chunk_XOR, Data: chunk.Bytes()}},
			}}}
			data, err := res.Marshal()
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
			head := binary.BigEndian.AppendUint32(binary.AppendUvarint(nil, uint64(len(data))), crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
			_, _ = w.Write(append(head, data...))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(h.Close)
	return h.URL
}

var (
	address  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	measured = regexp.MustCompile(`("seconds[A-Za-z]*"|"started"|"finished"): .*`)
)

func TestPrometheusProof(t *testing.T) {
	tests := map[string]struct {
		odd  float64
		more []string
		code int
	}{
		"proof_proved":    {1, nil, ExitDone},
		"proof_different": {2, nil, ExitFailed},
		"proof_json":      {2, []string{"-o", "json"}, ExitFailed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			page := filepath.Join(t.TempDir(), "proof.html")
			args := []string{"prometheus", "proof", "--source", monitor(t, 1), "--target", monitor(t, test.odd), "--seed", "7", "--samples", "3", "--report", page,
				"--source-pause", "0s", "--target-pause", "0s"}
			code, out, errs := runCLI(t, append(args, test.more...)...)
			if code != test.code {
				t.Errorf("code %d, want %d: %s", code, test.code, errs)
			}
			text := address.ReplaceAllString(measured.ReplaceAllString(out+"--- stderr\n"+errs, "$1: MEASURED"), "127.0.0.1:PORT")
			golden.Check(t, filepath.Join("testdata", "prometheus_"+name+".golden"), text)
			if data, err := os.ReadFile(page); err != nil || !strings.Contains(string(data), "</html>") {
				t.Errorf("the page: %v", err)
			}
			if len(test.more) > 0 {
				var r proof.Report
				if err := json.Unmarshal([]byte(out), &r); err != nil || r.Verdict != proof.Different {
					t.Errorf("%v, %s", err, r.Verdict)
				}
			}
		})
	}
}

func TestPrometheusProofRefuses(t *testing.T) {
	both := []string{"--source", "http://a:9090", "--target", "http://b:9090"}
	tests := map[string]struct {
		args []string
		code int
		errs string
	}{
		"no target":               {both[:2], ExitUsage, "target"},
		"a time that is none":     {append(both, "--seam", "yesterday"), ExitUsage, "--seam"},
		"a password in a URL":     {append(both, "--source", "http://me:hunter2@a"), ExitUsage, "give them as a user and a file"},
		"one inventory of two":    {append(both, "--source-blocks", "x"), ExitUsage, "target-blocks"},
		"an inventory that is no": {append(both, "--source-blocks", "none", "--target-blocks", "none"), ExitFailed, "reading an inventory"},
		"no dashboards":           {append(both, "--dashboards", "none"), ExitFailed, "reading dashboards"},
		"a server that is away":   {[]string{"--source", "http://127.0.0.1:1", "--target", "http://127.0.0.1:1"}, ExitFailed, "not everything could be seen"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			code, _, errs := runCLI(t, append([]string{"prometheus", "proof"}, test.args...)...)
			if code != test.code || !strings.Contains(errs, test.errs) || strings.Contains(errs, "hunter2") {
				t.Errorf("code %d, %q; want %d, %q", code, errs, test.code, test.errs)
			}
		})
	}
}
