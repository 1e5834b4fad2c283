// Package transfer moves blocks of a Prometheus data directory to another directory: of this host, of another host over
// mutual TLS, or through a Unix socket that SSH forwards. It reads and verifies through package block.
//
// A Local reads one data directory, pins blocks and holds itself to a Throttle. A Server offers a Local to others, a Client
// is its other end; both are a Source. Pull takes blocks from any Source into a staging folder, keeps a journal, verifies
// on its own disk. Plan says what may be installed in which order, Installer does it one block at a time.
//
// What does it never do? It starts, stops and configures no server, writes nothing into the source's blocks, and believes
// no name and no number that comes over the wire.
//
// Why pieces, each with its sum? A source that sums a piece while it sends it reads its disk once for all; a target that
// knows the sum of what arrived, of what was sent and of what its disk gives back can say which of the three is bad.
package transfer
