//go:build lab

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/lab"
)

// moment is a point in the life of a cluster at which something is killed.
type moment struct {
	name string
	now  func(e *env) error
}

// operationAt is an operation of an entry point that runs and has finished at least so many tasks on some host.
func operationAt(entry v1alpha1.EntryPoint, tasks int32) moment {
	return moment{fmt.Sprintf("%s after %d tasks", entry, tasks), func(e *env) error {
		for _, o := range e.operations() {
			if o.Spec.EntryPoint != entry || o.Status.Phase != v1alpha1.OperationRunning {
				continue
			}
			if tasks == 0 {
				return nil
			}
			for _, h := range o.Status.Hosts {
				if h.Done != nil && *h.Done >= tasks {
					return nil
				}
			}
		}
		return fmt.Errorf("no %s operation is that far", entry)
	}}
}

func machineIn(phase v1alpha1.MachinePhase) moment {
	return moment{"a machine is " + string(phase), func(e *env) error {
		for _, m := range e.machines() {
			if m.Status.Phase == phase {
				return nil
			}
		}
		return fmt.Errorf("no machine is %s", phase)
	}}
}

// killAtEach kills the operator at each moment of a list that is in the order of their coming. A moment that is passed by while the
// operator starts again is left out; at least as many as wanted must have been met.
func (e *env) killAtEach(moments []moment, wanted int, over func() bool) {
	e.t.Helper()
	kills, next := 0, 0
	for next < len(moments) {
		met := -1
		e.eventually(installTime, moments[next].name+" or a later moment", func() error {
			if over() {
				return nil
			}
			for i := len(moments) - 1; i >= next; i-- {
				if moments[i].now(e) == nil {
					met = i
					return nil
				}
			}
			return moments[next].now(e)
		})
		if met < 0 {
			break
		}
		e.t.Logf("kill -9 of the operator: %s", moments[met].name)
		e.kill()
		e.start()
		kills, next = kills+1, met+1
	}
	if kills < wanted {
		e.t.Errorf("only %d kills of %d moments; want at least %d", kills, len(moments), wanted)
	}
}

func (e *env) isReady(name string) bool {
	d, err := e.deployment(name)
	return err == nil && d.Status.ObservedGeneration >= d.Generation && conditionTrue(d.Status.Conditions, v1alpha1.ConditionReady)
}

// TestOperatorDies kills the operator, its plane included, in every phase of a cluster's life; the end is the same as without.
func TestOperatorDies(t *testing.T) {
	e := newEnv(t, "e2e-kill", lab.Spec{Machines: 3, DiskBytes: gib(8)})
	e.approve()
	e.killAtEach([]moment{machineIn(v1alpha1.MachineInspecting)}, 0, func() bool { return machineIn(v1alpha1.MachineIdle).now(e) == nil })
	e.allIdle(shortTime)
	backup := filepath.Join(e.home, "idle.backup")
	e.slipway("plane", "backup", "--file", backup)

	e.slipway("cluster", "create", "shop", "--workers", "1", "--profile", "lab")
	ready := func() bool { return e.isReady("shop") }
	e.killAtEach([]moment{machineIn(v1alpha1.MachineClaimed), machineIn(v1alpha1.MachineDeploying), operationAt(v1alpha1.EntryCreate, 4),
		operationAt(v1alpha1.EntryCreate, 10), operationAt(v1alpha1.EntryCreate, 14), machineIn(v1alpha1.MachineDeployed), operationAt(v1alpha1.EntryVerify, 0)}, 2, ready)
	e.ready(installTime, "shop")

	e.slipway("cluster", "scale", "shop", "--replicas", "2")
	e.killAtEach([]moment{operationAt(v1alpha1.EntryScale, 0), operationAt(v1alpha1.EntryScale, 8)}, 1, ready)
	e.ready(scaleTime, "shop")
	t.Run("an operator from an old backup touches nothing", func(t *testing.T) { oldOperatorTouchesNothing(t, e, backup) })

	e.slipway("cluster", "scale", "shop", "--replicas", "1")
	e.killAtEach([]moment{machineIn(v1alpha1.MachineDraining), machineIn(v1alpha1.MachineRemoving), machineIn(v1alpha1.MachineCleaning)}, 1, ready)
	e.ready(scaleTime, "shop")
	if nodes := e.nodes("shop"); len(nodes) != 2 {
		t.Errorf("ready nodes: %v; want two", nodes)
	}

	e.slipway("cluster", "delete", "shop", "--yes")
	e.killAtEach([]moment{operationAt(v1alpha1.EntryRemove, 0), operationAt(v1alpha1.EntryRemove, 4)}, 1, func() bool { _, err := e.deployment("shop"); return err != nil })
	e.gone(cleanTime, "shop")
	e.allIdle(cleanTime)
	for _, m := range e.machines() {
		clean(t, e.lab, m.Name)
	}
	if twice := changedTwice(t, e.home, e.operations()); len(twice) > 0 {
		t.Errorf("tasks that changed a host more than once:\n%s", strings.Join(twice, "\n"))
	}
}

// oldOperatorTouchesNothing brings back an operator for which all machines of the cluster are idle: the stamps on the hosts tell
// it otherwise, and a cluster that it is asked for does not begin.
func oldOperatorTouchesNothing(t *testing.T, e *env, backup string) {
	old := e.restored(backup)
	old.slipway("cluster", "create", "other", "--workers", "1", "--profile", "lab", "--pod-cidr", "10.230.0.0/16", "--service-cidr", "10.231.0.0/16")
	idle := ""
	old.eventually(shortTime, "two machines are claimed", func() error {
		held := 0
		for _, m := range old.machines() {
			if m.Spec.ClaimRef != nil {
				held++
			} else {
				idle = m.Name
			}
		}
		if held != 2 {
			return fmt.Errorf("%d are", held)
		}
		return nil
	})
	old.slipway("machine", "inspect", "--again", idle) // it would be looked at anyway, but not so soon
	refusal := "which this operator does not know"
	old.eventually(shortTime, "each host is refused because its stamp is not known", func() error {
		refused := map[string]string{}
		for _, m := range old.machines() {
			refused[m.Name] = conditionText(m.Status.Conditions, v1alpha1.ConditionInspected)
		}
		for _, o := range old.operations() {
			for _, h := range o.Status.Hosts {
				if h.Message != "" {
					refused[h.Machine] = h.Message
				}
			}
		}
		for name, why := range refused {
			if !strings.Contains(why, refusal) {
				return fmt.Errorf("%s: %s", name, why)
			}
		}
		return nil
	})
	for _, o := range old.operations() {
		for _, h := range o.Status.Hosts {
			if h.Done != nil && *h.Done > 0 {
				t.Errorf("operation %s did %d tasks on %s: the operator from the backup must not touch the hosts", o.Name, *h.Done, h.Machine)
			}
		}
	}
	if tree := old.slipway("tree"); !strings.Contains(tree, refusal) {
		t.Errorf("the tree does not say why nothing begins:\n%s", tree)
	}
	old.kill()
	e.ready(shortTime, "shop")
	if nodes := e.nodes("shop"); len(nodes) != 3 {
		t.Errorf("ready nodes: %v; want three", nodes)
	}
}

// TestHostsDie kills the Ansible process, pulls a joining host's cable for a minute and its plug, and restarts the plane: the end is the same.
func TestHostsDie(t *testing.T) {
	e := newEnv(t, "e2e-hosts", lab.Spec{Machines: 4, DiskBytes: gib(8)})
	e.approve()
	e.allIdle(shortTime)
	e.slipway("cluster", "create", "shop", "--workers", "1", "--profile", "lab")
	e.eventually(installTime, "the installation is half-way", func() error { return operationAt(v1alpha1.EntryCreate, 10).now(e) })
	killAnsible(e)
	e.ready(installTime, "shop")
	if twice := changedTwice(t, e.home, e.operations()); len(twice) > 0 {
		t.Errorf("tasks that changed a host more than once:\n%s", strings.Join(twice, "\n"))
	}

	joins := func() string {
		known := map[string]bool{}
		for _, names := range e.heldBy("shop") {
			for _, n := range names {
				known[n] = true
			}
		}
		e.slipway("cluster", "scale", "shop", "--replicas", strconv.Itoa(len(known)))
		return waitForJoining(e, known, 1)[0]
	}
	t.Run("the cable of a joining host is out for a minute", func(t *testing.T) {
		host := joins()
		if err := e.lab.Unplug(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		out := time.NewTimer(time.Minute)
		defer out.Stop()
		<-out.C // the fault itself: a minute without a cable
		if err := e.lab.Plug(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		e.ready(scaleTime, "shop")
	})
	t.Run("a joining host loses its power and comes back", func(t *testing.T) {
		host := joins()
		if err := e.lab.PowerOff(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		if err := e.lab.PowerOn(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		e.eventually(scaleTime, "it is ready, or out of the cluster with the reason", func() error {
			m, err := e.machine(host)
			if err != nil {
				return err
			}
			if m.Status.Phase == v1alpha1.MachineReady || m.Spec.Quarantine != nil {
				return nil
			}
			return fmt.Errorf("it is %s", m.Status.Phase)
		})
	})
}

// killAnsible kills every process of the runs that go on, as an out-of-memory killer would.
func killAnsible(e *env) {
	e.t.Helper()
	killed := 0
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, p := range procs {
		text, err := os.ReadFile(p)
		if err != nil {
			continue // gone since
		}
		line := strings.ReplaceAll(string(text), "\x00", " ")
		if !strings.Contains(line, filepath.Join(e.home, "runs")) || !strings.Contains(line, "ansible") {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(p, "/")[2])
		if err != nil {
			e.t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed++
		}
	}
	if killed == 0 {
		e.t.Fatal("no ansible process was found to kill")
	}
	e.t.Logf("killed %d processes of ansible", killed)
}
