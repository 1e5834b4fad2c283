package skew

import (
	"slices"
	"testing"
)

func TestKnowsFlag(t *testing.T) {
	if !slices.IsSorted(knownFlags()) {
		t.Error("the flags are not sorted, and the search misses some")
	}
	for name, want := range map[string]bool{"storage.tsdb.path": true, "no-storage.tsdb.wal-compression": true, "storage.tsdb.no-lockfile": true,
		"storage.tsdb.retention": false, "alertmanager.timeout": false, "no-such": false} {
		if KnowsFlag(name) != want {
			t.Errorf("--%s is known: %v", name, !want)
		}
	}
}
