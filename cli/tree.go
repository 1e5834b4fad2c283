package cli

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// fleetView is what tree and history read, in one visit.
type fleetView struct {
	now         time.Time
	frozen      string
	deployments []v1alpha1.ClusterDeployment
	clusters    []v1alpha1.Cluster
	sets        []v1alpha1.MachineSet
	machines    []v1alpha1.Machine
	operations  []v1alpha1.Operation
}

// NewTreeCommand builds slipway tree: fleet, cluster, set, machine, operation, host.
func NewTreeCommand() *cobra.Command {
	var (
		conn  connection
		out   string
		allNS bool
	)
	cmd := &cobra.Command{
		Use:   "tree [CLUSTER]",
		Short: "Show the fleet: clusters, machine sets, machines, operations and their hosts",
		Example: `  slipway tree
  slipway tree shop -n harbor
  slipway tree -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			ns := conn.namespace
			if allNS {
				ns = ""
			}
			view, err := readFleet(cmd.Context(), cl, ns)
			if err != nil {
				return err
			}
			only := ""
			if len(args) == 1 {
				only = args[0]
			}
			branches := view.tree(only)
			if only != "" && len(branches) == 0 {
				return fmt.Errorf("there is no cluster %q%s: `slipway tree -A` shows all", only, inNamespace(ns))
			}
			if out == "json" || out == "yaml" {
				return printObject(cmd.OutOrStdout(), out, branches)
			}
			if len(branches) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "there are no machines and no clusters%s: `slipway machine add` approves machines\n", inNamespace(ns))
			} else if err := printTree(cmd.OutOrStdout(), branches); err != nil {
				return err
			}
			if len(branches) == 0 && view.frozen != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "frozen: "+view.frozen)
			}
			return nil
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().BoolVarP(&allNS, "all-namespaces", "A", false, "show every namespace")
	outputFlag(cmd, &out, "json", "yaml")
	cmd.ValidArgsFunction = conn.names(func() client.ObjectList { return &v1alpha1.ClusterDeploymentList{} })
	return cmd
}

func inNamespace(ns string) string {
	if ns == "" {
		return ""
	}
	return " in namespace " + ns
}

// readFleet reads everything of a namespace; of all namespaces when it is empty.
func readFleet(ctx context.Context, cl client.Reader, namespace string) (*fleetView, error) {
	var (
		deployments v1alpha1.ClusterDeploymentList
		clusters    v1alpha1.ClusterList
		sets        v1alpha1.MachineSetList
		machines    v1alpha1.MachineList
		operations  v1alpha1.OperationList
	)
	for _, l := range []client.ObjectList{&deployments, &clusters, &sets, &machines, &operations} {
		if err := cl.List(ctx, l, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("reading the fleet: %w", err)
		}
	}
	frozen, err := frozenBy(ctx, cl)
	if err != nil {
		return nil, err
	}
	return &fleetView{
		now: time.Now(), frozen: frozen, deployments: deployments.Items, clusters: clusters.Items,
		sets: sets.Items, machines: machines.Items, operations: operations.Items,
	}, nil
}

// tree makes one branch per namespace; with only, the branch of that cluster alone.
func (v *fleetView) tree(only string) []branch {
	var roots []branch
	for _, ns := range v.namespaces() {
		root := branch{Name: ns, Ready: markYes}
		idle, all := v.countIdle(ns)
		for i := range v.deployments {
			d := &v.deployments[i]
			if d.Namespace != ns || (only != "" && d.Name != only) {
				continue
			}
			b := v.deployment(d)
			if b.Ready != markYes {
				root.Ready = b.Ready
			}
			root.Children = append(root.Children, b)
		}
		if only != "" {
			roots = append(roots, root.Children...)
			continue
		}
		root.State = fmt.Sprintf("%s, %d of %s idle", count(len(root.Children), "cluster"), idle, count(all, "machine"))
		if v.frozen != "" {
			root.Message = "frozen: " + v.frozen
		}
		root.Children = append(root.Children, v.pool(ns)...)
		roots = append(roots, root)
	}
	return roots
}

func (v *fleetView) namespaces() []string {
	set := map[string]bool{}
	for i := range v.deployments {
		set[v.deployments[i].Namespace] = true
	}
	for i := range v.machines {
		set[v.machines[i].Namespace] = true
	}
	list := make([]string, 0, len(set))
	for ns := range set {
		list = append(list, ns)
	}
	sort.Strings(list)
	return list
}

func (v *fleetView) countIdle(ns string) (idle, all int) {
	for i := range v.machines {
		if m := &v.machines[i]; m.Namespace == ns {
			all++
			if m.Status.Phase == v1alpha1.MachineIdle {
				idle++
			}
		}
	}
	return idle, all
}

// pool shows the machines without a claim that need attention; healthy idle ones are only counted.
func (v *fleetView) pool(ns string) []branch {
	var list []branch
	for i := range v.machines {
		m := &v.machines[i]
		if m.Namespace == ns && m.Spec.ClaimRef == nil && m.Status.Phase != v1alpha1.MachineIdle {
			list = append(list, v.machine(m))
		}
	}
	return list
}

func (v *fleetView) deployment(d *v1alpha1.ClusterDeployment) branch {
	b := branch{
		Name: "ClusterDeployment/" + d.Name, Ready: conditionMark(d.Status.Conditions, v1alpha1.ConditionReady),
		State: d.Status.State, Age: age(v.now, d.CreationTimestamp.Time), Message: conditionMessage(d.Status.Conditions, v1alpha1.ConditionReady),
	}
	if b.State == "" {
		b.State = "Pending"
	}
	for i := range v.clusters {
		if c := &v.clusters[i]; c.Namespace == d.Namespace && c.Name == d.Name {
			b.Children = append(b.Children, v.cluster(c, d))
		}
	}
	for i := range v.sets {
		if s := &v.sets[i]; s.Namespace == d.Namespace && s.Spec.ClusterName == d.Name {
			b.Children = append(b.Children, v.set(s))
		}
	}
	b.Children = append(b.Children, v.activeOperations(d)...)
	return b
}

func (v *fleetView) cluster(c *v1alpha1.Cluster, d *v1alpha1.ClusterDeployment) branch {
	b := branch{
		Name: "Cluster", Ready: conditionMark(c.Status.Conditions, v1alpha1.ConditionAvailable), Age: age(v.now, c.CreationTimestamp.Time),
		State: "Unavailable", Message: conditionMessage(c.Status.Conditions, v1alpha1.ConditionAvailable),
	}
	if b.Ready == markYes {
		b.State = "Available"
		b.Message = fmt.Sprintf("%s, https://%s:%d", c.Status.KubernetesVersion, c.Spec.Endpoint.Name, c.Spec.Endpoint.Port)
	}
	if behind := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionUpToDate); behind != nil && behind.Status == metav1.ConditionFalse {
		b.Message += ", " + behind.Message
	}
	return b
}

func (v *fleetView) set(s *v1alpha1.MachineSet) branch {
	desired, ready := deref(s.Spec.Replicas), deref(s.Status.ReadyReplicas)
	b := branch{
		Name: "MachineSet/" + s.Name, Ready: conditionMark(s.Status.Conditions, v1alpha1.ConditionAvailable),
		State: fmt.Sprintf("%d/%d", ready, desired), Age: age(v.now, s.CreationTimestamp.Time),
	}
	if b.Ready != markYes {
		b.Message = conditionMessage(s.Status.Conditions, v1alpha1.ConditionClaimed)
		if conditionMark(s.Status.Conditions, v1alpha1.ConditionClaimed) == markYes {
			b.Message = ""
		}
	}
	for i := range v.machines {
		m := &v.machines[i]
		if m.Namespace == s.Namespace && m.Spec.ClaimRef != nil && m.Spec.ClaimRef.MachineSet == s.Name {
			b.Children = append(b.Children, v.machine(m))
		}
	}
	return b
}

func (v *fleetView) machine(m *v1alpha1.Machine) branch {
	b := branch{
		Name: "Machine/" + m.Name, Ready: conditionMark(m.Status.Conditions, v1alpha1.ConditionReady),
		State: string(m.Status.Phase), Age: age(v.now, m.CreationTimestamp.Time),
	}
	if b.Ready != markYes {
		b.Message = conditionMessage(m.Status.Conditions, v1alpha1.ConditionReady)
	}
	if m.Spec.Quarantine != nil {
		b.Message = m.Spec.Quarantine.Reason + ": " + m.Spec.Quarantine.Message
	}
	return b
}

// activeOperations are the operations of a deployment that run or failed last, with their hosts.
func (v *fleetView) activeOperations(d *v1alpha1.ClusterDeployment) []branch {
	var newest *v1alpha1.Operation
	var list []branch
	for i := range v.operations {
		o := &v.operations[i]
		if o.Namespace != d.Namespace || o.Spec.ClusterName != d.Name {
			continue
		}
		if newest == nil || newest.CreationTimestamp.Before(&o.CreationTimestamp) {
			newest = o
		}
		if !finished(o) {
			list = append(list, v.operation(o))
		}
	}
	if newest != nil && newest.Status.Phase == v1alpha1.OperationFailed {
		list = append(list, v.operation(newest))
	}
	return list
}

func (v *fleetView) operation(o *v1alpha1.Operation) branch {
	b := branch{Name: "Operation/" + o.Name, Ready: markBusy, State: string(o.Status.Phase), Age: age(v.now, o.CreationTimestamp.Time),
		Message: "slipway operation logs " + o.Name + " -f"}
	if o.Status.Phase == v1alpha1.OperationFailed {
		b.Ready = markNo
		b.Message = conditionMessage(o.Status.Conditions, v1alpha1.ConditionComplete)
	}
	if phaseOf(o) == v1alpha1.OperationPending { // it has no log yet
		b.State = string(v1alpha1.OperationPending)
		b.Message = conditionMessage(o.Status.Conditions, v1alpha1.ConditionComplete)
	}
	for _, h := range o.Status.Hosts {
		if h.Result == v1alpha1.HostSucceeded {
			continue
		}
		b.Children = append(b.Children, branch{Name: h.Machine, Ready: hostMark(h.Result), State: string(h.Result), Message: hostProgress(h)})
	}
	return b
}

func finished(o *v1alpha1.Operation) bool {
	switch o.Status.Phase {
	case v1alpha1.OperationSucceeded, v1alpha1.OperationFailed, v1alpha1.OperationCancelled:
		return true
	}
	return false
}

func hostMark(r v1alpha1.HostResult) mark {
	switch r {
	case v1alpha1.HostSucceeded:
		return markYes
	case v1alpha1.HostFailed, v1alpha1.HostUnreachable:
		return markNo
	}
	return markBusy
}

// hostProgress says how far a host is: "31 of 48 tasks, containerd : configuration".
func hostProgress(h v1alpha1.HostStatus) string {
	text := h.Task
	if h.Done != nil && h.Total != nil && *h.Total > 0 {
		text = fmt.Sprintf("%d of %d tasks", *h.Done, *h.Total)
		if h.Task != "" {
			text += ", " + h.Task
		}
	}
	if h.Message != "" {
		text += ": " + h.Message
	}
	return text
}
