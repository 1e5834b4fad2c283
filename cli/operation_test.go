package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

func TestOperationCommands(t *testing.T) {
	byJob := operation("shop-job-9", time.Hour, v1alpha1.EntryCheck, v1alpha1.OperationSucceeded, "", "cp1")
	byJob.Status.Executor = "Job"
	transcript{
		golden: "operation", objects: func() []client.Object { return append(smallFleet(), byJob.DeepCopy()) },
		steps: []step{
			{name: "lists them, newest last", line: "operation list"},
			{name: "says that there is nothing", line: "operation list -n harbor"},
			{name: "runs one on the machines that it plays on", line: "operation run shop check"},
			{name: "runs one on one machine, with a reason", line: "operation run shop os --machine w1 --dry-run -o yaml"},
			{name: "refuses a machine of nobody", line: "operation run shop os --machine idle1"},
			{name: "refuses a cluster that there is not", line: "operation run shpo check"},
			{name: "refuses an entry point that there is not", line: "operation run shop chekc"},
			{name: "retries one that failed", line: "operation retry shop-scale-2"},
			{name: "retries nothing that succeeded", line: "operation retry shop-create-1"},
			{name: "retries nothing that has not begun", line: "operation retry shop-verify-4"},
			{name: "refuses to retry what there is not", line: "operation retry shop-scale-9"},
			{name: "cancels one that runs", line: "operation cancel shop-scale-3"},
			{name: "cancels nothing that has ended", line: "operation cancel shop-scale-2"},
			{name: "refuses to cancel what there is not", line: "operation cancel shop-scale-9"},
			{name: "says why there is no log", line: "operation logs shop-scale-2"},
			{name: "says whose log it is", line: "operation logs shop-job-9"},
			{name: "refuses the log of what there is not", line: "operation logs shop-scale-9"},
		},
	}.test(t)
}

func TestOperationLogs(t *testing.T) {
	newFakePlane(t, smallFleet()...)
	dir := t.TempDir()
	run := filepath.Join(dir, "runs", "uid-shop-scale-2-1")
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	const text = "TASK [containerd : unpack]\nfatal: [w3]: no space left on device\n"
	for name, content := range map[string]string{"log": text, "result.json": "{}"} {
		if err := os.WriteFile(filepath.Join(run, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"operation", "logs", "shop-scale-2", "--dir", dir}, {"op", "logs", "shop-scale-2", "-f", "--dir", dir}} {
		if code, out, errs := runCLI(t, args...); code != ExitDone || out != text {
			t.Errorf("slipway %v: code %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestWaiting(t *testing.T) {
	ended := func(phase v1alpha1.OperationPhase, message string) func() []client.Object {
		return func() []client.Object {
			o := operation("shop-scale-3", time.Minute, v1alpha1.EntryScale, phase, message, "w3")
			d := shopDeployment()
			d.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonAsWanted, "everything is as wanted")}
			if phase == v1alpha1.OperationFailed {
				d.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionSpecValid, "False", v1alpha1.ReasonInvalidSpec, "spec.etcd.machines.replicas: 2 is even")}
			}
			return []client.Object{d, o}
		}
	}
	for name, c := range map[string]struct {
		objects func() []client.Object
		steps   []step
	}{
		"succeeded": {ended(v1alpha1.OperationRunning, "w3: 31 of 48 tasks"), []step{
			{name: "waits for the cluster", line: "cluster scale shop --replicas 5 --wait"},
			{name: "gives up with the last word when the time is over", line: "operation cancel shop-scale-3 --wait --timeout 1ns"},
		}},
		"failed": {ended(v1alpha1.OperationFailed, "w3: no space left on device"), []step{
			{name: "says what cannot be built", line: "cluster scale shop --replicas 5 --wait"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			transcript{golden: "waiting_" + name, objects: c.objects, steps: c.steps}.test(t)
		})
	}
}

func TestHistory(t *testing.T) {
	events := func() []client.Object {
		foreign := fleetEvent("e5", "default", "Pod", "p", "Pulled", "an image", time.Minute, 1)
		foreign.InvolvedObject.APIVersion = "v1"
		return append(smallFleet(),
			fleetEvent("e1", "default", "Machine", "w3", "Claimed", "Claimed for cluster shop, set shop-general", 100*time.Minute, 1),
			fleetEvent("e2", "default", "Machine", "noisy", "Quarantined", "fan is loud\nsecond line", 30*time.Minute, 3),
			fleetEvent("e3", "default", "Cluster", "shop", "AddonApplied", "Applied addon coredns: 7 objects", 50*time.Hour, 1),
			fleetEvent("e4", "harbor", "Machine", "h1", "Inspected", "It fits", 20*time.Minute, 1), foreign)
	}
	transcript{
		golden: "history", objects: events,
		steps: []step{
			{name: "joins events and ends of operations, oldest first", line: "history"},
			{name: "looks back further", line: "history --since 72h"},
			{name: "tells the namespaces apart", line: "history -A --since 40m"},
			{name: "prints for programs", line: "history --since 40m -o json"},
			{name: "says that nothing was done", line: "history --since 1s"},
			{name: "prints an empty list for programs", line: "history --since 1s -o json"},
			{name: "refuses a time to come", line: "history --since -2h"},
			{name: "refuses what is no time", line: "history --since yesterday"},
		},
	}.test(t)
}

func TestFreeze(t *testing.T) {
	frozen := func() []client.Object {
		return append(smallFleet(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap},
			Data:       map[string]string{"reason": "network change", "by": "ada", "since": "2026-01-02T03:04:05Z"},
		})
	}
	t.Run("free", func(t *testing.T) {
		transcript{golden: "freeze", objects: smallFleet, steps: []step{
			{name: "freezes", line: "freeze --reason", more: []string{"network change until noon"}},
			{name: "has nothing to thaw", line: "freeze --off"},
		}}.test(t)
	})
	t.Run("frozen", func(t *testing.T) {
		transcript{golden: "freeze_frozen", objects: frozen, steps: []step{
			{name: "keeps the reason of who was first", line: "freeze --reason mine"},
			{name: "thaws", line: "freeze --off"},
			{name: "is told by the tree", line: "tree"},
			{name: "is told where there is nothing else", line: "tree -n harbor"},
		}}.test(t)
	})
}

func TestTree(t *testing.T) {
	transcript{golden: "tree", objects: smallFleet, steps: []step{
		{name: "shows all", line: "tree"},
		{name: "shows all namespaces", line: "tree -A"},
		{name: "shows one cluster", line: "tree shop"},
		{name: "shows one cluster for programs", line: "tree shop -o json"},
		{name: "shows it as YAML", line: "tree shop -o yaml"},
		{name: "says that there is nothing", line: "tree -n harbor"},
		{name: "refuses a cluster that there is not", line: "tree shpo"},
		{name: "refuses a cluster that there is nowhere", line: "tree shpo -A"},
	}}.test(t)
}
