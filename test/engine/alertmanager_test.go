//go:build engine

package engine

import (
	"testing"
)

// TestAlertmanager shows that the recipe makes an Alertmanager that starts, and starts again.
func TestAlertmanager(t *testing.T) {
	a := StartAlertmanager(t, Alertmanager031, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
	a.Restart()
	if err := Answers(a.URL + "/api/v2/alerts"); err != nil {
		t.Errorf("asking for its alerts: %v", err)
	}
}
