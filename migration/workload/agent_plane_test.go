//go:build plane

package workload

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/kube/kubetest"
)

// TestTheAPIServerTakesAnAgent asks a real API server, in a namespace that enforces the restricted standard of pod security.
func TestTheAPIServerTakesAnAgent(t *testing.T) {
	c := kubetest.Client(t, apiServer, clientgoscheme.Scheme)
	kubetest.Must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "old-monitoring", Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}}})
	o := oldPod()
	o.Pod.Namespace = "old-monitoring"
	all, err := Agent(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []client.Object{all.Secret, all.Deployment, all.Service} {
		if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
			t.Errorf("%T: %v", object, err)
		}
	}
	template := all.Deployment.Spec.Template
	admitted(t, c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "old-monitoring", Name: "agent", Labels: template.Labels}, Spec: template.Spec}, "")
}
