package target

import (
	"bytes"
	"cmp"
	_ "embed" // for the template
	"fmt"
	"net"
	"path"
	"strconv"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

//go:embed grafana.yaml
var grafanaTemplate string

// GrafanaTemplate is the template that the manifests of a Grafana come from.
func GrafanaTemplate() string { return grafanaTemplate }

// Defaults of a Grafana: the paths of its packages and of its image, the user of its image, and what its API listens on
// (https://grafana.com/docs/grafana/latest/setup-grafana/configure-docker/).
const (
	GrafanaDataDir         = "/var/lib/grafana"
	GrafanaProvisioningDir = "/etc/grafana/provisioning"
	GrafanaPort            = 3000
	grafanaUser            = 472
	grafanaSize            = "10Gi"
	// GrafanaProvisioningPath is the folder of the volume that has the provisioning of the old one.
	GrafanaProvisioningPath = "slipway/provisioning"
)

// Grafana is one beside the target, as the spec asks for it.
type Grafana struct {
	spec      v1alpha1.GrafanaTarget
	namespace string
	// users is the address of the users' Service.
	users string
}

// NewGrafana reads what the spec says of one; port is that of the users' Service. The spec has one.
func NewGrafana(m *v1alpha1.PrometheusMigration, port uint16) *Grafana {
	g := &Grafana{spec: *m.Spec.Grafana.DeepCopy(), namespace: m.Namespace, users: ServiceURL(ServiceName(m.Spec.Target), m.Namespace, port)}
	g.spec.Name = cmp.Or(g.spec.Name, "grafana")
	if f := g.spec.From; f != nil {
		f.DataDir, f.ProvisioningDir = cmp.Or(f.DataDir, GrafanaDataDir), cmp.Or(f.ProvisioningDir, GrafanaProvisioningDir)
	}
	return g
}

// ServiceURL is where pods reach a Service.
func ServiceURL(name, namespace string, port uint16) string {
	return "http://" + net.JoinHostPort(fmt.Sprintf("%s.%s.svc", name, namespace), strconv.Itoa(int(port)))
}

// Name is that of the Deployment and the Service, ClaimName that of the claim.
func (g *Grafana) Name() string { return g.spec.Name }

// ClaimName is that of the claim.
func (g *Grafana) ClaimName() string { return g.spec.Name + "-data" }

// ConfigName is that of the ConfigMap with the data source of one that begins empty.
func (g *Grafana) ConfigName() string { return g.spec.Name + "-datasources" }

// URL is where pods reach it, UsersURL where its data source leads.
func (g *Grafana) URL() string { return ServiceURL(g.spec.Name, g.namespace, GrafanaPort) }

// UsersURL is the address of the users' Service.
func (g *Grafana) UsersURL() string { return g.users }

// From is the old one with its defaults, nil where there is none.
func (g *Grafana) From() *v1alpha1.GrafanaOrigin { return g.spec.From }

// Selector finds its pod.
func (g *Grafana) Selector() map[string]string {
	return map[string]string{labelName: "grafana", labelInstance: g.spec.Name}
}

// Security is whom its pod runs as, and whoever writes to its volume.
func (g *Grafana) Security() *corev1.PodSecurityContext {
	asked := &corev1.PodSecurityContext{}
	if g.spec.SecurityContext != nil {
		asked = g.spec.SecurityContext.DeepCopy()
	}
	if asked.RunAsUser == nil {
		asked.RunAsUser = ptr.To[int64](grafanaUser)
	}
	return podSecurity(asked)
}

// grafanaValues are what the template can use.
type grafanaValues struct {
	Name, Namespace, Image                 string
	Labels, Selector                       map[string]string
	ConfigName, DataSources                string
	ClaimName, VolumeName, ClassName, Size string
	ServiceType                            corev1.ServiceType
	NodePort                               int32
	DataDir, PluginsDir                    string
	ProvisioningDir, ProvisioningPath      string
	SettingsSecret                         string
	SendsAlerts                            bool
	PodSecurity                            *corev1.PodSecurityContext
	ContainerSecurity                      *corev1.SecurityContext
	Resources                              corev1.ResourceRequirements
}

// Manifests are its objects. One that evaluates its alert rules tells people of what fires.
func (g *Grafana) Manifests(sendsAlerts bool) (*Manifests, error) {
	t, err := template.New("grafana").Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON, "lines": lines}).Parse(grafanaTemplate)
	if err != nil {
		return nil, fmt.Errorf("reading the template of Grafana: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, g.values(sendsAlerts)); err != nil {
		return nil, fmt.Errorf("filling the template of Grafana: %w", err)
	}
	objects, err := Decode(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("reading what the template of Grafana gave: %w", err)
	}
	return &Manifests{YAML: out.Bytes(), Objects: objects}, nil
}

func (g *Grafana) values(sendsAlerts bool) *grafanaValues {
	spec := g.spec
	labels := g.Selector()
	labels[labelManagedBy] = manager
	v := &grafanaValues{
		Name: spec.Name, Namespace: g.namespace, Image: spec.Image, Labels: labels, Selector: g.Selector(),
		ClaimName: g.ClaimName(), VolumeName: spec.Storage.VolumeName, ClassName: spec.Storage.ClassName, Size: grafanaSize,
		ServiceType: cmp.Or(spec.Service.Type, corev1.ServiceTypeClusterIP), NodePort: spec.Service.NodePort,
		DataDir: GrafanaDataDir, ProvisioningDir: GrafanaProvisioningDir, ProvisioningPath: GrafanaProvisioningPath,
		SettingsSecret: spec.SettingsSecretName, SendsAlerts: sendsAlerts, PodSecurity: g.Security(), Resources: spec.Resources,
		// As the chart of its makers has it: the file system of the container stays writable.
		ContainerSecurity: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
	}
	if spec.Storage.Size != nil {
		v.Size = spec.Storage.Size.String()
	}
	if f := spec.From; f != nil {
		v.DataDir, v.ProvisioningDir = f.DataDir, f.ProvisioningDir
	} else {
		v.ConfigName, v.DataSources = g.ConfigName(), freshSources(g.users)
	}
	v.PluginsDir = path.Join(v.DataDir, "plugins")
	return v
}

// freshSources is the provisioning of a Grafana that begins empty.
func freshSources(users string) string {
	return "apiVersion: 1\ndatasources:\n  - {name: Prometheus, uid: prometheus, type: prometheus, access: proxy, isDefault: true, url: " + strconv.Quote(users) + "}\n"
}
