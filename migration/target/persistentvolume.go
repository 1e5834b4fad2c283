package target

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// ReadVolume reads a PersistentVolume as kubectl get pv NAME -o yaml writes it.
func ReadVolume(data []byte) (*corev1.PersistentVolume, error) {
	var v corev1.PersistentVolume
	if err := yaml.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("reading the volume: %w", err)
	}
	if v.Kind != "PersistentVolume" || v.Name == "" {
		return nil, fmt.Errorf("reading the volume: it is %s; want one PersistentVolume as kubectl get pv NAME -o yaml writes it", orNone(v.Kind))
	}
	return &v, nil
}

// CheckVolume adds to the findings whether the claim of a plan can get a volume that exists already, and what to do where it cannot.
func (p *Plan) CheckVolume(v *corev1.PersistentVolume) {
	w := p.wanted()
	p.Findings = append(p.Findings, p.overridden(append(checkVolume(w, v), w.ownership(v)...))...)
}

// CheckCluster adds to the findings what in a cluster keeps the server from its volume.
func (p *Plan) CheckCluster(w Wanted, c Cluster) {
	p.Findings = append(p.Findings, p.overridden(CheckCluster(w, c))...)
}

// checkVolume looks whether the claim gets a volume that exists already.
func checkVolume(w Wanted, v *corev1.PersistentVolume) []Finding {
	namespace, claim := w.Claim.Namespace, w.Claim.Name
	var all []Finding
	add := func(name string, verdict Verdict, says, fix string) {
		all = append(all, Finding{Rule: name, Verdict: verdict, Where: "PersistentVolume " + v.Name, Says: says, Fix: fix})
	}
	ref, ours := v.Spec.ClaimRef, false
	if ref != nil {
		ours = ref.Namespace == namespace && ref.Name == claim
	}
	reserve := w.reserve(v.Name)
	switch {
	case v.Status.Phase == corev1.VolumeReleased && ref != nil:
		add(RuleVolumeReleased, Refused, fmt.Sprintf("it is Released: it still belongs to the claim %s/%s (uid %s) that was deleted, and no other claim gets it", ref.Namespace, ref.Name, ref.UID),
			"its data is still there; make sure that nobody wants it, and give it to the new claim: "+reserve)
	case ref != nil && !ours:
		add(RuleVolume, Refused, fmt.Sprintf("it belongs to the claim %s/%s", ref.Namespace, ref.Name), "use another volume, or delete that claim first if nobody needs it")
	case ref == nil:
		add(RuleVolume, Look, "any claim may take it before ours does", "reserve it: "+reserve)
	}
	if v.Status.Phase == corev1.VolumeFailed {
		add(RuleVolume, Refused, "it is Failed: "+v.Status.Message, "mend what its storage reports, or use another volume")
	}
	return slices.Concat(all, w.fits(v), keeping(v))
}

// fits looks whether the volume is one that the claim asks for.
func (w Wanted) fits(v *corev1.PersistentVolume) []Finding {
	var all []Finding
	add := func(name string, verdict Verdict, says, fix string) {
		all = append(all, Finding{Rule: name, Verdict: verdict, Where: "PersistentVolume " + v.Name, Says: says, Fix: fix})
	}
	if class := w.Claim.Spec.StorageClassName; class != nil && v.Spec.StorageClassName != *class {
		add(RuleVolume, Refused, fmt.Sprintf("its class is %q, that of target.statefulSet.storage.className %q: the claim would wait for ever", v.Spec.StorageClassName, *class),
			fmt.Sprintf("say className: %q", v.Spec.StorageClassName))
	}
	has := v.Spec.Capacity[corev1.ResourceStorage]
	if asked, ok := w.holds(has); !ok {
		add(RuleCapacity, Refused, fmt.Sprintf("it has %s, the claim asks for %s and would wait for ever", has.String(), asked.String()), "ask for no more than it has, if that is enough for the data")
	}
	if modes := v.Spec.AccessModes; len(modes) > 0 && !slices.ContainsFunc(w.Claim.Spec.AccessModes, func(m corev1.PersistentVolumeAccessMode) bool { return slices.Contains(modes, m) }) {
		add(RuleVolume, Refused, fmt.Sprintf("its access modes are %v, the claim wants %v and would wait for ever", modes, w.Claim.Spec.AccessModes),
			fmt.Sprintf(`if its storage can: kubectl patch pv %s -p '{"spec":{"accessModes":["ReadWriteOnce"]}}'`, v.Name))
	}
	if v.Spec.VolumeMode != nil && *v.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		add(RuleVolume, Refused, "it is a raw device (volumeMode Block), and a server needs a file system", "use one of volumeMode Filesystem")
	}
	return all
}

// keeping looks at whether the volume can hold data of Prometheus, and keeps it.
func keeping(v *corev1.PersistentVolume) []Finding {
	var all []Finding
	add := func(name string, verdict Verdict, says, fix string) {
		all = append(all, Finding{Rule: name, Verdict: verdict, Where: "PersistentVolume " + v.Name, Says: says, Fix: fix})
	}
	if v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		add(RuleVolume, Look, fmt.Sprintf("its reclaim policy is %s: deleting the claim deletes the data", v.Spec.PersistentVolumeReclaimPolicy),
			fmt.Sprintf(`kubectl patch pv %s -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`, v.Name))
	}
	if network(v) {
		add(RuleVolume, Refused, "it lies on a network file system, which Prometheus does not support", "use a block volume; slipway prometheus volume measures one")
	}
	return all
}

// network says that a volume is a network file system by its own type; a driver's may be one, too, which the measurement sees.
func network(v *corev1.PersistentVolume) bool {
	return v.Spec.NFS != nil || v.Spec.AzureFile != nil || v.Spec.CephFS != nil || v.Spec.Glusterfs != nil
}
