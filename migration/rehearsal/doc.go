// Package rehearsal says, at the place where a new Prometheus server will run and before it is there, whether it will work: the volume as
// its user, the way to everything that the old server scrapes, to the old server and what stands beside it, from Grafana's host to the new
// address, clocks and flags. It writes into a directory of its own on the volume and takes that away again; of servers it only asks.
//
// It has no rules of its own where others have them: volume, survey and skew judge, and what is judged here is what only this place sees.
package rehearsal
