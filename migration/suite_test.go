//go:build plane || engine

package migration_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/migration"
	"github.com/slipway-dev/slipway/migration/controller/prometheusmigration"
	"github.com/slipway-dev/slipway/migration/endpoint"
	"github.com/slipway-dev/slipway/plane/planetest"
)

var api *rest.Config

func TestMain(m *testing.M) {
	out := io.Writer(io.Discard)
	if os.Getenv("SLIPWAY_TEST_LOG") != "" {
		out = os.Stderr
	}
	log.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(out))))
	klog.SetOutput(out)
	klog.LogToStderr(false)
	// They wait for the API server and its controller of Jobs, and hardly work: as many as there are may run at once.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(planetest.Main(m, func(c *rest.Config) { api = c }))
}

// role is what a pod does, as its label says.
type role string

// script is a pod's program: what it has told so far, and with which code it ends; nil: not yet. It is asked again and again.
type script func(y *yard, pod *corev1.Pod, tick int) (lines []any, exit *int32)

// yard is a namespace in which the test plays the kubelet and the controllers of what runs the target. It outlives operators.
type yard struct {
	t       *testing.T
	home    client.Client // where migrations live
	client  client.Client // where the target does; the same cluster by default
	scheme  *runtime.Scheme
	ns      string
	ready   atomic.Bool // the target answers probes
	deaf    atomic.Bool // the source answers nobody
	mu      sync.Mutex
	scripts map[role]script
	logs    map[string]string // by pod
	ticks   map[string]int
	made    map[role]map[string]bool // pods of jobs, by UID
	servers map[string]bool          // pods of the target, by UID
	crash   func(point string)
	life    *kubetest.Life
	// told is the configuration that the target's server has; nil: that of the ConfigMap.
	told func(ctx context.Context) string
	// roll follows a StatefulSet that changes and has templates of claims; nil: there is none.
	roll func(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod, found error) (done bool, err error)
}

func newYard(t *testing.T) *yard { return newYardIn(t, api) }

// newYardIn has the target in the cluster of a configuration.
func newYardIn(t *testing.T, target *rest.Config) *yard {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, migration.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	y := &yard{t: t, scheme: scheme, home: kubetest.Client(t, api, scheme), client: kubetest.Client(t, target, scheme), scripts: scripts(), logs: map[string]string{}, ticks: map[string]int{},
		made: map[role]map[string]bool{}, servers: map[string]bool{}}
	y.ns = kubetest.Namespace(t, y.home)
	if target != api {
		kubetest.Must(t, y.client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: y.ns}})
	}
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Provisioner: "slipway.test/none"}
	if err := y.client.Create(t.Context(), class); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	y.ready.Store(true)
	kubetest.Must(t, y.home, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "old-config"}, Data: map[string]string{
		"prometheus.yml": sourceConfig, "rules--shop.yml": "groups: []\n"}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := y.kubelet(ctx); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				t.Logf("the kubelet of the test: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(120 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return y
}

const sourceConfig = `global:
  scrape_interval: 15s
alerting:
  alertmanagers:
    - static_configs: [{targets: ['198.18.0.30:9093']}]
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ['198.18.0.40:9100']}]
remote_write:
  - url: http://198.18.0.31/write
`

func (y *yard) facts(context.Context, string) (*prometheusmigration.Facts, error) {
	if y.deaf.Load() {
		return nil, errors.New("dial tcp 198.18.0.21:9090: connect: connection refused")
	}
	return &prometheusmigration.Facts{Version: "3.15.0", DataDir: "/data", WorkingDir: "/", BlockBytes: 20 << 30, HeadBytes: 1 << 30, Flags: map[string]string{
		"config.file": "/etc/prometheus/prometheus.yml", "storage.tsdb.path": "/data", "storage.tsdb.retention.time": "180d", "web.listen-address": "0.0.0.0:9090"}}, nil
}

func (y *yard) migration(change func(*v1alpha1.PrometheusMigration)) *v1alpha1.PrometheusMigration {
	m := &v1alpha1.PrometheusMigration{
		ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "ecs"},
		Spec: v1alpha1.PrometheusMigrationSpec{
			Source: v1alpha1.Source{URL: "http://198.18.0.21:9090", Host: v1alpha1.Host{Address: oldServer, SSHKeySecretName: "rack-key", KnownHostKey: "ssh-ed25519 AAAA"}, Agent: &v1alpha1.Agent{Address: "198.18.0.21:9797", CredentialsSecretName: "agent"},
				Config: &v1alpha1.SourceConfig{ConfigMapName: "old-config"}},
			Target: v1alpha1.Target{StatefulSet: &v1alpha1.StatefulSetTarget{Name: "prometheus", Image: "prom/prometheus:v3.16.0",
				Storage: v1alpha1.Storage{ClassName: "fast", Size: ptr.To(resource.MustParse("50Gi"))}}},
			Tools:             v1alpha1.Tools{Image: "slipway:test"},
			ObserveForSeconds: ptr.To[int32](0),
		},
	}
	if change != nil {
		change(m)
	}
	kubetest.Must(y.t, y.home, m)
	return m
}

// operator starts an operator; stop it to start another one over the same yard.
func (y *yard) operator() (stop func()) {
	y.t.Helper()
	cfg := rest.CopyConfig(api)
	cfg.QPS = -1
	o := migration.Options{Controllers: migration.Controllers(), Freeze: kube.Freeze{Namespace: y.ns, Name: "freeze"}, Pace: 200 * time.Millisecond,
		Steady: 50 * time.Millisecond, Sources: y.facts, Logs: y.log, Crash: y.crash,
		Probe: func(context.Context, *prometheusmigration.Cluster, string, string, uint16, string) endpoint.Result {
			if y.ready.Load() {
				return endpoint.Result{Answer: endpoint.Ready, Says: "it is ready"}
			}
			return endpoint.Result{Answer: endpoint.Refused, Says: "its readiness page says 503"}
		}}
	if y.life != nil {
		life := y.life
		cfg.Wrap(life.Wrap)
		o.Crash = life.Crash
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{Scheme: y.scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}, Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{y.ns: {}}},
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}}})
	if err != nil {
		y.t.Fatal(err)
	}
	if err := migration.Setup(mgr, o); err != nil {
		y.t.Fatal(err)
	}
	return kubetest.Run(y.t, mgr)
}

func (y *yard) log(_ context.Context, _, pod, _ string, _, _ int64) ([]byte, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return []byte(y.logs[pod]), nil
}

// kubelet looks once at everything.
func (y *yard) kubelet(ctx context.Context) error {
	if err := y.serve(ctx); err != nil {
		return err
	}
	var pods corev1.PodList
	if err := y.client.List(ctx, &pods, client.InNamespace(y.ns), client.HasLabels{batchv1.JobNameLabel}); err != nil {
		return err
	}
	for i := range pods.Items {
		if err := y.step(ctx, &pods.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// step lets a pod of a job run on.
func (y *yard) step(ctx context.Context, pod *corev1.Pod) error {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	y.mu.Lock()
	r := role(pod.Labels[v1alpha1.RoleLabel])
	if y.made[r] == nil {
		y.made[r] = map[string]bool{}
	}
	y.made[r][string(pod.UID)] = true
	y.ticks[string(pod.UID)]++
	tick, run := y.ticks[string(pod.UID)], y.scripts[r]
	y.mu.Unlock()
	lines, exit := run(y, pod, tick)
	text := "Seed 7\n"
	for _, l := range lines {
		data, err := json.Marshal(l)
		if err != nil {
			return err
		}
		text += string(data) + "\n"
	}
	y.mu.Lock()
	y.logs[pod.Name] = text
	y.mu.Unlock()
	return y.status(ctx, pod, exit)
}

func (y *yard) status(ctx context.Context, pod *corev1.Pod, exit *int32) error {
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	phase := corev1.PodRunning
	if exit != nil {
		state = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: *exit, FinishedAt: metav1.Now(), StartedAt: metav1.Now()}}
		phase = map[bool]corev1.PodPhase{true: corev1.PodSucceeded, false: corev1.PodFailed}[*exit == 0]
	}
	if exit == nil && pod.Status.Phase == corev1.PodRunning {
		return nil
	}
	pod.Status.Phase = phase
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: state, Image: "x", ImageID: "x"}}
	return y.client.Status().Update(ctx, pod)
}

// serve plays the controllers of StatefulSet and Deployment.
func (y *yard) serve(ctx context.Context) error {
	var shims appsv1.DeploymentList
	if err := y.client.List(ctx, &shims, client.InNamespace(y.ns)); err != nil {
		return err
	}
	for i := range shims.Items {
		if d := &shims.Items[i]; d.Status.ReadyReplicas == 0 || d.Status.ObservedGeneration < d.Generation {
			d.Status.Replicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = 1, 1, 1
			d.Status.UpdatedReplicas, d.Status.ObservedGeneration = 1, d.Generation
			if err := y.client.Status().Update(ctx, d); err != nil {
				return err
			}
		}
	}
	var sets appsv1.StatefulSetList
	if err := y.client.List(ctx, &sets, client.InNamespace(y.ns)); err != nil {
		return err
	}
	for i := range sets.Items {
		if set := &sets.Items[i]; set.DeletionTimestamp.IsZero() {
			if err := y.server(ctx, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// server makes the target's pod and has it run.
func (y *yard) server(ctx context.Context, set *appsv1.StatefulSet) error {
	pod := &corev1.Pod{}
	err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: set.Name + "-0"}, pod)
	if y.roll != nil {
		if done, err := y.roll(ctx, set, pod, err); done || err != nil {
			return err
		}
		err = y.client.Get(ctx, client.ObjectKeyFromObject(pod), pod)
	}
	if apierrors.IsNotFound(err) {
		pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: set.Name + "-0", Labels: set.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}}, Spec: set.Spec.Template.Spec}
		err = y.client.Create(ctx, pod)
	}
	if err != nil || len(pod.Status.PodIPs) > 0 {
		return err
	}
	y.mu.Lock()
	y.servers[string(pod.UID)] = true
	y.mu.Unlock()
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, "10.244.0.9", []corev1.PodIP{{IP: "10.244.0.9"}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	// The API keeps whole seconds; a restart has to be seen as later than the proof before it.
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "prometheus", Image: "x", ImageID: "x", Ready: true,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(time.Now().Add(time.Second))}}}}
	return y.client.Status().Update(ctx, pod)
}

// config is the target's configuration as it is now.
func (y *yard) config(ctx context.Context) string {
	if y.told != nil {
		return y.told(ctx)
	}
	var cm corev1.ConfigMap
	if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "prometheus"}, &cm); err != nil {
		return ""
	}
	return cm.Data["prometheus.yml"]
}

// leadsTo is the address that the users' Service leads to.
func (y *yard) leadsTo(ctx context.Context) string {
	var slice discoveryv1.EndpointSlice
	if err := y.client.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "prometheus-slipway"}, &slice); err != nil || len(slice.Endpoints) == 0 {
		return ""
	}
	return slice.Endpoints[0].Addresses[0]
}

// led waits until users are led to a server.
func (y *yard) led(when, to string) {
	y.t.Helper()
	kubetest.Within(y.t, 10*time.Second, when+" users are led to "+to, func(ctx context.Context) error {
		if got := y.leadsTo(ctx); got != to {
			return fmt.Errorf("they are led to %q", got)
		}
		return nil
	})
}

const oldServer, newServer = "198.18.0.21", "10.244.0.9"

// reaches waits until the migration is in a phase, and fails when it stops in another.
func (y *yard) reaches(phase v1alpha1.Phase) *v1alpha1.PrometheusMigration {
	y.t.Helper()
	return y.until("phase "+string(phase), func(m *v1alpha1.PrometheusMigration) bool { return m.Status.Phase == phase })
}

func (y *yard) until(what string, is func(*v1alpha1.PrometheusMigration) bool) *v1alpha1.PrometheusMigration {
	y.t.Helper()
	m := &v1alpha1.PrometheusMigration{}
	kubetest.Within(y.t, time.Minute, what, func(ctx context.Context) error {
		if err := y.home.Get(ctx, client.ObjectKey{Namespace: y.ns, Name: "ecs"}, m); err != nil {
			return err
		}
		if is(m) {
			return nil
		}
		return errors.New(describe(m))
	})
	return m
}

func describe(m *v1alpha1.PrometheusMigration) string {
	text := fmt.Sprintf("phase %s, waits %q, stop %+v", m.Status.Phase, m.Status.Waits, m.Status.Stop)
	for _, c := range m.Status.Conditions {
		text += fmt.Sprintf("\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

func (y *yard) change(mutate func(*v1alpha1.PrometheusMigration)) {
	y.t.Helper()
	kubetest.Change(y.t, y.home, &v1alpha1.PrometheusMigration{ObjectMeta: metav1.ObjectMeta{Namespace: y.ns, Name: "ecs"}}, mutate)
}

func (y *yard) approve(words ...v1alpha1.Approval) {
	y.t.Helper()
	y.change(func(m *v1alpha1.PrometheusMigration) { m.Spec.Approved = append(m.Spec.Approved, words...) })
}

// counts says how many pods each role had, and how many the target had.
func (y *yard) counts() (map[role]int, int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	n := map[role]int{}
	for r, pods := range y.made {
		n[r] = len(pods)
	}
	return n, len(y.servers)
}

func (y *yard) play(r role, s script) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.scripts[r] = s
}

type object = map[string]any

func ends(code int32, lines ...any) ([]any, *int32) { return lines, &code }

// scripts are pods that all do their work.
func scripts() map[role]script {
	report := func(line object) script {
		return func(*yard, *corev1.Pod, int) ([]any, *int32) { return ends(0, line) }
	}
	return map[role]script{
		"rehearse":  report(object{"verdict": "Fine", "says": "nothing stands in the way", "findings": []any{}}),
		"preflight": report(object{"verdict": "Fine", "findings": []any{}}),
		"finalize":  report(object{"state": "Done", "steps": []any{}, "switchOff": []any{object{"what": "prometheus on monitor", "how": "systemctl disable"}}, "done": true}),
		"undo":      report(object{"phase": "Pin", "done": true}),
		"grafana":   report(object{"verdict": "Fine", "says": "the database was brought", "findings": []any{}}),
		"alike":     report(object{"verdict": "Fine", "says": "12 dashboards on both", "findings": []any{}}),
		"move":      moves, "proof": looksAgain, "cutover": cutsOver, "rollback": rollsBack,
	}
}

func progress(phase string, more object) object {
	p := object{"time": time.Now().UTC(), "phase": phase, "steps": []string{"bring 31 blocks"}, "waits": []string{}, "notes": []string{}, "done": false,
		"seam": time.Now().UTC(), "blocks": object{"total": 31, "staged": 12, "installed": 3, "verified": 12},
		"transfer": object{"bytesDone": 1 << 30, "bytesTotal": 2 << 30, "bytesPerSecond": 1 << 20, "etaSeconds": 1024, "limitedBy": "SourceQueryLatency", "signals": []string{"DiskStats"}}}
	for k, v := range more {
		p[k] = v
	}
	return p
}

// moves goes through the phases; it proves when the target answers for itself.
func moves(y *yard, pod *corev1.Pod, tick int) ([]any, *int32) {
	phases := []string{"Pin", "Coverage", "Stage", "Seam", "Install"}
	if tick <= len(phases) {
		return []any{progress(phases[tick-1], nil)}, nil
	}
	if strings.Contains(y.config(context.Background()), "remote_read") {
		return []any{progress("Verify", object{"waits": []string{"the history is there: take remote_read out"}})}, nil
	}
	return ends(0, progress("Done", object{"done": true, "end": time.Now().UTC(),
		"proof": object{"verdict": "proved", "summary": "all is there", "seed": 7, "at": time.Now().UTC()}}))
}

// looksAgain finds that the target has everything.
func looksAgain(*yard, *corev1.Pod, int) ([]any, *int32) {
	return ends(0, object{"report": object{"verdict": "proved"}}, progress("Done", object{"done": true, "end": time.Now().UTC(), "targetStarted": time.Now().UTC(),
		"proof": object{"verdict": "proved", "summary": "200 pairs, bit by bit", "seed": 7, "at": time.Now().UTC()}}))
}

func steps(step string, more object) object {
	s := object{"time": time.Now().UTC(), "step": step, "state": "Begun", "steps": []any{object{"step": step, "phase": "Begun"}}, "waits": []string{}, "done": false}
	for k, v := range more {
		s[k] = v
	}
	return s
}

// cutsOver wants alerts of the target, the approvals of a person, and remote write.
func cutsOver(y *yard, pod *corev1.Pod, _ int) ([]any, *int32) {
	text := y.config(context.Background())
	args := pod.Spec.Containers[0].Args
	switch {
	case !strings.Contains(text, "alerting:"):
		return []any{steps("TargetAlertingOn", object{"wants": "AlertingOn"})}, nil
	case !slices.Contains(args, "--approve=SourceAlertingOff"):
		return []any{steps("SourceAlertingOff", object{"needsApproval": "SourceAlertingOff", "diff": "-alerting:\n"})}, nil
	case !strings.Contains(text, "remote_write:"):
		return []any{steps("TargetRemoteWriteOn", object{"wants": "RemoteWriteOn"})}, nil
	case !slices.Contains(args, "--approve=SourceRemoteWriteOff"):
		return []any{steps("SourceRemoteWriteOff", object{"needsApproval": "SourceRemoteWriteOff", "diff": "-remote_write:\n"})}, nil
	}
	return ends(0, steps("", object{"state": "Done", "done": true}))
}

func rollsBack(y *yard, _ *corev1.Pod, _ int) ([]any, *int32) {
	if strings.Contains(y.config(context.Background()), "alerting:") {
		return []any{steps("TargetAlertingOn", object{"wants": "Off"})}, nil
	}
	return ends(0, steps("", object{"state": "Planned", "done": true}))
}
