package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	migrationv1alpha1 "github.com/slipway-dev/slipway/api/migration/v1alpha1"
	searchv1alpha1 "github.com/slipway-dev/slipway/api/search/v1alpha1"
)

// connection is how a command reaches the management cluster.
type connection struct {
	kubeconfig string
	namespace  string
}

func (c *connection) flags(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "`FILE` of the management cluster (default: that of slipway up, else $KUBECONFIG, else ~/.kube/config)")
	f.StringVarP(&c.namespace, "namespace", "n", "default", "namespace of the pool and its clusters")
}

// homeDir is where the product keeps its state: $SLIPWAY_HOME, else ~/.local/share/slipway.
func homeDir() (string, error) {
	if dir := os.Getenv("SLIPWAY_HOME"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the home directory (set SLIPWAY_HOME): %w", err)
	}
	return filepath.Join(home, ".local", "share", "slipway"), nil
}

// restConfig finds the kubeconfig: the flag, the embedded plane's, then what kubectl would take.
func (c *connection) restConfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	if c.kubeconfig == "" {
		if home, err := homeDir(); err == nil {
			if path := filepath.Join(home, "plane", "kubeconfig"); fileExists(path) {
				rules.ExplicitPath = path
			}
		}
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no management cluster is known: start one with `slipway up`, or name one with --kubeconfig")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of the management cluster: %w", err)
	}
	config.QPS, config.Burst = -1, -1
	return config, nil
}

// client opens a client of the management cluster.
func (c *connection) client() (client.WithWatch, error) {
	config, err := c.restConfig()
	if err != nil {
		return nil, err
	}
	cl, err := client.NewWithWatch(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return nil, fmt.Errorf("opening the management cluster at %s: %w", config.Host, err)
	}
	return cl, nil
}

// newScheme knows the kinds that the commands read and write.
func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	utilruntime.Must(migrationv1alpha1.AddToScheme(s))
	utilruntime.Must(searchv1alpha1.AddToScheme(s))
	return s
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// names completes an argument with the names of the objects of a kind in the namespace.
func (c *connection) names(list func() client.ObjectList) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		cl, err := c.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		objects := list()
		if err := cl.List(cmd.Context(), objects, client.InNamespace(c.namespace)); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return objectNames(objects), cobra.ShellCompDirectiveNoFileComp
	}
}

func objectNames(list client.ObjectList) []string {
	var names []string
	switch l := list.(type) {
	case *v1alpha1.ClusterDeploymentList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *v1alpha1.MachineList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *v1alpha1.OperationList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *migrationv1alpha1.PrometheusMigrationList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *corev1.SecretList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	}
	return names
}
