//go:build plane

package executor

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/slipway-dev/slipway/plane/planetest"
)

// TestJobContractInThePlane has the real API server, Job controller and garbage collector; only the node is played: it
// runs the real supervisor over the stand-in, and serves logs to the API server as a kubelet does.
func TestJobContractInThePlane(t *testing.T) {
	client, err := kubernetes.NewForConfig(planetest.Start(t).Config())
	if err != nil {
		t.Fatal(err)
	}
	venv := standinVenv(t)
	var number atomic.Int32
	contract(t, func(t *testing.T) *harness {
		space := fmt.Sprintf("runs-%d", number.Add(1))
		makeNamespace(t, client, space)
		h, k := jobHarness(t, client, space, venv, time.Minute)
		server := httptest.NewTLSServer(k)
		if err := k.register(t.Context(), server); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		k.play(ctx)
		t.Cleanup(func() { cancel(); k.end(); server.Close() })
		return h
	})
}

// makeNamespace waits for the account without which no pod is admitted.
func makeNamespace(t *testing.T, client kubernetes.Interface, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsNotFound(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
