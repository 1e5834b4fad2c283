package kube

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Signal carries words from things that are no Kubernetes objects (runs, connections) to the queue of a controller.
// Sending never blocks. What is sent before the controller starts is kept.
type Signal struct {
	mu      sync.Mutex
	queues  []subscription
	waiting map[string]struct{}
}

type subscription struct {
	id      *SignalSource
	queue   queue
	request func(word string) (reconcile.Request, bool)
	pace    *pace
}

// Send passes a word on: each subscriber's controller looks at the object that the word stands for.
func (s *Signal) Send(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queues) == 0 {
		if s.waiting == nil {
			s.waiting = map[string]struct{}{}
		}
		s.waiting[word] = struct{}{}
		return
	}
	for _, sub := range s.queues {
		sub.send(word)
	}
}

func (s subscription) send(word string) {
	if r, ok := s.request(word); ok {
		s.pace.wake(s.queue, r)
	}
}

// Source makes a controller listen. Words about one object wake it soon, and at most once in the given time.
func (s *Signal) Source(every time.Duration, request func(word string) (reconcile.Request, bool)) *SignalSource {
	return &SignalSource{signal: s, every: every, request: request}
}

// SignalSource is a source of a controller.
type SignalSource struct {
	signal  *Signal
	every   time.Duration
	request func(word string) (reconcile.Request, bool)
}

// Start subscribes the queue of a controller; the controller calls it.
func (s *SignalSource) Start(ctx context.Context, q queue) error {
	sub := subscription{id: s, queue: q, request: s.request, pace: newPace(s.every)}
	context.AfterFunc(ctx, s.stop)
	s.signal.mu.Lock()
	defer s.signal.mu.Unlock()
	s.signal.queues = append(s.signal.queues, sub)
	for word := range s.signal.waiting {
		sub.send(word)
	}
	return nil
}

func (s *SignalSource) stop() {
	s.signal.mu.Lock()
	defer s.signal.mu.Unlock()
	s.signal.queues = slices.DeleteFunc(s.signal.queues, func(sub subscription) bool { return sub.id == s })
}

// Coalesce maps events of objects to requests that come soon, and at most once in the given time: a hundred events about
// one set make two passes, and a single event does not wait.
func Coalesce(every time.Duration, requests func(ctx context.Context, obj client.Object) []reconcile.Request) handler.EventHandler {
	p := newPace(every)
	add := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, obj := range objects {
			if obj == nil {
				continue
			}
			for _, r := range requests(ctx, obj) {
				p.wake(q, r)
			}
		}
	}
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { add(ctx, q, e.Object) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { add(ctx, q, e.ObjectOld, e.ObjectNew) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { add(ctx, q, e.Object) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { add(ctx, q, e.Object) },
	}
}

// pace spreads the wake-ups of each object: the first comes a tenth of the time after its event, so that what happens
// together is seen together, and each further one at least that time after the one before.
type pace struct {
	every time.Duration
	now   func() time.Time

	mu    sync.Mutex
	next  map[reconcile.Request]time.Time // last planned wake-up
	prune int                             // size at which those long past are forgotten
}

func newPace(every time.Duration) *pace {
	return &pace{every: every, now: time.Now, next: map[reconcile.Request]time.Time{}, prune: 1024}
}

func (p *pace) wake(q queue, r reconcile.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	at := now.Add(p.every / 10)
	if planned, ok := p.next[r]; ok {
		if planned.After(now) {
			// The queue keeps one wake-up of an object, the earliest. It may have had that one before now, so say it again.
			q.AddAfter(r, planned.Sub(now))
			return
		}
		if earliest := planned.Add(p.every); earliest.After(at) {
			at = earliest
		}
	}
	if len(p.next) >= p.prune {
		maps.DeleteFunc(p.next, func(_ reconcile.Request, t time.Time) bool { return t.Add(p.every).Before(now) })
		p.prune = max(1024, 2*len(p.next))
	}
	p.next[r] = at
	q.AddAfter(r, at.Sub(now))
}
