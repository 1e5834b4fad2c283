package remote

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// RealOptions are those of Real; the zero value is of use.
type RealOptions struct {
	// OnChange is called when Nodes of the cluster with this key changed, and when its API server came or went. It
	// must not block: an event filter or a queue.
	OnChange func(key string)
	// ProbeInterval is how often an API server that answers is asked for a sign of life. Default 10 s.
	ProbeInterval time.Duration
	// DownInterval is how often one that does not answer is asked, in the first five minutes. Default 2 s.
	DownInterval time.Duration
	// CallTimeout limits each request. Default 15 s.
	CallTimeout time.Duration
}

// Real is the Connector of real clusters: for each one client, one watch on Nodes and one probe.
type Real struct {
	options     RealOptions
	ctx         context.Context
	cancel      context.CancelFunc
	running     sync.WaitGroup
	mutex       sync.Mutex
	connections map[string]*connection
}

// NewReal makes a connector to real clusters. Close ends all connections.
func NewReal(options RealOptions) *Real {
	if options.OnChange == nil {
		options.OnChange = func(string) {}
	}
	if options.ProbeInterval == 0 {
		options.ProbeInterval = 10 * time.Second
	}
	if options.DownInterval == 0 {
		options.DownInterval = min(2*time.Second, options.ProbeInterval)
	}
	if options.CallTimeout == 0 {
		options.CallTimeout = 15 * time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Real{options: options, ctx: ctx, cancel: cancel, connections: map[string]*connection{}}
}

// Connect gives the connection of a target. Another uid or kubeconfig under its key closes the old connection; other
// addresses do not.
func (r *Real) Connect(_ context.Context, target Target) (Cluster, error) {
	if target.Key == "" || target.UID == "" {
		return nil, fmt.Errorf("connecting to cluster %q: the target wants a key and a uid", target.Key)
	}
	digest := sha256.Sum256(target.Kubeconfig)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.ctx.Err() != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", target.Key, errors.New("the connector is closed"))
	}
	old := r.connections[target.Key]
	if old != nil && old.uid == target.UID && old.digest == digest {
		old.dialer.set(target.Addresses)
		return old, nil
	}
	c, err := newConnection(&r.options, target, digest)
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", target.Key, err)
	}
	if old != nil {
		old.cancel()
	}
	ctx, cancel := context.WithCancel(r.ctx)
	c.cancel = cancel
	r.connections[target.Key] = c
	r.running.Go(func() { c.run(ctx) })
	return c, nil
}

// Forget closes the connection of a key: its watch, its probe and its sockets.
func (r *Real) Forget(key string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if c := r.connections[key]; c != nil {
		c.cancel()
		delete(r.connections, key)
	}
}

// Close ends all connections and waits until nothing of them runs.
func (r *Real) Close() {
	r.cancel()
	r.mutex.Lock()
	clear(r.connections)
	r.mutex.Unlock()
	r.running.Wait()
}

// Keys lists the keys of the open connections, sorted.
func (r *Real) Keys() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	keys := make([]string, 0, len(r.connections))
	for key := range r.connections {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
