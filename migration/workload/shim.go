package workload

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// ShimPort is that of the shim's Service and container.
const ShimPort = 9798

// ShimURL is where the target reaches the shim. The certificate that it shows is made out to slipway-source, whatever the address.
func (w *Workload) ShimURL() string {
	return fmt.Sprintf("https://%s.%s.svc:%d/api/v1/read", ObjectName(w.o.Name, RoleShim), w.o.Namespace, ShimPort)
}

// Shim answers the target's remote read from the source. The boundary is kept beside the target's data, so a new pod has the same one.
func (w *Workload) Shim() (*appsv1.Deployment, *corev1.Service, error) {
	if w.o.ShimSecret == "" {
		return nil, nil, fmt.Errorf("planning the pods of migration %s: the shim has no Secret with its certificates", w.o.Name)
	}
	args := []string{"prometheus", "shim", flag("source", w.o.Source.URL), flag("target", w.o.TargetURL), flag("state", MoveFolder+"/shim.json"),
		flag("listen", ":"+strconv.Itoa(ShimPort)), flag("credentials", shimFolder)}
	if x := w.o.Transfer; x.LongestScrape > 0 {
		args = append(args, flag("settle", x.twoScrapes().String()))
	}
	t, err := w.template(RoleShim, pod{args: args, volume: true, secrets: []mount{{w.o.ShimSecret, shimFolder}}})
	if err != nil {
		return nil, nil, err
	}
	t.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "https", ContainerPort: ShimPort}}
	// The kubelet has no certificate that the shim would take: it can see that somebody listens, and not more.
	t.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("https")}},
		PeriodSeconds: 2, FailureThreshold: 2}
	labels := map[string]string{LabelName: w.o.Name, LabelRole: string(RoleShim)}
	d := &appsv1.Deployment{ObjectMeta: w.meta(RoleShim), Spec: appsv1.DeploymentSpec{
		// Two at once would each find a boundary.
		Replicas: ptr.To[int32](1), Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: t,
	}}
	d.APIVersion, d.Kind = appsv1.SchemeGroupVersion.String(), "Deployment"
	d.Annotations = map[string]string{AnnotationDigest: t.Annotations[AnnotationDigest]}
	s := &corev1.Service{ObjectMeta: w.meta(RoleShim), Spec: corev1.ServiceSpec{
		Selector: labels, Ports: []corev1.ServicePort{{Name: "https", Port: ShimPort, TargetPort: intstr.FromString("https")}},
	}}
	s.APIVersion, s.Kind = "v1", "Service"
	return d, s, nil
}
