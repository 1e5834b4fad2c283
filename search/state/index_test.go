package state

import "testing"

func TestSystemIndices(t *testing.T) {
	for name, want := range map[string]bool{".kibana_1": true, ".ds-logs-2026.11.22-000001": false, "logs-2026.11.22": false, ".opendistro_security": true} {
		if got := (&Index{Name: name}).System(); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if n := (&Index{Primaries: 60, Replicas: 1}).Shards(); n != 120 {
		t.Errorf("%d shards, want 120", n)
	}
}
