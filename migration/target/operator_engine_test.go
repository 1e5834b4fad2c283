//go:build engine

package target

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/plane/planetest"
	"github.com/slipway-dev/slipway/test/engine"
)

const operated085 = `apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s, namespace: monitoring, labels: {team: metrics}}
spec:
  version: 3.16.0
  replicas: 1
  podMetadata: {labels: {app: k8s}}
  ruleSelector: {matchLabels: {prometheus: k8s}}
  serviceMonitorSelector: {}
  alerting: {alertmanagers: [{name: main, port: web, namespace: monitoring}]}
  query: {lookbackDelta: 10m}
  additionalArgs: [{name: scrape.discovery-reload-interval, value: 30s}]
  securityContext: {runAsUser: 1000, runAsGroup: 2000, runAsNonRoot: true, fsGroup: 2000}
  storage: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 10Gi}}}}}
`

// Words that the operator, which reads YAML of its own before Prometheus does, would change.
const operatedConfig = `global:
  scrape_interval: 1s
  evaluation_interval: 2s
  external_labels: {cluster: shop, zone: 'a$b', release: 1.10}
alerting:
  alertmanagers: [{static_configs: [{targets: ["127.0.0.1:1"]}]}]
  alert_relabel_configs: [{target_label: floor, replacement: 007}]
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ['SELF']}]
  - job_name: exporters
    honor_labels: yes
    scrape_timeout: 900ms
    sample_limit: 1_000
    params: {'collect[]': [on, 0x1f]}
    static_configs: [{targets: ['EXPORTER'], labels: {release: 1.10, rack: 007, on_call: yes, level: 1e3}}]
    relabel_configs: [{source_labels: [rack], regex: 007, target_label: room, replacement: 0010}]
  - job_name: files
    file_sd_configs: [{files: [targets/*.json]}]
remote_write: [{url: 'http://127.0.0.1:1/write'}]
`

const operatedRules = `groups:
- name: shop
  interval: 1s
  rules:
  - {record: 'job:up:sum', expr: 'sum by (job) (up)', labels: {floor: "007"}}
- name: pages
  rules:
  - {alert: Down, expr: 'up == 0', for: 90s, labels: {severity: page}, annotations: {text: '{{ $labels.instance }} is down'}}
`

// operatedCluster is a real API server with a real operator, without nodes.
type operatedCluster struct {
	t *testing.T
	c client.Client
}

func newOperatedCluster(t *testing.T) *operatedCluster {
	t.Helper()
	p := planetest.Start(t)
	k := &operatedCluster{t: t}
	scheme := clientgoscheme.Scheme
	if err := monitoringv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	k.c = kubetest.Client(t, p.Config(), scheme)
	for name, text := range engine.OperatorCRDs(t, engine.Operator085) {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, crd); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kubetest.Must(t, k.c, crd)
	}
	kubetest.Eventually(t, "the API server serves the kinds", func(ctx context.Context) error {
		return errors.Join(k.c.List(ctx, &monitoringv1.PrometheusList{}), k.c.List(ctx, &monitoringv1.PrometheusRuleList{}))
	})
	kubetest.Must(t, k.c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring"}})
	engine.StartOperator(t, engine.Operator085, p.Kubeconfig())
	return k
}

// create makes a Prometheus as users have it.
func (k *operatedCluster) create(text string) *monitoringv1.Prometheus {
	k.t.Helper()
	cr := &monitoringv1.Prometheus{}
	if err := yaml.UnmarshalStrict([]byte(text), cr); err != nil {
		k.t.Fatal(err)
	}
	kubetest.Must(k.t, k.c, cr)
	return k.live(cr.Name)
}

// live is a Prometheus as the API server gives it to a program.
func (k *operatedCluster) live(name string) *monitoringv1.Prometheus {
	k.t.Helper()
	cr := &monitoringv1.Prometheus{}
	k.get(name, cr)
	cr.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind))
	return cr
}

func (k *operatedCluster) get(name string, o client.Object) {
	k.t.Helper()
	if err := k.c.Get(k.t.Context(), client.ObjectKey{Namespace: "monitoring", Name: name}, o); err != nil {
		k.t.Fatal(err)
	}
}

// written is what the operator made of a Prometheus.
type written struct {
	set    *appsv1.StatefulSet
	args   []string
	config string
	rules  map[string]string
}

func (k *operatedCluster) read(ctx context.Context, name string) (*written, error) {
	w := &written{set: &appsv1.StatefulSet{}, rules: map[string]string{}}
	secret, rules := &corev1.Secret{}, &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: "monitoring", Name: "prometheus-" + name}
	if err := errors.Join(k.c.Get(ctx, key, w.set), k.c.Get(ctx, key, secret), k.c.Get(ctx, client.ObjectKey{Namespace: "monitoring", Name: key.Name + "-rulefiles-0"}, rules)); err != nil {
		return nil, err
	}
	for _, c := range w.set.Spec.Template.Spec.Containers {
		if c.Name == "prometheus" {
			w.args = c.Args
		}
	}
	maps.Copy(w.rules, rules.Data)
	z, err := gzip.NewReader(bytes.NewReader(secret.Data["prometheus.yaml.gz"]))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	w.config = string(text)
	return w, err
}

// until waits until the operator has written what is wanted; a word with ! is not to be there.
func (k *operatedCluster) until(name string, words ...string) *written {
	k.t.Helper()
	var w *written
	kubetest.Eventually(k.t, "the operator has written "+strings.Join(words, ", "), func(ctx context.Context) (err error) {
		if w, err = k.read(ctx, name); err != nil {
			return err
		}
		all := strings.Join(w.args, "\n") + "\n" + w.config + "\n" + strings.Join(slices.Collect(maps.Values(w.rules)), "\n")
		for _, word := range words {
			if word, not := strings.CutPrefix(word, "!"); strings.Contains(all, word) == not {
				return fmt.Errorf("%q, there: %v\n%s", word, !not, all)
			}
		}
		return nil
	})
	return w
}

// at brings the Prometheus to a stage as a controller does: from what is there now, again and again.
func (k *operatedCluster) at(o Options, stage Stage) *Operator {
	k.t.Helper()
	cr, secret := k.live("k8s"), &corev1.Secret{}
	if err := k.c.Get(k.t.Context(), client.ObjectKey{Namespace: "monitoring", Name: JobsSecretName("k8s")}, secret); client.IgnoreNotFound(err) != nil {
		k.t.Fatal(err)
	}
	original, err := Original(cr, secret)
	if err != nil {
		k.t.Fatal(err)
	}
	o.Stage = stage
	x, err := NewOperator(o, original)
	if err != nil {
		k.t.Fatal(err)
	}
	m, err := x.Manifests()
	if err != nil {
		k.t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(m.YAML), "---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), u); err != nil {
			k.t.Fatal(err)
		}
		if err := k.c.Apply(k.t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("slipway"), client.ForceOwnership); err != nil {
			k.t.Fatal(err)
		}
	}
	k.patch(x.Patch)
	return x
}

// patch applies a merge patch; a field that the operator's CRD does not have is an error.
func (k *operatedCluster) patch(text []byte) {
	k.t.Helper()
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.c.Patch(k.t.Context(), k.live("k8s"), client.RawPatch(types.MergePatchType, data), client.FieldValidation("Strict")); err != nil {
		k.t.Fatalf("%v\n%s", err, text)
	}
}

// operatedSource is a real 2.42 with these jobs and rules.
func operatedSource(t *testing.T) (*engine.Server, Options) {
	t.Helper()
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "queue 1") }))
	t.Cleanup(exporter.Close)
	address := strings.TrimPrefix(exporter.URL, "http://")
	old := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Config: "{}",
		Flags: []string{"--storage.tsdb.retention.time=60d", "--enable-feature=native-histograms", "--rules.alert.resend-delay=30s", "--query.timeout=1m"}})
	dir := filepath.Dir(old.ConfigFile())
	files := map[string][]byte{}
	for name, text := range map[string]string{"rules/shop.yml": operatedRules, "targets/a.json": `[{"targets":["` + address + `"],"labels":{"shelf":"1"}}]`} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		files[name] = []byte(text)
	}
	text := strings.NewReplacer("SELF", strings.Replace(old.Address, "127.0.0.1", "localhost", 1), "EXPORTER", address).Replace(operatedConfig)
	old.Configure(text)
	m, err := ReadMigration([]byte("apiVersion: migration.slipway.dev/v1alpha1\nkind: PrometheusMigration\nmetadata: {name: shop, namespace: monitoring}\n" +
		"spec: {source: {url: '" + old.URL + "'}, target: {prometheus: {name: k8s, shim: {url: 'http://127.0.0.1:1/api/v1/read'}}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return old, Options{Migration: m, Leave: []string{"remote_write"}, Source: Source{Version: skew.Version{Major: 2, Minor: 42}, Flags: flagsOf(t, old.URL), Config: parse(t, text), Files: files}}
}

func TestARealOperator(t *testing.T) {
	k := newOperatedCluster(t)
	t.Run("takes each stage and the way back", func(t *testing.T) {
		k.t = t
		takesEachStage(k)
	})
	t.Run("does what is refused", func(t *testing.T) {
		k.t = t
		doesWhatIsRefused(k)
	})
}

// takesEachStage gives a real operator a Prometheus as users have it, takes it through the stages and back, and starts a real 3.16
// with what the operator has written.
func takesEachStage(k *operatedCluster) {
	t := k.t
	k.create(operated085)
	// What the operator does by itself: the traps that the patch is for.
	before := k.until("k8s", "--storage.tsdb.retention.time=24h", "scrape_interval: 30s", "evaluation_interval: 30s", "prometheus: monitoring/k8s", "prometheus_replica: $(POD_NAME)",
		"--query.lookback-delta=10m", "alertmanagers:")
	volumeIsWhereWeSay(t, k.live("k8s"), before.set)
	old, o := operatedSource(t)
	x := k.at(o, Bridge)
	bridge := k.until("k8s", "--storage.tsdb.retention.time=60d", "--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=6d", "scrape_interval: 1s", "evaluation_interval: 2s",
		"job_name: files", "name: slipway-shim", "filter_external_labels: false", "record: job:up:sum", "--rules.alert.resend-delay=30s", "--query.timeout=1m",
		"!prometheus_replica", "!monitoring/k8s", "!lookback", "!alertmanagers:", "!remote_write:")
	t.Run("a server that it would start has the jobs and rules of the source", func(t *testing.T) { sameAsSource(t, old, x, bridge) })
	t.Run("the way back gives the same bytes", func(t *testing.T) {
		k.patch(x.Undo)
		k.back(before)
		k.at(o, Bridge)
		k.until("k8s", "name: slipway-shim")
	})
	// Somebody else's edit of another field has to stay.
	k.patch([]byte("spec: {resources: {requests: {memory: 1Gi}}}"))
	want := k.settled("k8s", func(w *written) bool {
		return w.set.Spec.Template.Spec.Containers[0].Resources.Requests.Memory().Value() == 1<<30
	})
	for _, stage := range []struct {
		name  Stage
		words []string
	}{
		{Verify, []string{"!remote_read:", "!alertmanagers:", "job_name: files"}},
		{CutOver, []string{"!remote_read:", "alertmanagers:", "127.0.0.1:1", "floor"}},
		{Final, []string{"!remote_read:", "alertmanagers:"}},
		{Bridge, []string{"name: slipway-shim", "!alertmanagers:"}}, // a rollback
		{CutOver, []string{"alertmanagers:"}},
	} {
		t.Run("the server is not restarted for "+string(stage.name), func(t *testing.T) {
			x = k.at(o, stage.name)
			got := k.until("k8s", stage.words...)
			if diff := cmp.Diff(want.set.Spec, got.set.Spec); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("the way back keeps what others changed", func(t *testing.T) {
		k.patch(x.Undo)
		k.patch([]byte("spec: {resources: null}"))
		k.back(before)
	})
}

// settled waits until the operator has written what is wanted.
func (k *operatedCluster) settled(name string, wanted func(*written) bool) (w *written) {
	k.t.Helper()
	kubetest.Eventually(k.t, "the operator has written the StatefulSet", func(ctx context.Context) (err error) {
		if w, err = k.read(ctx, name); err == nil && !wanted(w) {
			err = errors.New("not yet")
		}
		return err
	})
	return w
}

// back waits until StatefulSet and configuration are the bytes that they were. Its metadata has a hash with the generation.
func (k *operatedCluster) back(before *written) {
	k.t.Helper()
	kubetest.Eventually(k.t, "all is as before", func(ctx context.Context) error {
		now, err := k.read(ctx, "k8s")
		if err != nil {
			return err
		}
		was, err := json.Marshal(before.set.Spec)
		if err != nil {
			return err
		}
		is, err := json.Marshal(now.set.Spec)
		if err != nil || !bytes.Equal(was, is) || before.config != now.config {
			return errors.Join(err, fmt.Errorf("%s\n%s", cmp.Diff(before.set.Spec, now.set.Spec), cmp.Diff(before.config, now.config)))
		}
		return nil
	})
}

func volumeIsWhereWeSay(t *testing.T, cr *monitoringv1.Prometheus, set *appsv1.StatefulSet) {
	t.Helper()
	v, claim := VolumeOf(cr), set.Spec.VolumeClaimTemplates[0].Name
	for name, label := range v.PodLabels {
		if set.Spec.Template.Labels[name] != label {
			t.Errorf("the pod's label %s is %q, want %q", name, set.Spec.Template.Labels[name], label)
		}
	}
	if v.Pod != set.Name+"-0" || v.Claim != claim+"-"+v.Pod {
		t.Errorf("%+v, want claim %s of StatefulSet %s", v, claim, set.Name)
	}
	if !slices.ContainsFunc(set.Spec.Template.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.Name == claim && m.SubPath == v.SubPath && m.MountPath == DataDir
	}) {
		t.Errorf("no mount of %+v: %+v", v, set.Spec.Template.Spec.Containers[0].VolumeMounts)
	}
}

// sameAsSource starts a real 3.16 with the operator's arguments and configuration.
func sameAsSource(t *testing.T, old *engine.Server, x *Operator, w *written) {
	dir := t.TempDir()
	for name, text := range w.rules {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const mounted = "/etc/prometheus/rules/prometheus-k8s-rulefiles-0"
	if !strings.Contains(w.config, mounted) {
		t.Fatalf("no rules:\n%s", w.config)
	}
	own := []string{"--config.file", "--storage.tsdb.path", "--web.config.file", "--web.enable-lifecycle", "--web.enable-admin-api"}
	flags := slices.DeleteFunc(slices.Clone(w.args), func(arg string) bool { name, _, _ := strings.Cut(arg, "="); return slices.Contains(own, name) })
	made := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: strings.ReplaceAll(w.config, mounted, dir), Flags: flags})
	// Relative paths begin at the configuration, which lies elsewhere here.
	text := strings.Replace(string(x.Config.Bytes()), "targets/*.json", filepath.Join(filepath.Dir(old.ConfigFile()), "targets/*.json"), 1)
	planned := engine.Start(t, engine.Prometheus{Version: engine.Prometheus316, Config: text, Flags: flags})
	// The operator has no field for it, so that it stands in each job.
	a, b := told(t, made.URL), told(t, planned.URL)
	for _, m := range []map[string]any{a, b} {
		delete(m["global"].(map[string]any), "scrape_native_histograms")
	}
	for _, section := range []string{"global", "scrape_configs", "remote_read", "alerting", "remote_write"} {
		if diff := cmp.Diff(b[section], a[section]); diff != "" {
			t.Errorf("%s of the plan (-) and of the operator (+):\n%s", section, diff)
		}
	}
	engine.Eventually(t, "the same targets as the source", func() error {
		want, got := targetsOf(t, old.URL), targetsOf(t, made.URL)
		if len(want) != 3 || !cmp.Equal(want, got) {
			return errors.New(cmp.Diff(want, got))
		}
		return nil
	})
	if diff := cmp.Diff(rulesOf(t, old.URL), rulesOf(t, made.URL)); diff != "" {
		t.Error(diff)
	}
}

func told(t *testing.T, base string) map[string]any {
	t.Helper()
	var all map[string]any
	if err := yaml.Unmarshal([]byte(configOf(t, base)), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// targetsOf are intervals and labels of all targets; the server itself has another instance.
func targetsOf(t *testing.T, base string) []string {
	t.Helper()
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				Labels                        map[string]string
				ScrapeInterval, ScrapeTimeout string
			}
		}
	}
	if err := json.Unmarshal(get(t, base+"/api/v1/targets"), &answer); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, a := range answer.Data.ActiveTargets {
		if a.Labels["job"] == "prometheus" {
			delete(a.Labels, "instance")
		}
		all = append(all, fmt.Sprint(a.Labels, a.ScrapeInterval, a.ScrapeTimeout))
	}
	slices.Sort(all)
	return all
}

// rulesOf are all groups without what changes by itself.
func rulesOf(t *testing.T, base string) any {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Name     string
				Interval float64
				Limit    int
				Rules    []struct {
					Name, Query, Type   string
					Duration            float64
					Labels, Annotations map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal(get(t, base+"/api/v1/rules"), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Data.Groups) != 2 {
		t.Fatalf("%d groups", len(answer.Data.Groups))
	}
	return answer.Data.Groups
}
