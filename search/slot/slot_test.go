package slot

import (
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func near() time.Time { return time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC) }

func TestSlotOfAName(t *testing.T) {
	const shanghai = "Asia/Shanghai"
	for _, c := range []struct {
		name       string
		o          Options
		index      string
		start, end string
		next       string
	}{
		{"an hour", Options{Format: "game-log-{yyyy.MM.dd.HH}"}, "game-log-2026.11.22.20", "2026-11-22T20:00:00Z", "2026-11-22T21:00:00Z", "game-log-2026.11.22.21"},
		{"two hours of Shanghai", Options{Format: "game-log-{yyyy.MM.dd.HH}", Hours: 2, TimeZone: shanghai}, "game-log-2026.11.07.06", "2026-11-06T22:00:00Z", "2026-11-07T00:00:00Z", "game-log-2026.11.07.08"},
		{"the last hours of a year", Options{Format: "a-{yyyyMMddHH}", Hours: 12}, "a-2026123112", "2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z", "a-2027010100"},
		{"a day of Kolkata", Options{Format: "a-{yyyy.MM.dd}", TimeZone: "Asia/Kolkata"}, "a-2026.11.22", "2026-11-21T18:30:00Z", "2026-11-22T18:30:00Z", "a-2026.11.23"},
		{"a leap day", Options{Format: "a-{yyyy-MM-dd}-x"}, "a-2028-02-29-x", "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z", "a-2028-03-01-x"},
		{"the 53rd week", Options{Format: "a-{xxxx.ww}"}, "a-2026.53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z", "a-2027.01"},
		{"a first week that begins the year before", Options{Format: "a-{xxxx.ww}"}, "a-2025.01", "2024-12-30T00:00:00Z", "2025-01-06T00:00:00Z", "a-2025.02"},
		{"a month", Options{Format: "a-{yyyy.MM}"}, "a-2026.11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "a-2026.12"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Near = near()
			p, err := New(c.o)
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.Parse(c.index)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Start.Equal(at(t, c.start)) || !s.End.Equal(at(t, c.end)) {
				t.Errorf("%v to %v", s.Start.UTC(), s.End.UTC())
			}
			if got := p.Name(p.Next(s.End.Add(-time.Second), 1)[0]); got != c.next {
				t.Errorf("next %s, want %s", got, c.next)
			}
			if got := p.Name(p.At(s.Start.Add(time.Minute))); got != c.index {
				t.Errorf("a minute later it is %s", got)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		says string
	}{
		"no braces":                  {Options{Format: "a-yyyy"}, "one pair of braces"},
		"two pairs":                  {Options{Format: "a-{yyyy}.{MM}"}, "one pair of braces"},
		"an hour without a day":      {Options{Format: "a-{yyyy.MM.HH}"}, "not whole"},
		"a field that is twice":      {Options{Format: "a-{yyyy.MM.dd.dd}"}, "2 times"},
		"a week of a calendar year":  {Options{Format: "a-{yyyy.ww}"}, "not whole"},
		"minutes":                    {Options{Format: "a-{yyyy.MM.dd.HH.mm}"}, `"mm" begins with no field`},
		"a name that is all time":    {Options{Format: "{yyyy.MM.dd}"}, "a text before the time"},
		"upper case":                 {Options{Format: "Game-{yyyy.MM.dd}"}, "may not be in the name"},
		"a wildcard":                 {Options{Format: "game*-{yyyy.MM.dd}"}, "may not be in the name"},
		"a name that is too long":    {Options{Format: strings.Repeat("a", 250) + "{yyyy.MM.dd}"}, "255 at most"},
		"five hours":                 {Options{Format: "a-{yyyy.MM.dd.HH}", Hours: 5}, "use 1, 2, 3"},
		"hours that names leave out": {Options{Format: "a-{yyyy.MM.dd}", Hours: 2}, "cannot be told apart"},
		"daylight saving":            {Options{Format: "a-{yyyy.MM.dd.HH}", TimeZone: "Europe/Berlin"}, "changes its clock (at 2024-03-31T01:00:00Z)"},
		"the Ramadan of Morocco":     {Options{Format: "a-{yyyy.MM.dd.HH}", TimeZone: "Africa/Casablanca"}, "changes its clock"},
		"no such zone":               {Options{Format: "a-{yyyy.MM.dd.HH}", TimeZone: "Asia/Shangai"}, "no name of the time zone database"},
		"the zone of this machine":   {Options{Format: "a-{yyyy.MM.dd.HH}", TimeZone: "Local"}, "no name of the time zone database"},
	} {
		c.o.Near = near()
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if _, err := New(Options{Format: "a-{yyyy.MM.dd}", TimeZone: "Europe/Istanbul", Near: near()}); err != nil {
		t.Errorf("Istanbul has kept its clock since 2016: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	p, err := New(Options{Format: "game-log-{yyyy.MM.dd.HH}", Hours: 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"game-2026.11.22.20":          `"game-log-" should stand`,
		"game-log-2026.11.22":         `"." should stand`,
		"game-log-2026.11.2x.20":      "where dd should stand",
		"game-log-2026.02.30.20":      "no such day",
		"game-log-2026.11.22.24":      "no such day or hour",
		"game-log-2026.11.22.21":      "no slot of 2 hours begins at hour 21",
		"game-log-2026.11.22.20-late": `"-late" is too much`,
	} {
		if _, err := p.Parse(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	weeks, err := New(Options{Format: "a-{xxxx.ww}"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := weeks.Parse("a-2025.53"); err == nil || !strings.Contains(err.Error(), "2025 has no week 53") {
		t.Error(err)
	}
}

func TestWordsOfAPattern(t *testing.T) {
	for format, want := range map[string]string{"a-{yyyy.MM.dd.HH}": "2 hours a-* UTC", "a-{yyyy.MM}-x": "month a-*-x UTC"} {
		o := Options{Format: format}
		if strings.Contains(format, "HH") {
			o.Hours = 2
		}
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Every() + " " + p.Wildcard() + " " + p.Zone(); got != want || p.Format() != format {
			t.Errorf("%s: %s, want %s", p.Format(), got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("game-log-{yyyy.MM.dd.HH}", "game-log-2026.11.22.20", 2, "Asia/Shanghai")
	f.Add("a-{xxxx.ww}", "a-2026.53", 0, "")
	f.Add("a{yyyyMM}", "a000001", 1, "Asia/Kolkata")
	f.Add("a-{yyyy.MM.dd}-b", "a-2028.02.29-b", 0, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, format, name string, hours int, zone string) {
		p, err := New(Options{Format: format, Hours: hours, TimeZone: zone, Near: near()})
		if err != nil {
			return
		}
		s, err := p.Parse(name)
		if err != nil {
			return
		}
		if got := p.Name(s); got != name {
			t.Errorf("%s: %q was read, %q is written", format, name, got)
		}
		if got := p.At(s.Start); !got.Start.Equal(s.Start) || !got.End.Equal(s.End) {
			t.Errorf("%s: %q begins at %v, and at that moment it is %v", format, name, s.Start, got)
		}
		if got := p.At(s.End); !got.Start.Equal(s.End) {
			t.Errorf("%s: %q ends at %v, the next begins at %v", format, name, s.End, got.Start)
		}
		if got := p.At(s.End.Add(-time.Nanosecond)); !got.Start.Equal(s.Start) {
			t.Errorf("%s: the last moment of %q is in another slot", format, name)
		}
	})
}
