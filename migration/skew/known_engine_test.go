//go:build engine

package skew

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/test/engine"
)

// TestKnownFlagsAreThoseOfTheRealServer asks the newest version for its flags.
func TestKnownFlagsAreThoseOfTheRealServer(t *testing.T) {
	s := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: "global: {}\n"})
	res, err := http.Get(s.URL + "/api/v1/status/flags")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct{ Data map[string]string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(answer.Data)), knownFlags()); diff != "" {
		t.Error(diff)
	}
}
