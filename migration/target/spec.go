package target

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/migration/skew"
)

// Migration is the part of a PrometheusMigration that says what moves where; its other fields are read by others.
type Migration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              MigrationSpec `json:"spec"`
	// Status is not looked at.
	Status json.RawMessage `json:"status,omitempty"`
}

// MigrationSpec holds the fields of the target and those around them.
type MigrationSpec struct {
	Source SourceSpec `json:"source"`
	Target Spec       `json:"target"`
	// The rest is about the way and not about the target.
	Seed              json.RawMessage `json:"seed,omitempty"`
	Transfer          json.RawMessage `json:"transfer,omitempty"`
	Coverage          json.RawMessage `json:"coverage,omitempty"`
	Cutover           json.RawMessage `json:"cutover,omitempty"`
	Gates             json.RawMessage `json:"gates,omitempty"`
	Approved          json.RawMessage `json:"approved,omitempty"`
	Goal              json.RawMessage `json:"goal,omitempty"`
	ObserveForSeconds json.RawMessage `json:"observeForSeconds,omitempty"`
}

// SourceSpec is where the old server is.
type SourceSpec struct {
	// URL is the address that the target and the users' Service reach the old server at.
	URL     string          `json:"url"`
	DataDir string          `json:"dataDir,omitempty"`
	Host    HostSpec        `json:"host,omitempty"`
	Agent   json.RawMessage `json:"agent,omitempty"`
}

// HostSpec is the machine of the old server.
type HostSpec struct {
	// Address is an IP address: the user's Service leads to it until the cutover.
	Address          string `json:"address,omitempty"`
	User             string `json:"user,omitempty"`
	SSHKeySecretName string `json:"sshKeySecretName,omitempty"`
}

// Spec is what the user wants of the new server: one of the two.
type Spec struct {
	StatefulSet *StatefulSetSpec `json:"statefulSet,omitempty"`
	Prometheus  *PrometheusSpec  `json:"prometheus,omitempty"`
}

// StatefulSetSpec is a server that Slipway writes the manifests of.
type StatefulSetSpec struct {
	Name string `json:"name"`
	// Image has the version as its tag, unless Version says it.
	Image   string `json:"image"`
	Version string `json:"version,omitempty"`
	// Retention is a duration of Prometheus such as 180d; default: the source's. It may not be shorter.
	Retention string `json:"retention,omitempty"`
	// RetentionSize is a size of Prometheus such as 800GB; default: the source's.
	RetentionSize   string                      `json:"retentionSize,omitempty"`
	Storage         StorageSpec                 `json:"storage"`
	SecurityContext *corev1.PodSecurityContext  `json:"securityContext,omitempty"`
	Resources       corev1.ResourceRequirements `json:"resources,omitempty"`
	Service         ServiceSpec                 `json:"service,omitempty"`
	// ConfigMapName is what holds the configuration; default: the name. A configuration with secrets in it becomes a Secret of this name.
	ConfigMapName string   `json:"configMapName,omitempty"`
	Shim          ShimSpec `json:"shim,omitempty"`
}

// PrometheusSpec names a Prometheus of Prometheus Operator.
type PrometheusSpec struct {
	Name string `json:"name"`
	// Retention may not be shorter than the source's; default: the source's.
	Retention string   `json:"retention,omitempty"`
	Shim      ShimSpec `json:"shim,omitempty"`
}

// StorageSpec is the volume of the data.
type StorageSpec struct {
	// ClassName is the StorageClass; empty means the cluster's default one.
	ClassName string `json:"className,omitempty"`
	// Size is the size of the claim; default: what is known to be needed.
	Size *resource.Quantity `json:"size,omitempty"`
	// VolumeName names a PersistentVolume that exists already.
	VolumeName string `json:"volumeName,omitempty"`
}

// ServiceSpec is the Service that users and Grafana ask.
type ServiceSpec struct {
	// Type is ClusterIP (default), NodePort or LoadBalancer.
	Type corev1.ServiceType `json:"type,omitempty"`
	// NodePort is 30000 to 32767; 0 lets the cluster choose.
	NodePort int32 `json:"nodePort,omitempty"`
}

// ShimSpec is the read shim, which answers for the time before the target's own data.
type ShimSpec struct {
	// URL is where the target reaches it; default http://127.0.0.1:9798/api/v1/read.
	URL string `json:"url,omitempty"`
	// Image and Args make it a container beside the server; without an image it runs elsewhere.
	Image string   `json:"image,omitempty"`
	Args  []string `json:"args,omitempty"`
}

const defaultShimURL = "http://127.0.0.1:9798/api/v1/read"

// ReadMigration reads a spec strictly: a field that nobody knows is an error.
func ReadMigration(data []byte) (*Migration, error) {
	var m Migration
	if err := yaml.UnmarshalStrict(data, &m); err != nil {
		return nil, fmt.Errorf("reading the spec: %w", err)
	}
	if m.Kind != "PrometheusMigration" || m.APIVersion != "migration.slipway.dev/v1alpha1" {
		return nil, fmt.Errorf("reading the spec: it is %s of %s; want PrometheusMigration of migration.slipway.dev/v1alpha1", orNone(m.Kind), orNone(m.APIVersion))
	}
	return &m, m.validate()
}

func orNone(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

func (m *Migration) validate() error {
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
		if t.Prometheus.Name == "" {
			return fmt.Errorf("reading the spec: target.prometheus.name is empty")
		}
		return t.Prometheus.Shim.validate("target.prometheus.shim")
	}
	return t.StatefulSet.validate()
}

func (s *StatefulSetSpec) validate() error {
	const at = "reading the spec: target.statefulSet."
	// The pods' names and their label with the revision have 63 characters.
	if bad := validation.IsDNS1035Label(s.Name); len(bad) > 0 || len(s.Name) > 45 {
		return fmt.Errorf(at+"name %q: want at most 45 small letters, digits and dashes that begin with a letter", s.Name)
	}
	if _, err := s.version(); err != nil {
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
	return s.Shim.validate("target.statefulSet.shim")
}

func (s ShimSpec) validate(at string) error {
	u, err := url.Parse(s.url())
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("reading the spec: %s.url is no address like %s", at, defaultShimURL)
	}
	if s.Image == "" && len(s.Args) > 0 {
		return fmt.Errorf("reading the spec: %s.args are given without an image", at)
	}
	return nil
}

func (s ShimSpec) url() string {
	if s.URL == "" {
		return defaultShimURL
	}
	return s.URL
}

// version is that of the server in the image.
func (s *StatefulSetSpec) version() (skew.Version, error) {
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

// address is where the user's Service leads until the cutover: an EndpointSlice holds IP addresses alone.
func (s SourceSpec) address() (netip.Addr, error) {
	text := s.Host.Address
	if text == "" {
		u, err := url.Parse(s.URL)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("reading source.url: %w", err)
		}
		text = u.Hostname()
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return a, fmt.Errorf("source.host.address is needed: the Service leads to the old server until the cutover, and %q is no IP address", text)
	case a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast():
		return a, fmt.Errorf("source.host.address %s cannot be reached from a pod; give the address that other machines use", a)
	}
	return a.Unmap(), nil
}

// port is that of the old server's address.
func (s SourceSpec) port() int32 {
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
