package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// View reads what there is of clusters.
type View struct {
	Kit         kube.Kit
	Connections *Connections
	Content     Content
	Freeze      kube.Freeze
	Limits      plan.Limits
}

// Cluster is what there is of one cluster. Nothing in it may be changed.
type Cluster struct {
	// Deployment is nil when it is gone; Object is nil before the Cluster was made.
	Deployment *v1alpha1.ClusterDeployment
	Object     *v1alpha1.Cluster
	Sets       []v1alpha1.MachineSet
	Machines   []v1alpha1.Machine
	// Operations are sorted, oldest first.
	Operations []v1alpha1.Operation
	// Remote is nil while there is nothing to connect to.
	Remote remote.Cluster
	// Observed is all of it in the words of the plan. PKI is left to the caller.
	Observed plan.Observed
}

// Machine finds a machine of the cluster by its name.
func (c *Cluster) Machine(name string) *v1alpha1.Machine {
	if i := slices.IndexFunc(c.Machines, func(m v1alpha1.Machine) bool { return m.Name == name }); i >= 0 {
		return &c.Machines[i]
	}
	return nil
}

// Operation finds an operation of the cluster by its name.
func (c *Cluster) Operation(name string) *v1alpha1.Operation {
	if i := slices.IndexFunc(c.Operations, func(o v1alpha1.Operation) bool { return o.Name == name }); i >= 0 {
		return &c.Operations[i]
	}
	return nil
}

// Set finds a machine set of the cluster by its name.
func (c *Cluster) Set(name string) *v1alpha1.MachineSet {
	if i := slices.IndexFunc(c.Sets, func(s v1alpha1.MachineSet) bool { return s.Name == name }); i >= 0 {
		return &c.Sets[i]
	}
	return nil
}

// Role is the role of a machine of the cluster; compute when its set is gone.
func (c *Cluster) Role(m *v1alpha1.Machine) v1alpha1.Role {
	if m.Spec.ClaimRef == nil {
		return v1alpha1.RoleCompute
	}
	if set := c.Set(m.Spec.ClaimRef.MachineSet); set != nil {
		return set.Spec.Role
	}
	return RoleOfSet(m.Spec.ClaimRef.Name, m.Spec.ClaimRef.MachineSet)
}

// Cluster reads what there is of one cluster.
func (v *View) Cluster(ctx context.Context, key types.NamespacedName) (*Cluster, error) {
	c := &Cluster{Deployment: &v1alpha1.ClusterDeployment{}, Object: &v1alpha1.Cluster{}}
	if err := v.Kit.Get(ctx, key, c.Deployment); apierrors.IsNotFound(err) {
		c.Deployment = nil
	} else if err != nil {
		return nil, fmt.Errorf("reading cluster deployment %s: %w", key, err)
	}
	if err := v.Kit.Get(ctx, key, c.Object); apierrors.IsNotFound(err) {
		c.Object = nil
	} else if err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", key, err)
	}
	if err := v.lists(ctx, key, c); err != nil {
		return nil, err
	}
	if err := v.connect(ctx, c); err != nil {
		return nil, err
	}
	return c, v.observe(ctx, key, c)
}

// lists fills sets, machines and operations.
func (v *View) lists(ctx context.Context, key types.NamespacedName, c *Cluster) error {
	var err error
	if c.Sets, err = v.Sets(ctx, key); err != nil {
		return err
	}
	if c.Machines, err = v.Machines(ctx, key.Namespace, MachineCluster, key.Name); err != nil {
		return err
	}
	c.Operations, err = v.Operations(ctx, OperationCluster, Key(key.Namespace, key.Name))
	return err
}

// Sets lists the machine sets of a cluster.
func (v *View) Sets(ctx context.Context, key types.NamespacedName) ([]v1alpha1.MachineSet, error) {
	var sets v1alpha1.MachineSetList
	err := v.Kit.List(ctx, &sets, client.InNamespace(key.Namespace), client.MatchingLabels{v1alpha1.ClusterLabel: key.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the machine sets of cluster %s: %w", key, err)
	}
	return sets.Items, nil
}

// Machines lists machines of a namespace by an index, by name.
func (v *View) Machines(ctx context.Context, namespace, index, value string) ([]v1alpha1.Machine, error) {
	var machines v1alpha1.MachineList
	err := v.Kit.List(ctx, &machines, client.InNamespace(namespace), client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing machines by %s %s: %w", index, value, err)
	}
	slices.SortFunc(machines.Items, func(a, b v1alpha1.Machine) int { return strings.Compare(a.Name, b.Name) })
	return machines.Items, nil
}

// Operations lists operations by an index, oldest first.
func (v *View) Operations(ctx context.Context, index, value string) ([]v1alpha1.Operation, error) {
	var ops v1alpha1.OperationList
	if err := v.Kit.List(ctx, &ops, client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing operations by %s %s: %w", index, value, err)
	}
	slices.SortFunc(ops.Items, func(a, b v1alpha1.Operation) int { return Older(&a, &b) })
	return ops.Items, nil
}

// Older orders operations by their creation; those of one second by the growing number in which their names end.
func Older(a, b *v1alpha1.Operation) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(plan.Number(a.Name), plan.Number(b.Name)),
		strings.Compare(a.Name, b.Name))
}

func (v *View) connect(ctx context.Context, c *Cluster) error {
	if c.Object == nil || c.Deployment == nil || c.Object.Status.KubeconfigSecretName == "" && len(c.Lost()) == 0 {
		return nil
	}
	r, err := v.Connections.Cluster(ctx, c.Object, c.ControlPlaneAddress())
	if errors.Is(err, ErrNoKubeconfig) {
		return nil
	}
	c.Remote = r
	return err
}

// Lost names the machines whose status was lost and of which no operation tells any more: what is on them can be seen
// in the cluster alone. A machine that is claimed by a set always has a phase.
func (c *Cluster) Lost() []string {
	var lost []string
	for i := range c.Machines {
		m := &c.Machines[i]
		told := func(op v1alpha1.Operation) bool { return slices.Contains(op.Spec.Machines, m.Name) }
		if m.Status.Phase == "" && !slices.ContainsFunc(c.Operations, told) {
			lost = append(lost, m.Name)
		}
	}
	return lost
}

// recollect says of machines whose status was lost that they are installed where the cluster shows it: they have a
// Node, or they are etcd machines on which the API server that answers stands.
func (c *Cluster) recollect() {
	lost := c.Lost()
	stands := slices.ContainsFunc(c.Observed.Machines, func(m plan.Machine) bool {
		_, joined := c.Observed.Nodes[m.Name]
		return m.Role == v1alpha1.RoleControlPlane && joined
	})
	for i := range c.Observed.Machines {
		m := &c.Observed.Machines[i]
		_, joined := c.Observed.Nodes[m.Name]
		if slices.Contains(lost, m.Name) && (joined || stands && m.Role == v1alpha1.RoleEtcd) {
			m.Phase = v1alpha1.MachineDeployed
		}
	}
}

// ControlPlaneAddress is where the API server answers when the endpoint leads straight to a machine; empty otherwise.
func (c *Cluster) ControlPlaneAddress() string {
	if c.Deployment == nil || c.Deployment.Spec.APIEndpoint.Type != v1alpha1.EndpointDirect {
		return ""
	}
	for i := range c.Machines {
		if c.Role(&c.Machines[i]) == v1alpha1.RoleControlPlane {
			return c.Machines[i].Spec.Address
		}
	}
	return ""
}

// observe says it all in the words of the plan.
func (v *View) observe(ctx context.Context, key types.NamespacedName, c *Cluster) error {
	o := &c.Observed
	o.Cluster, o.Limits = key.Name, v.Limits
	frozen, is, err := v.Freeze.Frozen(ctx, v.Kit)
	if err != nil {
		return err
	}
	if is {
		o.Frozen = worded(frozen, "slipway freeze")
	}
	v.observeDeployment(c)
	v.observeObject(c)
	for i := range c.Sets {
		o.Sets = append(o.Sets, set(&c.Sets[i]))
	}
	for i := range c.Machines {
		o.Machines = append(o.Machines, machine(&c.Machines[i], c.Role(&c.Machines[i])))
	}
	for i := range c.Operations {
		o.Operations = append(o.Operations, v.operation(&c.Operations[i]))
	}
	if err := v.observeNodes(ctx, c); err != nil {
		return err
	}
	c.recollect()
	return nil
}

func (v *View) observeDeployment(c *Cluster) {
	o, d := &c.Observed, c.Deployment
	if d == nil {
		// Its deletion is held by a finalizer, so it was lost or not restored yet. Nobody asked for the end of the cluster.
		o.Paused = "its ClusterDeployment is missing"
		return
	}
	o.Deleting = !d.DeletionTimestamp.IsZero()
	o.WantedContent = d.Spec.ContentVersion
	o.Overrides = split(d.Annotations[v1alpha1.OverrideAnnotation])
	if why, paused := kube.Paused(d, v1alpha1.PausedAnnotation); paused {
		o.Paused = worded(why, "annotation "+v1alpha1.PausedAnnotation)
	} else if d.Spec.Management == v1alpha1.ManagementPaused {
		o.Paused = "spec.management is Paused"
	}
	valid := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionSpecValid)
	switch {
	case valid == nil || valid.ObservedGeneration != d.Generation:
		o.Invalid = "the settings have not been checked yet"
	case valid.Status != "True":
		o.Invalid = valid.Message
	}
}

func (v *View) observeObject(c *Cluster) {
	o := &c.Observed
	if c.Object == nil {
		return
	}
	o.UID, o.BuiltContent = c.Object.Spec.UID, c.Object.Spec.ContentVersion
	_, o.ContentCarried = v.Content.Built(c.Object.Spec.ContentVersion, c.Object.Spec.BundleDigest)
	conditions := c.Object.Status.Conditions
	o.Installed = meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionInstalled)
	o.Verified = meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionVerified)
	o.AddonsApplied = c.Deployment == nil || len(c.Deployment.Spec.Addons) == 0 ||
		meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionAddonsApplied)
}

// observeNodes looks into the cluster. One that does not answer is an observation, not an error.
func (v *View) observeNodes(ctx context.Context, c *Cluster) error {
	if c.Remote == nil {
		return nil
	}
	nodes, err := c.Remote.Nodes(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("looking at the nodes of cluster %s: %w", c.Observed.Cluster, err)
		}
		return nil
	}
	c.Observed.Reachable = true
	c.Observed.Nodes = make(map[string]plan.Node, len(nodes))
	for name, n := range nodes {
		c.Observed.Nodes[name] = plan.Node{Ready: n.Ready}
	}
	return nil
}

func set(s *v1alpha1.MachineSet) plan.Set {
	out := plan.Set{Name: s.Name, Role: s.Spec.Role}
	if s.Spec.Replicas != nil {
		out.Replicas = int(*s.Spec.Replicas)
	}
	c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionClaimed)
	if c != nil && c.ObservedGeneration == s.Generation && c.Reason == v1alpha1.ReasonTooFewMachines {
		out.Short, out.ShortMessage = true, c.Message
	}
	return out
}

func machine(m *v1alpha1.Machine, role v1alpha1.Role) plan.Machine {
	out := plan.Machine{
		Name: m.Name, Set: m.Spec.ClaimRef.MachineSet, Role: role, Phase: m.Status.Phase,
		Release: m.Spec.ClaimRef.Release, Quarantined: m.Spec.Quarantine != nil,
		Unreachable: meta.IsStatusConditionFalse(m.Status.Conditions, v1alpha1.ConditionReachable),
	}
	if m.Status.Attempts != nil {
		out.Attempts = int(*m.Status.Attempts)
	}
	return out
}

func (v *View) operation(op *v1alpha1.Operation) plan.Operation {
	out := plan.Operation{
		Name: op.Name, EntryPoint: op.Spec.EntryPoint, Machines: op.Spec.Machines, RetryOf: op.Spec.RetryOf,
		Phase: op.Status.Phase, Cancelling: op.Spec.Cancel != "",
	}
	if op.Status.FinishedAt != nil {
		out.SecondsSinceEnd = max(1, int(v.Kit.Clock.Since(op.Status.FinishedAt.Time).Seconds()))
	}
	if c := meta.FindStatusCondition(op.Status.Conditions, v1alpha1.ConditionComplete); c != nil {
		out.Message = c.Message
	}
	out.Results = make(map[string]plan.Result, len(op.Status.Hosts))
	for _, h := range op.Status.Hosts {
		out.Results[h.Machine] = plan.Result{Result: h.Result, Task: h.Task, Message: h.Message}
	}
	return out
}

// SetName names the machine set of a deployment.
func SetName(cluster, set string) string { return cluster + "-" + set }

// RoleOfSet is the role of a set by its name, for sets that are gone.
func RoleOfSet(cluster, set string) v1alpha1.Role {
	switch set {
	case SetName(cluster, string(v1alpha1.RoleControlPlane)):
		return v1alpha1.RoleControlPlane
	case SetName(cluster, string(v1alpha1.RoleEtcd)):
		return v1alpha1.RoleEtcd
	}
	return v1alpha1.RoleCompute
}

func worded(text, fallback string) string {
	if strings.TrimSpace(text) == "" {
		return fallback
	}
	return text
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// Wants says that a deployment has a machine set of this name.
func Wants(d *v1alpha1.ClusterDeployment, setName string) bool {
	switch setName {
	case SetName(d.Name, string(v1alpha1.RoleControlPlane)):
		return true
	case SetName(d.Name, string(v1alpha1.RoleEtcd)):
		return d.Spec.Etcd.Machines != nil
	}
	return slices.ContainsFunc(d.Spec.Workers, func(w v1alpha1.WorkerSet) bool { return SetName(d.Name, w.Name) == setName })
}
