//go:build plane

package fleet_test

import (
	"testing"

	"github.com/slipway-dev/slipway/kube/kubetest"
)

func TestCreateEndsReady(t *testing.T) {
	s := newSim(t)
	s.machines(3)
	s.operator()
	s.idles(3)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	s.ready("shop", 3)
}
