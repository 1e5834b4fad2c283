// Package image makes container images of static programs without a container engine: one layer, no distribution, no shell.
//
// The same files and options give the same image, byte by byte: times are fixed, owners are root, order is that of the paths. What is written
// is an archive as docker save writes it, which containerd imports (ctr -n k8s.io images import) and registries' tools push.
// It does not talk to registries, and it starts nothing.
package image
