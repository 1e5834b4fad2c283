package cutover

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // the image of the tools has no time zone database
)

// Window is a time of day in which steps that people notice may begin. It may go over midnight.
type Window struct {
	// From is when it opens and To when it closes, as 02:00 on the clocks of the time zone.
	From string `json:"from"`
	To   string `json:"to"`
	// TimeZone is a name of the time zone database such as Asia/Shanghai; default UTC.
	TimeZone string `json:"timeZone,omitempty"`
}

func (w *Window) complete() error {
	if w.TimeZone == "" {
		w.TimeZone = "UTC"
	}
	_, err := w.hours()
	return err
}

// hours are a window that was read: minutes of the day, and the place whose day it is.
type hours struct {
	from, to int
	place    *time.Location
}

func (w *Window) hours() (h hours, err error) {
	if h.from, err = minuteOfDay(w.From); err != nil {
		return h, fmt.Errorf("window.from: %w", err)
	}
	if h.to, err = minuteOfDay(w.To); err != nil {
		return h, fmt.Errorf("window.to: %w", err)
	}
	if h.from == h.to {
		return h, errors.New("window.from and window.to are the same: leave window out where any time is right")
	}
	if h.place, err = time.LoadLocation(w.TimeZone); err != nil || w.TimeZone == "Local" {
		return h, fmt.Errorf("window.timeZone %q is no name of the time zone database such as Asia/Shanghai", w.TimeZone)
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

// open says whether the window is open, by the clock on the wall: an hour that comes twice is open twice, and one that is left out is not there.
func (h hours) open(at time.Time) bool {
	local := at.In(h.place)
	m := local.Hour()*60 + local.Minute()
	if h.from < h.to {
		return h.from <= m && m < h.to
	}
	return m >= h.from || m < h.to
}

// opens is when the window opens next. A window that lies in an hour which is left out opens a day later.
func (h hours) opens(at time.Time) time.Time {
	t := at.Truncate(time.Minute)
	for range 3 * 24 * 60 {
		if t = t.Add(time.Minute); h.open(t) {
			return t
		}
	}
	return time.Time{} // not reached: three days have one that is whole
}

// mayBegin refuses a step that people notice outside of the window. What was begun is ended.
func (r *runner) mayBegin(s step, rec *Record) error {
	if r.Spec.Window == nil || !s.noticed() || rec.Phase == Begun || rec.Phase == Done {
		return nil
	}
	h, err := r.Spec.Window.hours()
	if err != nil {
		return err
	}
	now := r.now()
	if h.open(now) {
		return nil
	}
	next := h.opens(now)
	return refuse(RuleWindow, "it is %s, and the window is %s to %s (%s); it opens at %s. Run the same command then; what was begun stays as it is, and rollback is always allowed",
		now.In(h.place).Format("15:04"), r.Spec.Window.From, r.Spec.Window.To, r.Spec.Window.TimeZone, next.In(h.place).Format(time.RFC3339))
}
