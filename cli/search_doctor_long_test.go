//go:build long

package cli

import (
	"testing"

	"github.com/slipway-dev/slipway/lab/search"
)

// TestSearchDoctorOnAll is the doctor at the bed of every server that can be started.
func TestSearchDoctorOnAll(t *testing.T) {
	for _, s := range search.Servers() {
		t.Run(s.String(), func(t *testing.T) { doctorOnServer(t, s.Product, s.Version) })
	}
}
