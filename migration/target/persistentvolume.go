package target

import (
	"fmt"

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
	p.Findings = append(p.Findings, p.overridden(p.judge(v))...)
}

func (p *Plan) judge(v *corev1.PersistentVolume) []Finding {
	spec := p.o.Migration.Spec.Target.StatefulSet
	namespace, claim := p.o.Migration.Namespace, spec.Name+"-data"
	var all []Finding
	add := func(name string, verdict Verdict, says, fix string) {
		all = append(all, Finding{Rule: name, Verdict: verdict, Where: "PersistentVolume " + v.Name, Says: says, Fix: fix})
	}
	ref, ours := v.Spec.ClaimRef, false
	if ref != nil {
		ours = ref.Namespace == namespace && ref.Name == claim
	}
	reserve := fmt.Sprintf(`kubectl patch pv %s --type merge -p '{"spec":{"claimRef":{"apiVersion":"v1","kind":"PersistentVolumeClaim","namespace":%q,"name":%q,"uid":null,"resourceVersion":null}}}'`,
		v.Name, namespace, claim)
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
	if v.Spec.StorageClassName != spec.Storage.ClassName {
		add(RuleVolume, Refused, fmt.Sprintf("its class is %q, that of target.statefulSet.storage.className %q: the claim would wait for ever", v.Spec.StorageClassName, spec.Storage.ClassName),
			fmt.Sprintf("say className: %q", v.Spec.StorageClassName))
	}
	if has, want := v.Spec.Capacity[corev1.ResourceStorage], p.Size(); has.Cmp(want) < 0 {
		add(RuleCapacity, Refused, fmt.Sprintf("it has %s, the claim asks for %s and would wait for ever", has.String(), want.String()), "ask for no more than it has, if that is enough for the data")
	}
	return append(all, keeping(v)...)
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
	if v.Spec.NFS != nil || v.Spec.AzureFile != nil || v.Spec.CephFS != nil || v.Spec.Glusterfs != nil {
		add(RuleVolume, Refused, "it lies on a network file system, which Prometheus does not support", "use a block volume; slipway prometheus volume measures one")
	}
	return all
}
