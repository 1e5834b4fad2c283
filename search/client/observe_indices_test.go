package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/search/state"
)

func TestChooseTakesTheIllAndTheNewest(t *testing.T) {
	all := []state.Index{
		{Name: "old", Health: "green", Primaries: 2, Replicas: 1, CreatedMillis: 1},
		{Name: "ill", Health: "yellow", Primaries: 2, Replicas: 1, CreatedMillis: 2},
		{Name: "new", Health: "green", Primaries: 2, Replicas: 1, CreatedMillis: 4},
		{Name: "closed", Closed: true, Primaries: 1, CreatedMillis: 9},
		{Name: "newer", Health: "green", Primaries: 2, Replicas: 1, CreatedMillis: 3_000_000_000_000},
	}
	for most, want := range map[int][]string{100: {"ill", "newer", "new", "old"}, 11: {"ill", "newer"}, 3: nil} {
		if diff := cmp.Diff(want, choose(all, most)); diff != "" {
			t.Errorf("%d: %s", most, diff)
		}
	}
}

func TestBatchesFitIntoALine(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("日志-%d", i))
	}
	var back int
	for _, b := range batches(names) {
		if len(b) > maxPath {
			t.Errorf("%d bytes", len(b))
		}
		back += len(strings.Split(b, ","))
	}
	if back != len(names) || len(batches(nil)) != 0 {
		t.Errorf("%d names came back", back)
	}
}

func TestConfigure(t *testing.T) {
	x := state.Index{Name: "a", Primaries: 1}
	configure(&x, map[string]string{"number_of_shards": "5", "auto_expand_replicas": "0-1", "hidden": "true", "resize.source.name": "b", "blocks.write": "true", "blocks.read_only": "false",
		"routing.allocation.require._name": "n1", "routing.allocation.include._tier_preference": "data_hot", "routing.allocation.total_shards_per_node": "2",
		"routing.allocation.enable": "all", "routing.allocation.exclude._ip": "", "lifecycle.name": "p", "lifecycle.origination_date": "5", "store.snapshot.repository_name": "r"})
	want := state.Index{Name: "a", Primaries: 1, AutoExpandReplicas: "0-1", Hidden: true, ResizedFrom: "b", Blocks: []string{"write"}, Mounted: "r", TierPreference: "data_hot",
		Filters: map[string]string{"require._name": "n1", "total_shards_per_node": "2"}, Policy: &state.Attachment{Kind: state.KindILM, Policy: "p", OriginMillis: 5}}
	if diff := cmp.Diff(want, x); diff != "" {
		t.Error(diff)
	}
	if !slices.IsSorted(x.Blocks) {
		t.Error(x.Blocks)
	}
}
