package remote

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// SimulatedOptions says how simulated clusters behave.
type SimulatedOptions struct {
	// Joined names the machines that run as members of a cluster's Kubernetes now; it is asked at every read, must be
	// cheap and safe for concurrent use, and must not call back. The API server answers once there is one. Required.
	Joined func(Target) []string
	// Latency is how long each call takes.
	Latency time.Duration
	// ReadyLatency is how long a Node takes to become Ready after it was first seen.
	ReadyLatency time.Duration
	// DrainLatency is how long the pods of a Node take to leave after the first Drain.
	DrainLatency time.Duration
	// Version is the API server's version; empty: v1.36.3.
	Version string
	// Unreachable says that a cluster does not answer now; nil: all do.
	Unreachable func(Target) bool
	// OnChange is called, from a timer or from Rejoined, without locks held, when a Node of the target with this key changed.
	OnChange func(key string)
}

// Simulated is a Connector without any cluster. What it knows of a cluster is kept by the cluster's uid, about 100
// bytes for each Node; there is at most one timer per cluster and no goroutine.
type Simulated struct {
	options  SimulatedOptions
	mutex    sync.Mutex
	clusters map[string]*simulatedCluster // by key
}

// NewSimulated makes a connector to simulated clusters.
func NewSimulated(options SimulatedOptions) *Simulated {
	if options.Version == "" {
		options.Version = "v1.36.3"
	}
	if options.OnChange == nil {
		options.OnChange = func(string) {}
	}
	return &Simulated{options: options, clusters: map[string]*simulatedCluster{}}
}

// Connect gives the simulated cluster of a target. Another uid under the same key is a new cluster.
func (s *Simulated) Connect(_ context.Context, target Target) (Cluster, error) {
	if target.Key == "" || target.UID == "" {
		return nil, fmt.Errorf("connecting to cluster %q: the target wants a key and a uid", target.Key)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	c := s.clusters[target.Key]
	if c == nil || c.target.UID != target.UID {
		if c != nil {
			c.stop()
		}
		// The kubeconfig is not needed: thousands of targets would each hold 5 KB.
		c = &simulatedCluster{
			owner: s, target: Target{Key: target.Key, UID: target.UID},
			nodes: map[string]*simulatedNode{}, tokens: map[string]time.Time{}, sets: map[string][]string{},
		}
		s.clusters[target.Key] = c
	}
	return c, nil
}

// Forget drops the cluster of a key and its timer. Connecting again finds what Joined names then.
func (s *Simulated) Forget(key string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if c := s.clusters[key]; c != nil {
		c.stop()
		delete(s.clusters, key)
	}
}

// Rejoined tells that machines joined (again), so that Nodes that were deleted come back and OnChange is called
// without anybody reading. Without it, a deleted Node comes back once Joined has left it out for one read.
func (s *Simulated) Rejoined(key string, names ...string) {
	s.mutex.Lock()
	c := s.clusters[key]
	s.mutex.Unlock()
	if c == nil {
		return
	}
	c.mutex.Lock()
	for _, name := range names {
		if n := c.nodes[name]; n != nil && n.deleted {
			delete(c.nodes, name)
		}
	}
	c.mutex.Unlock()
	s.options.OnChange(key)
}

// Objects gives the identities of the objects of a named set in a cluster, sorted, for tests.
func (s *Simulated) Objects(key, set string) []string {
	s.mutex.Lock()
	c := s.clusters[key]
	s.mutex.Unlock()
	if c == nil {
		return nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return slices.Clone(c.sets[set])
}

type simulatedNode struct {
	ready   time.Time // when it becomes Ready
	drained time.Time // when its pods are gone; zero: nobody drains it
	deleted bool      // deleted through the API while the machine runs on
	seen    bool      // by the sweep of refresh
}

type simulatedCluster struct {
	owner  *Simulated
	target Target
	mutex  sync.Mutex
	nodes  map[string]*simulatedNode
	tokens map[string]time.Time
	sets   map[string][]string
	timer  *time.Timer
	due    time.Time
	closed bool
}

func (c *simulatedCluster) stop() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// begin waits for the latency, asks who has joined and leaves the mutex locked when there is no error.
func (c *simulatedCluster) begin(ctx context.Context) error {
	o := &c.owner.options
	if err := pause(ctx, o.Latency); err != nil {
		return fmt.Errorf("calling cluster %s: %w: %w", c.target.Key, ErrUnreachable, err)
	}
	joined := o.Joined(c.target)
	if len(joined) == 0 || (o.Unreachable != nil && o.Unreachable(c.target)) {
		return fmt.Errorf("calling cluster %s: %w", c.target.Key, ErrUnreachable)
	}
	c.mutex.Lock()
	c.refresh(joined, time.Now())
	return nil
}

// refresh brings the nodes in line with who has joined; the mutex is held.
func (c *simulatedCluster) refresh(joined []string, now time.Time) {
	for _, name := range joined {
		n := c.nodes[name]
		if n == nil {
			n = &simulatedNode{ready: now.Add(c.owner.options.ReadyLatency)}
			c.nodes[name] = n
			c.wake(n.ready, now)
		}
		n.seen = true
	}
	for name, n := range c.nodes {
		// A machine that left without its Node being deleted leaves a Node that is not Ready.
		switch {
		case n.seen:
			n.seen = false
		case n.deleted:
			delete(c.nodes, name)
		default:
			n.ready = time.Time{}
		}
	}
}

// wake has OnChange called at a time, or earlier when something else is due; the mutex is held.
func (c *simulatedCluster) wake(at, now time.Time) {
	if !at.After(now) || c.closed || (!c.due.IsZero() && !at.Before(c.due)) {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.due = at
	c.timer = time.AfterFunc(at.Sub(now), c.fire)
}

func (c *simulatedCluster) fire() {
	now := time.Now()
	c.mutex.Lock()
	if c.closed {
		c.mutex.Unlock()
		return
	}
	c.due = time.Time{}
	next := time.Time{}
	for _, n := range c.nodes {
		for _, at := range []time.Time{n.ready, n.drained} {
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	if !next.IsZero() {
		c.wake(next, now)
	}
	c.mutex.Unlock()
	c.owner.options.OnChange(c.target.Key)
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Version gives the set version once a machine has joined.
func (c *simulatedCluster) Version(ctx context.Context) (string, error) {
	if err := c.begin(ctx); err != nil {
		return "", err
	}
	defer c.mutex.Unlock()
	return c.owner.options.Version, nil
}

// Nodes lists the machines that joined and were not deleted.
func (c *simulatedCluster) Nodes(ctx context.Context) (map[string]Node, error) {
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	defer c.mutex.Unlock()
	now := time.Now()
	nodes := make(map[string]Node, len(c.nodes))
	for name, n := range c.nodes {
		if n.deleted {
			continue
		}
		node := Node{Name: name, Unschedulable: !n.drained.IsZero(), KubeletVersion: c.owner.options.Version}
		switch {
		case n.ready.IsZero():
			node.Message = "Kubelet stopped posting node status."
		case n.ready.After(now):
			node.Message = "container runtime network not ready: cni plugin not initialized"
		default:
			node.Ready = true
		}
		nodes[name] = node
	}
	return nodes, nil
}

// EnsureBootstrapToken remembers the token's id and its end.
func (c *simulatedCluster) EnsureBootstrapToken(ctx context.Context, token string, ttlSeconds int) error {
	id, _, err := splitToken(token)
	if err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.mutex.Unlock()
	now := time.Now()
	for other, end := range c.tokens {
		if end.Before(now) {
			delete(c.tokens, other)
		}
	}
	c.tokens[id] = now.Add(time.Duration(ttlSeconds) * time.Second)
	return nil
}

// LabelNode wants the Node to exist; labels and taints are not kept.
func (c *simulatedCluster) LabelNode(ctx context.Context, name string, _ map[string]string, _ []corev1.Taint) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.mutex.Unlock()
	if n := c.nodes[name]; n == nil || n.deleted {
		return fmt.Errorf("labelling node %s: %w", name, ErrNoNode)
	}
	return nil
}

// Drain cordons the Node; its pods are gone after the drain latency.
func (c *simulatedCluster) Drain(ctx context.Context, name string) (Drain, error) {
	if err := c.begin(ctx); err != nil {
		return Drain{}, err
	}
	defer c.mutex.Unlock()
	n := c.nodes[name]
	if n == nil || n.deleted {
		return Drain{}, nil
	}
	now := time.Now()
	if n.drained.IsZero() {
		n.drained = now.Add(c.owner.options.DrainLatency)
		c.wake(n.drained, now)
	}
	if n.drained.After(now) {
		return Drain{Remaining: 1, Message: "leaving: default/simulated-" + name}, nil
	}
	return Drain{}, nil
}

// DeleteNode deletes the Node; it comes back when its machine joins again.
func (c *simulatedCluster) DeleteNode(ctx context.Context, name string) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.mutex.Unlock()
	n := c.nodes[name]
	if n == nil || n.deleted {
		return nil
	}
	*n = simulatedNode{deleted: true}
	// It need not stay in memory when its machine has left; refresh drops it at the next read.
	return nil
}

// Apply remembers the identities of the set's objects.
func (c *simulatedCluster) Apply(ctx context.Context, set string, objects []unstructured.Unstructured) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.mutex.Unlock()
	ids := make([]string, 0, len(objects))
	for i := range objects {
		o := &objects[i]
		ids = append(ids, fmt.Sprintf("%s %s/%s", o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()))
	}
	slices.Sort(ids)
	c.sets[set] = slices.Compact(ids)
	return nil
}

// Delete forgets the set.
func (c *simulatedCluster) Delete(ctx context.Context, set string) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.mutex.Unlock()
	delete(c.sets, set)
	return nil
}
