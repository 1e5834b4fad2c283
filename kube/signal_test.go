package kube

import (
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// plannedQueue notes when each request is to come.
type plannedQueue struct {
	queue
	now   *time.Time
	start time.Time
	at    []time.Duration
}

// AddAfter keeps the earliest of those that are still to come, as the real one does.
func (q *plannedQueue) AddAfter(_ reconcile.Request, after time.Duration) {
	now := q.now.Sub(q.start)
	if n := len(q.at); n > 0 && q.at[n-1] >= now {
		q.at[n-1] = min(q.at[n-1], now+after)
		return
	}
	q.at = append(q.at, now+after)
}

func TestPace(t *testing.T) {
	cases := []struct {
		name   string
		events []time.Duration
		want   []time.Duration
	}{
		{"a single event does not wait", []time.Duration{0}, []time.Duration{100 * time.Millisecond}},
		{"events before the pass need no other", []time.Duration{0, 10 * time.Millisecond, 99 * time.Millisecond}, []time.Duration{100 * time.Millisecond}},
		{"events after the pass share the next", []time.Duration{0, 150 * time.Millisecond, 700 * time.Millisecond}, []time.Duration{100 * time.Millisecond, 1100 * time.Millisecond}},
		{"after a quiet time an event does not wait again", []time.Duration{0, 5 * time.Second}, []time.Duration{100 * time.Millisecond, 5100 * time.Millisecond}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			now := start
			p := newPace(time.Second)
			p.now = func() time.Time { return now }
			q := &plannedQueue{now: &now, start: start}
			for _, e := range c.events {
				now = start.Add(e)
				p.wake(q, reconcile.Request{})
			}
			if !slices.Equal(q.at, c.want) {
				t.Errorf("passes at %v, want %v", q.at, c.want)
			}
		})
	}
}

func TestPaceWakesAfterEveryEvent(t *testing.T) {
	// The queue is late: it gives the first pass out 50 ms after its time, and takes the second event for the first.
	start := time.Unix(1000, 0)
	now := start
	p := newPace(time.Second)
	p.now = func() time.Time { return now }
	q := &lateQueue{}
	for _, at := range []time.Duration{0, 120 * time.Millisecond, 200 * time.Millisecond} {
		now = start.Add(at)
		if at == 200*time.Millisecond {
			q.waiting = false // the pass has begun; what comes now needs another
		}
		p.wake(q, reconcile.Request{})
	}
	if !q.waiting {
		t.Error("an event after the pass wakes nobody")
	}
}

// lateQueue tells whether anything waits in it.
type lateQueue struct {
	queue
	waiting bool
}

func (q *lateQueue) AddAfter(reconcile.Request, time.Duration) { q.waiting = true }

func TestPaceForgetsObjectsThatAreQuiet(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPace(time.Second)
	p.now = func() time.Time { return now }
	q := &plannedQueue{now: &now, start: now}
	for i := range 5000 {
		now = now.Add(10 * time.Millisecond)
		r := reconcile.Request{}
		r.Name = string(rune('a' + i))
		p.wake(q, r)
	}
	if n := len(p.next); n > 1024 {
		t.Errorf("%d objects are remembered", n)
	}
}
