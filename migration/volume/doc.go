// Package volume measures the volume that a Prometheus server is to live on, as the user that the server will be, and
// judges it by named rules. It writes into a directory of its own below the volume and takes that away again.
//
// Why measure, when the class of a volume has a name? Prometheus asks for a local file system with POSIX semantics and
// checks nothing but the magic number of NFS, and that with a warning
// (https://prometheus.io/docs/prometheus/latest/storage/). What is wrong with a volume then shows at the first compaction
// (a file that cannot be deleted), after the first power cut (a rename that was not durable) or at the first large query.
package volume
