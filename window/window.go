// Package window tells whether a time of day is within hours that people chose, by the clock on their wall. It is pure.
package window

import (
	"fmt"
	"time"
	_ "time/tzdata" // an image without a system has no time zone database
)

// Hours are a part of every day; they may go over midnight.
type Hours struct {
	from, to int // minutes of the day
	zone     *time.Location
}

// New reads hours such as 02:00 to 05:00, and the name of a time zone of the time zone database; none is UTC.
func New(from, to, zone string) (*Hours, error) {
	h := &Hours{}
	var err error
	if h.from, err = minuteOfDay(from); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if h.to, err = minuteOfDay(to); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	if h.from == h.to {
		return nil, fmt.Errorf("from and to are both %s: leave the window out for any time", from)
	}
	if h.zone, err = time.LoadLocation(zone); err != nil || zone == "Local" {
		return nil, fmt.Errorf("timeZone %q is no name of the time zone database such as Asia/Shanghai", zone)
	}
	return h, nil
}

func minuteOfDay(text string) (int, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%q is no time of day such as 02:00", text)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// Zone is where the clock hangs.
func (h *Hours) Zone() *time.Location { return h.zone }

// Open says whether a moment is within the hours. One that a clock change brings twice is there twice, and one that is left out is not.
func (h *Hours) Open(at time.Time) bool {
	local := at.In(h.zone)
	m := local.Hour()*60 + local.Minute()
	if h.from < h.to {
		return h.from <= m && m < h.to
	}
	return m >= h.from || m < h.to
}

// Opens is when the hours begin next, in their zone. Those that a clock change leaves out whole begin a day later.
func (h *Hours) Opens(at time.Time) time.Time {
	t := at.In(h.zone).Truncate(time.Minute)
	for range 3 * 24 * 60 {
		if t = t.Add(time.Minute); h.Open(t) {
			return t
		}
	}
	return time.Time{} // not reached: three days have one that is whole
}
