//go:build engine

package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/kube/kubetest"
)

// trap is a Prometheus of which the operator makes something that a move has to know.
type trap struct {
	name, spec string
	wrote      func(w *written) bool
}

func traps() []trap {
	has := func(words ...string) func(*written) bool {
		return func(w *written) bool {
			all := strings.Join(w.args, "\n") + "\n" + w.config + "\n" + strings.Join(slices.Collect(maps.Values(w.rules)), "\n")
			return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(all, word) })
		}
	}
	return []trap{
		{"compaction", "disableCompaction: true", has("--storage.tsdb.max-block-duration=2h", "--storage.tsdb.min-block-duration=2h")},
		{"thanos", "thanos: {objectStorageConfig: {name: a, key: b}}", has("--storage.tsdb.max-block-duration=2h")},
		{"replicas", "replicas: 2", func(w *written) bool { return *w.set.Spec.Replicas == 2 }},
		{"storage", "storage: {emptyDir: {}}", func(w *written) bool {
			return len(w.set.Spec.VolumeClaimTemplates) == 0 && slices.ContainsFunc(w.set.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil && v.Name == "prometheus-storage-db" })
		}},
		{"root", "storage: {disableMountSubPath: true, volumeClaimTemplate: {spec: {resources: {requests: {storage: 1Gi}}}}}", func(w *written) bool {
			return slices.ContainsFunc(w.set.Spec.Template.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == DataDir && m.SubPath == "" })
		}},
		{"rules", "ruleSelector: null", func(w *written) bool { return len(w.rules) == 0 && !strings.Contains(w.config, "record") }},
		{"namespace", "enforcedNamespaceLabel: ns", has(`up{ns="monitoring"}`, "ns: monitoring")},
		{"local", "listenLocal: true", has("--web.listen-address=127.0.0.1:9090")},
		{"limits", "enforcedSampleLimit: 7", has("sample_limit: 7")},
		{"words", "additionalScrapeConfigs: {name: words, key: jobs}", has("release: 1.1\n", "rack: 7\n", "on_call: true\n")},
		{"prefix", "externalUrl: http://a/prom", has("--web.external-url=http://a/prom", "--web.route-prefix=/\n")},
	}
}

// doesWhatIsRefused: each finding about the operator stands on what the real one does.
func doesWhatIsRefused(k *operatedCluster) {
	kubetest.Must(k.t, k.c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "words"},
		StringData: map[string]string{"jobs": "- job_name: a\n  static_configs: [{targets: [a], labels: {release: 1.10, rack: 007, on_call: yes}}]\n"}})
	rule := &monitoringv1.PrometheusRule{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "trap", Labels: map[string]string{"trap": "rule"}}}
	if err := yaml.UnmarshalStrict([]byte("groups: [{name: a, rules: [{record: a, expr: up}]}]"), &rule.Spec); err != nil {
		k.t.Fatal(err)
	}
	kubetest.Must(k.t, k.c, rule)
	const head = "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata: {name: %s, namespace: monitoring}\nspec:\n  version: 3.16.0\n  serviceMonitorSelector: {}\n"
	for _, c := range append(traps(), trap{"paused", "paused: true", nil}, trap{"twice", "additionalArgs: [{name: web.enable-lifecycle}]", nil}) {
		text := fmt.Sprintf(head, c.name) + "  " + c.spec + "\n"
		if !strings.Contains(c.spec, "ruleSelector") {
			text += "  ruleSelector: {matchLabels: {trap: rule}}\n"
		}
		k.create(text)
	}
	for _, c := range traps() {
		k.t.Run(c.name, func(t *testing.T) {
			at := &operatedCluster{t, k.c}
			at.settled(c.name, c.wrote)
		})
	}
	// The others are written: these were seen as well.
	for _, name := range []string{"paused", "twice"} {
		err := k.c.Get(k.t.Context(), client.ObjectKey{Namespace: "monitoring", Name: "prometheus-" + name}, &appsv1.StatefulSet{})
		if client.IgnoreNotFound(err) != nil || err == nil {
			k.t.Errorf("%s has a StatefulSet: %v", name, err)
		}
	}
	k.t.Run("a field that it does not know is dropped", func(t *testing.T) {
		patch := []byte(`{"spec":{"scrapeNativeHistograms":true}}`)
		cr := (&operatedCluster{t, k.c}).live("prefix")
		if err := k.c.Patch(t.Context(), cr.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldValidation("Strict")); err == nil || !strings.Contains(err.Error(), "unknown field") {
			t.Errorf("a strict patch: %v", err)
		}
		if err := k.c.Patch(t.Context(), cr, client.RawPatch(types.MergePatchType, patch), client.FieldValidation("Ignore")); err != nil || cr.Spec.ScrapeNativeHistograms != nil {
			t.Errorf("%v, %v", err, cr.Spec.ScrapeNativeHistograms)
		}
	})
}
