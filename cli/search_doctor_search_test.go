//go:build search

package cli

import (
	"testing"

	"github.com/slipway-dev/slipway/lab/search"
)

// TestSearchDoctorOnServer is the doctor at a real bed, that of the oldest server that people run.
func TestSearchDoctorOnServer(t *testing.T) { doctorOnServer(t, search.Elasticsearch, "6.8") }
