//go:build plane

package target

import (
	"context"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/plane/planetest"
)

var apiServer *rest.Config

func TestMain(m *testing.M) { os.Exit(planetest.Main(m, func(c *rest.Config) { apiServer = c })) }

// TestTheAPIServerTakesTheManifests asks a real API server, in a namespace that enforces the restricted standard of pod security.
func TestTheAPIServerTakesTheManifests(t *testing.T) {
	c := kubetest.Client(t, apiServer, clientgoscheme.Scheme)
	kubetest.Must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}})
	for _, stage := range []Stage{Bridge, Verify, CutOver, Final} {
		t.Run("every object of "+string(stage), func(t *testing.T) {
			o := shop(t)
			o.Stage, o.ShimSecret = stage, "ecs-metrics-target"
			for _, obj := range manifests(t, o, "") {
				// An object of a kind that the standard does not look at is checked by its schema; the pod itself follows below.
				if err := c.Create(t.Context(), obj, client.DryRunAll); err != nil {
					t.Errorf("%T %s: %v", obj, obj.GetName(), err)
				}
			}
		})
	}
	cases := []struct {
		name, old, new, want string
	}{
		{"the own template's pod is restricted", "", "", ""},
		{"a pod that may become root is refused", "securityContext: {{ json .ContainerSecurity }}", "securityContext: {allowPrivilegeEscalation: true}",
			`violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`},
		{"a pod with a folder of the host is refused", "      volumes:\n", "      volumes:\n        - {name: host, hostPath: {path: /data}}\n", "restricted volume types"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			for _, obj := range manifests(t, shop(t), strings.Replace(Template(), test.old, test.new, 1)) {
				set, ok := obj.(*appsv1.StatefulSet)
				if !ok {
					continue
				}
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: set.Name + "-0"}, Spec: set.Spec.Template.Spec}
				// The API server has no controller that makes the default account of a namespace at once.
				kubetest.Eventually(t, "an answer about the pod", func(ctx context.Context) error {
					err := c.Create(ctx, pod.DeepCopy(), client.DryRunAll)
					switch {
					case err != nil && strings.Contains(err.Error(), "serviceaccount"):
						return err
					case (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want):
						t.Errorf("%v, want %q", err, test.want)
					}
					return nil
				})
			}
		})
	}
}

func manifests(t *testing.T, o Options, template string) []client.Object {
	t.Helper()
	m, err := plan(t, o).Manifests(template)
	if err != nil {
		t.Fatal(err)
	}
	var all []client.Object
	for _, o := range m.Objects {
		all = append(all, o.(client.Object))
	}
	return all
}
