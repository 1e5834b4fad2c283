//go:build lab

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	migration "github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/lab"
)

// Durations are generous bounds for a slow, shared machine; nothing is asserted about speed.
const (
	installTime = 10 * time.Minute
	scaleTime   = 6 * time.Minute
	cleanTime   = 5 * time.Minute
	shortTime   = 2 * time.Minute
)

// env is one lab with one management plane and operator, started as a user starts them.
type env struct {
	t        *testing.T
	home     string
	bin      string
	mirror   string // port of the mirror on the lab's gateway
	lab      *lab.Lab
	client   client.WithWatch
	mu       sync.Mutex
	operator *exec.Cmd
	done     chan error
	log      *os.File
}

// newEnv boots machines and starts `slipway up`; everything goes away when the test ends.
func newEnv(t *testing.T, name string, spec lab.Spec) *env {
	t.Helper()
	bin, err := filepath.Abs("../../bin/slipway")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("bin/slipway is missing (make build): %v", err)
	}
	e := &env{t: t, bin: bin, mirror: "8443", home: t.TempDir()}
	e.lab, err = lab.New(lab.Options{Name: name, Home: e.home, RelayCommand: []string{bin, "lab", "relay"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.lab.Delete(context.Background()); err != nil {
			t.Errorf("deleting the lab: %v", err)
		}
	})
	spec.WithCreator = true
	if err := e.lab.Create(t.Context(), spec); err != nil {
		t.Fatalf("booting the machines: %v", err)
	}
	e.run()
	return e
}

// run starts the operator for the first time, and stops it when the test ends.
func (e *env) run() {
	e.t.Helper()
	var err error
	if e.log, err = os.Create(filepath.Join(e.home, "operator.log")); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(e.report)
	e.t.Cleanup(e.stop)
	e.start()
}

// restored starts a second operator beside this one, with a plane made from a backup of it.
func (e *env) restored(backup string) *env {
	e.t.Helper()
	other := &env{t: e.t, bin: e.bin, mirror: "9443", home: e.t.TempDir(), lab: e.lab}
	other.slipway("plane", "restore", "--file", backup)
	other.run()
	return other
}

// report prints what helps to understand a failure.
func (e *env) report() {
	if !e.t.Failed() {
		return
	}
	text, err := os.ReadFile(e.log.Name())
	if err != nil {
		e.t.Log(err)
	}
	lines := strings.Split(string(text), "\n")
	e.t.Logf("last lines of the operator:\n%s", strings.Join(lines[max(0, len(lines)-80):], "\n"))
}

// start starts `slipway up` in the foreground and waits until its API server answers.
func (e *env) start() {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	cmd := exec.Command(e.bin, "up", "--mirror-listen", e.lab.Gateway()+":"+e.mirror, "--dir", e.home)
	cmd.Env = append(os.Environ(), "SLIPWAY_HOME="+e.home)
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		e.t.Fatalf("starting slipway up: %v", err)
	}
	e.operator, e.done = cmd, make(chan error, 1)
	go func(done chan error) { done <- cmd.Wait() }(e.done)
	e.connect()
}

func (e *env) connect() {
	e.t.Helper()
	log.SetLogger(logr.Discard())
	s := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(s), v1alpha1.AddToScheme(s), migration.AddToScheme(s)); err != nil {
		e.t.Fatal(err)
	}
	e.eventually(shortTime, "the plane answers", func() error {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(e.home, "plane", "kubeconfig"))
		if err != nil {
			return err
		}
		config.QPS = -1
		c, err := client.NewWithWatch(config, client.Options{Scheme: s})
		if err != nil {
			return err
		}
		e.client = c
		return c.List(e.t.Context(), &v1alpha1.MachineList{})
	})
}

// kill ends the operator and its plane with SIGKILL, as an out-of-memory killer would.
func (e *env) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.operator == nil {
		return
	}
	if err := e.operator.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Errorf("killing the operator: %v", err)
	}
	<-e.done
	e.operator = nil
}

// stop ends the operator as ctrl-C does.
func (e *env) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.operator == nil {
		return
	}
	if err := e.operator.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Errorf("stopping the operator: %v", err)
	}
	select {
	case <-e.done:
	case <-time.After(time.Minute):
		e.t.Error("the operator does not stop within a minute of SIGTERM")
		_ = e.operator.Process.Kill() // the error above is the finding
		<-e.done
	}
	e.operator = nil
}

// slipway runs a command of the CLI and returns what it printed; a failure is fatal.
func (e *env) slipway(args ...string) string {
	e.t.Helper()
	out, err := e.try(nil, args...)
	if err != nil {
		e.t.Fatalf("slipway %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try runs a command of the CLI and returns what it printed, both streams.
func (e *env) try(stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(e.t.Context(), e.bin, args...)
	cmd.Env = append(os.Environ(), "SLIPWAY_HOME="+e.home)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// approve adds every machine of the lab to the pool, with labels as in pool=general.
func (e *env) approve(labels ...[2]string) {
	e.t.Helper()
	text, err := e.lab.Manifests(lab.ManifestOptions{Namespace: "default", SecretName: "lab-key", Labels: labels})
	if err != nil {
		e.t.Fatal(err)
	}
	if out, err := e.try([]byte(text), "machine", "add", "-f", "-"); err != nil {
		e.t.Fatalf("adding the machines: %v\n%s", err, out)
	}
}

// eventually asks until the answer is nil.
func (e *env) eventually(within time.Duration, what string, ask func() error) {
	e.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			tree, _ := e.try(nil, "tree", "-A") // shown as it is; the finding is below
			e.t.Fatalf("not within %s: %s: %v\n%s", within, what, err, tree)
		case <-e.t.Context().Done():
			e.t.Fatalf("stopped while waiting: %s: %v", what, err)
		case <-tick.C:
		}
	}
}

func (e *env) machine(name string) (*v1alpha1.Machine, error) {
	var m v1alpha1.Machine
	err := e.client.Get(e.t.Context(), client.ObjectKey{Namespace: "default", Name: name}, &m)
	return &m, err
}

func (e *env) machines() []v1alpha1.Machine {
	e.t.Helper()
	var list v1alpha1.MachineList
	if err := e.client.List(e.t.Context(), &list); err != nil {
		e.t.Fatalf("listing machines: %v", err)
	}
	return list.Items
}

func (e *env) operations() []v1alpha1.Operation {
	e.t.Helper()
	var list v1alpha1.OperationList
	if err := e.client.List(e.t.Context(), &list); err != nil {
		e.t.Fatalf("listing operations: %v", err)
	}
	return list.Items
}

// phase waits until a machine is in a phase.
func (e *env) phase(within time.Duration, machine string, want v1alpha1.MachinePhase) {
	e.t.Helper()
	e.eventually(within, machine+" is "+string(want), func() error {
		m, err := e.machine(machine)
		if err != nil {
			return err
		}
		if m.Status.Phase != want {
			return fmt.Errorf("it is %s: %s", m.Status.Phase, conditionText(m.Status.Conditions, v1alpha1.ConditionReady))
		}
		return nil
	})
}

// allIdle waits until every machine of the pool is idle.
func (e *env) allIdle(within time.Duration) {
	e.t.Helper()
	e.eventually(within, "every machine is idle", func() error {
		for _, m := range e.machines() {
			if m.Status.Phase != v1alpha1.MachineIdle {
				return fmt.Errorf("%s is %s: %s", m.Name, m.Status.Phase, conditionText(m.Status.Conditions, v1alpha1.ConditionReady))
			}
		}
		return nil
	})
}

func (e *env) deployment(name string) (*v1alpha1.ClusterDeployment, error) {
	var d v1alpha1.ClusterDeployment
	err := e.client.Get(e.t.Context(), client.ObjectKey{Namespace: "default", Name: name}, &d)
	return &d, err
}

// ready waits until a deployment is as its spec wants it, and verified.
func (e *env) ready(within time.Duration, name string) {
	e.t.Helper()
	e.eventually(within, name+" is Ready and verified", func() error {
		d, err := e.deployment(name)
		if err != nil {
			return err
		}
		if d.Status.ObservedGeneration < d.Generation || !conditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("%s: %s", d.Status.State, conditionText(d.Status.Conditions, v1alpha1.ConditionProgressing))
		}
		var c v1alpha1.Cluster
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(d), &c); err != nil {
			return err
		}
		if !conditionTrue(c.Status.Conditions, v1alpha1.ConditionVerified) {
			return errors.New("not verified: " + conditionText(c.Status.Conditions, v1alpha1.ConditionVerified))
		}
		return nil
	})
}

// gone waits until a deployment and all that it made are gone.
func (e *env) gone(within time.Duration, name string) {
	e.t.Helper()
	e.eventually(within, name+" is gone", func() error {
		d, err := e.deployment(name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return fmt.Errorf("%s: %s", d.Status.State, conditionText(d.Status.Conditions, v1alpha1.ConditionProgressing))
	})
}

// remote opens the API server of a business cluster through the kubeconfig that the CLI prints.
func (e *env) remote(cluster string) client.Client {
	e.t.Helper()
	file := filepath.Join(e.home, cluster+".kubeconfig")
	e.slipway("cluster", "kubeconfig", cluster, "--output-file", file)
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		e.t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// nodes are the names of the Ready nodes of a cluster.
func (e *env) nodes(cluster string) map[string]bool {
	e.t.Helper()
	var list corev1.NodeList
	if err := e.remote(cluster).List(e.t.Context(), &list); err != nil {
		e.t.Fatalf("listing the nodes of %s: %v", cluster, err)
	}
	ready := map[string]bool{}
	for _, n := range list.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				ready[n.Name] = true
			}
		}
	}
	return ready
}

func conditionTrue(conditions []metav1.Condition, kind string) bool {
	for _, c := range conditions {
		if c.Type == kind {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

func conditionText(conditions []metav1.Condition, kind string) string {
	for _, c := range conditions {
		if c.Type == kind {
			return fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return kind + " is not set"
}

// heldBy are the names of the machines that a cluster holds, by machine set.
func (e *env) heldBy(cluster string) map[string][]string {
	e.t.Helper()
	held := map[string][]string{}
	for _, m := range e.machines() {
		if c := m.Spec.ClaimRef; c != nil && c.Name == cluster {
			held[c.MachineSet] = append(held[c.MachineSet], m.Name)
		}
	}
	return held
}
