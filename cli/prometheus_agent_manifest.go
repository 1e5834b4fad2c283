package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/workload"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"
)

type agentManifestOptions struct {
	workload.AgentOptions
	pod, credentials, service, pull string
}

// newPrometheusAgentManifestCommand builds slipway prometheus agent manifest.
func newPrometheusAgentManifestCommand() *cobra.Command {
	var o agentManifestOptions
	cmd := &cobra.Command{
		Use:   "manifest --pod FILE --image IMAGE --server URL",
		Short: "Write the Kubernetes manifests of an agent beside an old server that is a pod",
		Long: `Print a Deployment and a Service that offer the blocks of a Prometheus that runs as a pod: on the same node, with the same claim, as the same user. The
pod is read from a file, as kubectl get pod NAME -o yaml writes it; it is not changed, and neither is the volume but for links in DATA/slipway-pin.
With --credentials the Secret with the certificates of agent init is printed, too: it holds a private key, so pipe it and leave it in no file.

The address of the agent is that of the Service: a node and its port, or what the load balancer has. It goes into spec.source.agent.address of a
PrometheusMigration, or behind --source of slipway prometheus migrate. Delete what was applied when the move is over.
Exit codes: 0 printed, 1 an agent cannot stand beside that pod (the reason is named), 2 wrong usage.`,
		Example: `  slipway prometheus agent init ./transfer
  kubectl get pod prometheus-0 -n monitoring -o yaml | slipway prometheus agent manifest --pod - --image registry.example/slipway:0.1.0 \
    --server http://prometheus.monitoring.svc:9090 --credentials ./transfer/source | kubectl apply -f -`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd.InOrStdin(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.pod, "pod", "", "file with the old server's pod, - for standard input")
	f.StringVar(&o.Container, "container", "", "the server's container (default: the one with --storage.tsdb.path, or the only one)")
	f.StringVar(&o.Image, "image", "", "the image that slipway image build makes")
	f.StringVar(&o.ServerURL, "server", "", "address of the old server inside its cluster, whose queries the agent must not slow down")
	f.StringVar(&o.credentials, "credentials", "", "folder source of agent init; without it the Secret has to be there")
	f.StringVar(&o.Secret, "secret", "", "name of the Secret with that folder (default: that of the agent)")
	f.StringVar(&o.Name, "name", "", "name of what is made (default: the pod's, and -agent)")
	o.service, o.pull = string(corev1.ServiceTypeNodePort), string(corev1.PullIfNotPresent)
	choiceFlag(cmd, &o.service, "service-type", "how the agent is reached from outside: ClusterIP, NodePort or LoadBalancer", "ClusterIP", "NodePort", "LoadBalancer")
	choiceFlag(cmd, &o.pull, "pull-policy", "Always, IfNotPresent or Never", "Always", "IfNotPresent", "Never")
	f.Int32Var(&o.NodePort, "node-port", 0, "port on every node (default: the cluster chooses)")
	for _, name := range []string{"pod", "image", "server"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that does not exist only
	}
	_ = cmd.MarkFlagDirname("credentials")
	return cmd
}

func (o *agentManifestOptions) run(in io.Reader, out io.Writer) error {
	o.Service, o.PullPolicy = corev1.ServiceType(o.service), corev1.PullPolicy(o.pull)
	if err := o.read(in); err != nil {
		return err
	}
	all, err := workload.Agent(o.AgentOptions)
	if err != nil {
		return err
	}
	var objects []client.Object
	if all.Secret != nil {
		objects = append(objects, all.Secret)
	}
	return printManifests(out, "yaml", append(objects, all.Deployment, all.Service))
}

// read reads the pod and the certificates.
func (o *agentManifestOptions) read(in io.Reader) error {
	text, err := readFile(o.pod, in)
	if err != nil {
		return err
	}
	o.Pod = &corev1.Pod{}
	if err := sigsyaml.Unmarshal(text, o.Pod); err != nil {
		return fmt.Errorf("reading the pod in %s: %w", o.pod, err)
	}
	if o.Pod.Kind != "Pod" {
		return &usageError{fmt.Errorf("--pod %s: it is a %q, want one Pod as kubectl get pod NAME -o yaml writes it", o.pod, printable(o.Pod.Kind))}
	}
	if o.credentials == "" {
		return nil
	}
	pair, err := certs.ReadPair(filepath.Join(o.credentials, "tls.crt"), filepath.Join(o.credentials, "tls.key"))
	if err != nil {
		return fmt.Errorf("reading --credentials: %w", err)
	}
	authority, err := readBounded(filepath.Join(o.credentials, "ca.crt"))
	if err != nil {
		return fmt.Errorf("reading --credentials: %w", err)
	}
	if len(pair.Certificate) == 0 || len(pair.Key) == 0 {
		return &usageError{errors.New("--credentials " + o.credentials + ": there is no tls.crt or no tls.key: it is the folder source of slipway prometheus agent init")}
	}
	o.Credentials = map[string][]byte{"ca.crt": authority, "tls.crt": pair.Certificate, "tls.key": pair.Key}
	return nil
}
