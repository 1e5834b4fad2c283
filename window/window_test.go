package window

import (
	"testing"
	"time"
)

func TestHours(t *testing.T) {
	for _, c := range []struct {
		name, from, to, zone string
		at                   string
		open                 bool
		opens                string
	}{
		{"is open from its first minute", "02:00", "05:00", "Asia/Shanghai", "2026-11-22T18:00:00Z", true, ""},
		{"is closed from its last minute", "02:00", "05:00", "Asia/Shanghai", "2026-11-22T21:00:00Z", false, "2026-11-23T18:00:00Z"},
		{"opens the same night", "02:00", "05:00", "Asia/Shanghai", "2026-11-22T12:34:56Z", false, "2026-11-22T18:00:00Z"},
		{"is open before midnight", "22:00", "04:00", "UTC", "2026-11-22T23:59:00Z", true, ""},
		{"is open after midnight", "22:00", "04:00", "UTC", "2026-11-23T03:59:59Z", true, ""},
		{"is closed by day", "22:00", "04:00", "UTC", "2026-11-23T04:00:00Z", false, "2026-11-23T22:00:00Z"},
		// In Berlin 02:00 to 03:00 is left out on 2026-03-29, and comes twice on 2026-10-25.
		{"opens an hour short where its first hour is left out", "02:00", "05:00", "Europe/Berlin", "2026-03-29T00:59:00Z", false, "2026-03-29T01:00:00Z"},
		{"opens a day later where all of it is left out", "02:10", "02:50", "Europe/Berlin", "2026-03-29T00:30:00Z", false, "2026-03-30T00:10:00Z"},
		{"is open in the first of two hours", "02:00", "03:00", "Europe/Berlin", "2026-10-25T00:30:00Z", true, ""},
		{"is open in the second of two hours", "02:00", "03:00", "Europe/Berlin", "2026-10-25T01:30:00Z", true, ""},
		{"is closed after both", "02:00", "03:00", "Europe/Berlin", "2026-10-25T02:00:00Z", false, "2026-10-26T01:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := New(c.from, c.to, c.zone)
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Open(at); got != c.open {
				t.Fatalf("open: %t, want %t", got, c.open)
			}
			if got := h.Opens(at).UTC().Format(time.RFC3339); !c.open && got != c.opens {
				t.Errorf("opens at %s, want %s", got, c.opens)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, w := range map[string][3]string{
		"no time":         {"2:00", "05:00", ""},
		"a time too late": {"02:00", "24:00", ""},
		"no duration":     {"02:00", "02:00", ""},
		"no such zone":    {"02:00", "05:00", "Asia/Shangai"},
		"the local zone":  {"02:00", "05:00", "Local"},
	} {
		if _, err := New(w[0], w[1], w[2]); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
