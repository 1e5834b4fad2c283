package state

import "testing"

func TestSettingsInForce(t *testing.T) {
	s := Settings{Transient: map[string]string{"a": "1"}, Persistent: map[string]string{"a": "2", "b": "3"}, Defaults: map[string]string{"b": "4", "c": "5"}}
	for key, want := range map[string]struct {
		value string
		from  Source
	}{"a": {"1", FromTransient}, "b": {"3", FromPersistent}, "c": {"5", FromDefaults}, "d": {"", FromNowhere}} {
		if value, from := s.Get(key); value != want.value || from != want.from {
			t.Errorf("%s: %q from %q, want %q from %q", key, value, from, want.value, want.from)
		}
	}
}

func TestWhatWasNotSeenIsSaid(t *testing.T) {
	c := example()
	if why, unseen := c.WhyUnseen(PartPolicies); !unseen || why != "403" {
		t.Errorf("policies: %q, %t", why, unseen)
	}
	if _, unseen := c.WhyUnseen(PartNodes); unseen {
		t.Error("nodes were seen")
	}
	if !c.Can(Freeze) || c.Can(ILM) || c.Can(ISM) {
		t.Error("it can freeze alone")
	}
}
