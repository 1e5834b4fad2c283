// Package ledger is what was done and proved for each index of a lifecycle: plain values, one entry for each slot, as JSON with a version. It says
// whether a proof still covers an index. Where entries lie (an index of the cluster, a file, an object) is the business of who writes them.
//
// An entry is kept under the name of the slot's index, which stays the same when the index itself is replaced: a shrunk one is called
// shrunk-10-NAME and a mounted one mounted-NAME, with NAME as an alias. A proof is of one index by its UUID: whoever shrinks, restores or makes an
// index anew has an index that nothing was proved of.
package ledger
