package inventory

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
)

// Input is all that an inventory is made from.
type Input struct {
	// EntryPoint is what will run.
	EntryPoint v1alpha1.EntryPoint
	// Run is the name of the run; OperationUID and OperationCreated are those of the Operation: secrets are derived from
	// them, so that every attempt of an operation has the same.
	Run              string
	OperationUID     string
	OperationCreated time.Time
	// Spec is the spec of the deployment, Cluster what the cluster was built with.
	Spec        v1alpha1.ClusterDeploymentSpec
	ClusterName string
	Cluster     v1alpha1.ClusterSpec
	// Hosts are the machines of the run.
	Hosts []Host
	// ControlPlane and Etcd are all machines of these roles in the cluster, also those that are not in the run. With
	// etcd beside the control plane, Etcd is empty.
	ControlPlane []Host
	Etcd         []Host
	// PKI is the PKI of the cluster with a certificate for each etcd member. remove, check, os and container-runtime need none.
	PKI certs.Cluster
	// Bundle is what has to be known of the bundle whose digest is Cluster.BundleDigest.
	Bundle Bundle
	// Mirrors are URLs of bundle servers in the order to try them, MirrorCA the PEM of their authority.
	Mirrors  []string
	MirrorCA []byte
	// Nodes are the names of the Nodes that verify looks at.
	Nodes []string
	// Addons are rendered manifests for the entry point addons.
	Addons []Addon
}

// Bundle is what has to be known of a bundle.
type Bundle struct {
	// ImageRepository is the prefix of its images.
	ImageRepository string
	// VerifyImage is the image that verify runs.
	VerifyImage string
	// Contents are its role archives by name.
	Contents map[string]Content
}

// Content is one role archive of a bundle.
type Content struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Host is one machine and its part in the cluster.
type Host struct {
	Name string
	Role v1alpha1.Role
	// Spec is the spec of the Machine.
	Spec v1alpha1.MachineSpec
	// IP is the address of the machine where Spec.Address is a DNS name; otherwise it may be empty.
	IP string
	// Generation is the generation of the lease that the run holds on the host.
	Generation int64
	// Labels and Taints are those of the machine's set.
	Labels map[string]string
	Taints []Taint
}

// Taint is a taint of a Node.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Addon is one rendered addon.
type Addon struct {
	Name string `json:"name"`
	YAML string `json:"yaml"`
}

// Output is what an executor needs; the fields are those of executor.Run.
type Output struct {
	Hosts      []string
	Inventory  []byte
	Vars       []byte
	SecretVars []byte
	KnownHosts []byte
	// KeySecrets are the names of the Secrets with SSH keys that the inventory names, sorted.
	KeySecrets []string
}

// BootstrapToken is the token with which the hosts of an operation join: id and secret as kubeadm wants them. It is
// derived, so asking again gives the same.
func BootstrapToken(ca certs.Pair, operationUID string) (string, error) {
	if operationUID == "" {
		return "", errors.New("making bootstrap token: the operation has no uid")
	}
	secret, err := certs.DeriveSecret(ca, "bootstrap-token "+operationUID, 20)
	if err != nil {
		return "", fmt.Errorf("making bootstrap token: %w", err)
	}
	text := strings.ToLower(base32.StdEncoding.EncodeToString(secret)) // 32 characters of a-z2-7
	return text[:6] + "." + text[6:22], nil
}

// address is the IP address of a host.
func (h Host) address() (string, error) {
	for _, candidate := range []string{h.Spec.Address, h.IP} {
		if ip, err := netip.ParseAddr(candidate); err == nil {
			return ip.String(), nil
		}
	}
	return "", fmt.Errorf("machine %s: its address %q is a name that was not resolved", h.Name, h.Spec.Address)
}
