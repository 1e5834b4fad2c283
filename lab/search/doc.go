// Package search starts real Elasticsearch and OpenSearch servers on loopback, to practise and to test on: several nodes of one cluster, with
// attributes or roles for tiers, one directory for snapshots of the type fs. It knows nothing of what is done with them.
//
// Where do the servers come from? From Maven Central, as the zips that plugin authors test with: real servers without plugins and without x-pack,
// but for its core and its security in Elasticsearch 8 and 9, which is switched off. Maven brings them once; they are held against the digests in this package and kept in the cache by digest.
//
// Why is there no list of processes? Each process carries the directory of its node in its environment, which its children inherit. What runs
// for a cluster is what /proc says, so that a killed creator leaves nothing behind that delete does not find, and nothing else is ever ended.
//
// Why a directory of its own for root? The servers refuse to run as root, so they run as a user without a name, who may not enter /root.
package search
