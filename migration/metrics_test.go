package migration

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/charts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"
)

// registered is a registry with the metrics of one migration that has everything.
func registered(t *testing.T) *prometheus.Registry {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	m := &v1alpha1.PrometheusMigration{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "ecs"}}
	m.Status = v1alpha1.PrometheusMigrationStatus{
		Phase: v1alpha1.PhaseStage, PhaseSince: ptr.To(metav1.Unix(1_800_000_000, 0)),
		Conditions:    []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "Running"}, {Type: v1alpha1.ConditionSpecValid, Status: metav1.ConditionTrue, Reason: "Passed"}},
		Stop:          &v1alpha1.Stop{Rule: "not_proved", Text: "samples differ"},
		NeedsApproval: []v1alpha1.Approval{v1alpha1.ApprovalCutover},
		Endpoint:      &v1alpha1.EndpointStatus{Wanted: v1alpha1.SideTarget, LeadsTo: v1alpha1.SideSource},
		Blocks:        &v1alpha1.BlockCounts{Total: ptr.To[int32](31), Staged: ptr.To[int32](12)},
		Transfer: &v1alpha1.TransferStatus{BytesTotal: ptr.To(int64(800)), BytesDone: ptr.To(int64(300)), BytesPerSecond: ptr.To(int64(5)), LimitedBy: "SourceQueryLatency",
			SourceFreeBytes: ptr.To(int64(40)), SourceSizeBytes: ptr.To(int64(1000))},
	}
	registry := prometheus.NewRegistry()
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(m).Build()
	for range 2 { // the second manager of a process
		if err := count(registry, reader); err != nil {
			t.Fatal(err)
		}
	}
	return registry
}

func TestMetricsTellOfMigrations(t *testing.T) {
	var want strings.Builder
	for _, x := range []struct{ name, help, rest string }{
		{"blocks", "Blocks of the source: total, staged, installed, verified.", `state="staged"} 12|state="total"} 31`},
		{"condition", "1 when the condition is True, 0 when it is Unknown, -1 when it is False.", `condition="Ready",reason="Running"} -1|condition="SpecValid",reason="Passed"} 1`},
		{"endpoint_leads_to", "1 for the server that users reach now; wanted says whether it is the one that they are to reach.", `side="Source",wanted="false"} 1`},
		{"needs_approval", "1 for each word of a person that the migration waits for.", `approval="Cutover"} 1`},
		{"phase", "1 for the phase that the migration is in.", `phase="Stage"} 1`},
		{"phase_since_timestamp_seconds", "When the phase began.", `} 1.8e+09`},
		{"source_free_bytes", "Room on the old server's disk, where its blocks are held.", `} 40`},
		{"source_size_bytes", "Size of the old server's disk.", `} 1000`},
		{"stopped", "1 while a named rule stops the migration.", `rule="not_proved"} 1`},
		{"transfer_bytes", "Bytes that travel: done, total, and per second.", `state="done"} 300|state="per_second"} 5|state="total"} 800`},
		{"transfer_limited", "1 for what slows the copy now.", `by="SourceQueryLatency"} 1`},
	} {
		name := "slipway_migration_" + x.name
		fmt.Fprintf(&want, "# HELP %s %s\n# TYPE %s gauge\n", name, x.help, name)
		for _, rest := range strings.Split(x.rest, "|") {
			before, after, _ := strings.Cut(rest, "}")
			labels := slices.DeleteFunc(append(strings.Split(before, ","), `name="ecs"`, `namespace="monitoring"`), func(s string) bool { return s == "" })
			slices.Sort(labels)
			fmt.Fprintf(&want, "%s{%s}%s\n", name, strings.Join(labels, ","), after)
		}
	}
	if err := testutil.GatherAndCompare(registered(t), strings.NewReader(want.String())); err != nil {
		t.Error(err)
	}
}

type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := charts.Alerts.ReadFile("slipway/alerts/migration.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules
}

// TestAlertsNameWhatIsThere holds the alerts against the metrics that the operator has, with their labels.
func TestAlertsNameWhatIsThere(t *testing.T) {
	families, err := registered(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[f.GetName()] = append(labels[f.GetName()], l.GetName())
		}
	}
	metric, matcher := regexp.MustCompile(`slipway_[a-z_]+`), regexp.MustCompile(`(slipway_[a-z_]+)\{([a-z_]+)=`)
	for _, rule := range alerts(t) {
		for _, name := range metric.FindAllString(rule.Expr, -1) {
			if labels[name] == nil {
				t.Errorf("%s asks for %s, which the operator does not have", rule.Alert, name)
			}
		}
		for _, m := range matcher.FindAllStringSubmatch(rule.Expr, -1) {
			if !slices.Contains(labels[m[1]], m[2]) {
				t.Errorf("%s asks for the label %s of %s, which has %v", rule.Alert, m[2], m[1], labels[m[1]])
			}
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["runbook"] != "docs/runbooks/"+rule.Alert+".md" || rule.Labels["severity"] == "" {
			t.Errorf("%s lacks summary, runbook or severity: %+v", rule.Alert, rule)
		}
	}
}

// TestAlertsFire evaluates each expression by Prometheus' own engine, over series that should make it fire and over ones that should
// not. A series has a value every minute.
func TestAlertsFire(t *testing.T) {
	const stage = `slipway_migration_phase{namespace="m",name="a",phase="Stage"} 1x100` + "\n"
	tests := map[string]struct{ fires, silent string }{
		"SlipwayMigrationStopped": {`slipway_migration_stopped{namespace="m",name="a",rule="not_proved"} 1x100`, `slipway_migration_phase{namespace="m",name="a",phase="Verify"} 1x100`},
		"SlipwayMigrationRetentionDeletes": {`slipway_migration_stopped{namespace="m",name="a",rule="retention_holds_block"} 1x100`,
			`slipway_migration_stopped{namespace="m",name="a",rule="not_proved"} 1x100`},
		"SlipwayMigrationCopyStandsStill": {stage + `slipway_migration_transfer_bytes{namespace="m",name="a",state="done"} 300x100
slipway_migration_transfer_bytes{namespace="m",name="a",state="total"} 800x100`, stage + `slipway_migration_transfer_bytes{namespace="m",name="a",state="done"} 300+1x100
slipway_migration_transfer_bytes{namespace="m",name="a",state="total"} 800x100
slipway_migration_phase{namespace="m",name="b",phase="Stage"} 1x100
slipway_migration_transfer_bytes{namespace="m",name="b",state="done"} 800x100
slipway_migration_transfer_bytes{namespace="m",name="b",state="total"} 800x100
slipway_migration_phase{namespace="m",name="c",phase="Observe"} 1x100
slipway_migration_transfer_bytes{namespace="m",name="c",state="done"} 300x100
slipway_migration_transfer_bytes{namespace="m",name="c",state="total"} 800x100`},
		"SlipwayMigrationStandsStill": {`slipway_migration_phase{namespace="m",name="a",phase="Seam"} 1x100
slipway_migration_phase_since_timestamp_seconds{namespace="m",name="a"} -30000x100`, stage + `slipway_migration_phase_since_timestamp_seconds{namespace="m",name="a"} -30000x100
slipway_migration_phase{namespace="m",name="b",phase="Seam"} 1x100
slipway_migration_phase_since_timestamp_seconds{namespace="m",name="b"} -3000x100`},
		"SlipwayMigrationThrottled": {`slipway_migration_transfer_limited{namespace="m",name="a",by="SourceQueryLatency"} 1x100`,
			`slipway_migration_transfer_limited{namespace="m",name="a",by="Ceiling"} 1x100`},
		"SlipwayMigrationSourceDiskFills": {stage + `slipway_migration_source_free_bytes{namespace="m",name="a"} 90x100
slipway_migration_source_size_bytes{namespace="m",name="a"} 1000x100`, stage + `slipway_migration_source_free_bytes{namespace="m",name="a"} 110x100
slipway_migration_source_size_bytes{namespace="m",name="a"} 1000x100
slipway_migration_phase{namespace="m",name="b",phase="Observe"} 1x100
slipway_migration_source_free_bytes{namespace="m",name="b"} 10x100
slipway_migration_source_size_bytes{namespace="m",name="b"} 1000x100`},
		"SlipwayMigrationServedBySource": {`slipway_migration_endpoint_leads_to{namespace="m",name="a",side="Source",wanted="false"} 1x100`, `slipway_migration_endpoint_leads_to{namespace="m",name="a",side="Source",wanted="true"} 1x100`},
		"SlipwayMigrationBothServersSend": {`slipway_migration_needs_approval{namespace="m",name="a",approval="SourceAlertingOff"} 1x100`,
			`slipway_migration_needs_approval{namespace="m",name="a",approval="Cutover"} 1x100`},
		"SlipwayMigrationWaitsForApproval": {`slipway_migration_needs_approval{namespace="m",name="a",approval="Finalize"} 1x100`,
			`slipway_migration_needs_approval{namespace="m",name="a",approval="SourceAlertingOff"} 1x100`},
	}
	for _, rule := range alerts(t) {
		test, known := tests[rule.Alert]
		if !known {
			t.Errorf("nobody says when %s fires", rule.Alert)
		}
		if _, err := time.ParseDuration(worded(rule.For, "0s")); err != nil {
			t.Errorf("%s: %v", rule.Alert, err)
		}
		for name, one := range map[string]struct {
			series string
			firing int
		}{"fires": {test.fires, 1}, "is silent": {test.silent, 0}} {
			t.Run(rule.Alert+" "+name, func(t *testing.T) {
				script := fmt.Sprintf("load 1m\n  %s\n\neval instant at 60m count(%s) or vector(0)\n  {} %d\n", strings.ReplaceAll(one.series, "\n", "\n  "), rule.Expr, one.firing)
				promqltest.RunTest(t, script, promqltest.NewTestEngine(t, false, 5*time.Minute, 10_000))
			})
		}
	}
}

func worded(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
