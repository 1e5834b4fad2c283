// Package remote looks into a business cluster and acts in it through its own API server: nodes, tokens, drain, addons.
// Implementations: Real, Simulated and Fake; one contract test. It knows nothing of the kinds of the management cluster.
package remote

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ErrUnreachable says that the cluster's API server did not answer; it may pass by itself.
var ErrUnreachable = errors.New("the cluster's API server cannot be reached")

// ErrNoNode says that the cluster has no Node of that name.
var ErrNoNode = errors.New("the cluster has no such node")

// Target says which cluster and how to reach it.
type Target struct {
	// Key identifies the connection, as namespace/name.
	Key string
	// UID is the uid of the cluster; another uid under the same key is another cluster.
	UID string
	// Kubeconfig is an administrator's kubeconfig whose server is the endpoint's name.
	Kubeconfig []byte
	// Addresses are tried instead of resolving the endpoint's name, as host:port; empty: resolve.
	Addresses []string
}

// Node is what is known of a Node.
type Node struct {
	Name  string
	Ready bool
	// Message is the kubelet's own word on why it is not Ready.
	Message        string
	Unschedulable  bool
	KubeletVersion string
}

// Drain is how far a drain is.
type Drain struct {
	// Remaining counts the pods that have still to leave.
	Remaining int
	// Message names pods and budgets that hold it up, sorted; empty when Remaining is 0.
	Message string
}

// Cluster is a connection to one cluster. Reads come from a watch where there is one.
type Cluster interface {
	// Version is the API server's version; ErrUnreachable when it does not answer now.
	Version(ctx context.Context) (string, error)
	// Nodes lists all Nodes by name.
	Nodes(ctx context.Context) (map[string]Node, error)
	// EnsureBootstrapToken makes or prolongs a bootstrap token "id.secret" that is good for at least ttlSeconds.
	EnsureBootstrapToken(ctx context.Context, token string, ttlSeconds int) error
	// LabelNode sets labels and taints on a Node; keys that are not named stay. ErrNoNode when there is none.
	LabelNode(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) error
	// Drain cordons the Node and evicts its pods as their budgets allow; it does not wait. Call it until
	// Remaining is 0. A Node that is gone has no pods: the zero Drain.
	Drain(ctx context.Context, name string) (Drain, error)
	// DeleteNode deletes the Node; no error when it is gone.
	DeleteNode(ctx context.Context, name string) error
	// Apply applies objects by server-side apply as one named set and prunes what the set had before and has no more.
	Apply(ctx context.Context, set string, objects []unstructured.Unstructured) error
	// Delete removes all objects of a named set.
	Delete(ctx context.Context, set string) error
}

// Connector opens and keeps connections.
type Connector interface {
	// Connect gives the connection of a target, opening it when needed. It does not wait for the cluster to answer.
	Connect(ctx context.Context, target Target) (Cluster, error)
	// Forget closes the connection of a key.
	Forget(key string)
}
