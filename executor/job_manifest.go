package executor

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Labels and annotations of the objects of a run.
const (
	labelRun         = "slipway.dev/run"
	labelManagedBy   = "app.kubernetes.io/managed-by"
	annotationDigest = "slipway.dev/run-digest"
	annotationCancel = "slipway.dev/run-cancelled"
	annotationResult = "slipway.dev/run-result"
)

// Where things are in the container.
const (
	mountInput   = "/etc/slipway/input"
	mountSecrets = "/etc/slipway/secrets"
	mountWork    = "/work"
	container    = "ansible"
	// jobUser must have an entry in the image's /etc/passwd, or ssh refuses to work.
	jobUser = 65532
	// jobGraceSeconds is what a Job lives longer than its run may take.
	jobGraceSeconds = 300
)

// manifests makes the objects of a run: its ConfigMap, its Secret and its Job.
func (o JobOptions) manifests(run Run, digest string) (*corev1.ConfigMap, *corev1.Secret, *batchv1.Job, error) {
	spec := newSpec(run, digest)
	spec.Content = o.ContentDir(run.ContentVersion)
	spec.Work, spec.Input, spec.Secrets, spec.Stream = mountWork, mountInput, mountSecrets, true
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encoding the run: %w", err)
	}
	meta := o.meta(run, digest)
	config := &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta, Immutable: ptr.To(true),
		Data: map[string]string{
			fileSpec: string(text), fileSupervisor: string(supervisor), fileInventory: string(run.Inventory),
			fileVars: string(object(run.Vars)), fileKnownHosts: string(run.KnownHosts),
		},
	}
	secret := &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta, Immutable: ptr.To(true),
		Type: "slipway.dev/run", Data: map[string][]byte{fileVars: object(run.SecretVars)},
	}
	for name, key := range run.Keys {
		secret.Data[keyPrefix+name] = key
	}
	job := &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: meta, Spec: o.jobSpec(run, meta, spec.TimeoutSeconds)}
	return config, secret, job, nil
}

// keyPrefix begins the name of a key in the Secret, so that it cannot be taken for the vars.
const keyPrefix = "key."

func (o JobOptions) meta(run Run, digest string) metav1.ObjectMeta {
	labels := maps.Clone(run.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[labelRun], labels[labelManagedBy] = run.Name, "slipway"
	meta := metav1.ObjectMeta{
		Name: run.Name, Namespace: o.Namespace, Labels: labels, Annotations: map[string]string{annotationDigest: digest},
	}
	if o.OwnerReferences != nil {
		meta.OwnerReferences = o.OwnerReferences(run)
	}
	return meta
}

func (o JobOptions) jobSpec(run Run, meta metav1.ObjectMeta, timeoutSeconds int) batchv1.JobSpec {
	return batchv1.JobSpec{
		BackoffLimit:          ptr.To[int32](0),
		PodReplacementPolicy:  ptr.To(batchv1.Failed),
		ActiveDeadlineSeconds: ptr.To(int64(timeoutSeconds + jobGraceSeconds)),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      meta.Labels,
				Annotations: map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
			},
			Spec: corev1.PodSpec{
				RestartPolicy:                corev1.RestartPolicyNever,
				ServiceAccountName:           o.ServiceAccountName,
				ImagePullSecrets:             o.ImagePullSecrets,
				NodeSelector:                 o.NodeSelector,
				Tolerations:                  o.Tolerations,
				AutomountServiceAccountToken: ptr.To(false),
				EnableServiceLinks:           ptr.To(false),
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](jobUser), RunAsGroup: ptr.To[int64](jobUser),
					FSGroup: ptr.To[int64](jobUser), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{o.container()},
				Volumes:    volumes(run),
			},
		},
	}
}

func (o JobOptions) container() corev1.Container {
	return corev1.Container{
		Name: container, Image: o.Image, ImagePullPolicy: o.ImagePullPolicy, Resources: o.Resources,
		Command: []string{o.Python, "-I", "-B", path.Join(mountInput, fileSupervisor), path.Join(mountInput, fileSpec)},
		Env: []corev1.EnvVar{
			{Name: "PATH", Value: path.Dir(o.Python) + ":/usr/local/bin:/usr/bin:/bin"}, {Name: "HOME", Value: mountWork},
			{Name: "TMPDIR", Value: mountWork}, {Name: "LANG", Value: "C.UTF-8"}, {Name: "LC_ALL", Value: "C.UTF-8"},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "input", MountPath: mountInput, ReadOnly: true},
			{Name: "secrets", MountPath: mountSecrets, ReadOnly: true},
			{Name: "work", MountPath: mountWork},
		},
	}
}

// volumes are mounted readable for the group: files of a Secret belong to root, so ssh does not mind.
func volumes(run Run) []corev1.Volume {
	items := []corev1.KeyToPath{{Key: fileVars, Path: fileVars}}
	for _, name := range slices.Sorted(maps.Keys(run.Keys)) {
		items = append(items, corev1.KeyToPath{Key: keyPrefix + name, Path: path.Join(dirKeys, name)})
	}
	mode := ptr.To[int32](0o440)
	return []corev1.Volume{
		{Name: "input", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: run.Name}, DefaultMode: mode}}},
		{Name: "secrets", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: run.Name, DefaultMode: mode, Items: items}}},
		{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse("1Gi"))}}},
	}
}
