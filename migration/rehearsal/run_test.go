package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/volume"
)

// source serves what a real 2.42 said, with its targets at an address.
func source(t *testing.T, target string) *server.Client {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "survey", "testdata", "prometheus-2.42.json"))
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	answers["/api/v1/targets"] = []byte(`{"status":"success","data":{"activeTargets":[{"labels":{"job":"node","instance":"a"},"scrapePool":"node","scrapeUrl":"` + target + `","health":"up"}]}}`)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Path
		if key == "/api/v1/query" {
			key, _, _ = strings.Cut(r.FormValue("query"), "{")
		}
		text, ok := answers[key]
		if !ok {
			http.NotFound(w, r)
			return
		}
		var plain string
		if json.Unmarshal(text, &plain) == nil {
			text = json.RawMessage(plain)
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(h.Close)
	return client(t, h.URL)
}

func client(t *testing.T, address string) *server.Client {
	t.Helper()
	c, err := server.New(server.Options{Name: "source", URL: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// measured is a volume that nothing speaks against.
func measured(context.Context) (*volume.Report, error) {
	r := &volume.Report{Dir: "/prometheus", UID: 1000, Measured: true, FileSystem: volume.FileSystem{Type: "ext4", Source: "/dev/sdb", FreeBytes: 1000 << 30},
		Sync: volume.Latency{Count: 300, P99: 4000}, RandomReadsPerSecond: 9000, SequentialWriteBytesPerSecond: 400 << 20}
	for _, name := range []string{volume.MakeDirectory, volume.WriteFile, volume.UseWhatIsThere, volume.SyncFile, volume.SyncDirectory, volume.RenameDirectory,
		volume.ReplaceFile, volume.DeleteOpenFile, volume.DeleteDirectory, volume.LockFile, volume.MapFile} {
		r.Abilities = append(r.Abilities, volume.Ability{Name: name})
	}
	return r, nil
}

func TestRun(t *testing.T) {
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("x 1\n"))
	}))
	t.Cleanup(exporter.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	open := strings.TrimPrefix(exporter.URL, "http://")
	cases := []struct {
		name   string
		change func(*Options)
		rule   string
		want   rule.Verdict
		says   string
	}{
		{"targets that answer are fine", func(*Options) {}, RuleTargetsReached, rule.Fine, "1 of 1 targets"},
		{"the need comes from the source", func(*Options) {}, volume.RuleCapacity, rule.Fine, "MiB are needed: blocks"},
		{"a need that was said counts", func(o *Options) { o.Need.Bytes = 2000 << 30 }, volume.RuleCapacity, rule.Refused, "2457600 MiB are needed"},
		{"a target that is not reached is refused", func(o *Options) { o.Source = source(t, "http://"+closed) }, RuleTargetsReached, rule.Refused, "1 cannot be reached"},
		{"a target that stays behind is not", func(o *Options) { o.Source, o.Except = source(t, "http://"+closed), []string{"node"} }, RuleTargetsReached, rule.Fine, "0 of 0 targets"},
		{"a page is refused", func(o *Options) {
			h := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(h.Close)
			o.Source = source(t, h.URL)
		}, RuleTargetsAnswer, rule.Refused, "it answers 404"},
		{"a source that does not answer is refused", func(o *Options) { o.Source = client(t, "http://"+closed) }, RuleSourceReached, rule.Refused, "connection refused"},
		{"and leaves the targets unknown", func(o *Options) { o.Source = client(t, "http://"+closed) }, RuleTargetsReached, rule.Unknown, "does not answer here"},
		{"clocks that stand apart are refused", func(*Options) {}, survey.RuleClocks, rule.Refused, "this host's clock is between"},
		{"a rule passes by its name", func(o *Options) { o.Override = []string{survey.RuleClocks} }, survey.RuleClocks, rule.Overridden, "this host's clock"},
		{"a flag that went is refused", func(o *Options) { o.Args = []string{"--storage.tsdb.retention=3d"} }, RuleFlags, rule.Refused, "does not know --storage.tsdb.retention"},
		{"flags that are known are fine", func(o *Options) { o.Args = []string{"--storage.tsdb.retention.time=3d", "--web.enable-lifecycle"} }, RuleFlags, rule.Fine, "knows all 2 flags"},
		{"a flag of a version that is not known yet warns", func(o *Options) { o.Args, o.To = []string{"--new"}, skew.Version{Major: 9} }, RuleFlags, rule.Warns, "newest version that is known here"},
		{"something that listens is fine", func(o *Options) { o.Ways = []Way{{Name: "agent", Address: open}} }, RuleWays, rule.Fine, "agent listens at"},
		{"nothing that listens warns", func(o *Options) { o.Ways = []Way{{Name: "agent", Address: closed}} }, RuleWays, rule.Warns, "nothing listens there"},
		{"no way is refused, whatever else warns", func(o *Options) {
			o.Ways = []Way{{Name: "shim", Address: "[::1]:99999"}, {Name: "agent", Address: closed}}
		}, RuleWays, rule.Refused, "shim: "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Measure: measured, Source: source(t, exporter.URL), To: skew.Known()}
			c.change(&o)
			r, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.Findings, func(f rule.Finding) bool { return f.Rule == c.rule })
			if i < 0 || r.Findings[i].Verdict != c.want || !strings.Contains(r.Findings[i].Says, c.says) {
				t.Errorf("%+v, want %s %s %q", r.Findings, c.rule, c.want, c.says)
			}
			if r.Verdict != rule.Worst(r.Findings) || (rule.Stops(r.Findings) > 0) != strings.Contains(r.Says, "stand in the way") {
				t.Errorf("verdict %s: %s", r.Verdict, r.Says)
			}
		})
	}
}

func TestRunEndsWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Measure: measured, Source: source(t, "http://127.0.0.1:1"), To: skew.Known()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestRulesAreThoseThatAreTold(t *testing.T) {
	o := Options{Measure: measured, Source: source(t, "http://127.0.0.1:1"), To: skew.Known(), Ways: []Way{{Name: "x", Address: "127.0.0.1:1"}}}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range r.Findings {
		told = append(told, f.Rule)
	}
	if diff := cmp.Diff(Rules(), told); diff != "" {
		t.Error(diff)
	}
}
