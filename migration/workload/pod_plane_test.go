//go:build plane

package workload

import (
	"context"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/plane/planetest"
)

var apiServer *rest.Config

func TestMain(m *testing.M) { os.Exit(planetest.Main(m, func(c *rest.Config) { apiServer = c })) }

// TestTheAPIServerTakesTheObjects asks a real API server, in a namespace that enforces the restricted standard of pod security.
func TestTheAPIServerTakesTheObjects(t *testing.T) {
	c := kubetest.Client(t, apiServer, clientgoscheme.Scheme)
	kubetest.Must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring", Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}}})
	asRoot := shop()
	asRoot.Security = &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0)}
	for _, test := range []struct {
		name, want string
		options    Options
	}{
		{"every object and its pod is taken", "", shop()},
		{"a server that runs as root is refused there", "runAsNonRoot != true", asRoot},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, obj := range planned(t, test.options) {
				if err := c.Create(t.Context(), obj.DeepCopyObject().(client.Object), client.DryRunAll); err != nil {
					t.Errorf("%T %s: %v", obj, obj.GetName(), err)
				}
				if template := podOf(obj); template != nil {
					admitted(t, c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: obj.GetName(), Labels: template.Labels}, Spec: template.Spec}, test.want)
				}
			}
		})
	}
}

// admitted asks about a pod; with want empty it has to be taken.
func admitted(t *testing.T, c client.Client, pod *corev1.Pod, want string) {
	t.Helper()
	// The API server has no controller that makes the default account of a namespace at once.
	kubetest.Eventually(t, "an answer about the pod", func(ctx context.Context) error {
		err := c.Create(ctx, pod.DeepCopy(), client.DryRunAll)
		switch {
		case err != nil && strings.Contains(err.Error(), "serviceaccount"):
			return err
		case (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %q", pod.Name, err, want)
		}
		return nil
	})
}
