//go:build plane || engine

package migration_test

import (
	"errors"
	"net/http"
	"sync"
)

var errDead = errors.New("this operator is dead")

// life ends at a point: from then on the operator reaches nothing.
type life struct {
	point string
	once  sync.Once
	ended chan struct{}
}

func (l *life) crash(point string) {
	if point == l.point {
		l.once.Do(func() { close(l.ended) })
	}
}

func (l *life) dead() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

type mortal struct {
	http.RoundTripper
	life *life
}

// RoundTrip does not work for the dead.
func (m mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.life.dead() {
		return nil, errDead
	}
	return m.RoundTripper.RoundTrip(r)
}
