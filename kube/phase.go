package kube

import (
	"context"
	"time"
)

// Result is what a phase asks for.
type Result struct {
	// RequeueAfter asks for another pass after this time; 0 asks for none.
	RequeueAfter time.Duration
	// Stop ends the list of phases without an error.
	Stop bool
}

// Phase is one step of a reconciler. It observes again what it depends on, and can be run any number of times.
type Phase[S any] func(ctx context.Context, scope *S) (Result, error)

// Run runs phases in order until one stops or returns an error. The shortest wait that a phase asked for wins.
func Run[S any](ctx context.Context, scope *S, phases ...Phase[S]) (Result, error) {
	var total Result
	for _, phase := range phases {
		r, err := phase(ctx, scope)
		total.RequeueAfter = Sooner(total.RequeueAfter, r.RequeueAfter)
		if err != nil {
			return total, err
		}
		if r.Stop {
			total.Stop = true
			return total, nil
		}
	}
	return total, nil
}

// Sooner returns the shorter of two waits, where 0 means none.
func Sooner(a, b time.Duration) time.Duration {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}
