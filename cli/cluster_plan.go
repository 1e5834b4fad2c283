package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
)

// preview is what would be done for a cluster, and with which machines.
type preview struct {
	// Claims are the machines that would be claimed, by set; Short says for a set what is missing.
	Claims map[string][]string `json:"claims,omitempty"`
	Leaves map[string][]string `json:"leaves,omitempty"`
	Short  map[string]string   `json:"short,omitempty"`
	Plan   plan.Plan           `json:"plan"`
}

func newClusterPlanCommand() *cobra.Command {
	var (
		conn connection
		file string
		out  string
	)
	cmd := &cobra.Command{
		Use:   "plan [NAME]",
		Short: "Show what would be done next for a cluster, and what holds the rest; it changes nothing",
		Long: `Show what would be done next for a cluster, and what holds the rest.

It is the plan that the operator makes, in the words of the conditions. With -f it is the plan for a deployment as it stands in a file,
whether or not the cluster exists; -o yaml then prints what the defaults become, before the plan.`,
		Example: `  slipway cluster plan shop
  slipway cluster plan -f shop.yaml
  slipway cluster plan -f shop.yaml -o yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			cl, err := conn.client()
			if err != nil {
				return err
			}
			wish, err := wishedDeployment(ctx, cl, cmd.InOrStdin(), file, args, conn.namespace)
			if err != nil {
				return err
			}
			v, err := openView(ctx, &conn, cl, wish.Namespace)
			if err != nil {
				return err
			}
			p, err := makePreview(ctx, v, cl, wish)
			if err != nil {
				return err
			}
			if out == "" {
				return printPreview(cmd.OutOrStdout(), p)
			}
			return printObject(cmd.OutOrStdout(), out, map[string]any{"deployment": cleaned(wish), "preview": p})
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with one ClusterDeployment; - reads standard input")
	outputFlag(cmd, &out, "json", "yaml")
	cmd.ValidArgsFunction = conn.names(deploymentNames)
	return cmd
}

// wishedDeployment is the one that exists, or the one of the file with its defaults filled in by the API server.
func wishedDeployment(ctx context.Context, cl client.Client, stdin io.Reader, file string, args []string, namespace string) (*v1alpha1.ClusterDeployment, error) {
	if file == "" {
		if len(args) == 0 {
			return nil, &usageError{errors.New("name the cluster, or a file with -f")}
		}
		return getDeployment(ctx, cl, namespace, args[0])
	}
	d, err := deploymentFromFile(file, stdin, args, namespace)
	if err != nil {
		return nil, err
	}
	err = cl.Create(ctx, d, client.DryRunAll)
	if apierrors.IsAlreadyExists(err) {
		err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			old, err := getDeployment(ctx, cl, d.Namespace, d.Name)
			if err != nil {
				return err
			}
			d.ResourceVersion = old.ResourceVersion
			return cl.Update(ctx, d, client.DryRunAll)
		})
		if err != nil {
			return nil, fmt.Errorf("checking %s: %w", file, err)
		}
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", file, err)
	}
	return d, nil
}

// openView reads a namespace as the controllers read it.
func openView(ctx context.Context, conn *connection, live client.Client, namespace string) (*view.View, error) {
	config, err := conn.restConfig()
	if err != nil {
		return nil, err
	}
	c, err := cache.New(config, cache.Options{
		Scheme:            newScheme(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}, v1alpha1.FreezeNamespace: {}},
	})
	if err != nil {
		return nil, fmt.Errorf("reading the fleet: %w", err)
	}
	if err := view.Index(ctx, c); err != nil {
		return nil, err
	}
	go func() { _ = c.Start(ctx) }() // it ends with ctx; what it cannot read is told by the reads below
	if !c.WaitForCacheSync(ctx) {
		return nil, errors.New("reading the fleet: the management cluster does not answer, or the CRDs are not installed")
	}
	cached, err := client.New(config, client.Options{Scheme: newScheme(), Cache: &client.CacheOptions{Reader: c}})
	if err != nil {
		return nil, fmt.Errorf("reading the fleet: %w", err)
	}
	return &view.View{
		Kit:         kube.Kit{Client: cached, Live: live, Clock: clock.RealClock{}},
		Connections: view.NewConnections(live, remote.NewReal(remote.RealOptions{})),
		Content:     view.Content{Releases: func() []view.Release { return nil }},
		Freeze:      kube.Freeze{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap},
	}, nil
}

// makePreview lets the plan decide as if the wished deployment had been applied and its sets had claimed.
func makePreview(ctx context.Context, v *view.View, live client.Reader, wish *v1alpha1.ClusterDeployment) (*preview, error) {
	seen, err := v.Cluster(ctx, client.ObjectKeyFromObject(wish))
	if err != nil {
		return nil, err
	}
	o := &seen.Observed
	// The operator alone knows what it carries and whether the settings can be built; both are in its conditions.
	o.ContentCarried = true
	if seen.Deployment == nil || seen.Deployment.Generation != wish.Generation {
		o.Invalid, o.Paused = "", ""
	}
	if o.PKI, err = hasKeys(ctx, live, wish); err != nil {
		return nil, err
	}
	var pool v1alpha1.MachineList
	if err := v.Kit.List(ctx, &pool, client.InNamespace(wish.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the machines of %s: %w", wish.Namespace, err)
	}
	p := &preview{Claims: map[string][]string{}, Leaves: map[string][]string{}, Short: map[string]string{}}
	if err := p.claim(o, wish, pool.Items); err != nil {
		return nil, err
	}
	p.Plan = plan.Make(*o)
	return p, nil
}

func hasKeys(ctx context.Context, live client.Reader, d *v1alpha1.ClusterDeployment) (bool, error) {
	var secret corev1.Secret
	err := live.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: view.KubeconfigSecret(d.Name)}, &secret)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the certificates of %s: %w", d.Name, err)
	}
	return true, nil
}

// setWish is one machine set that a deployment wants.
type setWish struct {
	name     string
	role     v1alpha1.Role
	replicas int
	selector *metav1.LabelSelector
}

func setsOf(d *v1alpha1.ClusterDeployment) []setWish {
	list := []setWish{{view.SetName(d.Name, string(v1alpha1.RoleControlPlane)), v1alpha1.RoleControlPlane, int(d.Spec.ControlPlane.Replicas), d.Spec.ControlPlane.Selector}}
	if e := d.Spec.Etcd.Machines; e != nil {
		list = append(list, setWish{view.SetName(d.Name, string(v1alpha1.RoleEtcd)), v1alpha1.RoleEtcd, int(e.Replicas), e.Selector})
	}
	for _, w := range d.Spec.Workers {
		list = append(list, setWish{view.SetName(d.Name, w.Name), v1alpha1.RoleCompute, int(deref(w.Replicas)), w.Selector})
	}
	return list
}

// claim adds to the observation what the sets would claim, and marks what would leave.
func (p *preview) claim(o *plan.Observed, d *v1alpha1.ClusterDeployment, machines []v1alpha1.Machine) error {
	pool := make([]*v1alpha1.Machine, len(machines))
	for i := range machines {
		pool[i] = &machines[i]
	}
	taken := map[string]bool{}
	o.Sets = nil
	for _, s := range setsOf(d) {
		var held []*v1alpha1.Machine
		for _, m := range pool {
			if c := m.Spec.ClaimRef; c != nil && c.Name == d.Name && c.MachineSet == s.name && c.Release == "" {
				held = append(held, m)
			}
		}
		picked, err := plan.Pick(plan.PickInput{Role: s.role, Selector: s.selector, Held: held, Pool: pool, Want: max(0, s.replicas-len(held)),
			Reserved: func(name string) bool { return taken[name] }})
		if err != nil {
			return fmt.Errorf("picking machines for %s: %w", s.name, err)
		}
		for _, m := range picked.Picked {
			taken[m.Name] = true
			p.Claims[s.name] = append(p.Claims[s.name], m.Name)
			o.Machines = append(o.Machines, plan.Machine{Name: m.Name, Set: s.name, Role: s.role, Phase: v1alpha1.MachineClaimed})
		}
		set := plan.Set{Name: s.name, Role: s.role, Replicas: s.replicas}
		if picked.Short() {
			set.Short, set.ShortMessage = true, picked.Message()
			p.Short[s.name] = picked.Message()
		}
		o.Sets = append(o.Sets, set)
		p.leave(o, s, held)
	}
	return nil
}

func (p *preview) leave(o *plan.Observed, s setWish, held []*v1alpha1.Machine) {
	healthy := func(m *v1alpha1.Machine) bool { return m.Status.Phase == v1alpha1.MachineReady }
	for _, m := range plan.Leave(held, max(0, len(held)-s.replicas), healthy) {
		p.Leaves[s.name] = append(p.Leaves[s.name], m.Name)
		if i := slices.IndexFunc(o.Machines, func(x plan.Machine) bool { return x.Name == m.Name }); i >= 0 {
			o.Machines[i].Release = v1alpha1.ReleaseScaleIn
		}
	}
}

func printPreview(w io.Writer, p *preview) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, part := range []struct {
		word string
		sets map[string][]string
	}{{"claims", p.Claims}, {"lets go of", p.Leaves}} {
		for _, set := range sortedKeys(part.sets) {
			fmt.Fprintf(t, "%s\t%s\t%s\n", set, part.word, strings.Join(part.sets[set], ", "))
		}
	}
	for _, set := range sortedKeys(p.Short) {
		fmt.Fprintf(t, "%s\tis short\t%s\n", set, p.Short[set])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return p.Plan.Write(w)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
