package machineset

import (
	"strings"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// pools holds what is reserved in each namespace.
type pools struct {
	mu   sync.Mutex
	each map[string]*pool
}

type pool struct {
	sync.Mutex
	reserved map[string]bool
}

func (p *pools) of(namespace string) *pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.each == nil {
		p.each = map[string]*pool{}
	}
	if p.each[namespace] == nil {
		p.each[namespace] = &pool{reserved: map[string]bool{}}
	}
	return p.each[namespace]
}

// poolDelay is how long machines that become free are gathered before the sets that wait look again.
const poolDelay = 500 * time.Millisecond

// waiting knows the sets that lack machines. It is no truth: after a start every set is looked at.
type waiting struct {
	changed kube.Signal
	mu      sync.Mutex
	sets    map[types.NamespacedName]bool
	timers  map[string]bool
}

func newWaiting() *waiting {
	return &waiting{sets: map[types.NamespacedName]bool{}, timers: map[string]bool{}}
}

func (w *waiting) add(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sets[key] = true
}

func (w *waiting) remove(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sets, key)
}

// requests lists the sets that wait in a namespace, or in all.
func (w *waiting) requests(namespace string) []reconcile.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []reconcile.Request
	for key := range w.sets {
		if namespace == "" || key.Namespace == namespace {
			out = append(out, reconcile.Request{NamespacedName: key})
		}
	}
	return out
}

// poolChanged wakes the sets of a namespace that wait, once for all machines that become free within a moment.
func (w *waiting) poolChanged(namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timers[namespace] {
		return
	}
	w.timers[namespace] = true
	time.AfterFunc(poolDelay, func() {
		w.mu.Lock()
		delete(w.timers, namespace)
		w.mu.Unlock()
		for _, r := range w.requests(namespace) {
			w.changed.Send(r.Namespace + "/" + r.Name)
		}
	})
}

func requestOf(word string) (reconcile.Request, bool) {
	namespace, name, ok := strings.Cut(word, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}, ok
}
