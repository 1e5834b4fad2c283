package view

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// KubeconfigKey is the key of a kubeconfig in its Secret.
const KubeconfigKey = "value"

// PKISecret and KubeconfigSecret name the Secrets of a cluster.
func PKISecret(cluster string) string { return cluster + "-pki" }

// KubeconfigSecret names the Secret with the administrator's kubeconfig of a cluster.
func KubeconfigSecret(cluster string) string { return cluster + "-kubeconfig" }

// SSHKey reads the private key of a machine from its Secret. A missing or unusable Secret needs a person.
func SSHKey(ctx context.Context, c client.Reader, namespace, secretName string) ([]byte, error) {
	var secret corev1.Secret
	err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: secretName}, &secret, &client.GetOptions{UnsafeDisableDeepCopy: ptr.To(true)})
	switch {
	case apierrors.IsNotFound(err):
		return nil, kube.Human(v1alpha1.ReasonKeySecretInvalid,
			fmt.Errorf("there is no Secret %s of type %s in namespace %s: create it with the SSH key under %s", secretName, corev1.SecretTypeSSHAuth, namespace, corev1.SSHAuthPrivateKey))
	case err != nil:
		return nil, fmt.Errorf("reading secret %s: %w", secretName, err)
	}
	key := secret.Data[corev1.SSHAuthPrivateKey]
	if len(key) == 0 {
		return nil, kube.Human(v1alpha1.ReasonKeySecretInvalid, fmt.Errorf("secret %s holds nothing under %s", secretName, corev1.SSHAuthPrivateKey))
	}
	return key, nil
}

// Address says how the host of a machine is reached.
func Address(ctx context.Context, c client.Reader, m *v1alpha1.Machine) (host.Address, error) {
	key, err := SSHKey(ctx, c, m.Namespace, m.Spec.SSHKeySecretName)
	if err != nil {
		return host.Address{}, err
	}
	a := host.Address{Host: m.Spec.Address, Port: int(m.Spec.Port), User: m.Spec.User, Key: key, HostKey: m.Spec.HostKey}
	if b := m.Spec.Bastion; b != nil {
		a.Bastion = &host.Address{Host: b.Address, Port: int(b.Port), User: b.User, HostKey: b.HostKey}
	}
	return a, nil
}

// IP is the IP address of a machine; a DNS name is resolved.
func IP(ctx context.Context, m *v1alpha1.Machine) (string, error) {
	if _, err := netip.ParseAddr(m.Spec.Address); err == nil {
		return m.Spec.Address, nil
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, m.Spec.Address)
	if err != nil {
		return "", kube.Wait(v1alpha1.ReasonUnreachable, resolveAgain, fmt.Errorf("resolving the address %s of machine %s: %w", m.Spec.Address, m.Name, err))
	}
	return addresses[0], nil
}

// resolveAgain is the wait before a name that cannot be resolved is looked up again.
const resolveAgain = 30 * time.Second

// Connections gives connections to clusters and remembers their kubeconfigs, so that looking into a cluster costs no
// read of a Secret each time.
type Connections struct {
	live      client.Reader
	connector remote.Connector

	mu   sync.Mutex
	kept map[types.NamespacedName]kubeconfig
}

type kubeconfig struct {
	uid  string
	data []byte
	read time.Time
}

// keepKubeconfig is how long a kubeconfig is used before it is read again.
const keepKubeconfig = 10 * time.Minute

// ErrNoKubeconfig says that a cluster has no kubeconfig yet: nothing was installed.
var ErrNoKubeconfig = errors.New("the cluster has no kubeconfig yet")

// NewConnections makes Connections that read Secrets from live.
func NewConnections(live client.Reader, connector remote.Connector) *Connections {
	return &Connections{live: live, connector: connector, kept: map[types.NamespacedName]kubeconfig{}}
}

// Cluster gives the connection to a cluster. controlPlane is the address of its first control plane machine, empty
// when there is none.
func (c *Connections) Cluster(ctx context.Context, cluster *v1alpha1.Cluster, controlPlane string) (remote.Cluster, error) {
	data, err := c.kubeconfig(ctx, cluster)
	if err != nil {
		return nil, err
	}
	target := remote.Target{Key: Key(cluster.Namespace, cluster.Name), UID: cluster.Spec.UID, Kubeconfig: data}
	if controlPlane != "" {
		target.Addresses = []string{net.JoinHostPort(controlPlane, strconv.Itoa(int(cluster.Spec.Endpoint.Port)))}
	}
	connection, err := c.connector.Connect(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", target.Key, err)
	}
	return connection, nil
}

func (c *Connections) kubeconfig(ctx context.Context, cluster *v1alpha1.Cluster) ([]byte, error) {
	key := client.ObjectKeyFromObject(cluster)
	c.mu.Lock()
	kept, ok := c.kept[key]
	c.mu.Unlock()
	if ok && kept.uid == cluster.Spec.UID && time.Since(kept.read) < keepKubeconfig {
		return kept.data, nil
	}
	var secret corev1.Secret
	err := c.live.Get(ctx, types.NamespacedName{Namespace: cluster.Namespace, Name: KubeconfigSecret(cluster.Name)}, &secret)
	if apierrors.IsNotFound(err) || err == nil && len(secret.Data[KubeconfigKey]) == 0 {
		return nil, ErrNoKubeconfig
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of cluster %s: %w", key, err)
	}
	c.mu.Lock()
	c.kept[key] = kubeconfig{uid: cluster.Spec.UID, data: secret.Data[KubeconfigKey], read: time.Now()}
	c.mu.Unlock()
	return secret.Data[KubeconfigKey], nil
}

// Renewed makes the next connection use the kubeconfig that is in the Secret by then.
func (c *Connections) Renewed(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, key)
}

// Forget closes the connection to a cluster that is gone.
func (c *Connections) Forget(key types.NamespacedName) {
	c.mu.Lock()
	delete(c.kept, key)
	c.mu.Unlock()
	c.connector.Forget(Key(key.Namespace, key.Name))
}

// Overridden says that a person switched a rule off for an object, by name.
func Overridden(o client.Object, rule string) bool {
	return slices.Contains(split(o.GetAnnotations()[v1alpha1.OverrideAnnotation]), rule)
}

// Rules of the controllers, beside those of the plan. OverrideAnnotation switches them off by name.
const (
	// RuleCleanFirst: a Machine is not forgotten before its host is clean.
	RuleCleanFirst = "clean_before_forget"
	// RuleKnownStamp: a host is left alone whose stamp names an operation that this operator does not know.
	RuleKnownStamp = "known_stamp_only"
)
