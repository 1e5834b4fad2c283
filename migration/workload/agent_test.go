package workload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"
)

// oldPod is a server of a StatefulSet, beside which an agent stands.
func oldPod() AgentOptions {
	return AgentOptions{
		Image: "registry.shop/slipway:0.1.0", PullPolicy: corev1.PullIfNotPresent, ServerURL: "http://prometheus.monitoring.svc:9090", Service: corev1.ServiceTypeNodePort,
		Credentials: map[string][]byte{"ca.crt": []byte("authority"), "tls.crt": []byte("certificate"), "tls.key": []byte("key")},
		Pod: &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "prometheus-0", Namespace: "monitoring", Labels: map[string]string{
				"app": "prometheus", "controller-revision-hash": "prometheus-6b7", "statefulset.kubernetes.io/pod-name": "prometheus-0"}},
			Spec: corev1.PodSpec{
				SecurityContext: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1000), FSGroup: ptr.To[int64](2000)},
				Tolerations:     []corev1.Toleration{{Key: "storage", Operator: corev1.TolerationOpExists}, {Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists}},
				Containers: []corev1.Container{{Name: "reloader"}, {
					Name: "prometheus", Args: []string{"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"},
					VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/prometheus"}, {Name: "data", MountPath: "/prometheus", SubPath: "prometheus-db"}},
				}},
				Volumes: []corev1.Volume{
					{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
					{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-prometheus-0"}}},
				},
			},
		},
	}
}

func TestAgentStandsBesideThePod(t *testing.T) {
	all, err := Agent(oldPod())
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, object := range []any{all.Secret, all.Deployment, all.Service} {
		one, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, string(one))
	}
	golden.Check(t, "testdata/agent.golden.yaml", strings.Join(text, "---\n"))
}

func TestAgentHoldsToThePod(t *testing.T) {
	tests := map[string]struct {
		change func(o *AgentOptions, server *corev1.Container)
		check  func(all *AgentObjects) any
		want   any
	}{
		"where the pod gives its volume no group, the agent gives none": {
			func(o *AgentOptions, _ *corev1.Container) { o.Pod.Spec.SecurityContext.FSGroup = nil },
			func(all *AgentObjects) any {
				s := all.Deployment.Spec.Template.Spec
				return []any{s.SecurityContext.FSGroup == nil, s.SecurityContext.FSGroupChangePolicy == nil, *s.Volumes[1].Secret.DefaultMode}
			}, []any{true, true, int32(0o444)}},
		"the user of the container counts more than that of the pod": {
			func(_ *AgentOptions, c *corev1.Container) {
				c.SecurityContext = &corev1.SecurityContext{RunAsUser: ptr.To[int64](65534)}
			},
			func(all *AgentObjects) any { return *all.Deployment.Spec.Template.Spec.SecurityContext.RunAsUser }, int64(65534)},
		"a pod of a Deployment is found by its labels, without those of a revision": {
			func(o *AgentOptions, _ *corev1.Container) {
				o.Pod.Labels = map[string]string{"app": "prometheus", "pod-template-hash": "x"}
			},
			func(all *AgentObjects) any {
				return all.Deployment.Spec.Template.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector.MatchLabels
			}, map[string]string{"app": "prometheus"}},
		"a data directory inside the volume is named, its volume mounted as it is": {
			func(_ *AgentOptions, c *corev1.Container) {
				c.Args = []string{"--storage.tsdb.path", "/prometheus/tsdb/"}
			},
			func(all *AgentObjects) any {
				c := all.Deployment.Spec.Template.Spec.Containers[0]
				return []string{c.Command[2], c.VolumeMounts[0].MountPath}
			}, []string{"-data=/prometheus/tsdb", "/prometheus"}},
		"a relative one is below the working directory": {
			func(_ *AgentOptions, c *corev1.Container) {
				c.Args, c.WorkingDir = []string{"--storage.tsdb.path=tsdb"}, "/prometheus"
			},
			func(all *AgentObjects) any { return all.Deployment.Spec.Template.Spec.Containers[0].Command[2] }, "-data=/prometheus/tsdb"},
		"a Secret that is there already is named": {
			func(o *AgentOptions, _ *corev1.Container) { o.Credentials, o.Secret = nil, "mine" },
			func(all *AgentObjects) any {
				return []any{all.Secret == nil, all.Deployment.Spec.Template.Spec.Volumes[1].Secret.SecretName}
			}, []any{true, "mine"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := oldPod()
			test.change(&o, &o.Pod.Spec.Containers[1])
			all, err := Agent(o)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, test.check(all)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAgentRefusesWhatItCannotSee(t *testing.T) {
	tests := map[string]struct {
		change func(o *AgentOptions, server *corev1.Container)
		want   string
	}{
		"a pod without a volume": {func(_ *AgentOptions, c *corev1.Container) { c.VolumeMounts = c.VolumeMounts[:1] }, "no volume is mounted at its data directory /prometheus"},
		"a volume of no claim": {func(o *AgentOptions, _ *corev1.Container) {
			o.Pod.Spec.Volumes[1].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}, "the volume data at /prometheus is of no claim"},
		"a path that depends on the pod":                  {func(_ *AgentOptions, c *corev1.Container) { c.VolumeMounts[1].SubPathExpr = "$(POD_NAME)" }, "subPathExpr"},
		"containers of which none says where its data is": {func(_ *AgentOptions, c *corev1.Container) { c.Args = nil }, "say which one is the Prometheus server"},
		"a container that is not there":                   {func(o *AgentOptions, _ *corev1.Container) { o.Container = "x" }, "the containers reloader, prometheus"},
		"a pod without labels":                            {func(o *AgentOptions, _ *corev1.Container) { o.Pod.Labels = nil }, "has no label"},
		"a pod without a namespace":                       {func(o *AgentOptions, _ *corev1.Container) { o.Pod.Namespace = "" }, "no name or no namespace"},
		"a port on nodes for a Service without one":       {func(o *AgentOptions, _ *corev1.Container) { o.Service, o.NodePort = corev1.ServiceTypeClusterIP, 30000 }, "has no port on nodes"},
		"a name that no Service can have":                 {func(o *AgentOptions, _ *corev1.Container) { o.Name = "0-agent" }, `cannot be called "0-agent"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := oldPod()
			test.change(&o, &o.Pod.Spec.Containers[1])
			if _, err := Agent(o); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
