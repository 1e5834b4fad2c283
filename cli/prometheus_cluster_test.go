package cli

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

const migrationYAML = `apiVersion: migration.slipway.dev/v1alpha1
kind: PrometheusMigration
metadata: {name: ecs-metrics, namespace: monitoring}
spec:
  source:
    url: http://monitor-storage001:9090
    agent: {address: "198.18.0.21:9797"}
  target:
    statefulSet: {name: prometheus-ecs, image: "prom/prometheus:v3.16.0", retention: 180d, storage: {className: fast-ssd, size: 1Ti}}
  tools: {image: "registry.shop/slipway:0.1.0"}
`

// ecs is a migration that copies blocks.
func ecs() *v1alpha1.PrometheusMigration {
	since := ago(3 * time.Hour)
	m := &v1alpha1.PrometheusMigration{ObjectMeta: named("ecs-metrics", 5*time.Hour), Spec: v1alpha1.PrometheusMigrationSpec{
		Source: v1alpha1.Source{URL: "http://monitor-storage001:9090", Agent: &v1alpha1.Agent{Address: "198.18.0.21:9797", CredentialsSecretName: "ecs-metrics-agent"}},
		Target: v1alpha1.Target{StatefulSet: &v1alpha1.StatefulSetTarget{Name: "prometheus-ecs", Image: "prom/prometheus:v3.16.0"}},
		Tools:  v1alpha1.Tools{Image: "registry.shop/slipway:0.1.0"}, Goal: v1alpha1.GoalFinalized,
		Cutover: v1alpha1.Cutover{Window: &v1alpha1.Window{From: "02:00", To: "05:00", TimeZone: "Asia/Shanghai"}},
	}}
	m.Namespace = "monitoring"
	m.Status = v1alpha1.PrometheusMigrationStatus{
		Phase: v1alpha1.PhaseStage, PhaseSince: &since, Source: &v1alpha1.SourceFacts{Version: "2.42.0"},
		Seam:   ptr.To(metav1.NewTime(time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC))),
		Blocks: &v1alpha1.BlockCounts{Total: ptr.To[int32](31), Staged: ptr.To[int32](12), Verified: ptr.To[int32](12), Installed: ptr.To[int32](0)},
		Transfer: &v1alpha1.TransferStatus{BytesDone: ptr.To(int64(300 << 30)), BytesTotal: ptr.To(int64(800 << 30)), BytesPerSecond: ptr.To(int64(175 << 20)), ETASeconds: ptr.To(int64(2925)),
			LimitedBy: "SourceQueryLatency", Signals: []string{"QueryLatency", "DiskStats"}},
		Endpoint: &v1alpha1.EndpointStatus{Wanted: v1alpha1.SideSource, LeadsTo: v1alpha1.SideSource, Since: &since},
		Grafana:  &v1alpha1.GrafanaStatus{URL: "http://grafana.monitoring.svc:3000", Summary: "Grafana 12.0.0 has what the old one has: 12 dashboards", BroughtAt: &since},
		Steps:    []string{"bring 19 blocks to the target's disk and verify them there"},
		Waits:    []string{"block [2026-11-22T14:00:00Z, 2026-11-22T16:00:00Z) appears on the source at about 2026-11-22T17:00:00Z: its head is cut then"},
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionSpecValid, "True", v1alpha1.ReasonPassed, ""),
			condition(v1alpha1.ConditionProgressing, "True", v1alpha1.ReasonRunning, "bring 19 blocks to the target's disk and verify them there"),
			condition(v1alpha1.ConditionReady, "False", v1alpha1.ReasonRunning, "phase Stage"),
		},
	}
	return m
}

// at is ecs in another state.
func at(name string, phase v1alpha1.Phase, change func(m *v1alpha1.PrometheusMigration)) *v1alpha1.PrometheusMigration {
	m := ecs()
	m.Name, m.UID = name, types.UID("uid-"+name)
	m.Status.Phase, m.Status.Steps, m.Status.Waits, m.Status.Transfer, m.Status.Blocks = phase, nil, nil, nil, nil
	m.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionProgressing, "True", v1alpha1.ReasonRunning, "what is said of phase "+string(phase))}
	if change != nil {
		change(m)
	}
	return m
}

func proved(m *v1alpha1.PrometheusMigration) {
	m.Status.Proof = &v1alpha1.Proof{Verdict: "proved", Summary: "The target holds what the source holds", At: ptr.To(metav1.NewTime(time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC))), AfterRestart: v1alpha1.AfterRestartDone}
}

func migrations() []client.Object {
	return []client.Object{
		ecs(),
		at("approving", v1alpha1.PhaseCutover, func(m *v1alpha1.PrometheusMigration) {
			proved(m)
			m.Status.NeedsApproval = []v1alpha1.Approval{v1alpha1.ApprovalCutover, v1alpha1.ApprovalSourceAlertingOff}
			m.Status.Diff = "--- prometheus.yml\n+++ prometheus.yml\n@@ -3,4 +3,0 @@\n-alerting:\n-  alertmanagers: [{static_configs: [{targets: ['am:9093']}]}]\n"
		}),
		at("stopped", v1alpha1.PhaseVerify, func(m *v1alpha1.PrometheusMigration) {
			m.Status.Stop = &v1alpha1.Stop{Rule: "not_proved", Text: "the proof with seed 7 says different: The target differs from the source: samples"}
			m.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionVerified, "False", v1alpha1.ReasonNotProved, "samples differ")}
		}),
		at("dark", v1alpha1.PhaseObserve, func(m *v1alpha1.PrometheusMigration) {
			proved(m)
			since := ago(30 * time.Minute)
			m.Status.Endpoint = &v1alpha1.EndpointStatus{Wanted: v1alpha1.SideTarget, LeadsTo: v1alpha1.SideSource, Since: &since, Reason: "pod prometheus-ecs-0 is not ready"}
		}),
		at("final", v1alpha1.PhaseFinalized, func(m *v1alpha1.PrometheusMigration) {
			m.Status.Notes = []string{"can be switched off: Prometheus on monitor-storage001 (systemctl disable --now prometheus)"}
		}),
		at("back", v1alpha1.PhaseRolledBack, func(m *v1alpha1.PrometheusMigration) { m.Spec.Goal = v1alpha1.GoalRolledBack }),
		at("new", "", func(m *v1alpha1.PrometheusMigration) { m.Status = v1alpha1.PrometheusMigrationStatus{} }),
	}
}

// TestPrometheusClusterStatus is a golden file of migrations in every state, as a person sees them.
func TestPrometheusClusterStatus(t *testing.T) {
	transcript{golden: "prometheus_cluster_status", objects: migrations, steps: []step{
		{name: "shows all", line: "prometheus status -n monitoring"},
		{name: "shows all of every namespace", line: "prometheus status -A"},
		{name: "says that there are none", line: "prometheus status"},
		{name: "says how the copy goes", line: "prometheus status ecs-metrics -n monitoring"},
		{name: "says what a person has to approve", line: "prometheus status approving -n monitoring"},
		{name: "says why it stopped", line: "prometheus status stopped -n monitoring"},
		{name: "says that users are led to the old server again", line: "prometheus status dark -n monitoring"},
		{name: "says what can be switched off", line: "prometheus status final -n monitoring"},
		{name: "says that nobody looked at it yet", line: "prometheus status new -n monitoring"},
		{name: "prints it whole", line: "prometheus status new -n monitoring -o yaml"},
		{name: "knows no such migration", line: "prometheus status none -n monitoring"},
		{name: "watches until the end", line: "prometheus status final -n monitoring --watch"},
		{name: "watches until it stops", line: "prometheus status stopped -n monitoring -w"},
		{name: "watches one", line: "prometheus status --watch"},
		{name: "does not mix both forms", line: "prometheus status ecs-metrics --state move"},
		{name: "does not mix both forms the other way", line: "prometheus status --state move -n monitoring"},
	}}.test(t)
}

// TestPrometheusClusterWords is a golden file of what a person says to a migration.
func TestPrometheusClusterWords(t *testing.T) {
	transcript{golden: "prometheus_cluster_words", objects: migrations, steps: []step{
		{name: "approves ahead of time", line: "prometheus cutover ecs-metrics -n monitoring"},
		{name: "approves what waits", line: "prometheus cutover approving -n monitoring"},
		{name: "approves an edit of the old server", line: "prometheus cutover approving -n monitoring --approve SourceAlertingOff,SourceRemoteWriteOff"},
		{name: "changes nothing in a dry run", line: "prometheus cutover approving -n monitoring --dry-run"},
		{name: "knows what can be approved", line: "prometheus cutover approving -n monitoring --approve Everything"},
		{name: "takes it back", line: "prometheus rollback dark -n monitoring"},
		{name: "takes nothing back that is final", line: "prometheus rollback final -n monitoring"},
		{name: "takes nothing back twice", line: "prometheus rollback back -n monitoring"},
		{name: "approves nothing of what is taken back", line: "prometheus cutover back -n monitoring"},
		{name: "ends it", line: "prometheus finalize dark -n monitoring"},
		{name: "ends it ahead of time", line: "prometheus finalize ecs-metrics -n monitoring"},
		{name: "approves nothing of what is final", line: "prometheus finalize final -n monitoring"},
		{name: "needs a name or a folder", line: "prometheus rollback"},
		{name: "has flags of the other form", line: "prometheus finalize dark -n monitoring --watch 10m"},
	}}.test(t)
}

// TestPrometheusClusterApply is a golden file of writing a migration.
func TestPrometheusClusterApply(t *testing.T) {
	transcript{
		golden: "prometheus_cluster_apply", objects: func() []client.Object {
			return append(migrations(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "rack", ResourceVersion: "5"}, Type: corev1.SecretTypeSSHAuth})
		},
		files: map[string]string{
			"migration.yaml": migrationYAML, "wrong.yaml": migrationYAML + "  colour: red\n", "other.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "key": testKey(t, ""),
			"new.yaml": migrationYAML[:len("apiVersion: migration.slipway.dev/v1alpha1\nkind: PrometheusMigration\nmetadata: {name: ")] + "orders, namespace: monitoring}\nspec:\n  source: {url: \"http://old:9090\", host: {address: 198.18.0.5}}\n" +
				"  target: {prometheus: {name: k8s}}\n  tools: {image: slipway}\n",
			"grafana.yaml":       migrationYAML + "  grafana: {image: \"grafana/grafana:12.0.0\", storage: {size: 20Gi}, service: {type: NodePort, nodePort: 30300}}\n",
			"etc/prometheus.yml": "scrape_configs: []\n", "etc/rules/shop.yml": "groups: []\n", "etc/.git/config": "x", "elsewhere/p.yml": "x", "bad/a b": "x",
			"transfer/ca.crt": "CA", "transfer/tls.crt": "CERT", "transfer/tls.key": "KEY",
		},
		steps: []step{
			{name: "says what would be written", line: "prometheus migrate -f migration.yaml --source-config etc --credentials transfer --dry-run"},
			{name: "shows the objects of a Grafana beside it", line: "prometheus migrate -f grafana.yaml --dry-run"},
			{name: "writes it over what is there", line: "prometheus migrate -f migration.yaml --source-config etc --credentials transfer"},
			{name: "writes a new one with a key", line: "prometheus migrate -f new.yaml --ssh-key key"},
			{name: "prints what is written, without secrets", line: "prometheus migrate -f new.yaml --ssh-key key -o yaml"},
			{name: "names an unknown field", line: "prometheus migrate -f wrong.yaml"},
			{name: "takes one migration alone", line: "prometheus migrate -f other.yaml"},
			{name: "finds no configuration", line: "prometheus migrate -f migration.yaml --source-config elsewhere"},
			{name: "cannot keep such a file", line: "prometheus migrate -f migration.yaml --source-config bad"},
			{name: "has no use for certificates without an agent", line: "prometheus migrate -f new.yaml --credentials transfer"},
			{name: "finds no certificates", line: "prometheus migrate -f migration.yaml --credentials etc"},
			{name: "reads no key", line: "prometheus migrate -f new.yaml --ssh-key migration.yaml"},
			{name: "holds another name", line: "prometheus migrate orders -f migration.yaml"},
			{name: "needs a file, or something to do again", line: "prometheus migrate orders"},
			{name: "tries again what stopped", line: "prometheus migrate stopped -n monitoring --retry"},
			{name: "tries nothing again that goes on", line: "prometheus migrate ecs-metrics -n monitoring --retry"},
			{name: "does one of the two", line: "prometheus migrate -f migration.yaml --retry"},
			{name: "refuses flags of the other form", line: "prometheus migrate -f migration.yaml --parallel 9"},
			{name: "still needs the flags of the other form", line: "prometheus migrate --source old"},
			{name: "has no file in the other form", line: "prometheus migrate --source old --ssh-key key"},
		},
	}.test(t)
}

// jobPod is the pod of a job of ecs-metrics.
func jobPod(name, role string, age time.Duration) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: named(name, age)}
	p.Namespace, p.Labels = "monitoring", map[string]string{v1alpha1.NameLabel: "ecs-metrics", v1alpha1.RoleLabel: role}
	return p
}

// TestPrometheusClusterReports is a golden file of the reports that the pods of a migration left in their logs.
func TestPrometheusClusterReports(t *testing.T) {
	const equal = `{"verdict":"proved","summary":"The target holds what the source holds, as far as was looked: samples.","seed":7,"checks":[{"name":"samples","verdict":"proved","summary":"200 pairs are equal","seconds":1}],"notChecked":[{"what":"every sample","why":"they are drawn"}]}`
	transcript{
		golden: "prometheus_cluster_reports", objects: func() []client.Object {
			away := at("away", v1alpha1.PhaseVerify, nil)
			away.Spec.Target.KubeconfigSecretName = "none"
			return append(migrations(), away, jobPod("ecs-metrics-preflight-a", "preflight", time.Hour), jobPod("ecs-metrics-preflight-b", "preflight", time.Minute), jobPod("ecs-metrics-rehearse-a", "rehearse", time.Minute), jobPod("ecs-metrics-proof-a", "proof", time.Minute))
		},
		logs: map[string]string{
			"ecs-metrics-preflight-a": `{"verdict":"Fine","findings":[]}`,
			"ecs-metrics-preflight-b": "Waiting: 0 of 1 targets are equal\n" + `{
  "verdict": "Refused",
  "findings": [{"rule": "coverage_is_equal", "verdict": "Refused", "says": "1 of 4 targets are equal", "fix": "open the ways that are listed"}],
  "coverage": {"verdict": "Different", "jobs": [{"job": "node", "source": 4, "target": 4, "equal": 1}]}
}
slipway: moving a to b: 1 of 20 rules stand in the way
`,
			"ecs-metrics-rehearse-a": `{"verdict":"Refused","says":"1 of 18 rules stands in the way","findings":[{"rule":"writable_by_server","verdict":"Refused","says":"MakeDirectory: mkdir: permission denied as uid 1000","fix":"set fsGroup"}]}` + "\n",
			"ecs-metrics-proof-a":    "Checking samples\n{\"half\": \n{\"report\":" + equal + "}\n{\"phase\":\"Done\",\"done\":true}\n",
		},
		steps: []step{
			{name: "shows the last preflight", line: "prometheus preflight ecs-metrics -n monitoring"},
			{name: "shows it whole", line: "prometheus preflight ecs-metrics -n monitoring -o yaml"},
			{name: "shows the last proof, and writes its page", line: "prometheus proof ecs-metrics -n monitoring --report proof.html"},
			{name: "shows the rehearsal", line: "prometheus rehearse ecs-metrics -n monitoring"},
			{name: "rehearses a folder in the other form", line: "prometheus rehearse ecs-metrics --override x --source http://old"},
			{name: "finds no pod yet", line: "prometheus proof final -n monitoring"},
			{name: "finds no way to the target's cluster", line: "prometheus proof away -n monitoring"},
			{name: "takes no other flags", line: "prometheus proof ecs-metrics -n monitoring --samples 3"},
		},
	}.test(t)
}

func TestLastObjectTakesWhatIsWhole(t *testing.T) {
	tests := map[string]struct{ log, want, key string }{
		"nothing":                          {},
		"the last one that has a key":      {log: "{\"report\":{\"a\":1}}\n{\"report\":{\"a\":2}}\n{\"time\":3}\n", want: `{"a":2}`, key: "report"},
		"none that has the key":            {log: "{\"a\":1}\n", key: "report"},
		"words alone":                      {log: "Checking\nmore\n", want: ""},
		"one of several lines":             {log: "x\n{\n \"a\": 1\n}\ny\n", want: "{\n \"a\": 1\n}"},
		"the last one":                     {log: "{\"a\":1}\n{\"a\":2}\n", want: `{"a":2}`},
		"the one before a line cut short":  {log: "{\"a\":1}\n{\"a\":", want: `{"a":1}`},
		"none that does not begin a line":  {log: "see {\"a\":1}\n", want: ""},
		"one behind something like a line": {log: "{oops\n{\"a\":1}\n", want: `{"a":1}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := string(lastObject([]byte(test.log), test.key)); got != test.want {
				t.Errorf("%q", got)
			}
		})
	}
}
