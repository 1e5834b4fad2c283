//go:build engine

package engine

import (
	"testing"
)

// TestAlertmanager shows that each recipe makes an Alertmanager that starts, and starts again.
func TestAlertmanager(t *testing.T) {
	for _, version := range []string{Alertmanager025, Alertmanager031} {
		t.Run(version, func(t *testing.T) {
			a := StartAlertmanager(t, version, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
			a.Restart()
			if err := answers(a.URL + "/api/v2/alerts"); err != nil {
				t.Errorf("asking for its alerts: %v", err)
			}
		})
	}
}
