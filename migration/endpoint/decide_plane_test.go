//go:build plane

package endpoint

import (
	"net/http"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/kube/kubetest"
	"github.com/slipway-dev/slipway/plane/planetest"
)

var apiServer *rest.Config

func TestMain(m *testing.M) { os.Exit(planetest.Main(m, func(c *rest.Config) { apiServer = c })) }

// TestTheAPIServerTakesEveryDecision goes through a migration with the Service and the EndpointSlice of a real API server.
func TestTheAPIServerTakesEveryDecision(t *testing.T) {
	c := kubetest.Client(t, apiServer, clientgoscheme.Scheme)
	kubetest.Must(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring"}})
	var slice *discoveryv1.EndpointSlice
	var clusterIP string
	for _, s := range []struct {
		name   string
		change func(*Input)
		leads  string
		chosen bool
	}{
		{"to the source in the beginning", func(in *Input) { in.Phase = "Stage" }, "198.18.0.21:9090", false},
		{"to the target after the cutover", func(*Input) {}, "10.244.1.7:9090", false},
		{"back to the source", func(in *Input) { in.Target.Ready = false }, "198.18.0.21:9090", false},
		{"to the target alone", func(in *Input) { in.Phase = "Finalized" }, "10.244.1.7:9090", true},
	} {
		in := input(s.change)
		in.Slice = slice
		d, err := Decide(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []client.Object{d.Service, d.Slice} {
			//nolint:staticcheck // the applied objects are the whole of what is ours
			if err := c.Patch(t.Context(), o, client.Apply, client.FieldOwner("slipway"), client.ForceOwnership); err != nil {
				t.Fatalf("%s: %T: %v", s.name, o, err)
			}
		}
		var service corev1.Service
		slice = &discoveryv1.EndpointSlice{}
		key := client.ObjectKey{Namespace: "monitoring", Name: "prometheus-ecs"}
		if err := c.Get(t.Context(), key, &service); err != nil {
			t.Fatal(err)
		}
		key.Name = SliceName(key.Name)
		if err := c.Get(t.Context(), key, slice); err != nil {
			t.Fatal(err)
		}
		if clusterIP == "" {
			clusterIP = service.Spec.ClusterIP
		}
		if got := leadsTo(slice).String(); got != s.leads || (len(service.Spec.Selector) > 0) != s.chosen || service.Spec.ClusterIP != clusterIP || len(slice.Endpoints) != 1 {
			t.Errorf("%s: it leads to %s with selector %v at %s; want %s", s.name, got, service.Spec.Selector, service.Spec.ClusterIP, s.leads)
		}
	}
}

func TestPodProxyOfARealAPIServer(t *testing.T) {
	web, err := rest.HTTPClientFor(apiServer)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		client *http.Client
		want   Answer
		says   string
	}{
		"a pod that is not there is not ready":   {web, Refused, `pods "prometheus-ecs-0" not found`},
		"who has no right says nothing about it": {&http.Client{Transport: anonymous(t)}, NotAllowed, "40"},
	} {
		p, err := NewPodProxy(c.client, apiServer.Host, "default", "prometheus-ecs-0", 9090, ReadyPath)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Probe(t.Context()); got.Answer != c.want || !strings.Contains(got.Says, c.says) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func anonymous(t *testing.T) http.RoundTripper {
	t.Helper()
	rt, err := rest.TransportFor(rest.AnonymousClientConfig(apiServer))
	if err != nil {
		t.Fatal(err)
	}
	return rt
}
