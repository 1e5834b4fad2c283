package kubetest

import (
	"errors"
	"net/http"
	"sync"
)

// ErrDead is what everything answers after an operator died.
var ErrDead = errors.New("this operator is dead")

// Life is that of an operator which dies at a named point: from then on it reaches nothing.
type Life struct {
	point string
	once  sync.Once
	ended chan struct{}
}

// NewLife ends at a point.
func NewLife(point string) *Life { return &Life{point: point, ended: make(chan struct{})} }

// Crash ends the life at its point; it is what an operator calls at each.
func (l *Life) Crash(point string) {
	if point == l.point {
		l.once.Do(func() { close(l.ended) })
	}
}

// Ended is closed at the end.
func (l *Life) Ended() <-chan struct{} { return l.ended }

// Dead says that the end has come.
func (l *Life) Dead() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// Wrap makes a way to the API server that does not work for the dead.
func (l *Life) Wrap(next http.RoundTripper) http.RoundTripper { return mortal{next, l} }

type mortal struct {
	http.RoundTripper
	life *Life
}

// RoundTrip asks for the living.
func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.life.Dead() {
		return nil, ErrDead
	}
	return m.RoundTripper.RoundTrip(r)
}
