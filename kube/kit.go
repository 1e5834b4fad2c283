package kube

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Kit is what every controller works with.
type Kit struct {
	// Client reads from the cache and writes to the API server.
	client.Client
	// Live reads from and writes to the API server, for kinds that are not in the cache. What is not in the cache must
	// not be written through Client: a read there would wait for a change that the cache never sees.
	Live client.Client
	// Recorder records events.
	Recorder events.EventRecorder
	// Clock tells the time.
	Clock clock.Clock
	// Crash is called with the name of each point at which a death of the process is tested; nil outside of tests.
	Crash func(point string)
}

// maxNote is the limit of the API for the note of an event.
const maxNote = 1000

// Event records something that happened to an object. action is a verb in the imperative, as in "Claim".
func (k Kit) Event(obj runtime.Object, kind, reason, action, note string) {
	if k.Recorder != nil {
		k.Recorder.Eventf(obj, nil, kind, reason, action, "%s", Limit(note, maxNote))
	}
}

// Point marks a place at which a crash must lose and repeat nothing.
func (k Kit) Point(name string) {
	if k.Crash != nil {
		k.Crash(name)
	}
}

// RateLimiter gives the pauses between tries of one object after errors. There is no limit over all objects: one that
// fails must not slow down those that work.
func RateLimiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, time.Minute)
}
