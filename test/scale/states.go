package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// states follows the states of all deployments. It watches deployments alone: to follow 20,000 machines would cost
// more than what is measured.
type states struct {
	mu      sync.Mutex
	state   map[string]string
	changed chan struct{}
	err     error
}

func watchStates(ctx context.Context, c client.WithWatch) (*states, error) {
	w, err := c.Watch(ctx, &v1alpha1.ClusterDeploymentList{}, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("watching deployments: %w", err)
	}
	s := &states{state: map[string]string{}, changed: make(chan struct{}, 1)}
	go s.follow(ctx, c, w)
	return s, nil
}

func (s *states) follow(ctx context.Context, c client.WithWatch, w watch.Interface) {
	version := ""
	for {
		for e := range w.ResultChan() {
			if d, ok := e.Object.(*v1alpha1.ClusterDeployment); ok {
				version = d.ResourceVersion
				s.note(d, e.Type == watch.Deleted)
			}
		}
		var err error
		w, err = c.Watch(ctx, &v1alpha1.ClusterDeploymentList{}, client.InNamespace(namespace), &client.ListOptions{Raw: since(version)})
		if err != nil {
			s.mu.Lock()
			s.err = fmt.Errorf("watching deployments: %w", err)
			s.mu.Unlock()
			s.wake()
			return
		}
	}
}

func (s *states) note(d *v1alpha1.ClusterDeployment, gone bool) {
	s.mu.Lock()
	if gone {
		delete(s.state, d.Name)
	} else {
		s.state[d.Name] = d.Status.State
		if d.Status.ObservedGeneration != d.Generation {
			s.state[d.Name] += " (not yet)"
		}
	}
	s.mu.Unlock()
	s.wake()
}

func (s *states) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// wait waits until n deployments exist and all are in a state that is wanted.
func (s *states) wait(ctx context.Context, n int, wanted func(string) bool) error {
	for {
		good, counts, err := s.count(wanted)
		if err != nil {
			return err
		}
		if len(counts) == 0 && n == 0 || good == n && total(counts) == n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deployments by state: %v: %w", counts, ctx.Err())
		case <-s.changed:
		}
	}
}

func (s *states) count(wanted func(string) bool) (good int, counts map[string]int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts = map[string]int{}
	for _, state := range s.state {
		counts[state]++
		if wanted(state) {
			good++
		}
	}
	return good, counts, s.err
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}
