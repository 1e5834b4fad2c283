package remotemachineset

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view/viewtest"
	"github.com/slipway-dev/slipway/fleet/remote"
)

const (
	waiting = "False Pending: the cluster is not built yet"
	silence = "False ClusterUnreachable: the API server does not answer"
	answers = "True AsWanted: the API server answers: v1.36.3"
	nodeUp  = "True NodeReady: the Node is Ready"
)

// seen is what a pass leaves behind of one machine.
type seen struct{ Phase, Node, Ready string }

type outcome struct {
	Available string
	// Nodes counts the Nodes that are Ready and all of them.
	Nodes    [2]int32
	Machines map[string]seen
	Labelled []string
	After    time.Duration
	Retried  bool
}

func machine(name, set string, phase v1alpha1.MachinePhase) *v1alpha1.Machine {
	return &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec:       v1alpha1.MachineSpec{Address: "198.18.0.1", ClaimRef: &v1alpha1.ClaimRef{Name: viewtest.Cluster, UID: "u1", MachineSet: set}},
		Status:     v1alpha1.MachineStatus{Phase: phase},
	}
}

func set(name string, role v1alpha1.Role) *v1alpha1.MachineSet {
	s := &v1alpha1.MachineSet{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1}, Spec: v1alpha1.MachineSetSpec{ClusterName: viewtest.Cluster, Role: role}}
	s.Labels = map[string]string{v1alpha1.ClusterLabel: viewtest.Cluster}
	return s
}

// start is what a case begins with: an etcd machine, a control plane and two workers, installed and not looked at.
type start struct {
	cluster  *v1alpha1.Cluster
	general  *v1alpha1.MachineSet
	machines map[string]*v1alpha1.Machine
	nodes    []remote.Node
	failing  error
}

func newStart() *start {
	return &start{
		cluster: viewtest.Built(), general: set("shop-general", v1alpha1.RoleCompute),
		machines: map[string]*v1alpha1.Machine{
			"etcd1": machine("etcd1", "shop-etcd", v1alpha1.MachineDeployed), "cp1": machine("cp1", "shop-control-plane", v1alpha1.MachineDeployed),
			"w1": machine("w1", "shop-general", v1alpha1.MachineDeployed), "w2": machine("w2", "shop-general", v1alpha1.MachineDeployed),
		},
		nodes: []remote.Node{{Name: "cp1", Ready: true}, {Name: "w1", Ready: true}, {Name: "w2", Ready: true}},
	}
}

func (s *start) build(t *testing.T) (*Reconciler, *viewtest.World) {
	t.Helper()
	objects := []client.Object{viewtest.Deployment(), s.cluster, viewtest.KubeconfigSecret(), set("shop-etcd", v1alpha1.RoleEtcd), set("shop-control-plane", v1alpha1.RoleControlPlane), s.general}
	for _, m := range s.machines {
		objects = append(objects, m)
	}
	w := viewtest.New(t, objects...)
	if s.nodes != nil {
		w.Clusters.SetNodes(viewtest.Key, s.nodes...)
	}
	if s.failing != nil {
		w.Clusters.NextErr(s.failing)
	}
	return &Reconciler{Options: Options{Kit: w.Kit, View: w.View}, labelled: map[types.UID]string{}}, w
}

func pass(t *testing.T, r *Reconciler, w *viewtest.World) outcome {
	t.Helper()
	result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: viewtest.Namespace, Name: viewtest.Cluster}})
	c := viewtest.Read(t, w, viewtest.Cluster, &v1alpha1.Cluster{})
	got := outcome{
		Available: viewtest.Words(c.Status.Conditions, v1alpha1.ConditionAvailable), Machines: map[string]seen{},
		Labelled: w.Called("LabelNode"), After: result.RequeueAfter, Retried: err != nil,
	}
	slices.Sort(got.Labelled)
	if n := c.Status.Nodes; n != nil {
		got.Nodes = [2]int32{*n.Ready, *n.Total}
	}
	var machines v1alpha1.MachineList
	if err := w.Kit.List(t.Context(), &machines); err != nil {
		t.Fatal(err)
	}
	for _, m := range machines.Items {
		got.Machines[m.Name] = seen{
			string(m.Status.Phase), viewtest.Words(m.Status.Conditions, v1alpha1.ConditionNodeReady), viewtest.Words(m.Status.Conditions, v1alpha1.ConditionReady),
		}
	}
	return got
}

// allReady is what a pass leaves behind when nothing is wrong; a case changes it.
func allReady(change func(map[string]seen)) map[string]seen {
	all := map[string]seen{
		"etcd1": {"Ready", "", "True AsWanted: the API server that stands on this etcd answers"},
		"cp1":   {"Ready", nodeUp, nodeUp}, "w1": {"Ready", nodeUp, nodeUp}, "w2": {"Ready", nodeUp, nodeUp},
	}
	change(all)
	return all
}

func untouched(phase string) map[string]seen {
	return map[string]seen{"etcd1": {phase, "", ""}, "cp1": {phase, "", ""}, "w1": {phase, "", ""}, "w2": {phase, "", ""}}
}

func notReady(reason string) seen {
	return seen{"Deployed", "False " + reason, "False " + reason}
}

func TestReconcile(t *testing.T) {
	cases := map[string]struct {
		change func(*start)
		want   outcome
	}{
		"makes installed machines Ready": {func(*start) {}, outcome{Available: answers, Nodes: [2]int32{3, 3}, Machines: allReady(func(map[string]seen) {})}},
		"puts the labels of the set on its Nodes alone": {func(s *start) { s.general.Spec.Labels = map[string]string{"tier": "app"} }, outcome{
			Available: answers, Nodes: [2]int32{3, 3}, Machines: allReady(func(map[string]seen) {}), Labelled: []string{"w1", "w2"},
		}},
		"repeats what the kubelet says": {func(s *start) { s.nodes[2] = remote.Node{Name: "w2", Message: "cni plugin not initialized"} }, outcome{
			Available: answers, Nodes: [2]int32{2, 3}, Machines: allReady(func(m map[string]seen) { m["w2"] = notReady("NodeNotReady: cni plugin not initialized") }),
		}},
		"says that a Node is not Ready when the kubelet says nothing": {func(s *start) { s.nodes[2].Ready = false }, outcome{
			Available: answers, Nodes: [2]int32{2, 3}, Machines: allReady(func(m map[string]seen) { m["w2"] = notReady("NodeNotReady: the Node is not Ready") }),
		}},
		"says that a Node is missing": {func(s *start) { s.nodes = s.nodes[:2] }, outcome{
			Available: answers, Nodes: [2]int32{2, 2}, Machines: allReady(func(m map[string]seen) { m["w2"] = notReady("NodeMissing: the cluster has no Node of this name") }),
		}},
		"takes Ready back from a Node that fell": {func(s *start) {
			s.machines["w2"].Status = v1alpha1.MachineStatus{Phase: v1alpha1.MachineReady, Conditions: []metav1.Condition{viewtest.Condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonNodeReady, "the Node is Ready")}}
			s.nodes[2].Ready = false
		}, outcome{
			Available: answers, Nodes: [2]int32{2, 3}, Machines: allReady(func(m map[string]seen) { m["w2"] = notReady("NodeNotReady: the Node is not Ready") }),
		}},
		"leaves alone what is not installed": {func(s *start) { s.machines["w2"].Status.Phase = v1alpha1.MachineDeploying }, outcome{
			Available: answers, Nodes: [2]int32{3, 3}, Machines: allReady(func(m map[string]seen) { m["w2"] = seen{"Deploying", "", ""} }),
		}},
		"believes nothing bad of machines while the API server is away for a moment": {func(s *start) {
			s.nodes = nil
			s.cluster.Status.Conditions = append(s.cluster.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAvailable, Status: "False", LastTransitionTime: metav1.NewTime(viewtest.Now.Add(-patience))})
		}, outcome{Available: silence, Machines: untouched("Deployed"), After: again}},
		"knows nothing of machines whose API server has been away for long": {func(s *start) {
			s.nodes = nil
			s.cluster.Status.Conditions = append(s.cluster.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAvailable, Status: "False", LastTransitionTime: metav1.NewTime(viewtest.Now.Add(-patience - time.Second))})
		}, outcome{Available: silence, After: again, Machines: allReady(func(m map[string]seen) {
			for name := range m {
				m[name] = seen{"Deployed", "Unknown ClusterUnreachable: the cluster's API server does not answer", "False ClusterUnreachable: the cluster's API server does not answer"}
			}
			m["etcd1"] = seen{"Deployed", "", "False ClusterUnreachable: the API server that stands on this etcd does not answer"}
		})}},
		"waits for a cluster that is being built": {func(s *start) { s.nodes, s.cluster.Status.Conditions = nil, nil }, outcome{
			Available: waiting, Machines: untouched("Deployed"), After: again,
		}},
		"waits for a kubeconfig": {func(s *start) { s.cluster.Status.KubeconfigSecretName = "" }, outcome{Available: waiting, Machines: untouched("Deployed")}},
		"tries again when it cannot connect, and says nothing": {func(s *start) { s.failing = errors.New("no such file") }, outcome{
			Machines: untouched("Deployed"), Retried: true,
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStart()
			c.change(s)
			r, w := s.build(t)
			if diff := cmp.Diff(c.want, pass(t, r, w), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			before := w.Writes
			if pass(t, r, w); w.Writes != before && !c.want.Retried {
				t.Error("a second pass writes, with nothing changed")
			}
		})
	}
}

func TestNodesAreLabelledOnceForEachWish(t *testing.T) {
	s := newStart()
	s.general.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	r, w := s.build(t)
	pass(t, r, w)
	if diff := cmp.Diff([]string{"w1", "w2"}, pass(t, r, w).Labelled); diff != "" {
		t.Errorf("after two passes: %s", diff)
	}
	changed := viewtest.Read(t, w, "shop-general", &v1alpha1.MachineSet{})
	changed.Generation++
	if err := w.Kit.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"w1", "w1", "w2", "w2"}, pass(t, r, w).Labelled); diff != "" {
		t.Errorf("after another wish: %s", diff)
	}
}

func TestNodeThatCannotBeLabelledHoldsNoOther(t *testing.T) {
	s := newStart()
	s.general.Spec.Labels = map[string]string{"tier": "app"}
	r, w := s.build(t)
	r.labelled["uid-w1"], r.labelled["uid-cp1"] = "uid-shop-general 1", ""
	seen, err := r.View.Cluster(t.Context(), client.ObjectKey{Namespace: viewtest.Namespace, Name: viewtest.Cluster})
	if err != nil {
		t.Fatal(err)
	}
	c := &scope{cluster: s.cluster, seen: seen, nodes: map[string]remote.Node{"cp1": {Name: "cp1", Ready: true}, "w1": {Name: "w1", Ready: true}, "w2": {Name: "w2", Ready: true}}}
	w.Clusters.NextErr(remote.ErrNoNode) // w2 alone has to be labelled
	if _, err := r.machines(t.Context(), c); !errors.Is(err, remote.ErrNoNode) || err.Error() != "labelling node w2: "+remote.ErrNoNode.Error() {
		t.Errorf("got %v", err)
	}
	for name, want := range map[string]v1alpha1.MachinePhase{"w1": v1alpha1.MachineReady, "cp1": v1alpha1.MachineReady, "w2": v1alpha1.MachineDeployed} {
		if got := viewtest.Read(t, w, name, &v1alpha1.Machine{}).Status.Phase; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if _, err := r.machines(t.Context(), c); err != nil {
		t.Errorf("the second try: %v", err)
	}
}

func TestMachineThatLeftTheManagementClusterIsNoError(t *testing.T) {
	s := newStart()
	r, w := s.build(t)
	key := client.ObjectKey{Namespace: viewtest.Namespace, Name: viewtest.Cluster}
	seen, err := r.View.Cluster(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Kit.Delete(t.Context(), viewtest.Read(t, w, "w2", &v1alpha1.Machine{})); err != nil {
		t.Fatal(err)
	}
	if _, err := r.machines(t.Context(), &scope{cluster: s.cluster, seen: seen}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestPredicates(t *testing.T) {
	cluster, m := viewtest.Built(), machine("w1", "shop-general", v1alpha1.MachineDeploying)
	changedCluster := func(change func(*v1alpha1.Cluster)) bool {
		after := cluster.DeepCopy()
		change(after)
		return connectable().Update(event.UpdateEvent{ObjectOld: cluster, ObjectNew: after})
	}
	changedMachine := func(change func(*v1alpha1.Machine)) bool {
		after := m.DeepCopy()
		change(after)
		return deployed().Update(event.UpdateEvent{ObjectOld: m, ObjectNew: after})
	}
	for name, c := range map[string]struct{ got, want bool }{
		"looks into a cluster that got its kubeconfig": {changedCluster(func(c *v1alpha1.Cluster) { c.Status.KubeconfigSecretName = "other" }), true},
		"looks into a cluster that lost its status":    {changedCluster(func(c *v1alpha1.Cluster) { c.Status.Conditions = nil }), true},
		"is not woken by what it counted itself":       {changedCluster(func(c *v1alpha1.Cluster) { c.Status.Nodes = &v1alpha1.NodeSummary{} }), false},
		"looks at a machine that was installed":        {changedMachine(func(m *v1alpha1.Machine) { m.Status.Phase = v1alpha1.MachineDeployed }), true},
		"is not woken by a machine that it made Ready": {changedMachine(func(m *v1alpha1.Machine) { m.Status.Phase = v1alpha1.MachineReady }), false},
		"is not woken by a machine of the pool":        {deployed().Create(event.CreateEvent{Object: &v1alpha1.Machine{Status: v1alpha1.MachineStatus{Phase: v1alpha1.MachineIdle}}}), false},
		"is not woken by a machine that is gone":       {deployed().Delete(event.DeleteEvent{Object: m}), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}

func TestRequests(t *testing.T) {
	want := []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: viewtest.Namespace, Name: viewtest.Cluster}}}
	m, s := machine("w1", "shop-general", ""), set("shop-general", v1alpha1.RoleCompute)
	m.Namespace, s.Namespace = viewtest.Namespace, viewtest.Namespace
	for name, got := range map[string][]reconcile.Request{"a machine": byClaim(t.Context(), m), "a set": bySet(t.Context(), s), "a cluster": byName(t.Context(), viewtest.Built())} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s asks for %s", name, diff)
		}
	}
	m.Spec.ClaimRef = nil
	if got := byClaim(t.Context(), m); got != nil {
		t.Errorf("a machine of the pool asks for %v", got)
	}
	if got, ok := byKey(viewtest.Key); !ok || got != want[0] {
		t.Errorf("a key asks for %v, %v", got, ok)
	}
	if _, ok := byKey("shop"); ok {
		t.Error("took a key without a namespace")
	}
}
