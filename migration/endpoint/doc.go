// Package endpoint says where the users' Service leads: to the old server, to the new one, and back. The decision is pure; a prober
// asks a server every second whether it is ready. It writes nothing: who calls it writes the Service and the EndpointSlice.
//
// Why a Service without a selector? Kubernetes leads a Service with a selector to pods alone, and only the kubelet's readiness moves
// it, after three failed probes. Here the old server is no pod, and it is still there and complete until Finalize: so the way back to it costs
// nothing, and is taken within 5 seconds.
//
// How are 5 seconds kept? The prober asks each second and waits a second at most. A refused connection, or an answer that says "not
// ready", counts at once; silence counts when it came twice, so that one slow answer under load moves nobody: that is 3 seconds. What is left is for the
// write of the EndpointSlice, and for kube-proxy, which waits a second at most (its --nodeport and --iptables-min-sync-period).
//
// Why not back to the new server at once? A server that has just started answers, and may fall over again when the queries come. So it
// must have answered for a while, in a row.
package endpoint
