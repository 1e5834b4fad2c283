//go:build search

package snapshot

import (
	"testing"

	"github.com/slipway-dev/slipway/lab/search"
)

// TestProofOfLife loses nodes, repositories and bits on one real server of each product.
func TestProofOfLife(t *testing.T) {
	t.Run("elasticsearch 6.8", func(t *testing.T) { proofOfLife(t, search.Elasticsearch, "6.8", search.SharedFolder) })
	t.Run("opensearch 2.19", func(t *testing.T) { proofOfLife(t, search.OpenSearch, "2.19", search.SharedFolder) })
}
