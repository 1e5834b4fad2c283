// Package state is what one look at a search cluster gives: plain values, no HTTP, no judgement. A client fills it, a file can hold it, the
// doctor and the planners read it.
//
// Sizes end in Bytes, durations in Millis, shares of a hundred in Percent. A number that the server did not tell is 0 where 0 cannot be, else -1
// and the field says so. What could not be asked at all stands in Cluster.Unseen: absent is not the same as unseen.
// Nodes are named by their name, since allocation filters and cat APIs do; indices likewise, with their UUID beside it.
package state
