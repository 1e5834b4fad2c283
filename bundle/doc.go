// Package bundle makes, reads and serves what goes on a node for one Kubernetes version.
//
// A bundle is a directory, or a single tar file of that directory, with a manifest.json and
// blobs named by their digest. Each blob is a role archive: a gzip-compressed tar that is
// unpacked relative to the root of a host. The manifest lists every blob and every file in it,
// the component versions, their licences, the command line flags of each component and the
// JSON schemas of its configuration kinds.
//
// Bundles are built from recipes: plain text files (go.mod, go.sum, tool lists) that are
// embedded here and compiled in scratch modules under the cache. The graph of a recipe is never
// part of this module's own graph, so several Kubernetes minors live side by side.
//
// The package knows no Slipway kind and installs nothing on a host.
package bundle
