package endpoint

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*corev1.Service, *discoveryv1.EndpointSlice)
		says   string
	}{
		{"takes its own shape", func(*corev1.Service, *discoveryv1.EndpointSlice) {}, ""},
		{"takes annotations of the user", func(s *corev1.Service, _ *discoveryv1.EndpointSlice) {
			s.Annotations = map[string]string{"example.org/pool": "a"}
		}, ""},
		{"refuses a selector", func(s *corev1.Service, _ *discoveryv1.EndpointSlice) {
			s.Spec.Selector = map[string]string{"a": "b"}
		}, "has a selector"},
		{"refuses another name of the port", func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { s.Spec.Ports[0].Name = "web" }, "no port named http"},
		{"refuses another port of the slice", func(_ *corev1.Service, e *discoveryv1.EndpointSlice) { *e.Ports[0].Port = 9091 }, "does not lead to the old server"},
		{"refuses a second address", func(_ *corev1.Service, e *discoveryv1.EndpointSlice) {
			e.Endpoints = append(e.Endpoints, e.Endpoints[0])
		}, "does not lead to the old server"},
		{"refuses a slice of another Service", func(_ *corev1.Service, e *discoveryv1.EndpointSlice) {
			e.Labels[discoveryv1.LabelServiceName] = "grafana"
		}, "would not find it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			service, slice := shape().Service(), shape().Slice(Source, oldServer)
			c.change(service, slice)
			err := shape().Check(service, slice, oldServer)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if err := shape().Check(nil, nil, oldServer); err == nil {
		t.Error("nothing at all was taken")
	}
}

func TestSideOf(t *testing.T) {
	pod := Pod{Addresses: []netip.Addr{podIP}, Port: 9090}
	for _, c := range []struct {
		name  string
		slice *discoveryv1.EndpointSlice
		want  Side
	}{
		{"none without a slice", nil, None},
		{"source by its address", shape().Slice(Source, oldServer), Source},
		{"target by its address, whatever the label says", shape().Slice(Source, netip.AddrPortFrom(podIP, 9090)), Target},
		{"target that had another address", shape().Slice(Target, netip.MustParseAddrPort("10.244.1.6:9090")), Target},
		{"none for an address of nobody", shape().Slice(Source, netip.MustParseAddrPort("198.18.0.99:9090")), None},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := SideOf(c.slice, oldServer, pod); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
