package workload

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// What objects are found by.
const (
	LabelName = "migration.slipway.dev/name"
	LabelRole = "migration.slipway.dev/role"
	// AnnotationDigest tells objects of other options apart: a Job's pods cannot be changed, it is deleted and made again.
	AnnotationDigest = "migration.slipway.dev/digest"
)

// Role is what a pod does.
type Role string

// The roles; the name of an object is the migration's, a dash, and the role.
const (
	RoleRehearse  Role = "rehearse"
	RoleShim      Role = "shim"
	RolePreflight Role = "preflight"
	RoleMove      Role = "move"
	RoleProof     Role = "proof"
	RoleCutover   Role = "cutover"
	RoleRollback  Role = "rollback"
	RoleFinalize  Role = "finalize"
)

// ContainerName is the name of the one container of every pod.
const ContainerName = "slipway"

// ObjectName is the name of a role's objects for a migration.
func ObjectName(migration string, r Role) string { return migration + "-" + string(r) }

// Labels are those of a role's objects and pods.
func Labels(migration string, r Role) map[string]string {
	return map[string]string{LabelName: migration, LabelRole: string(r), "app.kubernetes.io/managed-by": "slipway"}
}

func (w *Workload) meta(r Role) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: ObjectName(w.o.Name, r), Namespace: w.o.Namespace, Labels: Labels(w.o.Name, r)}
	if w.o.Owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*w.o.Owner}
	}
	return m
}

// pod is what a role's pod is made of.
type pod struct {
	args    []string
	volume  bool // mounts the claim
	secrets []mount
}

// mount is a Secret at a folder.
type mount struct{ secret, folder string }

// template is the pod of a role, with the digest of all that is in it.
func (w *Workload) template(r Role, p pod) (corev1.PodTemplateSpec, error) {
	container := corev1.Container{
		Name: ContainerName, Image: w.o.Image, ImagePullPolicy: w.o.PullPolicy, Args: p.args,
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		// The end of the log says why a pod stopped, also to whoever only looks at the pod.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false), EnableServiceLinks: ptr.To(false), ImagePullSecrets: w.o.PullSecrets,
		SecurityContext: security(w.o.Security), Tolerations: w.o.Tolerations,
	}
	if p.volume {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: w.o.Volume.ClaimName}}})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: cmp.Or(w.o.Volume.At, DataDir), SubPath: w.o.Volume.SubPath})
		spec.Affinity = w.beside()
	}
	for i, s := range p.secrets {
		name := fmt.Sprintf("secret-%d", i)
		// Read by the pod's group alone: fsGroup is set.
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: s.secret, DefaultMode: ptr.To[int32](0o440)}}})
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: s.folder, ReadOnly: true})
	}
	spec.Containers = []corev1.Container{container}
	t := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: Labels(w.o.Name, r)}, Spec: spec}
	digest, err := digestOf(t)
	if err != nil {
		return t, fmt.Errorf("planning the pod %s: %w", r, err)
	}
	t.Annotations = map[string]string{AnnotationDigest: digest}
	return t, nil
}

func digestOf(t corev1.PodTemplateSpec) (string, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:16], nil
}

// beside asks for the node of the target's pod: a ReadWriteOnce volume is on one node at a time.
func (w *Workload) beside() *corev1.Affinity {
	if len(w.o.TargetPod) == 0 {
		return nil
	}
	return &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		LabelSelector: &metav1.LabelSelector{MatchLabels: maps.Clone(w.o.TargetPod)}, TopologyKey: corev1.LabelHostname,
	}}}}
}

// security fulfils the restricted standard where what was asked for leaves it open. The group of a volume is changed at its root alone: going
// through months of blocks at each start takes minutes.
func security(asked *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	s := &corev1.PodSecurityContext{}
	if asked != nil {
		s = asked.DeepCopy()
	}
	if s.RunAsUser == nil {
		s.RunAsUser = ptr.To[int64](65534)
	}
	if s.RunAsGroup == nil {
		s.RunAsGroup = ptr.To(*s.RunAsUser)
	}
	if s.FSGroup == nil {
		s.FSGroup = ptr.To(*s.RunAsGroup)
	}
	if s.RunAsNonRoot == nil {
		s.RunAsNonRoot = ptr.To(*s.RunAsUser != 0)
	}
	if s.FSGroupChangePolicy == nil {
		s.FSGroupChangePolicy = ptr.To(corev1.FSGroupChangeOnRootMismatch)
	}
	if s.SeccompProfile == nil {
		s.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	return s
}
