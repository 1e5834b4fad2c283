//go:build plane

package fleet_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/plane/planetest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	os.Exit(planetest.Main(m, func(c *rest.Config) { api = c }))
}

// sim is a fleet without hosts: its world outlives the operators that run on it.
type sim struct {
	t      *testing.T
	config *rest.Config
	client client.Client
	ns     string
	world  *executor.World
	hosts  *host.Simulated

	// everywhere lets the operator look at all namespaces; such a test needs a plane of its own.
	everywhere bool

	mu      sync.Mutex
	failing map[string]executor.Failure
	latency atomic.Int64
	life    *life
	starts  map[string]string // run by playbook and host
}

func newSim(t *testing.T) *sim {
	t.Helper()
	return newSimOn(t, api)
}

func newSimOn(t *testing.T, config *rest.Config) *sim {
	t.Helper()
	scheme, err := fleet.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t, config: config, client: kubetest.Client(t, config, scheme), world: executor.NewWorld(), failing: map[string]executor.Failure{}, starts: map[string]string{}}
	s.latency.Store(int64(300 * time.Millisecond))
	s.hosts = host.NewSimulated(host.SimulatedOptions{})
	s.ns = kubetest.Namespace(t, s.client)
	kubetest.Must(t, s.client, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "rack-key"}, Type: corev1.SecretTypeSSHAuth,
		Data: map[string][]byte{corev1.SSHAuthPrivateKey: []byte("not a real key")},
	})
	return s
}

// operator starts an operator for the namespace of the test; stop it to start another one over the same world.
func (s *sim) operator() (stop func()) {
	s.t.Helper()
	run, nodes := &kube.Signal{}, &kube.Signal{}
	ex := executor.NewSimulated(executor.SimulatedOptions{
		World: s.world, OnChange: run.Send, Failure: s.failure,
		Latency: func(executor.Run, string) time.Duration { return time.Duration(s.latency.Load()) },
	})
	connector := remote.NewSimulated(remote.SimulatedOptions{
		Joined: func(t remote.Target) []string { return s.world.Joined(t.UID) }, ReadyLatency: 100 * time.Millisecond, OnChange: nodes.Send,
	})
	base := ctrl.Options{
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	}
	if !s.everywhere {
		base.Cache.DefaultNamespaces = map[string]cache.Config{s.ns: {}}
	}
	options, err := fleet.ManagerOptions(base)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := rest.CopyConfig(s.config)
	cfg.QPS = -1
	o := fleet.Options{Executor: &recorder{Executor: ex, sim: s}, Prober: s.hosts, Connector: connector}
	if s.life != nil {
		s.life.wrap(cfg, &o)
	}
	mgr, err := ctrl.NewManager(cfg, options)
	if err != nil {
		s.t.Fatal(err)
	}
	o.RunChanged, o.ClusterChanged, o.ContentVersion, o.Releases = run, nodes, contentVersion, releases
	o.Limits = plan.Limits{RetrySeconds: 1, UnreachableSeconds: 2}
	o.RenderAddon = func(*v1alpha1.ClusterDeployment, fleet.Release, v1alpha1.Addon) ([]unstructured.Unstructured, string, error) {
		return nil, "sha256:" + strings.Repeat("0", 64), nil
	}
	if err := fleet.Setup(mgr, o); err != nil {
		s.t.Fatal(err)
	}
	end := kubetest.Run(s.t, mgr)
	return func() {
		end()
		ex.Close()
	}
}

func (s *sim) failure(run executor.Run, host string) *executor.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.failing[run.Playbook+"/"+host]; ok {
		return &f
	}
	return nil
}

// fail makes a playbook fail on a host until message is empty.
func (s *sim) fail(playbook, host, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if message == "" {
		delete(s.failing, playbook+"/"+host)
		return
	}
	s.failing[playbook+"/"+host] = executor.Failure{Message: message}
}

const contentVersion = "0.1.0-test"

func releases() []fleet.Release {
	return []fleet.Release{{
		ContentVersion: contentVersion, BundleDigest: "sha256:" + strings.Repeat("ab", 32),
		Manifest: &bundle.Manifest{
			Format: "v1", Kubernetes: "v1.36.3", OS: "linux", Architecture: "amd64", ImageRepository: "bundle.slipway.dev",
			Contents: []bundle.Content{{Name: "node", Digest: "sha256:" + strings.Repeat("cd", 32), Size: 1}},
			Images:   []bundle.Image{{Name: "verify", Reference: "bundle.slipway.dev/verify:1"}, {Name: "pause", Reference: "bundle.slipway.dev/pause:3"}},
		},
	}}
}

// address gives every machine of every test its own.
func (s *sim) address(i int) string {
	sum := 0
	for _, c := range s.ns {
		sum = (sum*31 + int(c)) % 250
	}
	return fmt.Sprintf("198.18.%d.%d", sum, i)
}

// machines adds n machines to the pool.
func (s *sim) machines(n int) {
	for i := 1; i <= n; i++ {
		kubetest.Must(s.t, s.client, s.machine(i))
	}
}

func (s *sim) machine(i int) *v1alpha1.Machine {
	return &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: fmt.Sprintf("m%d", i), Labels: map[string]string{"pool": "general"}},
		Spec:       v1alpha1.MachineSpec{Address: s.address(i), SSHKeySecretName: "rack-key"},
	}
}

// deployment is a cluster of one control plane, one etcd machine and some workers.
func (s *sim) deployment(name string, workers int32) *v1alpha1.ClusterDeployment {
	return &v1alpha1.ClusterDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: name},
		Spec: v1alpha1.ClusterDeploymentSpec{
			Kubernetes:   v1alpha1.Kubernetes{Version: "v1.36.3"},
			Etcd:         v1alpha1.Etcd{Topology: v1alpha1.EtcdExternal, Machines: &v1alpha1.EtcdMachines{Replicas: 1}},
			Network:      v1alpha1.Network{Plugin: v1alpha1.NetworkFlannel, PodCIDRs: []string{"10.244.0.0/16"}, ServiceCIDRs: []string{"10.96.0.0/16"}},
			APIEndpoint:  v1alpha1.APIEndpoint{Type: v1alpha1.EndpointDirect, Name: "api." + name + ".example", Port: 6443},
			ControlPlane: v1alpha1.ControlPlane{Replicas: 1},
			Addons:       []v1alpha1.Addon{{Name: "coredns"}},
			Workers:      []v1alpha1.WorkerSet{{Name: "general", Replicas: ptr.To(workers)}},
		},
	}
}

// ready waits until a deployment is Ready with n machines at work.
func (s *sim) ready(name string, n int) {
	s.t.Helper()
	kubetest.Eventually(s.t, "cluster "+name+" is Ready", func(ctx context.Context) error {
		d := &v1alpha1.ClusterDeployment{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: name}, d); err != nil {
			return err
		}
		ready := s.count(ctx, func(m *v1alpha1.Machine) bool {
			return m.Spec.ClaimRef != nil && m.Spec.ClaimRef.Name == name && m.Status.Phase == v1alpha1.MachineReady
		})
		if d.Status.State != "Available" || ready != n || d.Status.ObservedGeneration != d.Generation {
			return fmt.Errorf("state %s, %d of %d machines ready; %s", d.Status.State, ready, n, s.describe(ctx, d))
		}
		return nil
	})
}

func (s *sim) describe(ctx context.Context, d *v1alpha1.ClusterDeployment) string {
	var b strings.Builder
	for _, c := range d.Status.Conditions {
		fmt.Fprintf(&b, "\n  %s %s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	var ops v1alpha1.OperationList
	_ = s.client.List(ctx, &ops, client.InNamespace(s.ns))
	for _, op := range ops.Items {
		fmt.Fprintf(&b, "\n  operation %s %s %v", op.Name, op.Status.Phase, op.Spec.Machines)
		for _, c := range op.Status.Conditions {
			fmt.Fprintf(&b, " %s: %s", c.Reason, c.Message)
		}
	}
	for _, m := range s.all(ctx) {
		fmt.Fprintf(&b, "\n  machine %s %s claim %v quarantine %v", m.Name, m.Status.Phase, m.Spec.ClaimRef, m.Spec.Quarantine)
		for _, c := range m.Status.Conditions {
			if c.Status != "True" {
				fmt.Fprintf(&b, " [%s %s %s: %s]", c.Type, c.Status, c.Reason, c.Message)
			}
		}
	}
	return b.String()
}

func (s *sim) all(ctx context.Context) []v1alpha1.Machine {
	var list v1alpha1.MachineList
	if err := s.client.List(ctx, &list, client.InNamespace(s.ns)); err != nil {
		s.t.Errorf("listing machines: %v", err)
	}
	return list.Items
}

func (s *sim) count(ctx context.Context, is func(*v1alpha1.Machine) bool) int {
	n := 0
	for _, m := range s.all(ctx) {
		if is(&m) {
			n++
		}
	}
	return n
}

func idle(m *v1alpha1.Machine) bool {
	return m.Status.Phase == v1alpha1.MachineIdle && m.Spec.ClaimRef == nil
}

// idles waits until n machines are idle.
func (s *sim) idles(n int) {
	s.t.Helper()
	kubetest.Eventually(s.t, fmt.Sprintf("%d machines are idle", n), func(ctx context.Context) error {
		if got := s.count(ctx, idle); got != n {
			return fmt.Errorf("%d are%s", got, s.describe(ctx, &v1alpha1.ClusterDeployment{}))
		}
		return nil
	})
}
