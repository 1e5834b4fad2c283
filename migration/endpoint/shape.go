package endpoint

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const (
	// portName ties the port of the Service to that of the EndpointSlice.
	portName = "http"
	// managedBy keeps Kubernetes' own controllers of EndpointSlices away from ours.
	managedBy = "slipway.dev"
	// LabelLeadsTo says on the EndpointSlice which side it leads to, for kubectl get endpointslices -L and for a pod that has another address by now.
	LabelLeadsTo = "migration.slipway.dev/leads-to"
)

// Shape is what the users' Service is, wherever it leads.
type Shape struct {
	Namespace, Name string
	Labels          map[string]string
	// Type is ClusterIP by default.
	Type corev1.ServiceType
	// Port is that of the Service, 1 to 65535; NodePort 0 lets the cluster choose.
	Port, NodePort int32
	// Selector finds the target's pod. It goes into the Service only after Finalize.
	Selector map[string]string
}

// SliceName is the name of the EndpointSlice of a Service.
func SliceName(service string) string { return service + "-slipway" }

// Service is the Service as it is until Finalize: without a selector. TargetPort is not looked at then; the EndpointSlice names the port.
func (s Shape) Service() *corev1.Service {
	kind := s.Type
	if kind == "" {
		kind = corev1.ServiceTypeClusterIP
	}
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: s.Labels},
		Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{
			Name: portName, Protocol: corev1.ProtocolTCP, Port: s.Port, TargetPort: intstr.FromInt32(s.Port), NodePort: s.NodePort,
		}}},
	}
}

// alone is the Service after Finalize, which Kubernetes leads to the pod by itself.
func (s Shape) alone(port uint16) *corev1.Service {
	service := s.Service()
	service.Spec.Selector = s.Selector
	service.Spec.Ports[0].TargetPort = intstr.FromInt32(int32(port))
	return service
}

// Slice is the EndpointSlice that leads the Service to one address, which is that of a side.
func (s Shape) Slice(side Side, to netip.AddrPort) *discoveryv1.EndpointSlice {
	family := discoveryv1.AddressTypeIPv4
	if to.Addr().Unmap().Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	return &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: SliceName(s.Name), Namespace: s.Namespace,
			Labels: map[string]string{discoveryv1.LabelServiceName: s.Name, discoveryv1.LabelManagedBy: managedBy, LabelLeadsTo: string(side)}},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(portName), Port: ptr.To(int32(to.Port())), Protocol: ptr.To(corev1.ProtocolTCP)}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{to.Addr().Unmap().String()},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
	}
}

// Check says whether a Service and an EndpointSlice, for instance of a template that a user wrote, are of this shape and lead to an address.
// Annotations, labels and what else a Service may have are the user's.
func (s Shape) Check(service *corev1.Service, slice *discoveryv1.EndpointSlice, to netip.AddrPort) error {
	switch {
	case service == nil:
		return fmt.Errorf("there is no Service %s", s.Name)
	case len(service.Spec.Selector) > 0:
		return fmt.Errorf("Service %s has a selector: it would lead to the new server before the cutover", s.Name)
	case !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == portName }):
		return fmt.Errorf("Service %s has no port named %s, which the EndpointSlice names", s.Name, portName)
	case slice == nil:
		return fmt.Errorf("there is no EndpointSlice %s: the Service would lead nowhere", SliceName(s.Name))
	case slice.Labels[discoveryv1.LabelServiceName] != s.Name:
		return fmt.Errorf("EndpointSlice %s has no label %s=%s: the Service would not find it", slice.Name, discoveryv1.LabelServiceName, s.Name)
	case leadsTo(slice) != to:
		return fmt.Errorf("EndpointSlice %s does not lead to the old server at %s alone", slice.Name, to)
	}
	return nil
}

// leadsTo is the one address of a slice; the zero value when it has none, or more than one.
func leadsTo(slice *discoveryv1.EndpointSlice) (to netip.AddrPort) {
	if slice == nil || len(slice.Endpoints) != 1 || len(slice.Endpoints[0].Addresses) != 1 || len(slice.Ports) != 1 || slice.Ports[0].Port == nil ||
		ptr.Deref(slice.Ports[0].Name, "") != portName || !ptr.Deref(slice.Endpoints[0].Conditions.Ready, true) {
		return to
	}
	a, err := netip.ParseAddr(slice.Endpoints[0].Addresses[0])
	port := *slice.Ports[0].Port
	if err != nil || port < 1 || port > 65535 {
		return to
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port))
}

// SideOf reads where a slice leads now; None when it leads elsewhere, or there is none.
func SideOf(slice *discoveryv1.EndpointSlice, source netip.AddrPort, t Pod) Side {
	to := leadsTo(slice)
	switch {
	case !to.IsValid():
		return None
	case to == source:
		return Source
	case slices.Contains(t.Addresses, to.Addr()) || slice.Labels[LabelLeadsTo] == string(Target):
		return Target
	}
	return None
}
