// Package kubetest holds what tests of controllers against a real API server need: waiting for a condition, namespaces
// of their own and managers that are started and stopped. The API server itself comes from plane/planetest.
package kubetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Patience is how long Eventually waits unless told otherwise.
const Patience = 2 * time.Minute

// pause is the time between two looks.
const pause = 50 * time.Millisecond

// Eventually looks until check returns nil, and fails the test with its last error when that takes too long.
func Eventually(t testing.TB, what string, check func(ctx context.Context) error) {
	t.Helper()
	Within(t, Patience, what, check)
}

// Within is Eventually with a patience of its own.
func Within(t testing.TB, patience time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not happen within %s: %v", what, patience, last)
		case <-tick.C:
		}
	}
}

// Consistently looks for a while and fails the test with the first error of check.
func Consistently(t testing.TB, patience time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if err := check(t.Context()); err != nil {
			t.Fatalf("%s did not hold: %v", what, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Client makes a client that reads from the API server.
func Client(t testing.TB, config *rest.Config, scheme *runtime.Scheme) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	return c
}

// Namespace makes a namespace for one test. It stays: the plane of the tests is thrown away.
func Namespace(t testing.TB, c client.Client) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	return ns.Name
}

// Run starts a manager. The returned function stops it and waits for its end; it is also called at the end of the test.
func Run(t testing.TB, mgr manager.Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("the manager ended with an error: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// Must makes an object or fails the test.
func Must(t testing.TB, c client.Client, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatalf("making %T %s: %v", o, o.GetName(), err)
		}
	}
}

// Change reads an object anew and patches it until no one else gets in between.
func Change[T client.Object](t testing.TB, c client.Client, obj T, mutate func(T)) {
	t.Helper()
	Eventually(t, fmt.Sprintf("changing %T %s", obj, obj.GetName()), func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		base := obj.DeepCopyObject().(client.Object)
		mutate(obj)
		return c.Patch(ctx, obj, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	})
}
