// Package plane runs a Kubernetes API of its own on one host: etcd, kube-apiserver and kube-controller-manager as
// supervised child processes, with generated certificates, for those who have no management cluster.
//
// How does it survive a crash? Everything that it needs is in one directory, each file written whole or not at all.
// A flock on the directory says who runs it. The children die with their supervisor (the kernel sends them a kill),
// and their pid and start time are recorded, so that whoever comes next waits for the end of one that lingers and
// never ends a stranger that got its pid. Starting is the same act after a clean stop, a crash and a restore.
//
// What does it not do? It runs no pods (there is no scheduler and no kubelet), it has one member and no replica, and it
// knows no kind of Slipway: the custom resource definitions are files to it.
package plane
