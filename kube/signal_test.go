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

func (q *plannedQueue) AddAfter(_ reconcile.Request, after time.Duration) {
	q.at = append(q.at, q.now.Sub(q.start)+after)
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
