// Package lifecycle plans the life of indices that are cut by time: a policy, one look at the cluster, what the ledger proves and a moment become
// ordered steps, holds with the rule that holds them, and refusals with their arithmetic. It asks nobody and knows no clock.
//
// It looks at the world and not at what it did: the form of an index is seen, and the ledger says what cannot be seen (that it was merged, that a
// snapshot was proved). So a step that failed half-way, or whose end nobody wrote down, is planned again from where the world stands.
// A step that takes data away (fewer replicas, an index, the source of a shrink) carries why it may: Because names the proof or the whole other index.
package lifecycle
