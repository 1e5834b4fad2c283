//go:build lab

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/lab"
)

// gib is a size for a disk of a practice machine.
func gib(n int64) int64 { return resource.NewScaledQuantity(n, 0).Value() << 30 }

// TestMainJob is scenario 1: a pool of idle machines becomes a cluster with an external etcd, is verified, grows by five of which two are
// bad, shrinks, and its machines serve another cluster.
func TestMainJob(t *testing.T) {
	e := newEnv(t, "e2e-main", lab.Spec{Machines: 10, DiskBytes: gib(8)})
	e.approve()
	e.allIdle(shortTime)

	e.slipway("cluster", "create", "shop", "--etcd", "External", "--workers", "1", "--profile", "lab", "--addons", "coredns,metrics-server")
	e.ready(installTime, "shop")
	held := e.heldBy("shop")
	if len(held) != 3 {
		t.Fatalf("the cluster holds %v; want a machine each for etcd, control plane and workers", held)
	}
	if nodes := e.nodes("shop"); len(nodes) != 2 {
		t.Fatalf("ready nodes: %v; want the control plane and one worker", nodes)
	}
	t.Run("metrics-server answers", func(t *testing.T) { metricsAnswer(e, "shop") })
	t.Run("scales out by five with two bad machines", func(t *testing.T) { scaleOutWithBadMachines(t, e) })
	t.Run("scales in and gives clean machines back", func(t *testing.T) { scaleIn(t, e) })
	t.Run("reuses a machine in another cluster", func(t *testing.T) { reuse(t, e) })
}

func metricsAnswer(e *env, cluster string) {
	kubeconfig := e.home + "/" + cluster + ".kubeconfig"
	e.eventually(shortTime, "kubectl top shows the nodes", func() error {
		out, err := e.try(nil, "kubectl", "--kubeconfig", kubeconfig, "top", "nodes")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// scaleOutWithBadMachines fills the disk of one joining machine and pulls the plug of another while it joins: three and two others become Ready.
func scaleOutWithBadMachines(t *testing.T, e *env) {
	before := map[string]bool{}
	for _, names := range e.heldBy("shop") {
		for _, n := range names {
			before[n] = true
		}
	}
	idle := 0
	for _, m := range e.machines() {
		if m.Status.Phase == v1alpha1.MachineIdle {
			idle++
		}
	}
	if idle != 7 {
		t.Fatalf("%d machines are idle; want 7", idle)
	}
	e.slipway("cluster", "scale", "shop", "--replicas", "6")
	joining := waitForJoining(e, before, 5)
	full, dead := joining[0], joining[1]
	if err := e.lab.FillDisk(t.Context(), full, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := e.lab.PowerOff(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	e.ready(2*scaleTime, "shop")
	for _, name := range []string{full, dead} {
		m, err := e.machine(name)
		if err != nil {
			t.Fatal(err)
		}
		if m.Spec.Quarantine == nil || m.Spec.Quarantine.Message == "" || m.Spec.ClaimRef != nil {
			t.Errorf("machine %s: quarantine %+v, claim %+v; want it out of the cluster, in quarantine, with the reason", name, m.Spec.Quarantine, m.Spec.ClaimRef)
		} else {
			t.Logf("%s: %s: %s", name, m.Spec.Quarantine.Reason, m.Spec.Quarantine.Message)
		}
	}
	if nodes := e.nodes("shop"); len(nodes) != 7 {
		t.Errorf("ready nodes: %v; want the control plane and six workers", nodes)
	}
	if tree := e.slipway("tree"); !strings.Contains(tree, full) || !strings.Contains(tree, dead) {
		t.Errorf("the tree does not name the bad machines %s and %s:\n%s", full, dead, tree)
	}
}

// waitForJoining waits until an operation runs on n machines that were not there before, and names them.
func waitForJoining(e *env, before map[string]bool, n int) []string {
	e.t.Helper()
	var joining []string
	e.eventually(shortTime, "the joining machines are being worked on", func() error {
		joining = nil
		for _, o := range e.operations() {
			if o.Spec.EntryPoint != v1alpha1.EntryScale || o.Status.Phase != v1alpha1.OperationRunning {
				continue
			}
			for _, h := range o.Status.Hosts {
				if !before[h.Machine] && h.Result == v1alpha1.HostRunning && h.Done != nil && *h.Done > 0 {
					joining = append(joining, h.Machine)
				}
			}
		}
		if len(joining) < n {
			return fmt.Errorf("%d of %d: %v", len(joining), n, joining)
		}
		return nil
	})
	return joining
}

func scaleIn(t *testing.T, e *env) {
	was := e.heldBy("shop")["shop-general"]
	e.slipway("cluster", "scale", "shop", "--replicas", "1")
	e.ready(2*scaleTime, "shop")
	stays := map[string]bool{}
	for _, names := range e.heldBy("shop") {
		for _, n := range names {
			stays[n] = true
		}
	}
	for _, name := range was {
		if stays[name] {
			continue
		}
		e.phase(cleanTime, name, v1alpha1.MachineIdle)
		clean(t, e.lab, name)
	}
	if nodes := e.nodes("shop"); len(nodes) != 2 {
		t.Errorf("ready nodes: %v; want the control plane and one worker", nodes)
	}
}

// reuse builds a second cluster of machines that served the first one.
func reuse(t *testing.T, e *env) {
	stop := watchClaims(e)
	defer stop()
	e.slipway("cluster", "create", "dock", "--workers", "1", "--profile", "lab", "--pod-cidr", "10.200.0.0/16", "--service-cidr", "10.201.0.0/16")
	e.ready(installTime, "dock")
	if len(e.nodes("dock")) != 2 || len(e.nodes("shop")) != 2 {
		t.Errorf("nodes of dock %v, of shop %v; want two each", e.nodes("dock"), e.nodes("shop"))
	}
	held := e.heldBy("dock")
	e.slipway("cluster", "delete", "dock", "--yes")
	e.gone(cleanTime, "dock")
	for _, names := range held {
		for _, n := range names {
			e.phase(cleanTime, n, v1alpha1.MachineIdle)
			clean(t, e.lab, n)
		}
	}
}

// TestTwoAtOnce builds two clusters from one pool at the same time, one of them on three etcd members, and deletes the other while
// it installs. The one that stays goes on when an etcd member loses its power.
func TestTwoAtOnce(t *testing.T) {
	e := newEnv(t, "e2e-two", lab.Spec{Machines: 7, DiskBytes: gib(8)})
	e.approve()
	e.allIdle(shortTime)
	stop := watchClaims(e)
	defer stop()
	e.slipway("cluster", "create", "east", "--etcd", "External", "--etcd-machines", "3", "--workers", "1", "--profile", "lab", "--pod-cidr", "10.210.0.0/16", "--service-cidr", "10.211.0.0/16")
	e.slipway("cluster", "create", "west", "--workers", "1", "--profile", "lab", "--pod-cidr", "10.220.0.0/16", "--service-cidr", "10.221.0.0/16")
	e.eventually(shortTime, "both clusters are being installed", func() error {
		running := map[string]bool{}
		for _, o := range e.operations() {
			if o.Status.Phase == v1alpha1.OperationRunning {
				running[o.Spec.ClusterName] = true
			}
		}
		if len(running) != 2 {
			return fmt.Errorf("running: %v", running)
		}
		return nil
	})
	e.slipway("cluster", "delete", "west", "--yes")
	e.gone(cleanTime, "west")
	e.ready(installTime, "east")
	inUse := map[string]bool{}
	for _, names := range e.heldBy("east") {
		for _, n := range names {
			inUse[n] = true
		}
	}
	for _, m := range e.machines() {
		if !inUse[m.Name] {
			e.phase(cleanTime, m.Name, v1alpha1.MachineIdle)
			clean(t, e.lab, m.Name)
		}
	}
	memberDies(t, e, "east")
	e.slipway("cluster", "delete", "east", "--yes")
	e.gone(cleanTime, "east")
	e.allIdle(cleanTime)
	for _, m := range e.machines() {
		clean(t, e.lab, m.Name)
	}
}

// memberDies takes the power of one of three etcd members: the cluster takes writes all the same.
func memberDies(t *testing.T, e *env, cluster string) {
	t.Helper()
	members := e.heldBy(cluster)[cluster+"-etcd"]
	if len(members) != 3 {
		t.Fatalf("etcd members: %v; want three", members)
	}
	if err := e.lab.PowerOff(t.Context(), members[0]); err != nil {
		t.Fatal(err)
	}
	c := e.remote(cluster)
	e.eventually(shortTime, "the cluster takes writes with two of three etcd members", func() error {
		return c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "written-"}})
	})
	if err := e.lab.PowerOn(t.Context(), members[0]); err != nil {
		t.Fatal(err)
	}
}

// TestThroughBastion builds a cluster as a sudo user, on another port, through a bastion, with etcd beside the control plane and no network plugin choice but flannel.
func TestThroughBastion(t *testing.T) {
	e := newEnv(t, "e2e-jump", lab.Spec{Machines: 2, Bastion: true, User: "ops", Port: 2222, DiskBytes: gib(8)})
	e.approve()
	e.allIdle(shortTime)
	e.slipway("cluster", "create", "inner", "--workers", "1", "--profile", "lab", "--etcd", "Colocated")
	e.ready(installTime, "inner")
	for _, entry := range []string{"check", "verify"} {
		e.slipway("operation", "run", "inner", entry, "--wait", "--timeout", "5m")
	}
	t.Run("an operator with newer content starts nothing", func(t *testing.T) { restartStartsNothing(t, e) })
}

// restartStartsNothing restarts the operator with newer content, watches that no operation is made, and that the tree shows who is behind.
func restartStartsNothing(t *testing.T, e *env) {
	before := e.operations()
	e.stop()
	old := e.bin
	e.bin = newerSlipway(t)
	defer func() { e.bin = old }()
	e.start()
	started := time.Now()
	e.eventually(shortTime, "the newer operator works and says that the cluster is behind", func() error {
		d, err := e.deployment("inner")
		if err != nil {
			return err
		}
		if !conditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) || time.Since(started) < 15*time.Second {
			return errors.New("not long enough seen as Ready")
		}
		if tree := e.slipway("tree"); !strings.Contains(tree, "(newest ") {
			return errors.New("the tree does not show that the cluster is behind")
		}
		return nil
	})
	if after := e.operations(); len(after) != len(before) {
		t.Errorf("%d operations after the restart with newer content, %d before", len(after), len(before))
	}
}

// newerSlipway builds a slipway whose content differs by one line.
func newerSlipway(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	playbook := filepath.Join(root, "ansible", "playbooks", "check.yml")
	text, err := os.ReadFile(playbook)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(dir, "check.yml")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {playbook: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{changed: append(text, "# newer\n"...), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "slipway")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", bin, "./cmd/slipway")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building a newer slipway: %v\n%s", err, out)
	}
	return bin
}
