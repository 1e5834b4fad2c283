//go:build long

package snapshot

import (
	"testing"

	"github.com/slipway-dev/slipway/lab/search"
)

// TestProofOfLifeInS3 is TestProofOfLife with a repository in S3, whose plugin there is for 3.1 and later alone; that needs Java 21.
func TestProofOfLifeInS3(t *testing.T) { proofOfLife(t, search.OpenSearch, "3.3", search.S3) }
