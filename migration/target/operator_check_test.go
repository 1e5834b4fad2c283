package target

import (
	"slices"
	"strings"
	"testing"
)

func TestOperatorTraps(t *testing.T) {
	cases := []struct{ name, old, new, want string }{
		{"two replicas", "replicas: 1", "replicas: 2", "Refused operator-replicas"},
		{"a volume that goes with the pod", "storage: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Ti}}}}}", "storage: {emptyDir: {}}", "Refused operator-storage"},
		{"a small volume", "storage: 1Ti", "storage: 100Gi", "Refused capacity"},
		{"a Thanos sidecar", "replicas: 1", "replicas: 1\n  thanos: {}", "Refused operator-thanos"},
		{"compaction that is off", "replicas: 1", "replicas: 1\n  disableCompaction: true", "Refused operator-compaction"},
		{"jobs that are there already", "replicas: 1", "replicas: 1\n  additionalScrapeConfigs: {name: a, key: b}", "Refused operator-jobs"},
		{"no selector of rules", "ruleSelector: {matchLabels: {prometheus: k8s}}", "paused: false", "Refused operator-rules"},
		{"a paused one", "replicas: 1", "replicas: 1\n  paused: true", "Refused operator-paused"},
		{"a server for its pod alone", "replicas: 1", "replicas: 1\n  listenLocal: true", "Refused operator-settings"},
		{"a server that speaks TLS", "replicas: 1", "replicas: 1\n  web: {tlsConfig: {keySecret: {name: a, key: b}}}", "Refused web-config"},
		{"a namespace in each rule", "replicas: 1", "replicas: 1\n  enforcedNamespaceLabel: namespace", "Refused operator-rules"},
		{"a limit on samples", "replicas: 1", "replicas: 1\n  enforcedSampleLimit: 100", "Refused operator-limits"},
		{"one that Argo CD writes", "namespace: monitoring}", "namespace: monitoring, annotations: {argocd.argoproj.io/tracking-id: a}}", "Refused operator-owner"},
		{"a claim that goes with its StatefulSet", "replicas: 1", "replicas: 1\n  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}", "Refused operator-claim"},
		{"nobody who would write remotely", "\n  remoteWrite: [{url: 'http://198.18.0.31/write'}]", "", "Refused operator-remote-write"},
		{"an old version", "version: 3.16.0", "version: 3.5.0", "Refused target_version_loses_nothing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, err := NewOperator(operated(t, c.old, c.new))
			if err != nil {
				t.Fatal(err)
			}
			if got := rules(x.Refusals()); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestOperatorLooks(t *testing.T) {
	cases := []struct{ name, old, new, rule, want string }{
		{"the folder of the data", "", "", RuleOperatorSubPath, "the folder prometheus-db of claim prometheus-k8s-db-prometheus-k8s-0"},
		{"a user that is not known", "", "", RuleOperatorUser, "the user of its image"},
		{"remote_write of its own", "", "", RuleOperatorRemoteWrite, "was not translated"},
		{"one that Helm writes", "namespace: monitoring}", "namespace: monitoring, annotations: {meta.helm.sh/release-name: a}}", RuleOperatorOwner, "Helm writes this Prometheus"},
		{"monitors beside the jobs", "", "", RuleOperatorJobs, "beside the source's jobs"},
		{"a shim in its pod", "", "", RuleOperatorShim, "restarts the server"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x, err := NewOperator(operated(t, c.old, c.new))
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(x.Findings, func(f Finding) bool { return f.Rule == c.rule })
			if i < 0 || x.Findings[i].Verdict != Look || !strings.Contains(x.Findings[i].Says, c.want) {
				t.Errorf("no %s that says %q: %+v", c.rule, c.want, x.Findings)
			}
		})
	}
}

func TestOperatorHasNoTemplate(t *testing.T) {
	o, cr := operated(t)
	x, err := NewOperator(o, cr)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range x.Findings {
		if strings.Contains(f.Fix, "template") && !strings.Contains(f.Fix, "volumeClaimTemplate") {
			t.Errorf("%s: %s", f.Rule, f.Fix)
		}
	}
}
