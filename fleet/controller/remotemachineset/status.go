package remotemachineset

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// maxMessage keeps the kubelet's words short enough to be compared after they went through a condition.
const maxMessage = 512

// sight is what was seen of the part that a machine plays in its cluster.
type sight struct {
	ready bool
	// node is the status of NodeReady; empty for machines that are no Nodes.
	node            metav1.ConditionStatus
	reason, message string
}

// sight judges one machine by what the cluster says. An etcd machine is no Node: it is at work while the API server,
// which stands on it, answers.
func (s *scope) sight(m *v1alpha1.Machine) sight {
	etcd := s.seen.Role(m) == v1alpha1.RoleEtcd
	switch {
	case s.failure != nil && etcd:
		return sight{reason: v1alpha1.ReasonClusterUnreachable, message: "the API server that stands on this etcd does not answer"}
	case s.failure != nil:
		return sight{node: metav1.ConditionUnknown, reason: v1alpha1.ReasonClusterUnreachable, message: "the cluster's API server does not answer"}
	case etcd:
		return sight{ready: true, reason: v1alpha1.ReasonAsWanted, message: "the API server that stands on this etcd answers"}
	}
	node, ok := s.nodes[m.Name]
	switch {
	case !ok:
		return sight{node: metav1.ConditionFalse, reason: v1alpha1.ReasonNodeMissing, message: "the cluster has no Node of this name"}
	case !node.Ready && node.Message == "":
		return sight{node: metav1.ConditionFalse, reason: v1alpha1.ReasonNodeNotReady, message: "the Node is not Ready"}
	case !node.Ready:
		return sight{node: metav1.ConditionFalse, reason: v1alpha1.ReasonNodeNotReady, message: kube.Limit(node.Message, maxMessage)}
	}
	return sight{ready: true, node: metav1.ConditionTrue, reason: v1alpha1.ReasonNodeReady, message: "the Node is Ready"}
}

func (g sight) phase() v1alpha1.MachinePhase {
	if g.ready {
		return v1alpha1.MachineReady
	}
	return v1alpha1.MachineDeployed
}

func (g sight) status() metav1.ConditionStatus {
	if g.ready {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// shown says that the status of a machine says all this already. It is cheap: it is asked for every machine in every pass.
func (g sight) shown(m *v1alpha1.Machine) bool {
	if m.Status.Phase != g.phase() {
		return false
	}
	ready := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != g.status() || ready.Reason != g.reason || ready.Message != g.message {
		return false
	}
	node := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionNodeReady)
	return g.node == "" || node != nil && node.Status == g.node && node.Reason == g.reason
}

func (g sight) show(m *v1alpha1.Machine) {
	m.Status.Phase = g.phase()
	conditions := &m.Status.Conditions
	if g.node != "" {
		m.Status.NodeName = m.Name
		kube.Set(conditions, m.Generation, v1alpha1.ConditionNodeReady, g.node, g.reason, g.message)
	}
	kube.Set(conditions, m.Generation, v1alpha1.ConditionReady, g.status(), g.reason, g.message)
	if g.ready {
		m.Status.ObservedGeneration = m.Generation
	}
}

// lost says that a cluster has been out of sight for longer than patience.
func lost(c *v1alpha1.Cluster, now time.Time) bool {
	available := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionAvailable)
	return available != nil && available.Status == metav1.ConditionFalse && now.Sub(available.LastTransitionTime.Time) > patience
}

// status says whether the cluster answers, and counts its Nodes.
func status(s *scope) {
	c := s.cluster
	conditions := &c.Status.Conditions
	switch {
	case s.seen == nil:
		return
	case s.seen.Remote == nil, s.failure != nil && !meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionInstalled):
		kube.False(conditions, c.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonPending, "the cluster is not built yet")
		return
	case s.failure != nil:
		kube.False(conditions, c.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonClusterUnreachable, "the API server does not answer")
		return
	}
	kube.True(conditions, c.Generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonAsWanted, fmt.Sprintf("the API server answers: %s", s.version))
	c.Status.KubernetesVersion = s.version
	ready := 0
	for _, n := range s.nodes {
		if n.Ready {
			ready++
		}
	}
	c.Status.Nodes = &v1alpha1.NodeSummary{Total: ptr.To(int32(len(s.nodes))), Ready: ptr.To(int32(ready))}
}
