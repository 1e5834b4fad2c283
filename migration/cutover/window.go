package cutover

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/window"
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

func (w *Window) hours() (*window.Hours, error) {
	h, err := window.New(w.From, w.To, w.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("window: %w", err)
	}
	return h, nil
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
	if h.Open(now) {
		return nil
	}
	return refuse(RuleWindow, "it is %s, and the window is %s to %s (%s); it opens at %s. Run the same command then; what was begun stays as it is, and rollback is always allowed",
		now.In(h.Zone()).Format("15:04"), r.Spec.Window.From, r.Spec.Window.To, r.Spec.Window.TimeZone, h.Opens(now).Format(time.RFC3339))
}
