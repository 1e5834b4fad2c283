package transfer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

// server is the real storage of Prometheus with its metrics, without the rest of the program. It looks for blocks every
// second.
type store struct {
	db  *tsdb.DB
	url string
}

func startServer(t *testing.T, dir string, retention string) *store {
	t.Helper()
	registry := prometheus.NewRegistry()
	o := tsdb.DefaultOptions()
	o.RetentionDuration, o.BlockReloadInterval = 0, time.Second
	o.MinBlockDuration, o.MaxBlockDuration = twoHours, twoHours
	db, err := tsdb.Open(dir, quiet, registry, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/api/v1/status/runtimeinfo", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":"success","data":{"startTime":"2026-11-22T10:00:00Z","storageRetention":%q}}`, retention)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		web.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &store{db, web.URL}
}

// scrape puts a sample into the head.
func (s *store) scrape(t *testing.T, at int64) {
	t.Helper()
	app := s.db.Appender(t.Context())
	if _, err := app.Append(0, labels.FromStrings("__name__", "up"), at, 1); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

func (s *store) observer(t *testing.T) *Prometheus {
	t.Helper()
	p, err := NewPrometheus(server.Options{URL: s.url})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func observe(t *testing.T, s TargetServer) *Observation {
	t.Helper()
	o, err := s.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// asked does something when the target is asked for the first time.
type asked struct {
	TargetServer
	once func()
}

func (a *asked) Observe(ctx context.Context) (*Observation, error) {
	if a.once != nil {
		a.once()
		a.once = nil
	}
	return a.TargetServer.Observe(ctx)
}

func TestInstallUnderTheRealStorage(t *testing.T) {
	dir, names := sourceDir(t)
	target := t.TempDir()
	running := startServer(t, target, "15d or 10GiB")
	p := running.observer(t)
	mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: dir, Still: true}), target, names))
	list, err := openLocal(t, LocalOptions{Data: dir, Still: true}).Blocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o := observe(t, p); !o.Head.Empty || o.Retention.Milliseconds != 15*24*3_600_000 {
		t.Errorf("a head without samples: %+v", o)
	}
	running.scrape(t, fixtureStart+3*twoHours)
	o := observe(t, p)
	if o.Head.Empty || o.Head.MinTime != fixtureStart+3*twoHours || o.BlocksLoaded != 0 {
		t.Errorf("%+v", o)
	}
	plan := MakePlan(World{Source: list.Blocks, Head: &o.Head, Retention: o.Retention, TargetHasWAL: true})
	if len(plan.Steps) != 3 || len(plan.Refusals) > 0 || plan.Steps[0].Block != names[0] {
		t.Fatalf("%+v", plan)
	}
	installer := NewInstaller(InstallerOptions{Target: target, Server: p, Every: 20 * time.Millisecond, Within: time.Minute})
	for i, s := range plan.Steps[:2] {
		if err := installer.Install(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if now := observe(t, p); now.BlocksLoaded != int64(i)+1 || now.LowestTimestamp != s.MinTime {
			t.Errorf("after %s: %+v", s.Block, now)
		}
	}
	t.Run("takes a block away that breaks a reload", func(t *testing.T) {
		bad := plan.Steps[2]
		staged := filepath.Join(target, StagingFolder, bad.Block)
		// The disk decays between the last look at the block and its installation.
		decays := &asked{TargetServer: p, once: func() { flip(t, filepath.Join(staged, "index"), 3) }}
		err := NewInstaller(InstallerOptions{Target: target, Server: decays, Every: 20 * time.Millisecond, Within: time.Minute}).Install(t.Context(), bad)
		var away *InstallError
		if !errors.As(err, &away) || !strings.Contains(err.Error(), "reload failed") {
			t.Fatalf("%v", err)
		}
		if _, err := os.Stat(staged); err != nil {
			t.Errorf("it is not back: %v", err)
		}
		flip(t, filepath.Join(staged, "index"), 3) // mended
		broken := observe(t, p)
		for observe(t, p).Reloads < broken.Reloads+3 && pause(t.Context(), 50*time.Millisecond) == nil {
		}
		if now := observe(t, p); now.BlocksLoaded != 2 || now.ReloadFailures > broken.ReloadFailures+1 {
			t.Errorf("the server did not recover: %+v", now)
		}
	})
	t.Run("refuses a block that ends inside the head that the server has now", func(t *testing.T) {
		s := plan.Steps[2]
		s.MaxTime = fixtureStart + 3*twoHours + 1
		var rule *RuleError
		if err := installer.Install(t.Context(), s); !errors.As(err, &rule) || rule.Refusal.Rule != RuleEndsBeforeHead {
			t.Errorf("%v", err)
		}
	})
	t.Run("does nothing for a block that is there", func(t *testing.T) {
		if err := installer.Install(t.Context(), plan.Steps[0]); err != nil {
			t.Error(err)
		}
	})
}

// fakeServer says one observation after the other, and then the last.
type fakeServer struct {
	says    []Observation
	NextErr error
}

func (f *fakeServer) Observe(context.Context) (*Observation, error) {
	if err := f.NextErr; err != nil {
		f.NextErr = nil
		return nil, err
	}
	o := f.says[0]
	if len(f.says) > 1 {
		f.says = f.says[1:]
	}
	return &o, nil
}

func TestInstallJudgesWhatTheServerSays(t *testing.T) {
	base := Observation{Head: Head{MinTime: math.MaxInt64 / 2}, BlocksLoaded: 4, LowestTimestamp: fixtureStart + 50*twoHours, Reloads: 10, ReloadFailures: 1}
	with := func(change func(*Observation)) Observation {
		o := base
		change(&o)
		return o
	}
	tests := map[string]struct {
		then Observation
		want string // of the error; empty: installed
	}{
		"one more block is loaded":                    {with(func(o *Observation) { o.BlocksLoaded, o.Reloads = 5, 11 }), ""},
		"it was compacted at once":                    {with(func(o *Observation) { o.Reloads, o.LowestTimestamp = 12, fixtureStart }), ""},
		"a reload failed":                             {with(func(o *Observation) { o.Reloads, o.ReloadFailures = 11, 2 }), "reload failed"},
		"a compaction failed":                         {with(func(o *Observation) { o.CompactionsFailed = 1 }), "compaction"},
		"the server was restarted":                    {with(func(o *Observation) { o.Reloads = 1 }), "restarted"},
		"the server sees nothing":                     {base, "has not loaded it within"},
		"a reload that may have begun before is over": {with(func(o *Observation) { o.Reloads, o.LowestTimestamp = 11, fixtureStart }), "has not loaded it within"},
	}
	from, names := blocks()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := dataDirOf(t, 4)
			mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: from, Still: true}), target, names[:1]))
			within := time.Minute
			if strings.Contains(test.want, "within") {
				within = 50 * time.Millisecond
			}
			i := NewInstaller(InstallerOptions{Target: target, Server: &fakeServer{says: []Observation{base, base, test.then}}, Every: time.Millisecond, Within: within})
			err := i.Install(t.Context(), Step{Block: names[0], MaxTime: fixtureStart})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v", err)
			}
			_, there := os.Stat(filepath.Join(target, names[0]))
			_, staged := os.Stat(filepath.Join(target, StagingFolder, names[0]))
			if (there == nil) != (err == nil) || (staged == nil) == (err == nil) {
				t.Errorf("installed: %v, staged: %v", there, staged)
			}
		})
	}
}

// dataDirOf is a data directory with folders of blocks.
func dataDirOf(t *testing.T, blocks int) string {
	t.Helper()
	dir := t.TempDir()
	for range blocks {
		if err := os.Mkdir(filepath.Join(dir, ulid.Make().String()), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A server that has a block open goes on with its files although the folder is another one now.
func TestInstallWaitsUntilAnOldBlockOfTheNameIsDropped(t *testing.T) {
	from, names := blocks()
	target := dataDirOf(t, 4)
	mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: from, Still: true}), target, names[:1]))
	open := Observation{Head: Head{MinTime: math.MaxInt64 / 2}, BlocksLoaded: 5, LowestTimestamp: fixtureStart, Reloads: 10}
	dropped, loaded := open, open
	dropped.BlocksLoaded, dropped.Reloads, loaded.Reloads = 4, 11, 12
	i := NewInstaller(InstallerOptions{Target: target, Server: &fakeServer{says: []Observation{open, dropped, loaded}}, Every: time.Millisecond})
	step := Step{Block: names[0], MaxTime: fixtureStart}
	if err := i.Install(t.Context(), step); !errors.Is(err, ErrStillOpen) {
		t.Fatalf("while it is open: %v", err)
	}
	if _, err := os.Stat(filepath.Join(target, StagingFolder, names[0])); err != nil {
		t.Errorf("it is not staged any more: %v", err)
	}
	if err := i.Install(t.Context(), step); err != nil {
		t.Errorf("when it was dropped: %v", err)
	}
}

func TestInstallIsEndedByTheNextRunWhenItWasKilled(t *testing.T) {
	from, names := blocks()
	base := Observation{Reloads: 10}
	tests := map[string]struct {
		then   Observation
		rename bool // it was killed behind the rename
		want   string
		stays  bool
	}{
		"killed before the rename":       {base, false, "", false},
		"the server has looked twice":    {Observation{Reloads: 12}, true, "", true},
		"the server's reload has failed": {Observation{Reloads: 11, ReloadFailures: 1}, true, "reload failed", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			target := t.TempDir()
			mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: from, Still: true}), target, names[:1]))
			i := NewInstaller(InstallerOptions{Target: target, Server: &fakeServer{says: []Observation{base, base, test.then}}, Every: time.Millisecond})
			if err := i.mark(names[0]); err != nil {
				t.Fatal(err)
			}
			if test.rename {
				if _, err := block.Install(filepath.Join(target, StagingFolder, names[0]), target); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				err := i.Resume(t.Context())
				if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v", err)
				}
				test.want = "" // the second time there is nothing to end
			}
			if stays := isFolder(filepath.Join(target, names[0])); stays != test.stays || isFolder(filepath.Join(target, StagingFolder, names[0])) == stays {
				t.Errorf("installed: %v", stays)
			}
		})
	}
}

func TestInstallWithoutAServer(t *testing.T) {
	from, names := blocks()
	target := t.TempDir()
	i := NewInstaller(InstallerOptions{Target: target})
	if err := i.Install(t.Context(), Step{Block: names[0]}); !errors.Is(err, ErrNotStaged) {
		t.Errorf("not pulled: %v", err)
	}
	mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: from, Still: true}), target, names))
	for range 2 {
		if err := i.Install(t.Context(), Step{Block: names[0]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(target, StagingFolder, names[1], "index"), 10); err != nil {
		t.Fatal(err)
	}
	if err := i.Install(t.Context(), Step{Block: names[1]}); !errors.Is(err, ErrNotStaged) {
		t.Errorf("changed since: %v", err)
	}
	if err := i.Install(t.Context(), Step{Block: "../" + names[1]}); err == nil {
		t.Error("a path is taken for a block")
	}
	d, err := block.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if r, err := d.Scrub(t.Context(), names[0], block.ScrubOptions{}); err != nil || r.Verdict != block.OK {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReadRetention(t *testing.T) {
	const day = 24 * 3_600_000
	tests := map[string]struct {
		text string
		want int64
		err  bool
	}{
		"a time":           {`{"status":"success","data":{"storageRetention":"15d"}}`, 15 * day, false},
		"a time of parts":  {`{"status":"success","data":{"storageRetention":"1d12h or 10GiB"}}`, day * 3 / 2, false},
		"a size alone":     {`{"status":"success","data":{"storageRetention":"10GiB"}}`, 0, false},
		"none":             {`{"status":"success","data":{"storageRetention":""}}`, 0, false},
		"a share":          {`{"status":"success","data":{"storageRetention":"15d or 80%"}}`, 15 * day, true},
		"an older server":  {`{"status":"success","data":{}}`, 0, true},
		"something else":   {`<html>`, 0, true},
		"a cut off answer": {`{"status":"success","data":{"storageRetention":"15`, 0, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/metrics" {
					for _, name := range wanted().Required {
						fmt.Fprintf(w, "%s 1\n", name)
					}
					return
				}
				fmt.Fprint(w, test.text)
			}))
			defer web.Close()
			p, err := NewPrometheus(server.Options{URL: web.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Observe(t.Context())
			if (err != nil) != test.err || err == nil && got.Retention.Milliseconds != test.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
