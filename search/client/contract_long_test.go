//go:build long

package client

import (
	"testing"

	"github.com/slipway-dev/slipway/lab/search"
)

// TestContractOfAll holds every server that can be started to the contract.
func TestContractOfAll(t *testing.T) {
	for _, s := range search.Servers() {
		t.Run(s.String(), func(t *testing.T) { contract(t, s.Product, s.Version) })
	}
}
