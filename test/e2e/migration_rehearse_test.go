//go:build lab

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/migration/rehearsal"
	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/volume"
	"github.com/slipway-dev/slipway/migration/workload"
	"github.com/slipway-dev/slipway/test/engine"
)

// TestRehearseInsideCluster rehearses on a real volume of a cluster, beside a server that somebody starts by hand.
func TestRehearseInsideCluster(t *testing.T) {
	h := newHouse(t, "e2e-rehearse", 16<<20, targetImages(t, engine.Prometheus316))
	h.prepare("rehearse-data")
	h.permissionDenied()
}

// byHandName is of the volume, the claim and the pod that somebody made without us.
const byHandName = "by-hand"

// permissionDenied is one of the surprises of moving by hand: a folder of a node, made by root, whose owner no fsGroup changes. A real server
// ends there; the rehearsal says so before there is one, and doing what is said is enough.
func (h *house) permissionDenied() {
	h.t.Helper()
	claim, pod := h.folderByHand()
	h.apply(pod.DeepCopy())
	h.eventually(shortTime, "the server by hand ends", func() error { return h.ended(pod.Name, corev1.PodFailed) })
	if log := h.log(pod.Name); !strings.Contains(log, "mkdir data/: permission denied") {
		h.t.Fatalf("by hand it is not denied:\n%s", log)
	}
	h.remove(pod)

	r := h.rehearse(claim.Name, corev1.PodFailed)
	refused := slices.IndexFunc(r.Findings, func(f rule.Finding) bool { return f.Rule == volume.RuleWritableByServer && f.Verdict == rule.Refused })
	if refused < 0 || !strings.Contains(r.Findings[refused].Says, "permission denied as uid 1000") {
		h.t.Fatalf("the rehearsal refuses nothing: %+v", r.Findings)
	}

	// The objects alone say what to type on the node.
	var v corev1.PersistentVolume
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Name: byHandName}, &v); err != nil {
		h.t.Fatal(err)
	}
	findings := target.CheckCluster(target.Wanted{Claim: *claim, Pod: corev1.PodTemplateSpec{Spec: pod.Spec}}, target.Cluster{Claim: claim, Volumes: []corev1.PersistentVolume{v}})
	owner := slices.IndexFunc(findings, func(f rule.Finding) bool { return f.Rule == target.RuleOwnership })
	if owner < 0 {
		h.t.Fatalf("nobody says whose the folder has to be: %+v", findings)
	}
	command := regexp.MustCompile(`chown \d+:\d+ \S+$`).FindString(findings[owner].Fix)
	h.old.sh(h.worker, command)
	r = h.rehearse(claim.Name, corev1.PodSucceeded)
	if r.Verdict.Stops() || r.Reach == nil || r.Reach.Answered != scrapedTargets || r.Reach.Counts["OnItsHost"] != 1 {
		h.t.Errorf("the rehearsal after %q: %s, reach %+v", command, r.Says, r.Reach)
	}
	h.apply(pod)
	h.eventually(shortTime, "the server runs", func() error {
		if log := h.log(pod.Name); !strings.Contains(log, "Server is ready to receive web requests") {
			return errors.New(log[max(0, len(log)-500):])
		}
		return nil
	})
	h.remove(pod)
}

// folderByHand makes a volume that is a folder of the worker, as root makes one, with its claim, and a pod of a server as people write it.
func (h *house) folderByHand() (*corev1.PersistentVolumeClaim, *corev1.Pod) {
	h.t.Helper()
	folder, size := "/srv/"+byHandName, corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	h.old.sh(h.worker, `install -d -m 755 "$1"`, folder)
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: byHandName}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: ptr.To(byHandName), VolumeName: byHandName, Resources: corev1.VolumeResourceRequirements{Requests: size}}}
	h.apply(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: byHandName}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: claim.Spec.AccessModes, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: byHandName,
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder}}}}, claim)
	h.eventually(shortTime, "the claim is bound", func() error {
		if err := h.kube.Get(h.t.Context(), client.ObjectKeyFromObject(claim), claim); err != nil || claim.Status.Phase != corev1.ClaimBound {
			return fmt.Errorf("it is %s: %w", claim.Status.Phase, err)
		}
		return nil
	})
	return claim, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: byHandName}, Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, NodeName: h.node, AutomountServiceAccountToken: ptr.To(false),
		SecurityContext: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1000), RunAsGroup: ptr.To[int64](1000), FSGroup: ptr.To[int64](2000), RunAsNonRoot: ptr.To(true),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Volumes: []corev1.Volume{
			{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: byHandName}}},
			{Name: "none", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
		// An empty configuration is one.
		Containers: []corev1.Container{{Name: "prometheus", Image: serverImage(engine.Prometheus316), ImagePullPolicy: corev1.PullNever, WorkingDir: "/prometheus", Args: []string{"--config.file=/dev/null"},
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			VolumeMounts:    []corev1.VolumeMount{{Name: "data", MountPath: "/prometheus"}, {Name: "none", MountPath: "/etc/prometheus"}}}},
	}}
}

// rehearse runs the rehearsal of a claim to its end, and takes its report from the log of the pod.
func (h *house) rehearse(claim string, end corev1.PodPhase) *rehearsal.Report {
	h.t.Helper()
	const name = "rehearsed"
	work, err := workload.New(workload.Options{
		Name: name, Namespace: namespace, Image: toolsImage, PullPolicy: corev1.PullNever, Volume: workload.Volume{ClaimName: claim},
		Security: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1000), FSGroup: ptr.To[int64](2000)}, Source: workload.Source{URL: h.old.serverURL()},
		// This machine is busy with all of the lab.
		Overrides: workload.Overrides{Rehearse: []string{volume.RuleSyncLatency}}, Rehearsal: workload.Rehearsal{Version: "3.16.0", Args: []string{"--config.file=/dev/null"}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	job, err := work.Rehearse()
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(job)
	var pod string
	h.eventually(3*shortTime, "the rehearsal ends", func() error {
		pods := h.pods(workload.Labels(name, workload.RoleRehearse))
		if len(pods) == 0 {
			return errors.New("there is no pod yet")
		}
		pod = pods[0].Name
		return h.ended(pod, end)
	})
	var r rehearsal.Report
	log := h.log(pod)
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				h.t.Fatalf("%v in %s", err, line)
			}
		}
	}
	if r.Volume == nil {
		h.t.Fatalf("there is no report in\n%s", log)
	}
	h.remove(job)
	h.eventually(shortTime, "the pod of the rehearsal is gone", func() error {
		if pods := h.pods(workload.Labels(name, workload.RoleRehearse)); len(pods) > 0 {
			return errors.New("it is still there")
		}
		return nil
	})
	return &r
}

// ended says that a pod came to an end.
func (h *house) ended(name string, phase corev1.PodPhase) error {
	var pod corev1.Pod
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil || pod.Status.Phase != phase {
		return fmt.Errorf("it is %s, not %s: %v %w", pod.Status.Phase, phase, pod.Status.ContainerStatuses, err)
	}
	return nil
}

// log is all that a pod printed.
func (h *house) log(pod string) string {
	text, err := h.set.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(h.t.Context())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// remove deletes an object with what it owns, and waits until it is gone.
func (h *house) remove(o client.Object) {
	h.t.Helper()
	if err := h.kube.Delete(h.t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground), client.GracePeriodSeconds(1)); err != nil {
		h.t.Fatal(err)
	}
	h.eventually(shortTime, "an object is gone", func() error {
		err := h.kube.Get(h.t.Context(), client.ObjectKeyFromObject(o), o.DeepCopyObject().(client.Object))
		if client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("%T %s is still there: %w", o, o.GetName(), err)
		}
		return nil
	})
}
