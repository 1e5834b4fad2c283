package target

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Wanted is what a new server asks of its cluster.
type Wanted struct {
	// Claim is that of the data, as it will be written: namespace, name, class, size, volume.
	Claim corev1.PersistentVolumeClaim
	// Pod is the server's.
	Pod corev1.PodTemplateSpec
}

// Cluster is what there is around the claim. What is nil was not looked at, and is not judged.
type Cluster struct {
	Namespace *corev1.Namespace
	// Claim is the one of the wanted name, where it is there already.
	Claim   *corev1.PersistentVolumeClaim
	Volumes []corev1.PersistentVolume
	Classes []storagev1.StorageClass
	Nodes   []corev1.Node
}

// WantedOf finds in the manifests of a server what it asks for: the StatefulSet and the claim that it mounts.
func WantedOf(objects []runtime.Object) (Wanted, error) {
	for _, o := range objects {
		set, ok := o.(*appsv1.StatefulSet)
		if !ok {
			continue
		}
		for _, v := range set.Spec.Template.Spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			if claim := find[*corev1.PersistentVolumeClaim](objects, v.PersistentVolumeClaim.ClaimName); claim != nil {
				return Wanted{Claim: *claim, Pod: set.Spec.Template}, nil
			}
		}
		return Wanted{}, fmt.Errorf("looking for the claim of StatefulSet %s: none of the manifests is one that it mounts", set.Name)
	}
	return Wanted{}, fmt.Errorf("looking for the server in the manifests: there is no StatefulSet")
}

// CheckCluster says what in a cluster keeps a server from its volume, each with what mends it. It asks nothing.
func CheckCluster(w Wanted, c Cluster) []Finding {
	all := w.claim(c)
	volume := w.volume(c)
	switch {
	case volume != nil && !boundTo(c.Claim, volume.Name):
		all = append(all, checkVolume(w, volume)...)
	case volume != nil:
		all = append(all, keeping(volume)...)
	case w.Claim.Spec.VolumeName != "" && c.Volumes != nil:
		all = append(all, Finding{Rule: RuleVolume, Verdict: Refused, Where: "PersistentVolume " + w.Claim.Spec.VolumeName, Says: "it is not there, and the claim waits for it for ever",
			Fix: "say the name of one that is there: kubectl get pv"})
	}
	all = append(all, w.class(c, volume)...)
	all = append(all, w.ownership(volume)...)
	if c.Namespace != nil {
		all = append(all, w.security(c.Namespace)...)
	}
	return append(all, w.node(c, volume)...)
}

func boundTo(claim *corev1.PersistentVolumeClaim, volume string) bool {
	return isBound(claim) && claim.Spec.VolumeName == volume
}

func isBound(claim *corev1.PersistentVolumeClaim) bool {
	return claim != nil && claim.Status.Phase == corev1.ClaimBound
}

// volume is the one that the claim names or has, nil where that is open.
func (w Wanted) volume(c Cluster) *corev1.PersistentVolume {
	name := w.Claim.Spec.VolumeName
	if c.Claim != nil && c.Claim.Spec.VolumeName != "" {
		name = c.Claim.Spec.VolumeName
	}
	i := slices.IndexFunc(c.Volumes, func(v corev1.PersistentVolume) bool { return name != "" && v.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Volumes[i]
}

// claim looks at one of that name that is there already, and at volumes that wait for it.
func (w Wanted) claim(c Cluster) []Finding {
	var all []Finding
	add := func(verdict Verdict, says, fix string) {
		all = append(all, Finding{Rule: RuleClaim, Verdict: verdict, Where: "PersistentVolumeClaim " + w.Claim.Namespace + "/" + w.Claim.Name, Says: says, Fix: fix})
	}
	if c.Claim == nil {
		return w.left(c)
	}
	has, want := c.Claim.Spec, w.Claim.Spec
	remove := fmt.Sprintf("if nobody needs it: kubectl delete pvc -n %s %s; else another name for the server", w.Claim.Namespace, w.Claim.Name)
	switch {
	case c.Claim.DeletionTimestamp != nil:
		add(Refused, "it is being deleted; a pod that still mounts it holds it", "kubectl describe pvc tells which pod (Used By); end that one")
	case c.Claim.Status.Phase == corev1.ClaimLost:
		add(Refused, fmt.Sprintf("it is Lost: its volume %s is gone", has.VolumeName), remove)
	case want.VolumeName != "" && has.VolumeName != "" && has.VolumeName != want.VolumeName:
		add(Refused, fmt.Sprintf("it is bound to %s, not to %s", has.VolumeName, want.VolumeName), remove)
	case want.StorageClassName != nil && has.StorageClassName != nil && *has.StorageClassName != *want.StorageClassName:
		add(Refused, fmt.Sprintf("its class is %q, %q is wanted; the class of a claim cannot be changed", *has.StorageClassName, *want.StorageClassName), remove)
	}
	return append(all, w.claimHolds(c.Claim, remove)...)
}

// claimHolds looks whether a claim that is there has the size and can be written.
func (w Wanted) claimHolds(claim *corev1.PersistentVolumeClaim, remove string) []Finding {
	var all []Finding
	add := func(verdict Verdict, says, fix string) {
		all = append(all, Finding{Rule: RuleClaim, Verdict: verdict, Where: "PersistentVolumeClaim " + w.Claim.Namespace + "/" + w.Claim.Name, Says: says, Fix: fix})
	}
	has := claim.Spec
	size, asked := has.Resources.Requests[corev1.ResourceStorage], w.Claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if real, ok := claim.Status.Capacity[corev1.ResourceStorage]; ok {
		size = real
	}
	if size.Cmp(asked) < 0 {
		add(Refused, fmt.Sprintf("it has %s, %s is wanted", size.String(), asked.String()),
			fmt.Sprintf(`where its class allows it: kubectl patch pvc -n %s %s -p '{"spec":{"resources":{"requests":{"storage":%q}}}}'`, w.Claim.Namespace, w.Claim.Name, asked.String()))
	}
	if len(has.AccessModes) == 1 && has.AccessModes[0] == corev1.ReadOnlyMany {
		add(Refused, fmt.Sprintf("its access modes are %v: nothing can be written", has.AccessModes), remove)
	}
	return all
}

// left are volumes that once belonged to a claim of this name: people expect to get their data back with a claim of the same name.
func (w Wanted) left(c Cluster) []Finding {
	var all []Finding
	for i := range c.Volumes {
		v := &c.Volumes[i]
		ref := v.Spec.ClaimRef
		if v.Status.Phase == corev1.VolumeReleased && ref != nil && ref.Namespace == w.Claim.Namespace && ref.Name == w.Claim.Name && v.Name != w.Claim.Spec.VolumeName {
			all = append(all, Finding{Rule: RuleVolumeReleased, Verdict: Look, Where: "PersistentVolume " + v.Name,
				Says: fmt.Sprintf("it is Released: it belonged to an earlier claim %s/%s (uid %s), and the new one of that name gets another, empty volume", ref.Namespace, ref.Name, ref.UID),
				Fix:  fmt.Sprintf("if it is the one to be used, say volumeName: %s, and free it: %s", v.Name, w.reserve(v.Name))})
		}
	}
	return all
}

// reserve is the command that gives a volume to the claim and to no other. Without uid and resourceVersion the binder takes the reference
// as a reservation (pkg/controller/volume/persistentvolume, syncVolume).
func (w Wanted) reserve(volume string) string {
	return fmt.Sprintf(`kubectl patch pv %s --type merge -p '{"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","namespace":%q,"name":%q,"uid":null,"resourceVersion":null}}}'`,
		volume, w.Claim.Namespace, w.Claim.Name)
}

// class looks whether somebody makes the volume.
func (w Wanted) class(c Cluster, volume *corev1.PersistentVolume) []Finding {
	if c.Classes == nil || volume != nil || w.Claim.Spec.VolumeName != "" || isBound(c.Claim) {
		return nil
	}
	name, says := w.className(c.Classes)
	i := slices.IndexFunc(c.Classes, func(s storagev1.StorageClass) bool { return s.Name == name })
	if says == "" && i < 0 && !slices.ContainsFunc(c.Volumes, func(v corev1.PersistentVolume) bool { return v.Spec.StorageClassName == name }) {
		says = fmt.Sprintf("there is no StorageClass %s, and no volume of it: the claim would wait for ever", name)
	}
	if says != "" {
		return []Finding{{Rule: RuleClass, Verdict: Refused, Where: "PersistentVolumeClaim " + w.Claim.Namespace + "/" + w.Claim.Name, Says: says, Fix: choose(c.Classes)}}
	}
	if i >= 0 && c.Classes[i].ReclaimPolicy != nil && *c.Classes[i].ReclaimPolicy == corev1.PersistentVolumeReclaimDelete {
		return []Finding{{Rule: RuleClass, Verdict: Look, Where: "StorageClass " + name, Says: "it deletes a volume with its claim: so goes the history, once it is there",
			Fix: `when the volume is there: kubectl patch pv NAME -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`}}
	}
	return nil
}

// className is the class of the claim, or why it has none.
func (w Wanted) className(classes []storagev1.StorageClass) (name, says string) {
	if w.Claim.Spec.StorageClassName != nil {
		return *w.Claim.Spec.StorageClassName, ""
	}
	i := slices.IndexFunc(classes, func(s storagev1.StorageClass) bool {
		return s.Annotations["storageclass.kubernetes.io/is-default-class"] == "true"
	})
	if i < 0 {
		return "", "no class was said, and the cluster has no default one: the claim would wait for ever"
	}
	return classes[i].Name, ""
}

func choose(classes []storagev1.StorageClass) string {
	if len(classes) == 0 {
		return "install a provisioner of volumes with its StorageClass, or make a PersistentVolume by hand and say its name in volumeName"
	}
	var names []string
	for _, s := range classes {
		names = append(names, s.Name)
	}
	return "say one that is there in className: " + strings.Join(names, ", ")
}

// wanted is what the own template will ask for.
func (p *Plan) wanted() Wanted {
	spec := p.o.Migration.Spec.Target.StatefulSet
	claim := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: p.o.Migration.Namespace, Name: spec.Name + "-data"}}
	claim.Spec.VolumeName, claim.Spec.StorageClassName = spec.Storage.VolumeName, &spec.Storage.ClassName
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: p.Size()}
	return Wanted{Claim: claim, Pod: corev1.PodTemplateSpec{Spec: corev1.PodSpec{SecurityContext: podSecurity(spec.SecurityContext)}}}
}

// holds says that a volume of this size is enough for the claim.
func (w Wanted) holds(has resource.Quantity) (asked resource.Quantity, ok bool) {
	asked = w.Claim.Spec.Resources.Requests[corev1.ResourceStorage]
	return asked, has.Cmp(asked) >= 0
}
