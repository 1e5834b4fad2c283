// Package e2e holds the flows of the fleet on practice machines: real sshd, real Ansible, real kubelets, the operator as users start it.
// TestTransferBetweenTwoHosts moves the blocks of a real Prometheus from one machine to another.
// Its tests carry the build tag lab and need root; each makes its own lab and plane and leaves nothing behind.
package e2e
