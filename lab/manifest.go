package lab

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

// ManifestOptions shapes the objects that Manifests prints.
type ManifestOptions struct {
	// Namespace of all objects. Empty: default.
	Namespace string
	// SecretName of the SSH key. Empty: LAB-ssh.
	SecretName string
	// Labels are added to every Machine beside the lab's own.
	Labels [][2]string
}

// Manifests returns the lab as YAML that kubectl applies: a Secret of type kubernetes.io/ssh-auth that holds the private key,
// and one Machine of fleet.slipway.dev/v1alpha1 per machine but the bastion. Treat it as a secret.
func (l *Lab) Manifests(opts ManifestOptions) (string, error) {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	if opts.SecretName == "" {
		opts.SecretName = l.opts.Name + "-ssh"
	}
	key, err := os.ReadFile(l.keyPath())
	if err != nil {
		return "", fmt.Errorf("reading the lab's key: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\ntype: kubernetes.io/ssh-auth\ndata:\n  ssh-privatekey: %s\n",
		opts.SecretName, opts.Namespace, base64.StdEncoding.EncodeToString(key))
	bastion, err := l.find("bastion")
	for _, m := range l.state.Machines {
		if m.Bastion {
			continue
		}
		if err != nil {
			bastion = nil
		}
		b.WriteString("---\n" + machineManifest(l.opts.Name, m.Machine, bastion, opts))
	}
	return b.String(), nil
}

func machineManifest(lab string, m Machine, bastion *machineState, opts ManifestOptions) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: fleet.slipway.dev/v1alpha1\nkind: Machine\nmetadata:\n  name: %s\n  namespace: %s\n  labels:\n    lab: %s\n",
		m.Hostname, opts.Namespace, lab)
	for _, label := range opts.Labels {
		fmt.Fprintf(&b, "    %s: %q\n", label[0], label[1])
	}
	fmt.Fprintf(&b, "spec:\n  address: %s\n  port: %d\n  user: %s\n  sshKeySecretName: %s\n", m.Address, m.Port, m.User, opts.SecretName)
	if bastion != nil {
		fmt.Fprintf(&b, "  bastion:\n    address: %s\n    user: %s\n", bastion.Address, bastion.User)
		if bastion.Port != 22 {
			fmt.Fprintf(&b, "    port: %d\n", bastion.Port)
		}
	}
	return b.String()
}
