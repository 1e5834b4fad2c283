package manifest

import (
	"os"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
)

func example(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/logs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReadFillsDefaults(t *testing.T) {
	m, err := ReadFile("testdata/logs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l := &m.Lifecycles[0]
	c := m.Cluster(l)
	if c == nil || c.Spec.Constraints.SnapshotAsCopy != v1alpha1.SnapshotCounted || c.Spec.Constraints.Searching != v1alpha1.SearchingAlways || c.Spec.Repositories[0].Type != v1alpha1.RepositoryExisting {
		t.Errorf("cluster: %+v", c)
	}
	s := l.Spec
	if s.Write != v1alpha1.WriteAlias || *s.Indices.CreateAheadSlots != 6 || s.Template.Shards.StrVal != "Auto" || *s.Template.Replicas != 1 || s.Closing.QuietForMinutes != 120 ||
		s.Phases[0].Shrink.Replica != v1alpha1.ReplicaKeep || s.Phases[5].Delete.Snapshot != v1alpha1.SnapshotKeep || s.Budget.ConcurrentIndices != 2 {
		t.Errorf("lifecycle: %+v", s)
	}
}

// refused are edits of the example that both the API server and a file refuse, with the line that is named.
var refused = []struct {
	name, old, new, says string
	// fileOnly is what the API server does not hold: fields that it prunes, names of other objects, quantities.
	fileOnly bool
}{
	{"a field that is not there", "spreadOverHours: 2", "spreadOverHour: 2", "logs.yaml:33: IndexLifecycle hourly-game-logs: spec.spreadOverHour: there is no such field", true},
	{"a text where a number stands", "spreadOverHours: 2", "spreadOverHours: two", "logs.yaml:33: IndexLifecycle hourly-game-logs: spec.spreadOverHours: got string, want integer", false},
	{"a password in an address", "https://es-1.logs:9200", "https://me:pw@es-1.logs:9200", "logs.yaml:5: SearchCluster game-logs: spec.endpoints[1]:", false},
	{"two ways of one phase", "forceMerge: {segments: 1}", "forceMerge: {segments: 1}, close: {}", "logs.yaml:28: IndexLifecycle hourly-game-logs: spec.phases[1]: a phase does one thing", false},
	{"a phase that does nothing", ", forceMerge: {segments: 1}", "", "logs.yaml:28: IndexLifecycle hourly-game-logs: spec.phases[1]: a phase does one thing", false},
	{"a phase out of order", "{name: warm, afterHours: 360", "{name: warm, afterHours: 300", "logs.yaml:31: IndexLifecycle hourly-game-logs: spec.phases[4].afterHours: phases are done in their order", false},
	{"a name that stands there twice", "{name: warm, afterHours: 360", "{name: merge, afterHours: 360", "logs.yaml:31: IndexLifecycle hourly-game-logs: spec.phases[4].name: merge stands there twice", false},
	{"an age that is missing", "{name: warm, afterHours: 360,", "{name: warm,", "logs.yaml:31: IndexLifecycle hourly-game-logs: spec.phases[4]: missing property 'afterHours'", false},
	{"a shrink without a size", "maxShardBytes: 100Gi", "replica: Keep", "logs.yaml:27: IndexLifecycle hourly-game-logs: spec.phases[0].shrink: give maxShardBytes or shards", false},
	{"a size that is none", "maxShardBytes: 100Gi", "maxShardBytes: big", "logs.yaml:27: IndexLifecycle hourly-game-logs: spec.phases[0].shrink.maxShardBytes:", false},
	{"a size of nothing", "maxShardBytes: 100Gi", "maxShardBytes: 0", "spec.phases[0].shrink.maxShardBytes: 0 is no number of bytes above 0", true},
	{"shards that are neither", "template: {", "template: {shards: Some, ", "logs.yaml:24: IndexLifecycle hourly-game-logs: spec.template.shards: shards is Auto", false},
	{"no shards at all", "template: {", "template: {shards: 0, ", "logs.yaml:24: IndexLifecycle hourly-game-logs: spec.template.shards: shards is Auto", false},
	{"hours that do not divide a day", "hours: 2", "hours: 5", "logs.yaml:23: IndexLifecycle hourly-game-logs: spec.indices.slot.hours: value must be one of", false},
	{"a setting that is no text", "refresh_interval: 30s", "refresh_interval: 30", "logs.yaml:24: IndexLifecycle hourly-game-logs: spec.template.settings.refresh_interval: got number, want string", false},
	{"a write alias where names are made", "closing:", "write: ByName\n  aliases: {write: game-write}\n  closing:", "IndexLifecycle hourly-game-logs: spec: aliases.write is for write: Alias", false},
	{"freezing without the owner's word", "delete: {}", "freeze: {}", "spec.phases[5].freeze: missing property 'hiddenFromDefaultSearch'", false},
	{"a tier of two kinds", "value: hot}", "value: hot}, dataRole: data_hot", "logs.yaml:9: SearchCluster game-logs: spec.tiers[0]: give nodeAttribute or dataRole", false},
	{"a bucket of a repository that is there", "{name: cos}", "{name: cos, s3: {bucket: logs}}", "logs.yaml:12: SearchCluster game-logs: spec.repositories[0]: s3 belongs to the type S3", false},
	{"two ways to say who asks", "secretName: es-admin", "secretName: es-admin, apiKeyFile: key", "logs.yaml:6: SearchCluster game-logs: spec.auth: give one of", false},
	{"authorities from nowhere", "caSecretName: es-ca", "", "logs.yaml:7: SearchCluster game-logs: spec.tls:", false},
	{"a cluster that is not there", "clusterName: game-logs", "clusterName: other", "spec.clusterName: no SearchCluster other", true},
	{"a tier that is not there", "move: {tier: warm}", "move: {tier: cold}", "spec.phases[4].move.tier: SearchCluster game-logs has no tier cold", true},
	{"a repository that is not there", "repositoryName: cos", "repositoryName: s3", "spec.phases[2].snapshot.repositoryName: SearchCluster game-logs has no repository s3", true},
	{"another kind", "kind: IndexLifecycle", "kind: NodeReplacement", "logs.yaml:16: NodeReplacement of search.slipway.dev/v1alpha1 is not read here", true},
	{"an object that stands there twice", "apiVersion: search.slipway.dev/v1alpha1\nkind: IndexLifecycle\nmetadata: {name: hourly-game-logs, namespace: logs}\nspec:\n  clusterName: game-logs",
		"apiVersion: search.slipway.dev/v1alpha1\nkind: SearchCluster\nmetadata: {name: game-logs, namespace: logs}\nspec:\n  endpoints: ['http://es:9200']\n---\napiVersion: v1\nkind: None\nx:\n  y: z", "logs.yaml:16: SearchCluster game-logs: metadata.name: it stands on line 1 already", true},
}

func TestReadRefuses(t *testing.T) {
	text := example(t)
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			edited := strings.Replace(text, c.old, c.new, 1)
			if edited == text {
				t.Fatalf("nothing was edited: %q", c.old)
			}
			_, err := Read("logs.yaml", strings.NewReader(edited))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v\nwant %s", err, c.says)
			}
		})
	}
}

func TestReadTellsEveryProblem(t *testing.T) {
	text := strings.NewReplacer("spreadOverHours: 2", "spreadOverHours: two", "copies: 2", "copies: 0").Replace(example(t))
	_, err := Read("logs.yaml", strings.NewReader(text))
	if err == nil || strings.Count(err.Error(), "logs.yaml:") != 2 {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(example(f))
	f.Add("a: &a [*a]")
	f.Add("apiVersion: search.slipway.dev/v1alpha1\nkind: SearchCluster\nmetadata: 3\nspec: []")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Read("f", strings.NewReader(text))
		if err == nil && len(m.Clusters) == 0 {
			t.Error("nothing was read and nothing was wrong")
		}
	})
}
