package endpoint

import (
	"testing"
	"time"
)

func TestStreak(t *testing.T) {
	for _, c := range []struct {
		name string
		row  []Answer
		down bool
		up   time.Duration
	}{
		{"knows nothing without a probe", nil, false, 0},
		{"is up since the first answer", []Answer{Ready, Ready, Ready}, false, 3 * time.Second},
		{"is neither up nor down after one silence", []Answer{Ready, Silent}, false, 0},
		{"is down after two", []Answer{Ready, Silent, Silent}, true, 0},
		{"is down after a silence and a refusal", []Answer{Silent, Refused}, true, 0},
		{"is down at the first refusal", []Answer{Ready, Refused}, true, 0},
		{"begins anew after a silence", []Answer{Ready, Ready, Silent, Ready}, false, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s Streak
			at := now
			for _, a := range c.row {
				s, at = s.Next(Result{Answer: a}, at), at.Add(time.Second)
			}
			if s.Down() != c.down || s.Up(at) != c.up {
				t.Errorf("down %t, up %s; want %t, %s", s.Down(), s.Up(at), c.down, c.up)
			}
		})
	}
}
