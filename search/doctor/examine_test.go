package doctor

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/test/golden"
)

const (
	gb = 1_000_000_000
	tb = 1000 * gb
)

func now() time.Time { return time.Date(2026, 11, 22, 19, 49, 0, 0, time.UTC) }

// node is a healthy one.
func node(name string, heapGiB int64, roles ...string) state.Node {
	n := state.Node{ID: "id-" + name, Name: name, IP: "10.0.0.1", Version: "7.17.0", Roles: roles, Processors: 8, HeapMaxBytes: heapGiB << 30, HeapUsedBytes: heapGiB << 29,
		MemTotalBytes: heapGiB << 31, MaxOpenFiles: 65535, CPUPercent: 30, ProcessCPUPercent: 28, Load1: -1, HeapDumps: true, HeapDumpPath: "/var/dump",
		Pools: map[string]state.Pool{"generic": {Size: 128}, "write": {Size: 8}}}
	if slices.Contains(roles, "data") {
		n.DiskTotalBytes, n.DiskFreeBytes, n.ShardBytes, n.Shards = 4*tb, 2*tb, 1900*gb, 40
		n.DataPaths = []state.DataPath{{Path: "/data/es", Mount: "/data (/dev/vdb)", Type: "ext4", TotalBytes: n.DiskTotalBytes, FreeBytes: n.DiskFreeBytes}}
	}
	return n
}

// healthy is a cluster in which every rule is content: daily indices of thirty days, ten of them on hot nodes.
func healthy() *state.Cluster {
	c := &state.Cluster{Schema: state.Schema, TakenAt: now(), Name: "app", Product: state.Elasticsearch, Version: "7.17.0", ElectedMaster: "master-1",
		Health: state.Health{Status: "green", ActiveShards: 372}, Repositories: []state.Repository{{Name: "cos", Type: "s3"}},
		Snapshots: []state.Snapshot{{Repository: "cos", Name: "s", State: "SUCCESS", EndedMillis: now().Add(-time.Hour).UnixMilli()}},
		Templates: []state.Template{{Name: "app", Patterns: []string{"app-*"}, Settings: map[string]string{"index.refresh_interval": "30s"}}}}
	for i := range 3 {
		c.Nodes = append(c.Nodes, node(fmt.Sprintf("master-%d", i+1), 4, "master"))
	}
	for i, tier := range []string{"hot", "hot", "hot", "hot", "hot", "hot", "warm", "warm", "warm", "warm"} {
		n := node(fmt.Sprintf("%s-%d", tier, i), 16, "data")
		n.Attributes = map[string]string{"tier": tier}
		c.Nodes = append(c.Nodes, n)
	}
	for age := range 31 {
		start := now().Truncate(24*time.Hour).AddDate(0, 0, -age)
		x := state.Index{Name: start.Format("app-2006.01.02"), UUID: "u", Health: "green", Primaries: 6, Replicas: 1, Docs: 200_000_000, PrimaryBytes: 180 * gb, Bytes: 360 * gb,
			CreatedMillis: start.Add(time.Second).UnixMilli(), Filters: map[string]string{"require.tier": "hot"}}
		if age > 10 {
			x.Filters = map[string]string{"require.tier": "warm"}
		}
		c.Indices = append(c.Indices, x)
	}
	return c
}

func examine(t *testing.T, c *state.Cluster, o Options) *Report {
	t.Helper()
	r, err := Examine(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAHealthyClusterIsFine(t *testing.T) {
	r := examine(t, healthy(), Options{KeepDays: 30})
	for _, f := range r.Findings {
		if f.Severity != Fine {
			t.Errorf("%s %s: %s", f.Severity, f.Rule, f.Says)
		}
	}
	if r.Counts["Fine"] != len(checks()) {
		t.Errorf("%d of %d rules are fine", r.Counts["Fine"], len(checks()))
	}
}

// words are a report as text, without what is fine.
func words(r *Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		if f.Severity == Fine {
			continue
		}
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Rule, f.Says)
		for _, s := range f.Sums {
			b.WriteString("  sum: " + s.Text + "\n")
		}
		if f.HurtsAt != nil {
			b.WriteString("  on: " + f.HurtsAt.Format("2006-01-02 15:04") + "\n")
		}
		b.WriteString("  fix: " + f.Fix + "\n")
		for _, q := range f.Requests {
			fmt.Fprintf(&b, "  %s %s %s\n", q.Method, q.Path, q.Body)
		}
		if len(f.Objects) > 0 {
			fmt.Fprintf(&b, "  %s and %d more\n", strings.Join(f.Objects, ", "), f.More)
		}
	}
	return b.String()
}

// TestTheNight is the cluster of the design: 193 nodes, 118,422 shards, and settings that an emergency left.
func TestTheNight(t *testing.T) {
	golden.Check(t, "testdata/night.golden", words(examine(t, night(), Options{KeepDays: 365, PlannedBytesPerDay: 10 * tb})))
}

func night() *state.Cluster {
	c := &state.Cluster{Schema: state.Schema, TakenAt: now(), Name: "game-logs", Product: state.Elasticsearch, Version: "6.8.23", ElectedMaster: "master-1",
		Health:   state.Health{Status: "yellow", ActiveShards: 118_400, UnassignedShards: 22, RelocatingShards: 260},
		Tasks:    state.Tasks{Count: 177, MaxWaitMillis: 41_000, OldestCreateIndexMillis: 39_500},
		Settings: state.Settings{Persistent: map[string]string{concurrentRecoveries: "50", allocation + "exclude._ip": "10.2.0.*"}, Defaults: map[string]string{"discovery.zen.minimum_master_nodes": "2"}}}
	for i := range 3 {
		n := node(fmt.Sprintf("master-%d", i+1), 16, "master")
		n.Version = c.Version
		c.Nodes = append(c.Nodes, n)
	}
	for i := range 190 {
		name, ip, tier := fmt.Sprintf("hot-%02d", i), fmt.Sprintf("10.1.0.%d", i), "hot"
		if i >= 60 {
			name, ip, tier = fmt.Sprintf("warm-%03d", i-60), fmt.Sprintf("10.2.0.%d", i-60), "warm"
		}
		n := node(name, 30, "data")
		n.Version, n.IP, n.Attributes, n.Shards = c.Version, ip, map[string]string{"tier": tier}, 623
		n.DiskTotalBytes, n.DiskFreeBytes, n.ShardBytes = 6*tb, 2*tb, 39*tb/10
		c.Nodes = append(c.Nodes, n)
	}
	for age := range 270 * 24 {
		start := now().Truncate(time.Hour).Add(-time.Duration(age) * time.Hour)
		x := state.Index{Name: start.Format("game-log-2006.01.02.15"), UUID: "u", Primaries: 60, Replicas: 1, Docs: 3_600_000_000, PrimaryBytes: 833 * gb, Bytes: 1666 * gb,
			CreatedMillis: start.Add(-90 * time.Minute).UnixMilli(), Filters: map[string]string{"require.tier": "hot"}}
		if age > 360 {
			x.Primaries, x.Filters = 5, map[string]string{"require.tier": "warm"}
		}
		c.Indices = append(c.Indices, x)
	}
	c.Indices[400].Filters = map[string]string{"require._name": "warm-007"}
	return c
}

func TestRules(t *testing.T) {
	hot := func(c *state.Cluster) *state.Node { return &c.Nodes[3] }
	newest := func(c *state.Cluster) *state.Index { return &c.Indices[0] }
	set := func(key, value string) func(*state.Cluster) {
		return func(c *state.Cluster) { c.Settings.Persistent = map[string]string{key: value} }
	}
	for _, c := range []struct {
		name     string
		rule     string
		severity Severity
		says     string
		change   func(*state.Cluster)
	}{
		{"no master hurts", "a_master_is_elected", Hurts, "3 nodes can be one", func(c *state.Cluster) { c.ElectedMaster = "" }},
		{"red hurts", "cluster_is_green", Hurts, "1 index has primaries", func(c *state.Cluster) { c.Health.Status, newest(c).Health = "red", "red" }},
		{"unassigned replicas should be placed", "cluster_is_green", Change, "5 replicas", func(c *state.Cluster) { c.Health.UnassignedShards = 5 }},
		{"replicas that wait for a node are fine", "cluster_is_green", Fine, "", func(c *state.Cluster) { c.Health.UnassignedShards, c.Health.DelayedShards = 5, 5 }},
		{"a create-index that waits 6 s is slow", "index_creation_is_quick", Change, "create-index for 6.0 s", func(c *state.Cluster) { c.Tasks.OldestCreateIndexMillis = 6000 }},
		{"full generic pools hurt", "threads_are_free", Hurts, "generic threads", func(c *state.Cluster) { hot(c).Pools["generic"] = state.Pool{Size: 128, Active: 96} }},
		{"long queues of writes should be looked at", "threads_are_free", Change, "long queues", func(c *state.Cluster) { hot(c).Pools["write"] = state.Pool{Size: 8, Active: 8, Queue: 200} }},
		{"a full heap of a master hurts", "heaps_have_room", Hurts, "1 node that can be master has a heap with little room", func(c *state.Cluster) { c.Nodes[0].HeapUsedBytes = c.Nodes[0].HeapMaxBytes / 10 * 9 }},
		{"two masters hurt", "quorum_survives_one_master", Hurts, "a majority is 2", func(c *state.Cluster) { c.Nodes = c.Nodes[1:] }},
		{"an odd voter helps", "quorum_survives_one_master", Fine, "", func(c *state.Cluster) { c.Nodes[0].Roles = []string{"master", "voting_only"} }},
		{"a split brain hurts", "quorum_survives_one_master", Hurts, "is 1 (default)", func(c *state.Cluster) {
			c.Version, c.Settings.Defaults = "6.8.23", map[string]string{"discovery.zen.minimum_master_nodes": "1"}
		}},
		{"masters with data should not be", "masters_do_nothing_else", Change, "1 of 3", func(c *state.Cluster) { c.Nodes[0].Roles = []string{"master", "data"} }},
		{"a restart before 7.16 is too much for 4 GiB", "masters_survive_a_restart", Hurts, "needs about 6.6 GB", func(c *state.Cluster) { c.Version, c.Health.ActiveShards = "7.10.2", 300_000 }},
		{"a restart since 7.16 is not", "masters_survive_a_restart", Fine, "", func(c *state.Cluster) { c.Health.ActiveShards = 300_000 }},
		{"in batches nobody knows", "masters_survive_a_restart", Change, "at most", func(c *state.Cluster) {
			c.Product, c.Version, c.Health.ActiveShards = state.OpenSearch, "3.3.0", 300_000
		}},
		{"too many shards for a heap", "shards_fit_the_heap_of_data_nodes", Hurts, "has 700", func(c *state.Cluster) { hot(c).Shards = 700 }},
		{"since 8.3 shards do not count", "shards_fit_the_heap_of_data_nodes", Fine, "", func(c *state.Cluster) { c.Version, hot(c).Shards = "8.19.0", 700 }},
		{"indices need master heap since 8.3", "master_heap_holds_the_indices", Change, "4 031 indices need 1.3 GiB of master heap, masters have 1 GiB", func(c *state.Cluster) {
			c.Version, c.Nodes[0].HeapMaxBytes = "8.19.0", 1<<30
			for i := range 4000 {
				c.Indices = append(c.Indices, state.Index{Name: fmt.Sprintf("plain-%d", i)})
			}
		}},
		{"past the limit hurts", "shards_stay_within_bounds", Hurts, "past the limit of shards per node (10 000)", func(c *state.Cluster) { c.Health.ActiveShards = 10_001 }},
		{"shards of 100 GB are large", "shards_have_a_good_size", Change, "slow to move", func(c *state.Cluster) {
			for i := range c.Indices {
				c.Indices[i].PrimaryBytes = 600 * gb
			}
		}},
		{"shards near the limit of documents hurt", "shards_have_a_good_size", Hurts, "2 147 483 519", func(c *state.Cluster) {
			for i := range c.Indices {
				c.Indices[i].Docs = 9_000_000_000
			}
		}},
		{"twelve shards on five nodes are uneven", "primaries_spread_over_hot_nodes", Change, "some carry 3 shards", func(c *state.Cluster) { hot(c).Attributes["tier"] = "warm" }},
		{"idle hot nodes are told", "primaries_spread_over_hot_nodes", Change, "written by 4 of 6", func(c *state.Cluster) { newest(c).Primaries = 2 }},
		{"a crowded node is told", "primaries_spread_over_hot_nodes", Change, "holds 6 of its 12", func(c *state.Cluster) {
			c.Shards = []state.ShardGroup{{Index: newest(c).Name, Node: "hot-0", State: state.Started, Primaries: 6}, {Index: newest(c).Name, Node: "hot-1", State: state.Started, Replicas: 6}}
		}},
		{"a disk over the flood stage hurts", "disks_are_under_their_watermarks", Hurts, "flood stage", func(c *state.Cluster) { hot(c).DiskFreeBytes = tb / 10 }},
		{"a disk over the high watermark hurts", "disks_are_under_their_watermarks", Hurts, "high watermark", func(c *state.Cluster) { hot(c).DiskFreeBytes = tb * 3 / 10 }},
		{"a watermark in bytes counts", "disks_are_under_their_watermarks", Change, "low watermark", set(allocation+"disk.watermark.low", "1900gb")},
		{"a tier that cannot lose a node is told", "one_node_may_be_lost", Change, "tier warm cannot take", func(c *state.Cluster) {
			for i := range c.Nodes {
				if c.Nodes[i].Attributes["tier"] == "warm" {
					c.Nodes[i].DiskFreeBytes = tb / 2
				}
			}
		}},
		{"twice the volume of four weeks ago is told", "volume_is_as_planned", Change, "came four weeks ago", func(c *state.Cluster) {
			for i := 20; i < len(c.Indices); i++ {
				c.Indices[i].PrimaryBytes = 80 * gb
			}
		}},
		{"a series that was made ahead and is not hurts", "next_slots_exist", Hurts, "app-2026.11.23 starts in 4 h and does not exist", func(c *state.Cluster) {
			for i := range c.Indices {
				c.Indices[i].CreatedMillis -= 5 * 3600_000
			}
		}},
		{"without auto-create the next slot must be there", "next_slots_exist", Hurts, "action.auto_create_index is false", set("action.auto_create_index", "false")},
		{"fifty recoveries should be few", "recoveries_at_once_are_few", Hurts, "10 data nodes may start 500 relocations", set(concurrentRecoveries, "50")},
		{"allocation that is off hurts", "allocation_is_on", Hurts, "new indices stay red", set(allocation+"enable", "none")},
		{"rebalance that is off is told", "allocation_is_on", Change, "shards stay", set("cluster.routing.rebalance.enable", "none")},
		{"a block on the cluster hurts", "no_block_is_left", Hurts, "read_only = true", set("cluster.blocks.read_only", "true")},
		{"an excluded node that is gone is told", "excluded_nodes_are_meant", Change, "exclude._name names what no data node is", set(allocation+"exclude._name", "hot-0,gone-1")},
		{"watermarks that are off hurt", "watermarks_protect", Hurts, "threshold_enabled = false", set(allocation+"disk.threshold_enabled", "false")},
		{"a limit that is lifted is told", "limits_are_not_lifted", Change, "50 000 shards", set("cluster.max_shards_per_node", "5000")},
		{"transient settings are told", "settings_survive_a_restart", Change, "1 setting is transient", func(c *state.Cluster) { c.Settings.Transient = map[string]string{"a": "b"} }},
		{"a loud logger is told", "logging_is_quiet", Change, "1 logger is", set("logger.org.elasticsearch", "TRACE")},
		{"a filter that nothing meets hurts", "filters_can_be_met", Hurts, "require._name = gone-1", func(c *state.Cluster) { newest(c).Filters = map[string]string{"require._name": "gone-1"} }},
		{"an index that is pinned is told", "no_index_is_pinned_to_one_node", Change, "1 with replicas", func(c *state.Cluster) { newest(c).Filters["require._name"] = "hot-0" }},
		{"a tier and a filter that part hurt", "one_filter_sends_an_index", Hurts, "no node meets together", func(c *state.Cluster) {
			for i := range c.Nodes[3:] {
				n := &c.Nodes[3+i]
				n.Roles = []string{"data_" + n.Attributes["tier"]}
			}
			newest(c).TierPreference = "data_warm,data_hot"
		}},
		{"a blocked newest index hurts", "written_indices_are_open", Hurts, "1 index that is to be written now or soon takes no documents", func(c *state.Cluster) { newest(c).Blocks = []string{"read_only_allow_delete"} }},
		{"a single copy is told", "data_have_a_second_copy", Change, "1 index (180 GB) with one copy", func(c *state.Cluster) { c.Indices[20].Replicas, c.Indices[20].Bytes = 0, 180*gb }},
		{"one that lies in a snapshot is fine", "data_have_a_second_copy", Fine, "", func(c *state.Cluster) {
			c.Indices[20].Replicas, c.Snapshots[0].IndexNames = 0, []string{c.Indices[20].Name}
		}},
		{"indices that were made at once come due at once", "policies_do_not_fire_at_once", Hurts, "24 indices (288 shards, 8.6 TB) come due in one hour; counted from the end of their slots it would be 1 an hour", func(c *state.Cluster) {
			c.Policies = []state.Policy{{Kind: state.KindILM, Name: "logs", Steps: []state.PolicyStep{{Name: "warm", AfterMillis: 30 * 86_400_000}}}}
			for i := range 24 {
				c.Indices[i].Policy, c.Indices[i].CreatedMillis = &state.Attachment{Kind: state.KindILM, Policy: "logs"}, now().AddDate(0, 0, -29).UnixMilli()
			}
		}},
		{"a policy that stands on an error is told", "policies_go_on", Change, "1 index stands still in shrink of policy logs (ILM): no node", func(c *state.Cluster) {
			c.Policies = []state.Policy{{Kind: state.KindILM, Name: "logs"}}
			c.Indices[9].Policy = &state.Attachment{Kind: state.KindILM, Policy: "logs", Action: "shrink", Failed: true, Why: "no node"}
		}},
		{"a policy that is gone is told", "policies_exist", Change, "the policy lost (ISM)", func(c *state.Cluster) { c.Indices[9].Policy = &state.Attachment{Kind: state.KindISM, Policy: "lost"} }},
		{"a PARTIAL snapshot is told", "snapshots_succeed", Change, "PARTIAL is a failure", func(c *state.Cluster) {
			c.Snapshots = append(c.Snapshots, state.Snapshot{Name: "p", State: "PARTIAL", EndedMillis: now().UnixMilli(), ShardsTotal: 9, ShardsFailed: 1})
		}},
		{"no snapshot since three days is told", "snapshots_succeed", Change, "3 days old", func(c *state.Cluster) { c.Snapshots[0].EndedMillis = now().AddDate(0, 0, -3).UnixMilli() }},
		{"a listing without times is judged by what lies in it", "snapshots_succeed", Change, "the newest index that lies in a successful snapshot, app-2026.11.18, is 5 days old; 4 indices (720 GB of primaries) came since", func(c *state.Cluster) {
			c.Snapshots = []state.Snapshot{{Repository: "cos", Name: "s", State: "SUCCESS", IndexNames: []string{"app-2026.11.17", "app-2026.11.18", "gone-1"}, Indices: 3}}
		}},
		{"without times a fresh index in a snapshot is fine", "snapshots_succeed", Fine, "", func(c *state.Cluster) {
			c.Snapshots = []state.Snapshot{{Name: "s", State: "SUCCESS", IndexNames: []string{"app-2026.11.22"}, Indices: 1}, {Name: "p", State: "PARTIAL", IndexNames: []string{"app-2026.11.22"}, Indices: 1}}
		}},
		{"without times what a PARTIAL one alone holds is told", "snapshots_succeed", Change, "1 snapshot not whole", func(c *state.Cluster) {
			c.Snapshots = []state.Snapshot{{Name: "s", State: "SUCCESS", IndexNames: []string{"app-2026.11.22"}, Indices: 1}, {Name: "p", State: "PARTIAL", IndexNames: []string{"app-2026.11.21"}, Indices: 1}}
		}},
		{"snapshots of what is gone are told", "snapshots_succeed", Change, "no index that is here", func(c *state.Cluster) {
			c.Snapshots = []state.Snapshot{{Name: "s", State: "SUCCESS", IndexNames: []string{"gone-1"}, Indices: 1}}
		}},
		{"recoveries without a limit are told", "recoveries_have_a_limit", Change, "recoveries take all", set(recoverySpeed, "0")},
		{"recoveries with a high limit are told", "recoveries_have_a_limit", Change, "10.7 GB a second", set(recoverySpeed, "1gb")},
		{"a lost node that comes back in days is told", "a_lost_node_comes_back_in_a_day", Change, "101 hours", set(recoverySpeed, "1mb")},
		{"a single copy on a node with a full disk hurts", "single_copies_lie_on_well_nodes", Hurts, "1 index (180 GB) with one copy and no snapshot on warm-6, which is ill (disk over the high watermark)", func(c *state.Cluster) {
			c.Indices[20].Replicas = 0
			c.Shards = []state.ShardGroup{{Index: c.Indices[20].Name, Node: "warm-6", State: state.Started, Primaries: 6, Bytes: 180 * gb}}
			c.Nodes[9].DiskFreeBytes = tb / 10
		}},
		{"where single copies lie is not known of all", "single_copies_lie_on_well_nodes", Unknown, "1 node is ill, and of 1 index", func(c *state.Cluster) {
			c.Indices[20].Replicas, c.Nodes[9].DiskFreeBytes = 0, tb/10
		}},
		{"a flood stage that leaves nothing is told", "watermarks_protect", Change, "flood_stage = 1gb (persistent): 1.1 GB of the smallest disk (4 TB) are left", set(allocation+"disk.watermark.flood_stage", "1gb")},
		{"no repository is told", "snapshots_succeed", Change, "no repository", func(c *state.Cluster) { c.Repositories = nil }},
		{"a heap dump on the data disk is told", "heap_dumps_lie_apart", Change, "1 node writes, when out of memory, a heap dump", func(c *state.Cluster) { hot(c).HeapDumpPath = "/data/dump" }},
		{"a relative one under the home is told", "heap_dumps_lie_apart", Change, "1 node writes", func(c *state.Cluster) { hot(c).HeapDumpPath, hot(c).HomePath = "data", "/data/es" }},
		{"one that fills the disk hurts", "heap_dumps_lie_apart", Hurts, "takes the disk over the flood stage", func(c *state.Cluster) { hot(c).HeapDumpPath, hot(c).DiskFreeBytes = "/data/dump", 210*gb }},
		{"a greedy agent is told", "nothing_else_takes_the_processors", Change, "on 1 node other programs", func(c *state.Cluster) { hot(c).CPUPercent = 90 }},
		{"what else fills a disk is told", "nothing_else_fills_the_disks", Change, "something else takes 1 TB", func(c *state.Cluster) { hot(c).ShardBytes = tb }},
		{"a heap of 48 GiB is large", "heap_leaves_memory_for_files", Change, "beyond 31 GiB", func(c *state.Cluster) { hot(c).HeapMaxBytes, hot(c).MemTotalBytes = 48<<30, 100<<30 }},
		{"a node that swaps is told", "nodes_do_not_swap", Change, "swap", func(c *state.Cluster) { hot(c).SwapUsedBytes = 1 << 30 }},
		{"few open files are told", "nodes_may_open_files", Change, "too few files", func(c *state.Cluster) { hot(c).MaxOpenFiles = 4096 }},
		{"two versions are told", "nodes_are_of_one_version", Change, "1 of 7.16.3, 12 of 7.17.0", func(c *state.Cluster) { hot(c).Version = "7.16.3" }},
		{"a small node in a tier is told", "nodes_of_a_tier_are_equal", Change, "tier hot has heaps", func(c *state.Cluster) { hot(c).HeapMaxBytes = 8 << 30 }},
		{"a newest slot with one copy is told", "new_slots_have_a_replica", Change, "1 series", func(c *state.Cluster) { newest(c).Replicas = 0 }},
		{"a refresh of every second is told", "templates_are_for_logs", Change, "refreshed every second", func(c *state.Cluster) { c.Templates[0].Settings = nil }},
		{"what was not seen is not judged", "policies_go_on", Unknown, "policyState could not be seen: 403", func(c *state.Cluster) {
			c.Unseen = []state.Unseen{{Part: state.PartPolicyState, Why: "403"}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := healthy()
			c.change(cluster)
			r := examine(t, cluster, Options{KeepDays: 30})
			of := slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Rule != c.rule })
			if !slices.ContainsFunc(of, func(f Finding) bool { return f.Severity == c.severity && strings.Contains(f.Says, c.says) }) {
				t.Errorf("want %s %q, got %+v", c.severity, c.says, of)
			}
		})
	}
}

func TestForecasts(t *testing.T) {
	for name, c := range map[string]struct {
		o      Options
		change func(*state.Cluster)
		rule   string
		sum    string
		on     string
	}{
		"shards of hourly indices pass the limit on a day": {Options{}, func(c *state.Cluster) {
			c.Indices = nil
			for age := range 48 {
				start := now().Truncate(time.Hour).Add(-time.Duration(age) * time.Hour)
				c.Indices = append(c.Indices, state.Index{Name: start.Format("game-log-2006.01.02.15"), Primaries: 60, Replicas: 1, Bytes: gb, CreatedMillis: start.UnixMilli()})
			}
			c.Health.ActiveShards = 5760
		}, "shards_stay_within_bounds", "365 days × 24 slots × 60 primaries × 2 = 1 051 200 shards", "2026-11-24"},
		"a year with a shrink at 15 days": {Options{KeepDays: 365}, func(c *state.Cluster) { c.Indices = shrunk(1, 5, 2); c.Health.ActiveShards = 9000 },
			"shards_stay_within_bounds", "15 days × 24 slots × 60 primaries × 2 + 350 days × 24 slots × 5 primaries × 2 = 127 200 shards", "2026-11-26"},
		"a year of two hours without replica at 360 hours": {Options{KeepDays: 365}, func(c *state.Cluster) { c.Indices = shrunk(2, 5, 1); c.Health.ActiveShards = 9000 },
			"shards_stay_within_bounds", "15 days × 12 slots × 60 primaries × 2 + 350 days × 12 slots × 5 primaries × 1 = 42 600 shards", "2026-12-09"},
		"a tier without an end is full on a day": {Options{}, func(*state.Cluster) {}, "tiers_have_days_left", "6.4 TB / (360 GB in - 0 B out a day) = 17 days", "2026-12-10"},
		"the days that are kept need nodes":      {Options{KeepDays: 365}, func(*state.Cluster) {}, "tiers_have_days_left", "128 TB / 4 TB = 33 nodes", ""},
		"half of the documents too much":         {Options{KeepDays: 30, DocsPerSecondPerNode: 500}, func(*state.Cluster) {}, "hot_nodes_take_the_documents", "6 nodes × 500 docs/s / 2 copies = 1 500 docs/s", ""},
		"twice the plan":                         {Options{KeepDays: 30, PlannedBytesPerDay: 90 * gb}, func(*state.Cluster) {}, "volume_is_as_planned", "180 GB / 90 GB = 2 times", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := healthy()
			c.change(cluster)
			for _, f := range examine(t, cluster, c.o).Findings {
				for _, s := range f.Sums {
					if f.Rule == c.rule && s.Text == c.sum && (c.on == "" || f.HurtsAt != nil && f.HurtsAt.Format(time.DateOnly) == c.on) {
						return
					}
				}
			}
			t.Errorf("no %q on %s:\n%s", c.sum, c.on, words(examine(t, cluster, c.o)))
		})
	}
}

// shrunk is twenty days of slots, those beyond fifteen days with fewer shards.
func shrunk(hours, primaries, copies int) []state.Index {
	var all []state.Index
	length := time.Duration(hours) * time.Hour
	for age := range 20 * 24 / hours {
		start := now().Truncate(length).Add(-time.Duration(age+1) * length)
		x := state.Index{Name: start.Format("game-log-2006.01.02.15"), Primaries: 60, Replicas: 1, Bytes: gb, CreatedMillis: start.UnixMilli()}
		if age >= 15*24/hours {
			x.Primaries, x.Replicas = primaries, copies-1
		}
		all = append(all, x)
	}
	return all
}

func TestZones(t *testing.T) {
	c := healthy()
	for i := range c.Indices {
		c.Indices[i].CreatedMillis -= 8 * 3600_000
	}
	if text := words(examine(t, c, Options{KeepDays: 30})); !strings.Contains(text, "app-{yyyy.MM.dd}: indices are created some -8 h") {
		t.Errorf("nothing is said of the zone:\n%s", text)
	}
	if text := words(examine(t, c, Options{KeepDays: 30, TimeZone: "Asia/Shanghai"})); strings.Contains(text, "zone_of_names") {
		t.Errorf("the zone was said:\n%s", text)
	}
	if _, err := Examine(c, Options{TimeZone: "Europe/Berlin"}); err == nil || !strings.Contains(err.Error(), "changes its clock") {
		t.Error(err)
	}
	if _, err := Examine(c, Options{KeepDays: -1}); err == nil {
		t.Error("negative days were taken")
	}
	if _, err := Examine(c, Options{DocsPerSecondPerNode: math.NaN()}); err == nil {
		t.Error("no number was taken")
	}
}

func TestReportIsJSON(t *testing.T) {
	for _, c := range []*state.Cluster{healthy(), {TakenAt: now(), Product: state.OpenSearch}} {
		if _, err := json.Marshal(examine(t, c, Options{})); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
