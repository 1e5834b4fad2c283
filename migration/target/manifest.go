package target

import (
	"bytes"
	_ "embed" // for the template
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"strings"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/migration/endpoint"
)

//go:embed template.yaml
var ownTemplate string

// Template is the template that manifests come from unless the user has another one.
func Template() string { return ownTemplate }

// maxObject is what a ConfigMap or Secret can hold (k8s.io/api/core/v1, MaxSecretSize); etcd takes little more with all around it.
const maxObject = corev1.MaxSecretSize

// Labels of everything that a plan writes.
const (
	labelName      = "app.kubernetes.io/name"
	labelInstance  = "app.kubernetes.io/instance"
	labelManagedBy = "app.kubernetes.io/managed-by"
	manager        = "slipway"
)

// file is an entry of the ConfigMap of files.
type file struct{ Key, Path, Text string }

// values are what the template can use.
type values struct {
	Name, Namespace, Image, WorkingDir                   string
	Labels, Selector, SliceLabels                        map[string]string
	ConfigKind, ConfigName, ConfigKey, ConfigDir, Config string
	FilesName                                            string
	Files                                                []file // mounted one by one
	Folders                                              []folder
	ClaimName, VolumeName, ClassName, Size               string
	PodServiceName, SliceName, AddressType               string
	ServiceType                                          corev1.ServiceType
	Port, NodePort, SourcePort                           int32
	SourceAddress, DataDir                               string
	Args                                                 []string
	ReadyPath, HealthyPath                               string
	PodSecurity                                          *corev1.PodSecurityContext
	ContainerSecurity                                    *corev1.SecurityContext
	Resources                                            corev1.ResourceRequirements
	ShimImage                                            string
	ShimArgs                                             []string
	ShimSecret, ShimFolder                               string
}

// Manifests are the objects of a plan.
type Manifests struct {
	// YAML is what the template gave, comments included. It may hold secrets.
	YAML []byte
	// Objects are the same as the types of Kubernetes.
	Objects []runtime.Object
}

// Manifests fills a template, the own one if it is empty, and reads the result strictly. A plan with refusals has none.
func (p *Plan) Manifests(text string) (*Manifests, error) {
	if refused := p.Refusals(); len(refused) > 0 {
		return nil, fmt.Errorf("writing manifests: the plan is refused by %s: %s", refused[0].Rule, refused[0].Says)
	}
	if text == "" {
		text = ownTemplate
	}
	v, err := p.values()
	if err != nil {
		return nil, fmt.Errorf("writing manifests: %w", err)
	}
	t, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON, "lines": lines}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("filling the template: %w", err)
	}
	objects, err := Decode(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("reading what the template gave: %w", err)
	}
	m := &Manifests{YAML: out.Bytes(), Objects: objects}
	return m, p.check(m, v)
}

// toJSON writes what YAML reads as the same value, in one line.
func toJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// lines writes text as lines that people can read, indented below their key, where YAML gives the same text back; else as JSON.
func lines(indent int, text string) (string, error) {
	style := map[bool]string{true: "|", false: "|-"}[strings.HasSuffix(text, "\n")]
	var b strings.Builder
	b.WriteString(style)
	for line := range strings.Lines(text) {
		b.WriteString("\n")
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			b.WriteString(strings.Repeat(" ", indent) + line)
		}
	}
	var back string
	if err := yaml.Unmarshal([]byte(b.String()+"\n"), &back); err != nil || back != text || strings.HasPrefix(text, " ") {
		return toJSON(text)
	}
	return b.String(), nil
}

// Endpoint is the users' Service, and the address of the old server, to which it leads until the cutover. Both are the same for a target of
// Prometheus Operator, but for the labels of its pod.
func (p *Plan) Endpoint() (endpoint.Shape, netip.AddrPort, error) {
	m := p.o.Migration
	spec := m.Spec.Target.StatefulSet
	address, err := SourceAddress(m.Spec.Source)
	if err != nil {
		return endpoint.Shape{}, netip.AddrPort{}, err
	}
	selector := map[string]string{labelName: "prometheus", labelInstance: spec.Name}
	labels := maps.Clone(selector)
	labels[labelManagedBy] = manager
	shape := endpoint.Shape{Namespace: m.Namespace, Name: spec.Name, Labels: labels, Selector: selector,
		Type: spec.Service.Type, Port: p.port, NodePort: spec.Service.NodePort}
	if shape.Type == "" {
		shape.Type = corev1.ServiceTypeClusterIP
	}
	return shape, address, nil
}

// Port is where the new server listens.
func (p *Plan) Port() uint16 { return uint16(p.port) }

func (p *Plan) values() (*values, error) {
	m := p.o.Migration
	spec := m.Spec.Target.StatefulSet
	users, source, err := p.Endpoint()
	if err != nil {
		return nil, err
	}
	slice := users.Slice(endpoint.Source, source)
	v := &values{
		Name: spec.Name, Namespace: m.Namespace, Image: spec.Image, WorkingDir: p.paths.work,
		Labels: users.Labels, Selector: users.Selector, SliceLabels: slice.Labels,
		ConfigKind: "ConfigMap", ConfigName: spec.ConfigMapName, ConfigKey: path.Base(p.paths.config), ConfigDir: p.paths.dir, Config: string(p.Config.Bytes()),
		ClaimName: spec.Name + "-data", VolumeName: spec.Storage.VolumeName, ClassName: spec.Storage.ClassName, Size: ptr.To(p.Size()).String(),
		PodServiceName: spec.Name + "-pod", SliceName: slice.Name, AddressType: string(slice.AddressType),
		ServiceType: users.Type, Port: p.port, NodePort: users.NodePort, SourcePort: int32(source.Port()), SourceAddress: source.Addr().String(),
		DataDir: DataDir, Args: p.Args, ReadyPath: p.prefix + endpoint.ReadyPath, HealthyPath: p.prefix + "/-/healthy",
		PodSecurity: podSecurity(spec.SecurityContext), ContainerSecurity: containerSecurity(), Resources: spec.Resources,
	}
	// The kind is that of all stages: the pod names it, and a pod that changes is a restart.
	if len(p.Config.Secrets())+len(p.o.Source.Config.Secrets()) > 0 {
		v.ConfigKind = "Secret"
	}
	if v.ConfigName == "" {
		v.ConfigName = spec.Name
	}
	v.FilesName = v.ConfigName + "-files"
	v.ShimSecret, v.ShimFolder = p.o.ShimSecret, ShimFolder
	if p.Stage != Final {
		v.ShimImage, v.ShimArgs = spec.Shim.Image, spec.Shim.Args
	}
	if len(v.Config) > maxObject {
		return nil, fmt.Errorf("the configuration has %d bytes, a %s holds %d; move jobs into files of scrape_config_files", len(v.Config), v.ConfigKind, maxObject)
	}
	v.Files, v.Folders, err = p.files(v.ConfigName)
	return v, err
}

// podSecurity fulfils the restricted standard of pod security; what the user says counts. The group of the volume is changed at its
// root alone: going through months of blocks at each start takes minutes.
func podSecurity(asked *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	s := &corev1.PodSecurityContext{}
	if asked != nil {
		s = asked.DeepCopy()
	}
	set := func(field **int64, value int64) {
		if *field == nil {
			*field = &value
		}
	}
	set(&s.RunAsUser, 65534)
	set(&s.RunAsGroup, *s.RunAsUser)
	set(&s.FSGroup, *s.RunAsGroup)
	if s.RunAsNonRoot == nil {
		s.RunAsNonRoot = ptr.To(true)
	}
	if s.FSGroupChangePolicy == nil {
		s.FSGroupChangePolicy = ptr.To(corev1.FSGroupChangeOnRootMismatch)
	}
	if s.SeccompProfile == nil {
		s.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	return s
}

func containerSecurity() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}
