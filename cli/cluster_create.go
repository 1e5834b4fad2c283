package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

type clusterCreate struct {
	conn                              connection
	wait                              waiting
	file, out                         string
	version, endpoint, plugin         string
	podCIDR, serviceCIDR, etcd        string
	workers                           int32
	etcdMembers                       int32
	addons                            []string
	controlPlaneLabels, workersLabels map[string]string
	etcdLabels                        map[string]string
	profile                           string
	dryRun                            bool
}

func newClusterCreateCommand() *cobra.Command {
	o := clusterCreate{etcd: string(v1alpha1.EtcdColocated), plugin: string(v1alpha1.NetworkFlannel), profile: string(v1alpha1.OSServer)}
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Create a cluster from machines of the pool, by flags or from a file",
		Example: `  slipway cluster create shop --workers 3 --wait
  slipway cluster create shop --workers 3 --etcd External --dry-run -o yaml > shop.yaml
  slipway cluster create -f shop.yaml --wait`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	f := cmd.Flags()
	o.conn.flags(f)
	o.wait.flags(f)
	f.StringVarP(&o.file, "filename", "f", "", "file with one ClusterDeployment; - reads standard input")
	f.StringVar(&o.version, "kubernetes", "v1.36.3", "version of Kubernetes; there must be a bundle of it")
	f.StringVar(&o.endpoint, "endpoint", "", "stable DNS name of the API server (default: api.NAME.slipway.internal)")
	choiceFlag(cmd, &o.etcd, "etcd", "External (machines of its own) or Colocated (on the control plane)", string(v1alpha1.EtcdExternal), string(v1alpha1.EtcdColocated))
	f.Int32Var(&o.etcdMembers, "etcd-machines", 1, "machines of an external etcd: 1, 3 or 5")
	f.Int32Var(&o.workers, "workers", 1, "number of workers")
	choiceFlag(cmd, &o.plugin, "network", "network plugin; None for those who bring their own", string(v1alpha1.NetworkFlannel), string(v1alpha1.NetworkNone))
	f.StringVar(&o.podCIDR, "pod-cidr", "10.244.0.0/16", "range of pod addresses")
	f.StringVar(&o.serviceCIDR, "service-cidr", "10.96.0.0/16", "range of service addresses")
	f.StringSliceVar(&o.addons, "addons", []string{"coredns"}, "addons: coredns, metrics-server")
	f.StringToStringVar(&o.controlPlaneLabels, "control-plane-selector", nil, "labels of machines for the control plane")
	f.StringToStringVar(&o.workersLabels, "workers-selector", nil, "labels of machines for workers")
	f.StringToStringVar(&o.etcdLabels, "etcd-selector", nil, "labels of machines for etcd")
	choiceFlag(cmd, &o.profile, "profile", "server, or lab for the machines of slipway lab", string(v1alpha1.OSServer), string(v1alpha1.OSLab))
	f.BoolVar(&o.dryRun, "dry-run", false, "check against the API server and change nothing; with -o yaml prints what the defaults become")
	outputFlag(cmd, &o.out, "json", "yaml")
	return cmd
}

func (o *clusterCreate) run(cmd *cobra.Command, args []string) error {
	if err := o.check(cmd, args); err != nil {
		return err
	}
	d, err := o.deployment(cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	var opts []client.CreateOption
	if o.dryRun {
		opts = append(opts, client.DryRunAll)
	}
	err = cl.Create(cmd.Context(), d, opts...)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("there is a cluster %s in namespace %s already: `slipway tree %s -n %s` shows it; to change it, scale it or apply its file with `slipway kubectl apply -f`",
			d.Name, d.Namespace, d.Name, d.Namespace)
	}
	if err != nil {
		return fmt.Errorf("creating cluster %s: %w", d.Name, err)
	}
	if o.out != "" {
		return printObject(cmd.OutOrStdout(), o.out, cleaned(d))
	}
	if o.dryRun {
		fmt.Fprintf(cmd.OutOrStdout(), "cluster %s would be created; -o yaml prints it, and `slipway cluster plan -f` shows the steps for what a file holds\n", d.Name)
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "cluster %s is created; `slipway tree %s -n %s` shows how it rises\n", d.Name, d.Name, d.Namespace)
	return o.wait.deployment(cmd, cl, d)
}

// check refuses what cannot be and what would have no effect.
func (o *clusterCreate) check(cmd *cobra.Command, args []string) error {
	if o.file != "" {
		return refuseFlags(cmd, "has no effect with -f: write it into the file", "kubernetes", "endpoint", "etcd", "etcd-machines", "workers", "network", "pod-cidr",
			"service-cidr", "addons", "control-plane-selector", "workers-selector", "etcd-selector", "profile")
	}
	switch {
	case len(args) == 0:
		return &usageError{errors.New("name the cluster, or a file with -f")}
	case o.workers < 0:
		return &usageError{fmt.Errorf("--workers %d: there cannot be less than 0 workers", o.workers)}
	case o.etcd == string(v1alpha1.EtcdColocated):
		return refuseFlags(cmd, "goes with --etcd External: a colocated etcd stands on the machines of the control plane", "etcd-machines", "etcd-selector")
	case o.etcdMembers < 1 || o.etcdMembers%2 == 0:
		return &usageError{fmt.Errorf("--etcd-machines %d: an etcd has an odd number of members", o.etcdMembers)}
	}
	return nil
}

// cleaned drops what the API server added and a person does not write.
func cleaned(d *v1alpha1.ClusterDeployment) *v1alpha1.ClusterDeployment {
	c := d.DeepCopy()
	c.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClusterDeployment"}
	c.ObjectMeta = metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace, Labels: d.Labels, Annotations: d.Annotations}
	c.Status = v1alpha1.ClusterDeploymentStatus{}
	return c
}

func (o *clusterCreate) deployment(stdin io.Reader, args []string) (*v1alpha1.ClusterDeployment, error) {
	if o.file != "" {
		return deploymentFromFile(o.file, stdin, args, o.conn.namespace)
	}
	name := args[0]
	if o.endpoint == "" {
		o.endpoint = "api." + name + ".slipway.internal"
	}
	d := &v1alpha1.ClusterDeployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.conn.namespace},
		Spec: v1alpha1.ClusterDeploymentSpec{
			Kubernetes:   v1alpha1.Kubernetes{Version: o.version},
			Etcd:         v1alpha1.Etcd{Topology: v1alpha1.EtcdTopology(o.etcd)},
			Network:      v1alpha1.Network{Plugin: v1alpha1.NetworkPlugin(o.plugin), PodCIDRs: []string{o.podCIDR}, ServiceCIDRs: []string{o.serviceCIDR}},
			APIEndpoint:  v1alpha1.APIEndpoint{Type: v1alpha1.EndpointDirect, Name: o.endpoint, Port: 6443},
			OS:           &v1alpha1.OperatingSystem{Profile: v1alpha1.OSProfile(o.profile)},
			ControlPlane: v1alpha1.ControlPlane{Replicas: 1, Selector: selector(o.controlPlaneLabels)},
			Workers:      []v1alpha1.WorkerSet{{Name: "general", Replicas: &o.workers, Selector: selector(o.workersLabels)}},
		},
	}
	if d.Spec.Etcd.Topology == v1alpha1.EtcdExternal {
		d.Spec.Etcd.Machines = &v1alpha1.EtcdMachines{Replicas: o.etcdMembers, Selector: selector(o.etcdLabels)}
	}
	for _, a := range o.addons {
		if a = strings.TrimSpace(a); a != "" {
			d.Spec.Addons = append(d.Spec.Addons, v1alpha1.Addon{Name: a})
		}
	}
	return d, nil
}

func selector(labels map[string]string) *metav1.LabelSelector {
	if len(labels) == 0 {
		return nil
	}
	return &metav1.LabelSelector{MatchLabels: labels}
}

// deploymentFromFile reads one ClusterDeployment, strictly: an unknown field is an error with its name.
func deploymentFromFile(file string, stdin io.Reader, args []string, namespace string) (*v1alpha1.ClusterDeployment, error) {
	text, err := readFile(file, stdin)
	if err != nil {
		return nil, err
	}
	d, err := parseDeployment(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(args) == 1 && args[0] != d.Name {
		return nil, fmt.Errorf("%s holds cluster %q, not %q", file, d.Name, args[0])
	}
	if d.Namespace == "" {
		d.Namespace = namespace
	}
	return d, nil
}

func parseDeployment(text []byte) (*v1alpha1.ClusterDeployment, error) {
	docs, err := documents(text)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, errors.New("it is empty, and one ClusterDeployment is wanted")
	}
	if len(docs) != 1 {
		return nil, fmt.Errorf("it holds %s, and one ClusterDeployment is wanted", count(len(docs), "document"))
	}
	if kind := docs[0].kind; kind.Kind != "ClusterDeployment" || kind.APIVersion != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("it holds a %s of %s, not a ClusterDeployment of %s", kind.Kind, worded(kind.APIVersion, "no apiVersion"), v1alpha1.GroupVersion)
	}
	var d v1alpha1.ClusterDeployment
	if err := decodeStrict(docs[0].text, &d); err != nil {
		return nil, err
	}
	if d.Name == "" {
		return nil, errors.New("the cluster has no metadata.name")
	}
	return &d, nil
}

func worded(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
