// Package inventory turns the settings of a cluster and the machines of one operation into what Ansible needs: an
// inventory, variables, secret variables and a known_hosts file. It is pure: the same input gives the same bytes, so
// that a run can be rebuilt after a restart. It reaches no host, no API and no clock.
//
// The inventory and the plain variables hold nothing secret; what is secret goes into SecretVars alone.
package inventory
