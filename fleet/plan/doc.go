// Package plan decides what happens to a cluster next. It is pure: what was observed goes in, ordered steps come out;
// it reads no clock, starts nothing and imports no client. The controllers act on the steps, the CLI prints them.
//
// It has three parts. Validate checks a deployment against the bundle of its version. Pick chooses machines of the
// pool for a set, and Leave chooses those that go when a set shrinks. Make turns an Observed into a Plan.
//
// How does Make know what was done before? It reads the operations, oldest first, and the results per host in them:
// an install that succeeded after the last remove means that the machine is deployed. It trusts phases only where the
// operations are gone. So a controller that dies anywhere sees the same plan again.
//
// Why does planning twice not do things twice? The name of a new operation is made from the newest operations of its
// machines, so the same observation gives the same name, and a second creation is refused by the API server.
//
// Whose fault is a failure? A host is at fault when the run reached a result Failed or Unreachable on it. A run that
// failed before it reached a host is nobody's: it is tried again, later each time. In a create whose control plane or
// etcd failed, the workers are not at fault either.
package plan
