package clusterdeployment

import (
	"context"
	"fmt"
	"slices"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ensureCluster makes the Cluster. What it was built with stays as it is from then on.
func (r *Reconciler) ensureCluster(ctx context.Context, s *scope) (kube.Result, error) {
	d := s.deployment
	existing := &v1alpha1.Cluster{}
	err := r.Kit.Get(ctx, client.ObjectKeyFromObject(d), existing)
	switch {
	case err == nil && !existing.DeletionTimestamp.IsZero():
		return kube.Result{}, kube.Wait(v1alpha1.ReasonDeleting, 0, fmt.Errorf("the Cluster %s of an earlier deployment is still being deleted", d.Name))
	case err == nil:
		return kube.Result{}, nil
	case !apierrors.IsNotFound(err):
		return kube.Result{}, fmt.Errorf("reading cluster %s: %w", d.Name, err)
	}
	uid, err := r.uid(ctx, d)
	if err != nil {
		return kube.Result{}, err
	}
	cluster := &v1alpha1.Cluster{
		ObjectMeta: objectMeta(d, d.Name, map[string]string{v1alpha1.ClusterLabel: d.Name}),
		Spec: v1alpha1.ClusterSpec{
			ContentVersion: s.release.ContentVersion, BundleDigest: s.release.BundleDigest, UID: uid,
			SettingsDigest: plan.SettingsDigest(d.Spec),
			Endpoint:       v1alpha1.Endpoint{Name: d.Spec.APIEndpoint.Name, Port: d.Spec.APIEndpoint.Port},
		},
	}
	if err := r.Kit.Create(ctx, cluster); err != nil && !apierrors.IsAlreadyExists(err) {
		return kube.Result{}, fmt.Errorf("making cluster %s: %w", d.Name, err)
	}
	r.Kit.Point("clusterdeployment.cluster-made")
	r.Kit.Event(d, corev1.EventTypeNormal, "ClusterMade", "Build", fmt.Sprintf("built with content %s and bundle %s", s.release.ContentVersion, s.release.Manifest.Kubernetes))
	return kube.Result{}, nil
}

// record keeps the Cluster's digest of settings in step until the cluster is installed: what failed with settings that were
// wrong is built with those that were mended. A run that is at work was given the settings of its start.
func (r *Reconciler) record(ctx context.Context, s *scope) (kube.Result, error) {
	c := s.seen.Object
	wanted := plan.SettingsDigest(s.deployment.Spec)
	working := func(op v1alpha1.Operation) bool { return op.Status.Phase == v1alpha1.OperationRunning }
	if c == nil || c.Spec.SettingsDigest == wanted || meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionInstalled) || slices.ContainsFunc(s.seen.Operations, working) {
		return kube.Result{}, nil
	}
	return kube.Result{}, kube.Spec(ctx, r.Kit, c.DeepCopy(), func(c *v1alpha1.Cluster) { c.Spec.SettingsDigest = wanted })
}

// uid is the identity that is stamped on hosts. Machines that are claimed already name it: then the Cluster was lost,
// not new.
func (r *Reconciler) uid(ctx context.Context, d *v1alpha1.ClusterDeployment) (string, error) {
	machines, err := r.View.Machines(ctx, d.Namespace, view.MachineCluster, d.Name)
	if err != nil {
		return "", err
	}
	uid := ""
	for i := range machines {
		switch claimed := machines[i].Spec.ClaimRef.UID; uid {
		case "", claimed:
			uid = claimed
		default:
			return "", kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("the machines that are claimed for %s name two clusters, %s and %s: restore the Cluster object", d.Name, uid, claimed))
		}
	}
	if uid == "" {
		uid = string(d.UID)
	}
	return uid, nil
}

// ensureSets makes the machine sets as they are wanted, and deletes those that are not wanted any more.
func (r *Reconciler) ensureSets(ctx context.Context, s *scope) (kube.Result, error) {
	d := s.deployment
	existing, err := r.View.Sets(ctx, client.ObjectKeyFromObject(d))
	if err != nil {
		return kube.Result{}, err
	}
	have := map[string]*v1alpha1.MachineSet{}
	for i := range existing {
		have[existing[i].Name] = &existing[i]
	}
	for _, wanted := range sets(d) {
		if err := r.ensureSet(ctx, d, wanted, have[wanted.Name]); err != nil {
			return kube.Result{}, err
		}
		delete(have, wanted.Name)
	}
	for name, gone := range have {
		if !gone.DeletionTimestamp.IsZero() {
			continue
		}
		r.Kit.Event(d, corev1.EventTypeNormal, "SetLeaving", "Delete", "machine set "+name+" is not wanted any more")
		if err := client.IgnoreNotFound(r.Kit.Delete(ctx, gone.DeepCopy())); err != nil {
			return kube.Result{}, fmt.Errorf("deleting machine set %s: %w", name, err)
		}
	}
	return kube.Result{}, nil
}

func (r *Reconciler) ensureSet(ctx context.Context, d *v1alpha1.ClusterDeployment, wanted, have *v1alpha1.MachineSet) error {
	switch {
	case have == nil:
		err := r.Kit.Create(ctx, wanted)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("making machine set %s: %w", wanted.Name, err)
		}
		r.Kit.Point("clusterdeployment.set-made")
		return nil
	case !have.DeletionTimestamp.IsZero() || equality.Semantic.DeepEqual(have.Spec, wanted.Spec):
		return nil
	}
	if was, is := ptr.Deref(have.Spec.Replicas, 0), ptr.Deref(wanted.Spec.Replicas, 0); was != is {
		r.Kit.Event(d, corev1.EventTypeNormal, "Scaling", "Scale", fmt.Sprintf("machine set %s: %d → %d", wanted.Name, was, is))
	}
	return kube.Spec(ctx, r.Kit, have.DeepCopy(), func(m *v1alpha1.MachineSet) { m.Spec = wanted.Spec })
}

// sets are the machine sets that the deployment wants.
func sets(d *v1alpha1.ClusterDeployment) []*v1alpha1.MachineSet {
	out := []*v1alpha1.MachineSet{set(d, string(v1alpha1.RoleControlPlane), v1alpha1.MachineSetSpec{
		Role: v1alpha1.RoleControlPlane, Replicas: ptr.To(d.Spec.ControlPlane.Replicas), Selector: d.Spec.ControlPlane.Selector,
	})}
	if e := d.Spec.Etcd.Machines; e != nil {
		out = append(out, set(d, string(v1alpha1.RoleEtcd), v1alpha1.MachineSetSpec{
			Role: v1alpha1.RoleEtcd, Replicas: ptr.To(e.Replicas), Selector: e.Selector,
		}))
	}
	for _, w := range d.Spec.Workers {
		out = append(out, set(d, w.Name, v1alpha1.MachineSetSpec{
			Role: v1alpha1.RoleCompute, Replicas: w.Replicas, Selector: w.Selector, Labels: w.Labels, Taints: w.Taints,
		}))
	}
	return out
}

func set(d *v1alpha1.ClusterDeployment, name string, spec v1alpha1.MachineSetSpec) *v1alpha1.MachineSet {
	spec.ClusterName = d.Name
	labels := map[string]string{v1alpha1.ClusterLabel: d.Name, v1alpha1.RoleLabel: string(spec.Role)}
	return &v1alpha1.MachineSet{ObjectMeta: objectMeta(d, view.SetName(d.Name, name), labels), Spec: spec}
}

// objectMeta is the metadata of an object that belongs to a deployment. There is no owner reference: after a restore from a
// backup the owner has another uid, and the garbage collector would take the cluster down.
func objectMeta(d *v1alpha1.ClusterDeployment, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: d.Namespace, Name: name, Labels: labels, Finalizers: []string{v1alpha1.Finalizer}}
}
