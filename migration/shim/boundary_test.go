package shim

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
)

func TestTheBoundaryIsTheFirstHeadThatStays(t *testing.T) {
	x := newTarget(math.MaxInt64)
	x.max.Store(math.MinInt64)
	file := filepath.Join(t.TempDir(), "slipway-move", "state.json") // the folder is made
	o := Options{Target: server.Options{URL: x.serve(t)}, Source: server.Options{URL: "http://127.0.0.1:1"}, State: file, Settle: 30 * time.Second}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	s.boundary.now = func() time.Time { return now }
	observe := func(want string) {
		t.Helper()
		if got := fmt.Sprint(s.boundary.observe(t.Context())); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	observe("no sample yet")
	x.min.Store(2000)
	x.max.Store(3000)
	observe("waiting until 22:13:50")
	now = now.Add(29 * time.Second)
	observe("waiting until 22:13:50")
	x.min.Store(1500) // a scrape that began earlier
	observe("waiting until 22:14:19")
	now = now.Add(31 * time.Second)
	observe("<nil>")
	if at, ok := s.Boundary(); !ok || at != 1500 {
		t.Errorf("%d, %v", at, ok)
	}

	x.min.Store(9000) // the head was cut: the boundary stays
	observe("<nil>")
	again, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := again.Boundary(); !ok || at != 1500 {
		t.Errorf("after a restart: %d, %v", at, ok)
	}
	if s.boundary.crossed() {
		t.Error("nothing is below the boundary")
	}
	x.min.Store(1400)
	observe("<nil>")
	if at, _ := s.Boundary(); !s.boundary.crossed() || at != 1500 {
		t.Errorf("%d, crossed %v", at, s.boundary.crossed())
	}
}

func TestATargetWithBlocksDoesNotTellItsFirstSample(t *testing.T) {
	x := newTarget(2000)
	x.blocks.Store(2)
	o := Options{Target: server.Options{URL: x.serve(t)}, Source: server.Options{URL: "http://127.0.0.1:1"}, State: filepath.Join(t.TempDir(), "s")}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.boundary.observe(t.Context()); err == nil || !strings.Contains(err.Error(), "2 blocks already") {
		t.Error(err)
	}
	o.Boundary = 1800
	if s, err = New(o); err != nil {
		t.Fatal(err)
	}
	if at, ok := s.Boundary(); !ok || at != 1800 {
		t.Errorf("%d, %v", at, ok)
	}
	info, err := os.Stat(o.State)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestAStateThatIsNotTheShimsIsNeverReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		text  string
		wish  int64
		error string
	}{
		"no JSON":                   {"{", 0, "no state of a shim"},
		"another version":           {`{"version":2,"boundary":5}`, 0, "no state of a shim"},
		"no boundary":               {`{"version":1}`, 0, "no state of a shim"},
		"another boundary is asked": {`{"version":1,"boundary":5}`, 6, "never moves"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.json")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(Options{Target: server.Options{URL: "http://t"}, Source: server.Options{URL: "http://s"}, State: file, Boundary: test.wish})
			if err == nil || !strings.Contains(err.Error(), test.error) {
				t.Error(err)
			}
			if text, _ := os.ReadFile(file); string(text) != test.text {
				t.Errorf("the file is now %s", text)
			}
		})
	}
}
