// Package engine gives tests real servers: Prometheus 2.42 as Debian ships it, the last 2.x and 3.16, Alertmanager
// and Prometheus Operator built from Go modules.
//
// A recipe is a folder below recipes. What it makes is kept in $SLIPWAY_CACHE/engines/<digest of the recipe>; it is made
// once, under a lock, however many tests ask. Nothing is installed on the machine and no service of it is started.
// Start runs a server on loopback with a free port; it ends with the test, whatever becomes of the test.
//
// What a missing package or module does: the test fails. It never skips.
package engine
