package workload

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
)

// AgentPort is that of the source agent's Service and container.
const AgentPort = 9797

// RoleAgent is the source agent beside an old server that is a pod.
const RoleAgent Role = "agent"

// AgentOptions say beside which pod an agent stands.
type AgentOptions struct {
	// Pod is the old server's, as the cluster shows it. Container is the one of the server; empty: the one that says where its data is, or the
	// only one.
	Pod       *corev1.Pod
	Container string
	// Name is that of the objects; empty: the pod's, a dash, and agent.
	Name string
	// Image is the tools image.
	Image      string
	PullPolicy corev1.PullPolicy
	// ServerURL is where the agent asks the old server, whose latency holds the copy.
	ServerURL string
	// Service is the kind of the Service, NodePort its port where that is wanted; 0: the cluster chooses.
	Service  corev1.ServiceType
	NodePort int32
	// Secret is the name of the Secret with the folder source of slipway prometheus agent init; empty: named after the agent. Credentials are
	// its files; nil: the Secret is there already.
	Secret      string
	Credentials map[string][]byte
}

// AgentObjects are what an agent is made of.
type AgentObjects struct {
	// Secret is nil where it is there already.
	Secret     *corev1.Secret
	Deployment *appsv1.Deployment
	Service    *corev1.Service
}

// Agent is the Deployment, the Service and, with credentials, the Secret of a source agent: on the node of the old server's pod, with its
// claim, as its user. It changes nothing of the pod, and no group of a file of the volume.
func Agent(o AgentOptions) (*AgentObjects, error) {
	server, err := o.server()
	if err != nil {
		return nil, fmt.Errorf("planning an agent: %w", err)
	}
	data := dataOf(server)
	volume, at, err := o.volume(server, data)
	if err != nil {
		return nil, fmt.Errorf("planning an agent beside pod %s: %w", o.Pod.Name, err)
	}
	name := o.Name
	if name == "" {
		name = strings.TrimRight(o.Pod.Name[:min(len(o.Pod.Name), maxName)], "-.") + "-" + string(RoleAgent)
	}
	if len(validation.IsDNS1035Label(name)) > 0 {
		return nil, fmt.Errorf("planning an agent beside pod %s: a Service cannot be called %q: give it another name, of small letters, digits and dashes that begin with a letter", o.Pod.Name, name)
	}
	if o.Secret == "" {
		o.Secret = name
	}
	labels := Labels(name, RoleAgent)
	meta := metav1.ObjectMeta{Name: name, Namespace: o.Pod.Namespace, Labels: labels}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: o.pod(server, data, volume, at)}
	deployment := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"}, ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](1), Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}, // one holds the pin
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{LabelName: name, LabelRole: string(RoleAgent)}}, Template: template,
		}}
	service := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Type: o.Service, Selector: deployment.Spec.Selector.MatchLabels,
		Ports: []corev1.ServicePort{{Name: "blocks", Port: AgentPort, TargetPort: intstr.FromString("blocks"), NodePort: o.NodePort}},
	}}
	all := &AgentObjects{Deployment: deployment, Service: service}
	if o.Credentials != nil {
		all.Secret = &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: *meta.DeepCopy(), Data: o.Credentials}
		all.Secret.Name = o.Secret
	}
	return all, nil
}

// check says what is missing.
func (o *AgentOptions) check() error {
	switch {
	case o.Pod == nil || o.Pod.Name == "" || o.Pod.Namespace == "":
		return errors.New("the old server's pod has no name or no namespace: give it as kubectl get pod NAME -n NAMESPACE -o yaml writes it")
	case len(o.beside()) == 0:
		return fmt.Errorf("pod %s has no label that the agent could find its node by: give it one", o.Pod.Name)
	case o.Image == "":
		return errors.New("the image is missing: it is the one that slipway image build makes")
	case o.ServerURL == "":
		return errors.New("the address of the old server is missing, as in http://prometheus.monitoring.svc:9090")
	case o.NodePort != 0 && o.Service == corev1.ServiceTypeClusterIP:
		return fmt.Errorf("a Service of type %s has no port on nodes", o.Service)
	}
	return nil
}

// server finds the server's container.
func (o *AgentOptions) server() (*corev1.Container, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	list := o.Pod.Spec.Containers
	i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == o.Container })
	if o.Container == "" {
		i = slices.IndexFunc(list, func(c corev1.Container) bool { _, told := pathFlag(&c); return told })
		if i < 0 && len(list) == 1 {
			i = 0
		}
	}
	if i >= 0 {
		return &list[i], nil
	}
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return nil, fmt.Errorf("pod %s has the containers %s: say which one is the Prometheus server", o.Pod.Name, strings.Join(names, ", "))
}

const dataFlag = "storage.tsdb.path"

// pathFlag reads --storage.tsdb.path.
func pathFlag(c *corev1.Container) (string, bool) {
	args := slices.Concat(c.Command, c.Args)
	for i, arg := range args {
		name, value, equals := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case !strings.HasPrefix(arg, "-") || name != dataFlag:
		case equals:
			return value, true
		case i+1 < len(args):
			return args[i+1], true
		}
	}
	return "", false
}

// dataOf is the server's data directory. The images of prom/prometheus begin in /prometheus, and without any argument have it as their data
// directory (Dockerfile, WORKDIR and CMD); with arguments the program's own default is data/.
func dataOf(c *corev1.Container) string {
	const home = "/prometheus"
	data, told := pathFlag(c)
	switch {
	case !told && len(c.Command)+len(c.Args) == 0:
		return home
	case !told:
		data = "data"
	}
	if path.IsAbs(data) {
		return path.Clean(data)
	}
	if c.WorkingDir != "" {
		return path.Join(c.WorkingDir, data)
	}
	return path.Join(home, data)
}

// volume is the claim that the data lies on, and where the server mounts it.
func (o *AgentOptions) volume(c *corev1.Container, data string) (corev1.Volume, corev1.VolumeMount, error) {
	var at *corev1.VolumeMount
	for i, m := range c.VolumeMounts {
		folder := path.Clean(m.MountPath)
		if (data == folder || strings.HasPrefix(data, strings.TrimSuffix(folder, "/")+"/")) && (at == nil || len(folder) > len(path.Clean(at.MountPath))) {
			at = &c.VolumeMounts[i]
		}
	}
	if at == nil {
		return corev1.Volume{}, corev1.VolumeMount{}, fmt.Errorf("no volume is mounted at its data directory %s: its blocks are gone with the pod, and no other pod sees them", data)
	}
	i := slices.IndexFunc(o.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == at.Name })
	if i < 0 || o.Pod.Spec.Volumes[i].PersistentVolumeClaim == nil {
		return corev1.Volume{}, corev1.VolumeMount{}, fmt.Errorf("the volume %s at %s is of no claim: no other pod can mount it", at.Name, at.MountPath)
	}
	if at.SubPathExpr != "" {
		return corev1.Volume{}, corev1.VolumeMount{}, fmt.Errorf("the volume %s has subPathExpr %q, which another pod reads otherwise", at.Name, at.SubPathExpr)
	}
	claim := o.Pod.Spec.Volumes[i].PersistentVolumeClaim.ClaimName
	return corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}},
		corev1.VolumeMount{Name: "data", MountPath: at.MountPath, SubPath: at.SubPath}, nil
}

// pod is the agent's.
func (o *AgentOptions) pod(server *corev1.Container, data string, volume corev1.Volume, at corev1.VolumeMount) corev1.PodSpec {
	asked, mode := o.security(server), int32(0o440)
	if asked.FSGroup == nil { // then the files of a Secret belong to root, and nobody else is in this pod
		mode = 0o444
	}
	secret := corev1.Volume{Name: "credentials", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: o.Secret, DefaultMode: &mode}}}
	return corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false), EnableServiceLinks: ptr.To(false), ImagePullSecrets: o.Pod.Spec.ImagePullSecrets,
		SecurityContext: asked, Tolerations: o.tolerations(),
		// A ReadWriteOnce volume is on one node at a time.
		Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: o.beside()}, TopologyKey: corev1.LabelHostname}}}},
		Volumes: []corev1.Volume{volume, secret},
		Containers: []corev1.Container{{
			Name: ContainerName, Image: o.Image, ImagePullPolicy: o.PullPolicy,
			Command: []string{"/slipway-agent", "source", "-data=" + data, "-listen=:" + strconv.Itoa(AgentPort), "-credentials=" + agentFolder, "-server=" + o.ServerURL},
			Ports:   []corev1.ContainerPort{{Name: "blocks", ContainerPort: AgentPort}},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")}},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			ReadinessProbe:           &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("blocks")}}},
			VolumeMounts:             []corev1.VolumeMount{at, {Name: "credentials", MountPath: agentFolder, ReadOnly: true}},
		}},
	}
}

// security is the server's user and groups. A group that the server's pod does not give to its volume is not given by this one either.
func (o *AgentOptions) security(server *corev1.Container) *corev1.PodSecurityContext {
	asked := &corev1.PodSecurityContext{}
	if o.Pod.Spec.SecurityContext != nil {
		asked = o.Pod.Spec.SecurityContext.DeepCopy()
	}
	if own := server.SecurityContext; own != nil {
		if own.RunAsUser != nil {
			asked.RunAsUser = own.RunAsUser
		}
		if own.RunAsGroup != nil {
			asked.RunAsGroup = own.RunAsGroup
		}
	}
	fsGroup := asked.FSGroup
	asked.Sysctls, asked.WindowsOptions, asked.SeccompProfile = nil, nil, nil
	asked.RunAsNonRoot = nil // by the user
	asked = security(asked)
	asked.FSGroup = fsGroup
	if fsGroup == nil {
		asked.FSGroupChangePolicy = nil
	}
	return asked
}

// beside are labels of the old server's pod and of few others: a pod of a StatefulSet is named there.
func (o *AgentOptions) beside() map[string]string {
	if name := o.Pod.Labels[appsv1.StatefulSetPodNameLabel]; name != "" {
		return map[string]string{appsv1.StatefulSetPodNameLabel: name}
	}
	labels := maps.Clone(o.Pod.Labels)
	for _, ofRevision := range []string{appsv1.DefaultDeploymentUniqueLabelKey, appsv1.ControllerRevisionHashLabelKey} {
		delete(labels, ofRevision)
	}
	return labels
}

// tolerations leaves those out that the API server adds to every pod.
func (o *AgentOptions) tolerations() []corev1.Toleration {
	return slices.DeleteFunc(slices.Clone(o.Pod.Spec.Tolerations), func(t corev1.Toleration) bool {
		return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable
	})
}
