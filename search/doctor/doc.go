// Package doctor says what will break in a search cluster, on which day, why, and what mends it. It looks at a state that somebody else took, so
// it can judge a cluster from a file; it asks nothing and changes nothing.
//
// Every finding shows its arithmetic: the numbers that went in and the bound that they are held against, with the bound's source. Where a part of
// the cluster was not seen, the rules that need it say so: silence would look like health.
package doctor
