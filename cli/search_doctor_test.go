package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/search/doctor"
	"github.com/slipway-dev/slipway/search/state"
)

// searchState is a recorded state: three nodes, daily indices of forty days, and what an emergency left.
func searchState(t *testing.T, change func(*state.Cluster)) string {
	t.Helper()
	now := time.Date(2026, 11, 22, 19, 49, 0, 0, time.UTC)
	c := &state.Cluster{TakenAt: now, Name: "web-logs", Product: state.Elasticsearch, Version: "7.17.0", Flavour: state.FlavourDefault, ElectedMaster: "es-1",
		Health:       state.Health{Status: "green", ActiveShards: 246},
		Settings:     state.Settings{Persistent: map[string]string{"cluster.routing.allocation.node_concurrent_recoveries": "50"}},
		Repositories: []state.Repository{{Name: "cos", Type: "s3"}},
		Unseen:       []state.Unseen{{Part: state.PartSnapshots, Why: "403: no permission for cluster:admin/snapshot/get"}}}
	for i := range 3 {
		c.Nodes = append(c.Nodes, state.Node{Name: fmt.Sprintf("es-%d", i+1), Version: "7.17.0", Roles: []string{"master", "data"}, Processors: 8, HeapMaxBytes: 16 << 30, HeapUsedBytes: 8 << 30,
			MemTotalBytes: 34 << 30, DiskTotalBytes: 4_000_000_000_000, DiskFreeBytes: 1_500_000_000_000, ShardBytes: 2_400_000_000_000, Shards: 82})
	}
	for age := range 41 {
		start := now.Truncate(24*time.Hour).AddDate(0, 0, -age)
		c.Indices = append(c.Indices, state.Index{Name: start.Format("web-2006.01.02"), Health: "green", Primaries: 3, Replicas: 1, Docs: 90_000_000, PrimaryBytes: 88_000_000_000, Bytes: 176_000_000_000,
			CreatedMillis: start.Add(time.Second).UnixMilli()})
	}
	if change != nil {
		change(c)
	}
	var b strings.Builder
	if err := state.Write(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSearchDoctor(t *testing.T) {
	hostile := func(c *state.Cluster) {
		c.Name = "web\x1b[31m"
		c.Indices[5].Name = "a'$(reboot)"
		c.Indices[5].Filters = map[string]string{"require._name": "gone\x1b'; reboot"}
	}
	transcript{golden: "search_doctor", files: map[string]string{
		"web.json": searchState(t, nil), "hostile.json": searchState(t, hostile),
		"well.json": searchState(t, func(c *state.Cluster) { c.Settings.Persistent = nil }),
		"seen.json": searchState(t, func(c *state.Cluster) {
			c.Settings.Persistent, c.Snapshots = nil, []state.Snapshot{{Repository: "cos", Name: "daily", State: "SUCCESS", EndedMillis: c.TakenAt.UnixMilli()}}
		}),
	}, steps: []step{
		{name: "tells what will break and what mends it", line: "search doctor --from web.json"},
		{name: "takes what people know", line: "search doctor --from web.json --keep 90 --planned 40GB --docs-per-node 1000 --all"},
		{name: "fails a cron job for what should change", line: "search doctor --from well.json --keep 40 --fail-on change"},
		{name: "is done when nothing hurts", line: "search doctor --from well.json --keep 40"},
		{name: "quotes what a cluster calls its indices", line: "search doctor --from hostile.json --keep 40 --fail-on never"},
		{name: "refuses a zone with daylight saving", line: "search doctor --from web.json --time-zone Europe/Berlin"},
		{name: "refuses days that cannot be", line: "search doctor --from web.json --keep=-1"},
		{name: "prints for machines that want no JSON", line: "search doctor --from well.json --keep 40 -o yaml --fail-on never"},
		{name: "fails a cron job for what it could not see", line: "search doctor --from seen.json --keep 40 --fail-on unknown"},
	}}.test(t)
}

func TestSearchDoctorForMachines(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/web.json"
	if err := os.WriteFile(path, []byte(searchState(t, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "search", "doctor", "--from", path, "-o", "json")
	var r doctor.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != exitFound || r.Count(doctor.Hurts) == 0 || r.Findings[0].Severity != doctor.Hurts || r.Counts["Unknown"] != 1 {
		t.Errorf("code %d, %s: %+v", code, errs, r.Counts)
	}
}
