// Package workload gives the objects that do the work of a move inside a cluster: a Job for each command of slipway prometheus, and the
// Deployment and Service of the read shim. It is pure: it names nothing that it was not told, talks to nobody and reads no clock.
//
// Every container is the tools image with the arguments that a person would type, as the user of the target's server. No pod has a token
// of the API server. They tell what they do as lines of JSON in their log; what the next attempt has to know lies on the claim, in folders
// whose names the server ignores. So any pod may be killed, and the same object made again goes on where it was.
//
// Pods that mount the claim stand on the node of the target's pod (required affinity), so that ReadWriteOnce volumes work. All pass the
// restricted standard of pod security, unless the server itself has to run as root.
package workload
