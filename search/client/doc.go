// Package client speaks to one search cluster, Elasticsearch 6.8 to 9 or OpenSearch 1 to 3, over plain HTTP: which product and version it is, what
// it can do, and what stands in it (Observe). It judges nothing and knows no policy of ours.
//
// Official clients refuse each other's servers, so there is none here. What differs between product lines is in dialect.go and nowhere else.
//
// Which calls are cheap? Those that the elected master answers from the cluster state, and _cat with columns and bytes. _stats by shard, _cat/shards of
// all, _recovery of all and the contents of snapshots are not: on 100,000 shards they take minutes and gigabytes, and they are never asked.
package client
