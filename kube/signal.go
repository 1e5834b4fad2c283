package kube

import (
	"context"
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
	after   time.Duration
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
		s.queue.AddAfter(r, s.after)
	}
}

// Source makes a controller listen. Words that come within the given time about one object wake it once.
func (s *Signal) Source(after time.Duration, request func(word string) (reconcile.Request, bool)) *SignalSource {
	return &SignalSource{signal: s, after: after, request: request}
}

// SignalSource is a source of a controller.
type SignalSource struct {
	signal  *Signal
	after   time.Duration
	request func(word string) (reconcile.Request, bool)
}

// Start subscribes the queue of a controller; the controller calls it.
func (s *SignalSource) Start(ctx context.Context, q queue) error {
	sub := subscription{id: s, queue: q, request: s.request, after: s.after}
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

// Coalesce maps events of objects to requests that wait a moment: a hundred events about one set make one pass.
func Coalesce(after time.Duration, requests func(ctx context.Context, obj client.Object) []reconcile.Request) handler.EventHandler {
	add := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, obj := range objects {
			if obj == nil {
				continue
			}
			for _, r := range requests(ctx, obj) {
				q.AddAfter(r, after)
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
