package target

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strings"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/skew"
)

// Migration is the kind; a plan reads its spec's source and target.
type Migration = v1alpha1.PrometheusMigration

const defaultShimURL = "http://127.0.0.1:9798/api/v1/read"

// ReadMigration reads a manifest of the kind strictly: a field that nobody knows is an error, and so is what Validate finds.
func ReadMigration(data []byte) (*Migration, error) {
	var m Migration
	if err := yaml.UnmarshalStrict(data, &m); err != nil {
		return nil, fmt.Errorf("reading the spec: %w", err)
	}
	if want := v1alpha1.GroupVersion.String(); m.Kind != v1alpha1.Kind || m.APIVersion != want {
		return nil, fmt.Errorf("reading the spec: it is %s of %s; want %s of %s", orNone(m.Kind), orNone(m.APIVersion), v1alpha1.Kind, want)
	}
	return &m, Validate(&m)
}

func orNone(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// Validate says what is wrong with the source's address or the target, as a plan needs them.
func Validate(m *Migration) error {
	if m.Namespace == "" {
		return fmt.Errorf("reading the spec: metadata.namespace is empty; name the namespace of the target")
	}
	u, err := url.Parse(m.Spec.Source.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("reading the spec: source.url is no address like http://monitor:9090 (a password has no place in it)")
	}
	t := m.Spec.Target
	switch {
	case (t.StatefulSet == nil) == (t.Prometheus == nil):
		return fmt.Errorf("reading the spec: target wants either statefulSet or prometheus")
	case t.Prometheus != nil:
		return validatePrometheus(t)
	}
	return validateStatefulSet(t.StatefulSet)
}

func validatePrometheus(t v1alpha1.Target) error {
	const at = "reading the spec: target.prometheus."
	if t.Prometheus.Name == "" {
		return fmt.Errorf(at + "name is empty")
	}
	if name := ServiceName(t); len(validation.IsDNS1035Label(name)) > 0 || len(name) > 45 {
		return fmt.Errorf(at+"serviceName: the users' Service would be called %q; say a name of at most 45 small letters, digits and dashes that begins with a letter", name)
	}
	if s := t.Prometheus.Service; s.NodePort != 0 && s.Type != corev1.ServiceTypeNodePort {
		return fmt.Errorf(at + "service.nodePort is given, but service.type is not NodePort")
	}
	return validateShim(t.Prometheus.Shim, "target.prometheus.shim")
}

func validateStatefulSet(s *v1alpha1.StatefulSetTarget) error {
	const at = "reading the spec: target.statefulSet."
	// The pods' names and their label with the revision have 63 characters.
	if bad := validation.IsDNS1035Label(s.Name); len(bad) > 0 || len(s.Name) > 45 {
		return fmt.Errorf(at+"name %q: want at most 45 small letters, digits and dashes that begin with a letter", s.Name)
	}
	if _, err := serverVersion(s); err != nil {
		return err
	}
	if _, err := model.ParseDuration(s.Retention); s.Retention != "" && err != nil {
		return fmt.Errorf(at+"retention: %w", err)
	}
	switch s.Service.Type {
	case "", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
	default:
		return fmt.Errorf(at+"service.type %q: want ClusterIP, NodePort or LoadBalancer", s.Service.Type)
	}
	if s.Service.NodePort != 0 && s.Service.Type != corev1.ServiceTypeNodePort {
		return fmt.Errorf(at + "service.nodePort is given, but service.type is not NodePort")
	}
	return validateShim(s.Shim, "target.statefulSet.shim")
}

func validateShim(s v1alpha1.Shim, at string) error {
	u, err := url.Parse(shimURL(s))
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("reading the spec: %s.url is no address like %s", at, defaultShimURL)
	}
	if s.Image == "" && len(s.Args) > 0 {
		return fmt.Errorf("reading the spec: %s.args are given without an image", at)
	}
	return nil
}

func shimURL(s v1alpha1.Shim) string {
	if s.URL == "" {
		return defaultShimURL
	}
	return s.URL
}

// serverVersion is that of the server in the image.
func serverVersion(s *v1alpha1.StatefulSetTarget) (skew.Version, error) {
	text := s.Version
	if text == "" {
		name, _, _ := strings.Cut(s.Image, "@")
		if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
			text = name[i+1:]
		}
	}
	v, err := skew.ParseVersion(text)
	if err != nil {
		return v, fmt.Errorf("reading the spec: target.statefulSet: the tag of image %q is no version of Prometheus; say it in version: 3.16.0", s.Image)
	}
	return v, nil
}

// SourceAddress is where the users' Service leads until the cutover: an EndpointSlice holds IP addresses alone.
func SourceAddress(s v1alpha1.Source) (netip.AddrPort, error) {
	var none netip.AddrPort
	text := s.Host.Address
	if text == "" {
		u, err := url.Parse(s.URL)
		if err != nil {
			return none, fmt.Errorf("reading source.url: %w", err)
		}
		text = u.Hostname()
	}
	a, err := netip.ParseAddr(text)
	port := sourcePort(s)
	switch {
	case err != nil:
		return none, fmt.Errorf("source.host.address is needed: the Service leads to the old server until the cutover, and %q is no IP address", text)
	case a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast():
		return none, fmt.Errorf("source.host.address %s cannot be reached from a pod; give the address that other machines use", a)
	case port < 1 || port > math.MaxUint16:
		return none, fmt.Errorf("source.url: its port is none")
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), nil
}

// sourcePort is that of the old server's address.
func sourcePort(s v1alpha1.Source) int32 {
	u, err := url.Parse(s.URL)
	if err != nil {
		return 0
	}
	switch {
	case u.Port() != "":
		var port int32
		if _, err := fmt.Sscanf(u.Port(), "%d", &port); err == nil {
			return port
		}
		return 0
	case u.Scheme == "https":
		return 443
	}
	return 80
}
