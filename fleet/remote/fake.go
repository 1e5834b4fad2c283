package remote

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Call is one call that a Fake recorded.
type Call struct {
	// Method is the name of the method of Cluster, or Connect or Forget.
	Method string
	// Key is that of the target.
	Key string
	// Name is the node or the set; empty for the others.
	Name string
}

// Fake is a Connector for tests: Simulated without latency, whose nodes are set by hand, that records every call.
type Fake struct {
	simulated *Simulated
	mutex     sync.Mutex
	joined    map[string][]string
	nodes     map[string]map[string]Node
	drains    map[string]Drain
	calls     []Call
	nextErr   error
}

// NewFake makes a Fake. onChange may be nil; it is called by SetNodes.
func NewFake(onChange func(key string)) *Fake {
	f := &Fake{joined: map[string][]string{}, nodes: map[string]map[string]Node{}, drains: map[string]Drain{}}
	f.simulated = NewSimulated(SimulatedOptions{Joined: f.joinedOf, OnChange: onChange})
	return f
}

func (f *Fake) joinedOf(t Target) []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.joined[t.Key]
}

// SetNodes sets the Nodes of a cluster; none: its API server does not answer.
func (f *Fake) SetNodes(key string, nodes ...Node) {
	f.mutex.Lock()
	names := make([]string, 0, len(nodes))
	byName := make(map[string]Node, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Name)
		byName[n.Name] = n
	}
	f.joined[key] = names
	f.nodes[key] = byName
	f.mutex.Unlock()
	f.simulated.Rejoined(key, names...)
}

// SetDrain sets what Drain says of a node until it is set again.
func (f *Fake) SetDrain(key, node string, d Drain) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.drains[key+" "+node] = d
}

// NextErr makes the next call, whichever it is, end with err.
func (f *Fake) NextErr(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.nextErr = err
}

// Calls gives the calls so far, in order.
func (f *Fake) Calls() []Call {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.Clone(f.calls)
}

// Objects gives the identities of the objects of a named set, sorted.
func (f *Fake) Objects(key, set string) []string { return f.simulated.Objects(key, set) }

func (f *Fake) record(method, key, name string) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls = append(f.calls, Call{Method: method, Key: key, Name: name})
	err := f.nextErr
	f.nextErr = nil
	return err
}

// Connect records the call and gives a Cluster that records its own.
func (f *Fake) Connect(ctx context.Context, target Target) (Cluster, error) {
	if err := f.record("Connect", target.Key, ""); err != nil {
		return nil, err
	}
	c, err := f.simulated.Connect(ctx, target)
	if err != nil {
		return nil, err
	}
	return &fakeCluster{fake: f, key: target.Key, next: c}, nil
}

// Forget records the call.
func (f *Fake) Forget(key string) {
	f.mutex.Lock()
	f.calls = append(f.calls, Call{Method: "Forget", Key: key})
	f.mutex.Unlock()
	f.simulated.Forget(key)
}

type fakeCluster struct {
	fake *Fake
	key  string
	next Cluster
}

// Version records the call and does as Simulated.
func (c *fakeCluster) Version(ctx context.Context) (string, error) {
	if err := c.fake.record("Version", c.key, ""); err != nil {
		return "", err
	}
	return c.next.Version(ctx)
}

// Nodes records the call and gives what SetNodes set, less what was deleted and with what was cordoned.
func (c *fakeCluster) Nodes(ctx context.Context) (map[string]Node, error) {
	if err := c.fake.record("Nodes", c.key, ""); err != nil {
		return nil, err
	}
	nodes, err := c.next.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	c.fake.mutex.Lock()
	defer c.fake.mutex.Unlock()
	for name, n := range nodes {
		set, ok := c.fake.nodes[c.key][name]
		if !ok {
			continue
		}
		set.Unschedulable = set.Unschedulable || n.Unschedulable
		nodes[name] = set
	}
	return nodes, nil
}

// EnsureBootstrapToken records the call and does as Simulated.
func (c *fakeCluster) EnsureBootstrapToken(ctx context.Context, token string, ttlSeconds int) error {
	if err := c.fake.record("EnsureBootstrapToken", c.key, ""); err != nil {
		return err
	}
	return c.next.EnsureBootstrapToken(ctx, token, ttlSeconds)
}

// LabelNode records the call and does as Simulated.
func (c *fakeCluster) LabelNode(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) error {
	if err := c.fake.record("LabelNode", c.key, name); err != nil {
		return err
	}
	return c.next.LabelNode(ctx, name, labels, taints)
}

// Drain records the call, cordons, and says what SetDrain set.
func (c *fakeCluster) Drain(ctx context.Context, name string) (Drain, error) {
	if err := c.fake.record("Drain", c.key, name); err != nil {
		return Drain{}, err
	}
	d, err := c.next.Drain(ctx, name)
	if err != nil {
		return Drain{}, err
	}
	c.fake.mutex.Lock()
	defer c.fake.mutex.Unlock()
	if set, ok := c.fake.drains[c.key+" "+name]; ok {
		return set, nil
	}
	return d, nil
}

// DeleteNode records the call and does as Simulated.
func (c *fakeCluster) DeleteNode(ctx context.Context, name string) error {
	if err := c.fake.record("DeleteNode", c.key, name); err != nil {
		return err
	}
	return c.next.DeleteNode(ctx, name)
}

// Apply records the call and does as Simulated.
func (c *fakeCluster) Apply(ctx context.Context, set string, objects []unstructured.Unstructured) error {
	if err := c.fake.record("Apply", c.key, set); err != nil {
		return err
	}
	return c.next.Apply(ctx, set, objects)
}

// Delete records the call and does as Simulated.
func (c *fakeCluster) Delete(ctx context.Context, set string) error {
	if err := c.fake.record("Delete", c.key, set); err != nil {
		return err
	}
	return c.next.Delete(ctx, set)
}
