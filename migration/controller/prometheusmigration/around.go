package prometheusmigration

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/target"
)

// checkCluster adds to a plan what in the target's cluster keeps the server from its volume or from a node. Once the server is there its pod
// tells better, and what changes around it refuses nothing.
func (r *Reconciler) checkCluster(ctx context.Context, s *scope, p *target.Plan) error {
	if s.migration.Spec.Target.StatefulSet == nil || len(p.Refusals()) > 0 {
		return nil
	}
	if there, err := get(ctx, s, s.setName(), &appsv1.StatefulSet{}); there || err != nil {
		return err
	}
	manifests, err := s.objects(course.StageBridge)
	if err != nil {
		return err
	}
	objects := make([]runtime.Object, len(manifests))
	for i, o := range manifests {
		objects[i] = o
	}
	wanted, err := target.WantedOf(objects)
	if err != nil {
		return err
	}
	around, err := s.around(ctx, wanted)
	if err != nil {
		return err
	}
	p.CheckCluster(wanted, around)
	return nil
}

// around reads what a claim depends on. What the operator may not read stays nil and is not judged.
func (s *scope) around(ctx context.Context, wanted target.Wanted) (target.Cluster, error) {
	var (
		c         target.Cluster
		claim     corev1.PersistentVolumeClaim
		namespace corev1.Namespace
		volumes   corev1.PersistentVolumeList
		classes   storagev1.StorageClassList
		nodes     corev1.NodeList
	)
	there, err := get(ctx, s, wanted.Claim.Name, &claim)
	if err != nil {
		return c, err
	}
	if there {
		c.Claim = &claim
	}
	err = s.cluster.Get(ctx, client.ObjectKey{Name: s.migration.Namespace}, &namespace)
	switch {
	case err == nil:
		c.Namespace = &namespace
	case apierrors.IsNotFound(err):
		s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "metadata.namespace",
			Says: "the target's cluster has no namespace " + s.migration.Namespace, Fix: "kubectl create namespace " + s.migration.Namespace + ", there"})
	case !mayNot(ctx, "namespace", err):
		return c, fmt.Errorf("reading the namespace: %w", err)
	}
	for _, l := range []struct {
		what string
		list client.ObjectList
		take func()
	}{
		{"volumes", &volumes, func() { c.Volumes = append([]corev1.PersistentVolume{}, volumes.Items...) }},
		{"storage classes", &classes, func() { c.Classes = append([]storagev1.StorageClass{}, classes.Items...) }},
		{"nodes", &nodes, func() { c.Nodes = nodes.Items }},
	} {
		err := s.cluster.List(ctx, l.list)
		switch {
		case err == nil:
			l.take()
		case !mayNot(ctx, l.what, err):
			return c, fmt.Errorf("listing the %s: %w", l.what, err)
		}
	}
	if len(c.Nodes) == 0 {
		c.Nodes = nil // a cluster whose nodes come with their pods says nothing
	}
	return c, nil
}

// mayNot says that an error is a right that the operator lacks.
func mayNot(ctx context.Context, what string, err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	log.FromContext(ctx).V(1).Info("Not judged for want of the right to read", "what", what)
	return true
}
