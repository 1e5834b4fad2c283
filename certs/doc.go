// Package certs makes and reads the certificates of a cluster: authorities, leaf certificates, the key pair of the
// service accounts, and kubeconfigs. All keys are ECDSA P-256, which kubeadm and every component accept.
//
// Nothing that exists is made again while it is good: the Ensure functions return what they were given. An authority
// is never replaced at all; one that is damaged or expired is an error, because a new one would cut a cluster off.
// The package knows no kind, keeps no state, and reads the time only from the clock that it is given.
package certs
