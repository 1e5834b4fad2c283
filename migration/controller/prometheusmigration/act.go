package prometheusmigration

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/migration/workload"
)

// fieldManager is who applies.
const fieldManager = "slipway-migration"

// act does what was decided. Each action finds what an earlier attempt did.
func (r *Reconciler) act(ctx context.Context, s *scope) (kube.Result, error) {
	for _, a := range s.decision.Actions {
		if err := r.one(ctx, s, a); err != nil {
			return kube.Result{}, fmt.Errorf("%s: %w", a, err)
		}
		r.Kit.Point("migration." + string(a.Kind))
	}
	return kube.Result{}, nil
}

func (r *Reconciler) one(ctx context.Context, s *scope, a course.Action) error {
	switch a.Kind {
	case course.ActClaim:
		return r.makeClaim(ctx, s)
	case course.ActTarget:
		return r.makeTarget(ctx, s, a.Stage)
	case course.ActConfigure:
		return r.configure(ctx, s, a.Stage)
	case course.ActShim:
		return r.makeShim(ctx, s)
	case course.ActNoShim:
		return r.removeShim(ctx, s)
	case course.ActRun:
		return r.run(ctx, s, a.Role)
	case course.ActAgain, course.ActForget:
		return r.forget(ctx, s, a.Role)
	case course.ActSuspend:
		return r.suspend(ctx, s, a.Role)
	case course.ActRestart:
		return r.restart(ctx, s, a)
	case course.ActStop:
		return r.stop(ctx, s)
	case course.ActGrafanaClaim, course.ActGrafana, course.ActNoGrafana:
		return r.actGrafana(ctx, s, a)
	case course.ActRelease:
		return kube.RemoveFinalizer(ctx, r.Kit, s.migration, v1alpha1.Finalizer)
	}
	return fmt.Errorf("nobody knows how to do %s", a.Kind)
}

// create makes an object that is not there; one that is there stays as it is. It is looked for first: of a Service that is there the API
// server says that its node port is taken.
func (s *scope) create(ctx context.Context, o client.Object) error {
	there, err := get(ctx, s, o.GetName(), o.DeepCopyObject().(client.Object))
	if err != nil || there {
		return err
	}
	if err := s.cluster.Create(ctx, o, client.FieldOwner(fieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making %T %s: %w", o, o.GetName(), err)
	}
	return nil
}

func (r *Reconciler) makeClaim(ctx context.Context, s *scope) error {
	if s.migration.Spec.Target.Prometheus != nil {
		return s.makeOperatedClaim(ctx)
	}
	objects, err := s.objects(course.StageBridge)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if claim, ok := o.(*corev1.PersistentVolumeClaim); ok {
			if err := s.create(ctx, claim); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeTarget makes all of the target. The users' Service and its EndpointSlice are made once: after that the controller of endpoints writes
// them alone. The StatefulSet comes last: its pod finds all that it mounts.
func (r *Reconciler) makeTarget(ctx context.Context, s *scope, stage course.Stage) error {
	if err := r.makeCertificates(ctx, s); err != nil {
		return err
	}
	objects, err := s.objects(stage)
	if err != nil {
		return err
	}
	var last []client.Object
	for _, o := range objects {
		var err error
		switch o := o.(type) {
		case *corev1.PersistentVolumeClaim, *discoveryv1.EndpointSlice:
			err = s.create(ctx, o)
		case *corev1.Service:
			if o.Name == target.ServiceName(s.migration.Spec.Target) {
				err = s.create(ctx, o)
				break
			}
			err = s.cluster.Put(ctx, fieldManager, o)
		case *appsv1.StatefulSet:
			last = append(last, o)
		default:
			err = s.cluster.Put(ctx, fieldManager, o)
		}
		if err != nil {
			return err
		}
	}
	r.Kit.Point("migration.beforeServer")
	if s.migration.Spec.Target.Prometheus != nil {
		return r.patchOperated(ctx, s, stage)
	}
	for _, o := range last {
		if err := s.cluster.Put(ctx, fieldManager, o); err != nil {
			return err
		}
	}
	return nil
}

// configure writes the configuration and nothing else; one that was of another kind before is left, as the pod mounts it.
func (r *Reconciler) configure(ctx context.Context, s *scope, stage course.Stage) error {
	objects, err := s.objects(stage)
	if err != nil {
		return kube.Human(v1alpha1.ReasonRefused, err)
	}
	for _, o := range objects {
		if !isConfig(o) {
			continue
		}
		if err := s.cluster.Put(ctx, fieldManager, o); err != nil {
			return err
		}
	}
	if s.migration.Spec.Target.Prometheus != nil {
		if err := r.reconfigureOperated(ctx, s, stage); err != nil {
			return err
		}
	}
	return r.hurry(ctx, s, stage)
}

// hurry has the kubelet bring a new configuration into the pod now. It looks at each pod about once a minute by itself, and at once when
// anything of the pod changes; what it mounts then is what it has seen of the ConfigMap or Secret by its watch.
func (r *Reconciler) hurry(ctx context.Context, s *scope, stage course.Stage) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		stageAnnotation: string(stage), writtenAnnotation: r.Kit.Clock.Now().UTC().Format(time.RFC3339)}}})
	if err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: s.setName() + "-0"}}
	err = s.cluster.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch))
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // without it, it takes a minute or two
		return nil
	}
	return fmt.Errorf("telling the kubelet of the new configuration: %w", err)
}

// makeCertificates keeps those that are there and good. Those of the target stay when the migration goes: its pod mounts them for ever.
func (r *Reconciler) makeCertificates(ctx context.Context, s *scope) error {
	name := s.migration.Name
	var have transfer.Credentials
	for secret, into := range map[string]*map[string][]byte{
		workload.AuthoritySecret(name): &have.Authority, workload.SourceSecret(name): &have.Source, workload.TargetSecret(name): &have.Target,
	} {
		var found corev1.Secret
		if _, err := get(ctx, s, secret, &found); err != nil {
			return err
		}
		*into = found.Data
	}
	all, err := transfer.EnsureCredentials(have, r.issuer)
	if err != nil {
		return err
	}
	for _, secret := range workload.Secrets(name, s.migration.Namespace, s.owner(), all.Authority, all.Source, all.Target) {
		if secret.Name == workload.TargetSecret(name) {
			secret.OwnerReferences = nil
		}
		if err := s.cluster.Put(ctx, fieldManager, secret); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) makeShim(ctx context.Context, s *scope) error {
	s.world.Target.Applied = true // it stands beside the pod, which is made in the same pass
	w, err := s.pods()
	if err != nil {
		return err
	}
	deployment, service, err := w.Shim()
	if err != nil {
		return err
	}
	if err := s.cluster.Put(ctx, fieldManager, service); err != nil {
		return err
	}
	return s.cluster.Put(ctx, fieldManager, deployment)
}

func (r *Reconciler) removeShim(ctx context.Context, s *scope) error {
	meta := metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: workload.ObjectName(s.migration.Name, workload.RoleShim)}
	for _, o := range []client.Object{&corev1.Service{ObjectMeta: meta}, &appsv1.Deployment{ObjectMeta: meta}} {
		if err := s.cluster.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing the shim: %w", err)
		}
	}
	return nil
}

func (r *Reconciler) run(ctx context.Context, s *scope, role course.Role) error {
	if role == course.RoleCutover || role == course.RoleRollback || role == course.RoleFinalize {
		if err := r.writeCutover(ctx, s); err != nil {
			return err
		}
	}
	w, err := s.pods()
	if err != nil {
		return kube.Human(v1alpha1.ReasonInvalidSpec, err)
	}
	job, err := s.job(w, role)
	if err != nil {
		return kube.Human(v1alpha1.ReasonInvalidSpec, err)
	}
	return s.create(ctx, job)
}

func (s *scope) jobMeta(role course.Role) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: workload.ObjectName(s.migration.Name, workload.Role(role))}
}

// forget deletes a job when its pods have ended: the next one would write to the same folder.
func (r *Reconciler) forget(ctx context.Context, s *scope, role course.Role) error {
	job := &batchv1.Job{ObjectMeta: s.jobMeta(role)}
	if err := s.cluster.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting job %s: %w", job.Name, err)
	}
	return nil
}

func (r *Reconciler) suspend(ctx context.Context, s *scope, role course.Role) error {
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"suspend": true}})
	if err != nil {
		return err
	}
	job := &batchv1.Job{ObjectMeta: s.jobMeta(role)}
	if err := s.cluster.Patch(ctx, job, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("suspending job %s: %w", job.Name, err)
	}
	return nil
}

// restart deletes the one pod that was seen; another one of the same name stays.
func (r *Reconciler) restart(ctx context.Context, s *scope, a course.Action) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: a.Pod}}
	err := s.cluster.Delete(ctx, pod, client.Preconditions{UID: ptr.To(types.UID(a.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restarting the target: %w", err)
	}
	r.Kit.Event(s.migration, corev1.EventTypeNormal, "Restarted", "Restart", "pod "+a.Pod+": "+a.Why)
	return nil
}

// stop takes away what runs the target. Its claim has no owner and stays.
func (r *Reconciler) stop(ctx context.Context, s *scope) error {
	if s.migration.Spec.Target.Prometheus != nil {
		return r.letGo(ctx, s)
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: s.setName()}}
	if err := s.cluster.Delete(ctx, set, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("stopping the target: %w", err)
	}
	return nil
}
