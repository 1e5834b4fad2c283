package cli

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

func newClusterKubeconfigCommand() *cobra.Command {
	var (
		conn connection
		file string
	)
	cmd := &cobra.Command{
		Use: "kubeconfig NAME", Short: "Print an administrator's kubeconfig of a cluster, or write it to a file of mode 0600",
		Example: "  slipway cluster kubeconfig shop --output-file shop.kubeconfig && kubectl --kubeconfig shop.kubeconfig get nodes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			kubeconfig, err := readKubeconfig(cmd.Context(), cl, conn.namespace, args[0])
			if err != nil {
				return err
			}
			kubeconfig, note, err := reachable(cmd.Context(), cl, conn.namespace, args[0], kubeconfig)
			if err != nil {
				return err
			}
			if note != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			if file == "" {
				_, err = cmd.OutOrStdout().Write(kubeconfig)
				return err
			}
			if err := writePrivate(file, kubeconfig); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", file)
			return nil
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().StringVar(&file, "output-file", "", "write it to this file instead of printing it")
	cmd.ValidArgsFunction = conn.names(deploymentNames)
	return cmd
}

func readKubeconfig(ctx context.Context, cl client.Reader, namespace, name string) ([]byte, error) {
	if _, err := getDeployment(ctx, cl, namespace, name); err != nil {
		return nil, err
	}
	var secret corev1.Secret
	err := cl.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name + "-kubeconfig"}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("cluster %s has no kubeconfig yet: it is made when its installation starts (`slipway tree %s -n %s`)", name, name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of cluster %s: %w", name, err)
	}
	if len(secret.Data["value"]) == 0 {
		return nil, fmt.Errorf("secret %s of cluster %s holds no kubeconfig under the key value", secret.Name, name)
	}
	return secret.Data["value"], nil
}

// reachable keeps the kubeconfig as it is where the endpoint's name resolves from here. Otherwise it leads to the address
// of a control plane machine, still verified under the endpoint's name, and a note says so.
func reachable(ctx context.Context, cl client.Reader, namespace, cluster string, kubeconfig []byte) ([]byte, string, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig of cluster %s: %w", cluster, err)
	}
	address, err := controlPlaneAddress(ctx, cl, namespace, cluster)
	if err != nil || address == "" {
		return kubeconfig, "", err
	}
	note := ""
	for _, c := range config.Clusters {
		u, err := url.Parse(c.Server)
		if err != nil {
			return nil, "", fmt.Errorf("reading the server of the kubeconfig: %w", err)
		}
		if _, err := net.DefaultResolver.LookupHost(ctx, u.Hostname()); err == nil {
			continue
		}
		port := u.Port()
		if port == "" {
			port = strconv.Itoa(443)
		}
		note = fmt.Sprintf("%s does not resolve from here: the kubeconfig leads to %s instead, verified under that name", u.Hostname(), address)
		c.TLSServerName, c.Server = u.Hostname(), "https://"+net.JoinHostPort(address, port)
	}
	out, err := clientcmd.Write(*config)
	if err != nil {
		return nil, "", fmt.Errorf("writing the kubeconfig of cluster %s: %w", cluster, err)
	}
	return out, note, nil
}

// controlPlaneAddress is the address of a machine of the control plane; empty when none is claimed.
func controlPlaneAddress(ctx context.Context, cl client.Reader, namespace, cluster string) (string, error) {
	var sets v1alpha1.MachineSetList
	if err := cl.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
		return "", fmt.Errorf("listing the machine sets of %s: %w", cluster, err)
	}
	var machines v1alpha1.MachineList
	if err := cl.List(ctx, &machines, client.InNamespace(namespace)); err != nil {
		return "", fmt.Errorf("listing the machines of %s: %w", cluster, err)
	}
	for i := range sets.Items {
		s := &sets.Items[i]
		if s.Spec.ClusterName != cluster || s.Spec.Role != v1alpha1.RoleControlPlane {
			continue
		}
		for j := range machines.Items {
			if m := &machines.Items[j]; m.Spec.ClaimRef != nil && m.Spec.ClaimRef.MachineSet == s.Name {
				return m.Spec.Address, nil
			}
		}
	}
	return "", nil
}
