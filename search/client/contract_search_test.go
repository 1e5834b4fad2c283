//go:build search

package client

import (
	"testing"

	"github.com/slipway-dev/slipway/lab/search"
)

// TestContract holds one server of each product to the contract, the oldest that people run and a current one.
func TestContract(t *testing.T) {
	t.Run("elasticsearch 6.8", func(t *testing.T) { contract(t, search.Elasticsearch, "6.8") })
	t.Run("opensearch 2.19", func(t *testing.T) { contract(t, search.OpenSearch, "2.19") })
}
